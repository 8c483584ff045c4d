// `# key=value` lines at the top of a file: syntax, escape, check. Not what their values mean, except escape. Reference 1.2.
// BuildKit looks twice: the parser for `escape` (indented lines count), the frontend for the others (a first `#!` line is skipped).
import type { SourceFile, Span } from "../diagnostics/source.ts";
import type { Directive } from "./ast.ts";
import { isSpace } from "./logical-line.ts";

export interface DirectiveProblem {
  readonly span: Span;
  readonly message: string;
}

export interface Directives {
  readonly directives: readonly Directive[];
  readonly escape: string;
  /** Offset of the first line that is no directive. */
  readonly end: number;
  readonly problems: readonly DirectiveProblem[];
}

const pattern = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=/;
const known: ReadonlySet<string> = new Set(["syntax", "escape", "check"]);

/** Reads the directives that start at `start` (after a byte order mark). */
export function parseDirectives(source: SourceFile, start: number): Directives {
  const main = readBlock(source, start);
  const problems = [...main.problems];
  let escape = "\\";
  for (const { key, value, span } of main.directives) {
    if (key !== "escape") continue;
    if (value === "`" || value === "\\") escape = value;
    else problems.push({ span, message: `invalid escape token '${value}' does not match \` or \\` });
  }
  const afterShebang = source.text.startsWith("#!", start) ? nextLine(source.text, start) : undefined;
  const late = afterShebang === undefined ? [] : readBlock(source, afterShebang).directives;
  const directives = [...main.directives, ...late.filter(({ key }) => key !== "escape")];
  return { directives, escape, end: main.end, problems };
}

function nextLine(text: string, start: number): number {
  const newline = text.indexOf("\n", start);
  return newline < 0 ? text.length : newline + 1;
}

function readBlock(source: SourceFile, start: number): Omit<Directives, "escape"> {
  const { text } = source;
  const directives: Directive[] = [];
  const problems: DirectiveProblem[] = [];
  const seen = new Set<string>();
  let at = start;
  while (at < text.length) {
    const next = nextLine(text, at);
    let from = at;
    while (from < next && isSpace(text.charCodeAt(from))) from++;
    const line = text.slice(from, next).replace(/[\r\n]+$/, "");
    const match = pattern.exec(line);
    const key = match?.[1]?.toLowerCase();
    if (match === null || key === undefined || !known.has(key)) break;
    const rest = line.slice(match[0].length);
    const value = rest.trim() || rest.slice(-1); // BuildKit's expression leaves one blank of a blank value
    if (value === "") break;
    const span = { source, start: from, end: from + line.trimEnd().length };
    if (seen.has(key)) problems.push({ span, message: `only one ${key} parser directive can be used` });
    else directives.push({ key: key as Directive["key"], value, span });
    seen.add(key);
    at = next;
  }
  return { directives, end: at, problems };
}

/** The frontend image that a file asks for: `# syntax=`, `// syntax=` or a JSON object (P05); undefined where it asks for none. */
export function requestedSyntax(source: SourceFile, start: number, directives: readonly Directive[]): Word | undefined {
  const directive = directives.find(({ key }) => key === "syntax");
  if (directive) return { text: directive.value.split(" ", 1)[0]!, span: directive.span };
  const line = source.text.slice(start, nextLine(source.text, start));
  const span = { source, start, end: start + line.trimEnd().length };
  const slashes = /^\/\/\s*syntax\s*=\s*(\S+)/i.exec(line);
  if (slashes) return { text: slashes[1]!, span };
  if (!source.text.startsWith("{", start)) return undefined;
  try {
    const value: unknown = JSON.parse(source.text.slice(start));
    const syntax =
      value !== null && typeof value === "object" ? (value as Record<string, unknown>)["syntax"] : undefined;
    return typeof syntax === "string" ? { text: syntax, span } : undefined;
  } catch {
    return undefined;
  }
}

interface Word {
  readonly text: string;
  readonly span: Span;
}

/** Whether `syntax` names the Dockerfile frontend that tsbuild implements: any tag or digest, any registry that mirrors it. */
export function isDockerfileSyntax(syntax: string): boolean {
  return syntax === "dockerfile.v0" || /(?:^|\/)docker\/dockerfile(?:-upstream)?(?:[:@][^/]*)?$/.test(syntax);
}
