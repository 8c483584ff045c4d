// `# check=skip=…;error=…;experimental=…`: which warnings are shown, and whether one of them fails the build.
// For the whole file as a directive, for one instruction as a comment above it. Reference P06, K30–K33.
import { catalogEntry, createDiagnostic } from "../../diagnostics/catalog.ts";
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Dockerfile, FromInstruction, Instruction } from "../ast.ts";
import { goQuote, parseGoBool } from "../../base/go-text.ts";
import { stageInstructions } from "./rule.ts";

/** A list of rules, or all of them. */
export type RuleSet = "all" | ReadonlySet<string>;

export interface CheckOptions {
  readonly skip: RuleSet;
  readonly experimental: RuleSet;
  /** A warning that is shown fails the build. */
  readonly failsBuild: boolean;
}

/** Nothing skipped, nothing experimental. */
export const defaultChecks: CheckOptions = { skip: new Set(), experimental: new Set(), failsBuild: false };

/** Parses `skip=A,B;error=true`, also of `BUILDKIT_DOCKERFILE_CHECK` (K31). */
export function parseCheckOptions(text: string): CheckOptions | { readonly message: string } {
  let options = defaultChecks;
  if (text.trim() === "") return options;
  for (const part of splitParts(text.trim())) {
    const equals = part.indexOf("=");
    if (equals < 0) return { message: `invalid check option ${goQuote(part)}` };
    const key = part.slice(0, equals).trim();
    const value = part.slice(equals + 1).trim();
    if (key === "skip") options = { ...options, skip: ruleSet(value) };
    else if (key === "experimental") options = { ...options, experimental: ruleSet(value) };
    else if (key !== "error") return { message: `invalid check option ${goQuote(key)}` };
    else if (parseGoBool(value) === undefined) {
      const cause = `strconv.ParseBool: parsing ${goQuote(value)}: invalid syntax`;
      return { message: `failed to parse check option ${goQuote(part)}: ${cause}` };
    } else options = { ...options, failsBuild: /^[1tT]/.test(value) };
  }
  return options;
}

/** At most three parts; what is left stays in the last one. */
function splitParts(text: string): readonly string[] {
  const parts = text.split(";");
  return parts.length <= 3 ? parts : [...parts.slice(0, 2), parts.slice(2).join(";")];
}

function ruleSet(value: string): RuleSet {
  return value === "all" ? "all" : new Set(value.split(",").map((name) => name.trim()));
}

function includes(rules: RuleSet, code: string): boolean {
  return rules === "all" || rules.has(code);
}

export interface CheckedDiagnostics {
  /** Errors, and the warnings that are not silenced, in file order. */
  readonly diagnostics: readonly Diagnostic[];
  /** The same in the order in which they were given, a wrong directive first. */
  readonly found: readonly Diagnostic[];
  /** BuildKit's message where `error=true` makes the warnings fatal; undefined where the build may go on. */
  readonly failure: string | undefined;
}

/** The file's options; a directive that is wrong is reported and counts as none. */
export function fileChecks(dockerfile: Dockerfile): {
  readonly options: CheckOptions;
  readonly diagnostics: readonly Diagnostic[];
} {
  const directive = dockerfile.directives.find(({ key }) => key === "check");
  if (!directive) return { options: defaultChecks, diagnostics: [] };
  const parsed = parseCheckOptions(directive.value.split(" ", 1)[0]!);
  if (!("message" in parsed)) return { options: parsed, diagnostics: [] };
  const message = `failed to parse check options: ${parsed.message}`;
  const help = "write skip=<rules>, error=true or experimental=<rules>, separated by semicolons";
  return {
    options: defaultChecks,
    diagnostics: [createDiagnostic("InvalidCheckOption", directive.span, message, { help })],
  };
}

/** Leaves out warnings that the file, an instruction's comment or `override` (BUILDKIT_DOCKERFILE_CHECK) silences. */
export function applyChecks(
  dockerfile: Dockerfile,
  found: readonly Diagnostic[],
  override?: CheckOptions,
): CheckedDiagnostics {
  const file = fileChecks(dockerfile);
  const options = override ?? file.options;
  const local = localChecks(dockerfile);
  const kept = found.filter((diagnostic) => {
    const { code, severity, span } = diagnostic;
    if (severity !== "warning") return true;
    if (includes(options.skip, code)) return false;
    if (catalogEntry(code)?.isExperimental && !includes(options.experimental, code)) return false;
    const around = span.source === dockerfile.source ? enclosing(local, span.start) : undefined;
    return around === undefined || !includes(around.skip, code);
  });
  const all = override === undefined ? [...file.diagnostics, ...kept] : kept;
  const inFileOrder = all.toSorted((a, b) => (a.span.source === b.span.source ? a.span.start - b.span.start : 0));
  const fatal = options.failsBuild ? kept.filter(isCheck).map(({ code }) => code) : [];
  const rules = [...new Set(fatal)].join(", ");
  return {
    diagnostics: inFileOrder,
    found: all,
    failure: rules === "" ? undefined : `lint violation found for rules: ${rules}`,
  };
}

function isCheck({ code, severity }: Diagnostic): boolean {
  return severity === "warning" && catalogEntry(code)?.category !== "hint";
}

interface LocalChecks {
  readonly start: number;
  readonly end: number;
  readonly skip: RuleSet;
}

/** Instructions with a `check=` comment, in file order. */
function localChecks(dockerfile: Dockerfile): readonly LocalChecks[] {
  const nodes: (Instruction | FromInstruction)[] = [...dockerfile.metaArgs, ...stageInstructions(dockerfile)];
  return nodes.flatMap((node) => {
    const skip = commentSkips(node.comments);
    return skip === undefined ? [] : [{ start: node.span.start, end: node.span.end, skip }];
  });
}

function commentSkips(comments: readonly string[]): RuleSet | undefined {
  const names = new Set<string>();
  for (const comment of comments) {
    const value = /^check\s*=\s*(\S+)/i.exec(comment)?.[1];
    const parsed = value === undefined ? undefined : parseCheckOptions(value);
    if (parsed === undefined || "message" in parsed) continue;
    if (parsed.skip === "all") return "all";
    for (const name of parsed.skip) names.add(name);
  }
  return names.size === 0 ? undefined : names;
}

/** The last range that starts at or before the offset, where it reaches that far. */
function enclosing(ranges: readonly LocalChecks[], offset: number): LocalChecks | undefined {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle]!.start <= offset) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low - 1];
  return range !== undefined && offset <= range.end ? range : undefined;
}
