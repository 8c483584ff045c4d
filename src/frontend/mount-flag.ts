// The value of `--mount`: comma-separated fields, and every check of them that needs no variables. Reference M01–M03, M40, M45, M52, M60, M61.
// Not what the options mean: that is the planner's, after expansion. BuildKit reads the fields only of stages that it builds, but for `from`.
import { goQuote, parseGoBool } from "../base/go-text.ts";
import { parseBytes } from "../base/size-text.ts";
import { suggest } from "../base/suggest.ts";
import { createDiagnostic } from "../diagnostics/catalog.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import { findIn, type Span } from "../diagnostics/source.ts";
import type { MountField, MountFlag, MountType } from "./ast.ts";
import type { PlacedFlag } from "./flags.ts";
import { spanIn, type LogicalLine } from "./logical-line.ts";
import type { Report } from "./report.ts";

const mountTypes: readonly MountType[] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const knownKeys =
  "type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env".split(
    " ",
  );
const bareKeys: ReadonlySet<string> = new Set(["readonly", "ro", "readwrite", "rw", "required"]);
const sharingModes = ["shared", "private", "locked"];

/** Parses one flag; undefined where it is wrong: reported, or in `later` where that only matters in a stage that is built. */
export function parseMount(
  line: LogicalLine,
  placed: PlacedFlag,
  report: Report,
  later: Diagnostic[],
): MountFlag | undefined {
  const { flag, indices } = placed;
  const value = flag.value ?? "";
  const place = (start: number, end: number): Span => {
    const first = indices[start];
    const last = indices[end - 1];
    return first === undefined || last === undefined || end <= start
      ? flag.valueSpan
      : spanIn(line, { start: first, end: last + 1 });
  };
  const csv = splitCsv(value);
  if (typeof csv === "string") {
    report("InvalidMount", flag.valueSpan, `failed to parse csv mounts: ${csv}`, {
      help: "write --mount=type=<type>,<key>=<value>,…",
    });
    return undefined;
  }
  const fields = csv.map(({ text, start, end }): MountField & { readonly text: string } => {
    const equals = text.indexOf("=");
    const key = (equals < 0 ? text : text.slice(0, equals)).toLowerCase();
    return { key, value: equals < 0 ? undefined : text.slice(equals + 1), span: place(start, end), text };
  });
  const type = checkFields(fields, flag.span, report, later);
  if (type === undefined) return undefined;
  return { type, fields: fields.map(({ key, value, span }) => ({ key, value, span })), span: flag.span };
}

interface CsvField {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Fields of one CSV record, or what is wrong with it. A field in double quotes may hold commas; `""` is a quote. */
function splitCsv(value: string): CsvField[] | string {
  if (value === "") return "EOF";
  const fields: CsvField[] = [];
  let at = 0;
  for (;;) {
    const start = at;
    let text = "";
    if (value[at] === '"') {
      const quoted = /"((?:[^"]|"")*)"(?!")/y;
      quoted.lastIndex = at;
      const match = quoted.exec(value);
      // BuildKit's column is where it last went on reading: behind the quote, or the last doubled one.
      if (match === null) {
        const doubled = value.slice(start + 1).lastIndexOf('""');
        const column = start + (doubled < 0 ? 0 : doubled + 2) + 2;
        return `parse error on line 1, column ${column}: extraneous or missing " in quoted-field`;
      }
      text = match[1]!.replaceAll('""', '"');
      at = quoted.lastIndex;
      if (at < value.length && value[at] !== ",") {
        return `parse error on line 1, column ${at}: extraneous or missing " in quoted-field`;
      }
    } else {
      const comma = value.indexOf(",", at);
      at = comma < 0 ? value.length : comma;
      text = value.slice(start, at);
      if (text.includes('"')) {
        return `parse error on line 1, column ${start + text.indexOf('"') + 1}: bare " in non-quoted-field`;
      }
    }
    fields.push({ text, start, end: at });
    if (at >= value.length) return fields;
    at++;
  }
}

interface Checked {
  readonly value: string | undefined;
  readonly span: Span;
}

/** The type of a mount whose type was a variable, which now is expanded; a diagnostic for each thing that is wrong with such a mount. */
export function checkMountOfType(flag: MountFlag, type: string): MountType | readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const fields = flag.fields.map((field) => {
    const value = field.key === "type" ? type : field.value;
    return { ...field, value, text: value === undefined ? field.key : `${field.key}=${value}` };
  });
  const report: Report = (code, at, message, options) => problems.push(createDiagnostic(code, at, message, options));
  const found = checkFields(fields, flag.span, report, problems);
  return found === undefined || found === "variable" ? problems : found;
}

