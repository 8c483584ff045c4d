// Stages by name and number, what each is built from and which need which (reference F01–F11). Resolves nothing.
import { formatReference, parseReference, withDefaultTag } from "../oci/reference.ts";
import { parsePlatform, type Platform } from "../oci/platform.ts";
import { suggest } from "../base/suggest.ts";
import { positionAt, type Span } from "../diagnostics/source.ts";
import type { Dockerfile, Stage, Word } from "../frontend/ast.ts";
import { expandWord } from "../frontend/expand.ts";
import { goQuote } from "../base/go-text.ts";
import { defaultGlobals, scopeOfMap, spanOfOption, type GlobalArgs } from "./global-args.ts";
import { checkFromArguments, checkPlatformFlag } from "./lint.ts";
import { findNamedContext } from "./named-contexts.ts";
import type { NamedContext, PlanOptions } from "./options.ts";
import { didYouMean, expansionRemedy, type Remedy, type Reporter } from "./reporter.ts";

/** Where files come from: what FROM, `COPY --from` and a mount's `from` may name. */
export type SourceRequest =
  | { readonly kind: "scratch" }
  | { readonly kind: "stage"; readonly index: number }
  | {
      readonly kind: "image";
      /** As the user said it, after expansion. */
      readonly text: string;
      /** Normalised, with tag or digest. */
      readonly reference: string;
      readonly platform: Platform;
    }
  | {
      readonly kind: "context";
      readonly name: string;
      readonly context: NamedContext;
      readonly platform: Platform;
    };

export interface StageNode {
  readonly index: number;
  readonly stage: Stage;
  /** Lower-case; "" = unnamed. */
  readonly name: string;
  /** The name, else `stage-N`. */
  readonly displayName: string;
  readonly base: SourceRequest;
  /** A named context stands in for the whole stage: its instructions are not run (F03). */
  readonly isReplaced: boolean;
  /** What its base is wanted for. */
  readonly platform: Platform;
  /** Its FROM is in error: nothing that needs it can be planned. */
  readonly isBroken: boolean;
}

interface StageScope {
  readonly dockerfile: Dockerfile;
  readonly globals: GlobalArgs;
  readonly options: PlanOptions;
  readonly reporter: Reporter;
}

/** All stages of the file in order. */
export function buildStages(scope: StageScope): readonly StageNode[] {
  const nodes: StageNode[] = [];
  const byName = new Map<string, number>();
  for (const stage of scope.dockerfile.stages) {
    const node = buildStage(stage, byName, scope);
    nodes.push(node);
    if (node.name !== "") byName.set(node.name, node.index);
  }
  checkDefaultBases(scope);
  return nodes;
}

function buildStage(stage: Stage, byName: ReadonlyMap<string, number>, scope: StageScope): StageNode {
  const { from, index } = stage;
  const name = from.name?.text.toLowerCase() ?? "";
  const displayName = name === "" ? `stage-${index}` : name;
  const baseText = expandFrom(from.image, scope);
  if (baseText === "") {
    const message = `base name (${from.image.text}) should not be blank`;
    scope.reporter.error("BlankBaseName", from.image.span, message, emptyVariable(from.image, "", scope));
  }
  // An empty value is none; only one that variables leave empty is an error.
  const written = from.platform?.text === "" ? undefined : from.platform;
  const flag = written && readPlatform(written, name, scope);
  const platform = flag ?? scope.options.platform;
  const common = { index, stage, name, displayName, platform };
  checkContextName(name, stage, scope);
  const replacement = name === "" ? undefined : findNamedContext(scope.options.contexts, name, platform);
  if (replacement) {
    return { ...common, base: { kind: "context", ...replacement, platform }, isReplaced: true, isBroken: false };
  }
  const base = baseText === undefined || baseText === "" ? undefined : requestOf(baseText, byName, platform, scope);
  if (base === undefined && baseText !== undefined && baseText !== "") {
    const isCutShort = /[:@]$/.test(baseText) && from.image.text.includes("$");
    const remedy = isCutShort ? emptyVariable(from.image, baseText, scope) : badName(baseText, byName.keys());
    scope.reporter.error("InvalidBaseName", from.image.span, unparsableName(baseText), remedy);
  }
  const isBroken = base === undefined || (written !== undefined && flag === undefined);
  return { ...common, base: base ?? { kind: "scratch" }, isReplaced: false, isBroken };
}