/** Goes through the fields in order, as BuildKit does: an option that depends on the type must come after it. */
function checkFields(
  fields: readonly (MountField & { readonly text: string })[],
  span: Span,
  report: Report,
  later: Diagnostic[],
): MountFlag["type"] | undefined {
  let type: MountFlag["type"] = "bind";
  let isSound = true;
  const given = new Map<string, Checked>();
  const fail = (at: Span, message: string, help?: string, summary: string = message, focus?: Span): void => {
    isSound = false;
    later.push(createDiagnostic("InvalidMount", at, message, { help, summary, focus }));
  };
  for (const { key, value, span: at, text } of fields) {
    if (value === undefined && !bareKeys.has(key)) {
      fail(at, `invalid field '${text}' must be a key=value pair`, bareHelp(key));
      continue;
    }
    if (!knownKeys.includes(key)) {
      const near = suggest(key, knownKeys);
      const help = near === undefined ? undefined : `did you mean "${near}"?`;
      fail(at, `unexpected key '${key}' in '${text}'`, help, `--mount has no option "${key}"`, findIn(at, key));
      continue;
    }
    given.set(canonicalKey(key), { value, span: at });
    if (key === "from" && /\$./.test(value ?? "")) {
      isSound = false;
      report("InvalidMount", at, "'from' doesn't support variable expansion, define alias stage instead", {
        help: "add a stage FROM the variable and name that",
      });
    } else if (key === "type" && value?.includes("$") === true) {
      type = "variable";
    } else if (key === "type") {
      const found = mountTypes.find((known) => known === value?.toLowerCase());
      if (found === undefined) {
        const near = suggest(value ?? "", mountTypes);
        const help = near === undefined ? typeHelp(value) : `did you mean "${near}"?`;
        const summary = `--mount has no type ${goQuote(value ?? "")}`;
        fail(at, `unsupported mount type ${goQuote(value ?? "")}`, help, summary);
      } else type = found;
    } else {
      const message = optionProblem(key, value, type);
      if (message !== undefined) fail(at, ...message);
    }
  }
  if (isSound) checkCombination(type, given, span, fail);
  return isSound ? type : undefined;
}

/** Not as a guess, which BuildKit's sentences of other mistakes end with. */
function bareHelp(key: string): string | undefined {
  if (["z", "u"].includes(key)) return "remove it: z, Z and U are options of podman and buildah";
  const near = suggest(key, [...bareKeys], 1);
  return near && `write ${near}`;
}

function typeHelp(given: string | undefined): string {
  const known = "use bind, cache, tmpfs, secret or ssh";
  return given === "volume" ? `${known}; a build has no volumes: type=cache keeps a directory between builds` : known;
}

function canonicalKey(key: string): string {
  if (key === "src") return "source";
  return key === "dst" || key === "destination" ? "target" : key;
}

type Problem = readonly [message: string, help: string];

/** What is wrong with an option for this type; values that will be expanded or unquoted first are not looked at. */
function optionProblem(key: string, value: string | undefined, type: MountFlag["type"]): Problem | undefined {
  const allowed: Readonly<Record<string, readonly MountType[]>> = {
    required: ["secret", "ssh"],
    size: ["tmpfs"],
  };
  const types = allowed[key];
  if (types !== undefined && type !== "variable" && !types.includes(type)) {
    return [`unexpected key '${key}' for mount type '${type}'`, `write type=${types.join(" or type=")} before it`];
  }
  return value === undefined || /[$'"\\]/.test(value) ? undefined : valueProblem(key, value);
}

/** What is wrong with the value of an option, once it is expanded. */
export function valueProblem(key: string, value: string): Problem | undefined {
  switch (key) {
    case "readonly":
    case "ro":
    case "readwrite":
    case "rw":
    case "required":
      return parseGoBool(value) !== undefined
        ? undefined
        : [`invalid value for ${key}: ${value}`, "write true or false"];
    case "size":
      return parseBytes(value) !== undefined
        ? undefined
        : [`invalid value for ${key}: ${value}`, "write bytes or a size such as 64m"];
    case "sharing": {
      if (sharingModes.includes(value.toLowerCase())) return undefined;
      const near = suggest(value, sharingModes);
      return [
        `unsupported sharing value ${goQuote(value)}`,
        near ? `did you mean "${near}"?` : "write shared, private or locked",
      ];
    }
    case "mode":
      return isUint(value, 8) ? undefined : [`invalid value ${value} for mode`, "write an octal number such as 0755"];
    case "uid":
    case "gid":
      return isUint(value, 10) ? undefined : [`invalid value ${value} for ${key}`, "write a number"];
    default:
      return undefined;
  }
}

function isUint(value: string, radix: 8 | 10): boolean {
  if (!(radix === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(value)) return false;
  return Number.parseInt(value, radix) <= 0xffff_ffff;
}

function checkCombination(
  type: MountFlag["type"],
  given: ReadonlyMap<string, Checked>,
  span: Span,
  fail: (at: Span, message: string, help?: string) => void,
): void {
  const has = (key: string): Span | undefined => {
    const found = given.get(key);
    return found?.value === "" ? undefined : found?.span;
  };
  // A variable may be empty, which is as if it were not written: the planner sees it.
  const hasSurely = (key: string): Span | undefined => (given.get(key)?.value?.includes("$") ? undefined : has(key));
  if (type === "variable") return;
  if (type === "bind" || type === "tmpfs") {
    for (const key of ["mode", "uid", "gid"]) {
      const at = has(key);
      if (at) fail(at, `${key} not allowed for "${type}" type mounts`, "remove it");
    }
  }
  const sharing = has("sharing");
  if (type === "secret") {
    const from = has("from");
    const source = hasSurely("source");
    if (from) fail(from, "secret mount should not have a from", "remove it");
    if (sharing) fail(sharing, "secret mount should not define sharing", "remove it");
    if (!has("source") && !has("target") && !has("id")) {
      fail(span, "invalid secret mount. one of source, target required", "add id=<name>");
    }
    if (source && hasSurely("id")) fail(source, "both source and id can't be set", "keep id");
  } else if (sharing && type !== "cache") {
    fail(sharing, `invalid cache sharing set for ${type} mount`, "remove it");
  }
  const source = hasSurely("source");
  if (type === "ssh" && source) fail(source, "ssh does not support source", "name the socket with id");
}