/** Every stage's name is looked up among the named contexts, so it must be one that a context can have: an image's name (F03, X05). */
function checkContextName(name: string, { from }: Stage, { reporter }: StageScope): void {
  if (name === "" || parseReference(name)) return;
  reporter.error(
    "InvalidStageName",
    from.name?.span ?? from.span,
    `invalid context name ${name}: invalid reference format`,
    {
      help: "end it with a letter or digit, and put one of . _ __ - between letters and digits",
    },
  );
}

/** What is wrong with a FROM that a variable leaves without an image, or with the incomplete name `value`. */
function emptyVariable({ text }: Word, value: string, { globals, dockerfile }: StageScope): Remedy {
  const names = [...text.matchAll(/\$\{?([A-Za-z_]\w*)/g)].map(([, name = ""]) => name);
  const empty = names.find((name) => (globals.values.get(name) ?? "") === "");
  const result = value === "" ? "FROM has no image" : `the image's name is ${goQuote(value)}`;
  if (empty === undefined) return { summary: `${text} is empty, so ${result}`, help: "write FROM <image>" };
  const isDeclared = globals.declared.has(empty);
  const why = isDeclared ? "has no value" : "is not declared before the first FROM";
  const near = isDeclared ? undefined : suggest(empty, globals.declared);
  const wanted = value === "" ? "<image>" : value.endsWith(":") ? "<tag>" : "<digest>";
  const given = `${empty}=${wanted}`;
  const declared = dockerfile.metaArgs.findLast(({ args }) => args.some(({ key }) => key.text === empty));
  const line = declared && positionAt(declared.span.source, declared.span.start).line;
  const isAlone = declared?.args.length === 1;
  const change = isAlone ? `change line ${line} to ARG ${given}` : `write ${given} in line ${line}`;
  const written = declared ? change : `write ARG ${given} before the first FROM`;
  return {
    summary: `${empty} ${why}, so ${result}`,
    help:
      near === undefined ? `${written}${isDeclared ? `, or give --build-arg ${given}` : ""}` : `did you mean $${near}?`,
  };
}

/** BuildKit's error for a name that is no reference. */
export function unparsableName(text: string): string {
  const lower = parseReference(text.toLowerCase());
  const name = text.replace(/@.*$/, "").replace(/:[^/]*$/, "");
  const { repository = "" } = lower ?? {};
  const asWritten =
    repository.startsWith("library/") && !name.includes("/") ? `library/${name}` : name.slice(-repository.length);
  const why = lower === undefined ? "" : `: repository name (${asWritten}) must be lowercase`;
  return `failed to parse stage name ${goQuote(text)}: invalid reference format${why}`;
}

/** What is wrong with a name that is no reference, and what may be meant: one of `stages`, or an image. */
export function badName(text: string, stages: Iterable<string>): Remedy {
  const lower = text.toLowerCase();
  if (text !== lower && parseReference(lower))
    return { summary: `image names must be lower case: ${goQuote(text)}`, help: `write ${lower}` };
  return {
    summary: `${goQuote(text)} is not the name of an image`,
    help: didYouMean(text, [...stages, ...COMMON_IMAGES]) ?? "write it as [REGISTRY/]NAME[:TAG][@DIGEST]",
  };
}

function requestOf(
  text: string,
  byName: ReadonlyMap<string, number>,
  platform: Platform,
  scope: StageScope,
): SourceRequest | undefined {
  // Names are kept in lower case, and FROM, other than --from and --target, is compared as it is written.
  const index = byName.get(text);
  return index === undefined ? externalRequest(text, platform, scope.options) : { kind: "stage", index };
}

/** What a name means that is no stage: named context, scratch or image; undefined where it cannot be a reference (F03, F11). */
export function externalRequest(text: string, platform: Platform, options: PlanOptions): SourceRequest | undefined {
  if (text === "scratch") return { kind: "scratch" };
  const found = findNamedContext(options.contexts, text, platform);
  if (found) return { kind: "context", ...found, platform };
  const reference = parseReference(text);
  return reference && { kind: "image", text, reference: formatReference(withDefaultTag(reference)), platform };
}

/** Undefined where the word is in error, which is then reported. */
function expandFrom(word: Word, { dockerfile, globals, reporter }: StageScope): string | undefined {
  const expansion = expandWord(word.text, scopeOfMap(globals.values), { escape: dockerfile.escape });
  checkFromArguments(reporter, word.span, expansion, globals.declared);
  if (expansion.error === undefined) return expansion.value;
  reporter.error("ExpansionFailed", word.span, expansion.error, expansionRemedy(word, expansion.error));
  return undefined;
}

function readPlatform(word: Word, stageName: string, scope: StageScope): Platform | undefined {
  const { dockerfile, globals, options, reporter } = scope;
  const expansion = expandWord(word.text, scopeOfMap(globals.values), { escape: dockerfile.escape });
  checkFromArguments(reporter, word.span, expansion, globals.declared);
  if (expansion.error !== undefined) {
    reporter.error(
      "ExpansionFailed",
      word.span,
      `failed to process arguments for platform: ${expansion.error}`,
      expansionRemedy(word, expansion.error),
    );
    return undefined;
  }
  const { value } = expansion;
  const target = globals.values.get("TARGETPLATFORM");
  checkPlatformFlag(reporter, word.span, { text: word.text, expansion, value }, stageName, target);
  const help = expansion.unmatched.map((name) => didYouMean(name, globals.values.keys())).find(Boolean);
  if (value === "") {
    reporter.error("EmptyPlatform", word.span, `empty platform value from expression ${word.text}`, { help });
    return undefined;
  }
  const platform = parsePlatform(value, options.buildPlatform);
  if (!platform) {
    reporter.error("InvalidPlatform", word.span, `failed to parse platform ${word.text}`, {
      help: help ?? "write it as os/architecture, for example linux/arm64",
    });
  }
  return platform;
}

/** K17: a FROM that makes sense only with build arguments. */
function checkDefaultBases({ dockerfile, options, reporter }: StageScope): void {
  const scope = defaultGlobals(dockerfile, options);
  if (!scope) return;
  for (const { from } of dockerfile.stages) {
    const expansion = expandWord(from.image.text, scope, { escape: dockerfile.escape });
    if (expansion.error !== undefined) return;
    if (parseReference(expansion.value)) continue;
    const message = `Default value for ARG ${from.image.text} results in empty or invalid base image name`;
    reporter.warn("InvalidDefaultArgInFrom", from.image.span, message);
  }
}

/** The stage that `--target` names, without case; the last one where there is no `--target`. Undefined and reported where there is none (F09). */
export function findTarget(
  nodes: readonly StageNode[],
  target: string | undefined,
  reporter: Reporter,
): StageNode | undefined {
  if (target === undefined || target === "") return nodes.at(-1);
  const found = nodes.findLast(({ name }) => name !== "" && name === target.toLowerCase());
  if (found) return found;
  const names = nodes.map(({ name }) => name).filter((name) => name !== "");
  const message = `target stage ${goQuote(target)} could not be found`;
  const known = names.length > 0 ? `the stages are ${names.map(goQuote).join(", ")}` : "no stage has a name";
  reporter.error("TargetNotFound", spanOfOption("--target", target), message, {
    summary: `there is no stage ${goQuote(target)} for --target`,
    help: didYouMean(target, names) ?? known,
  });
  return undefined;
}

/** The stage that `name` means to `--from` and to mounts: the last one of the file, wherever the instruction stands, as in BuildKit. */
export function findStage(nodes: readonly StageNode[], name: string): StageNode | undefined {
  const wanted = name.toLowerCase();
  return nodes.findLast((node) => node.name !== "" && node.name === wanted);
}

/** Where one stage needs another. */
export interface StageEdge {
  readonly to: number;
  readonly span: Span;
}

/** Reports stages that need themselves (F10), each circle once. */
export function checkCycles(
  nodes: readonly StageNode[],
  edgesOf: (node: StageNode) => readonly StageEdge[],
  reporter: Reporter,
): boolean {
  const done = new Set<number>();
  const path: number[] = [];
  let isCyclic = false;
  const visit = (node: StageNode): void => {
    path.push(node.index);
    for (const { to, span } of edgesOf(node)) {
      const start = path.indexOf(to);
      if (start >= 0) {
        isCyclic = true;
        const circle = [...path.slice(start), to].map((index) => goQuote(nodes[index]!.displayName)).join(" → ");
        const message = `circular dependency detected on stage: ${nodes[to]!.displayName}`;
        const isOwn = to === node.index;
        const summary = isOwn
          ? `stage ${goQuote(node.displayName)} takes files from itself`
          : `these stages need each other: ${circle}`;
        const help = isOwn
          ? "leave out --from for files of the context, write RUN cp … for files of this stage, or name an earlier stage or an image"
          : "move what both need into a stage of its own";
        reporter.error("CircularDependency", span, message, { summary, help });
      } else if (!done.has(to)) visit(nodes[to]!);
    }
    path.pop();
    done.add(node.index);
  };
  for (const node of nodes) if (!done.has(node.index)) visit(node);
  return isCyclic;
}

/** Names that a mistyped base is compared with (F05). */
export const COMMON_IMAGES: readonly string[] = [
  "alpine",
  "busybox",
  "centos",
  "debian",
  "fedora",
  "golang",
  "node",
  "python",
  "ubuntu",
];
