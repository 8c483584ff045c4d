// A failure as one screen: the place and the cause in plain words, the text it points at, last output, one remedy. BuildKit's own text is in it, for scripts that look for it.
import { BuildError, renderDiagnostic, renderPlace, type Diagnostic } from "../index.ts";

export interface TextStyle {
  readonly color: boolean;
  readonly width: number;
}

/** So many mistakes of a Dockerfile are shown with their lines, and so many at all. */
const MOST_EXCERPTS = 3;
const MOST_DIAGNOSTICS = 20;

export function errorText(error: unknown, style: TextStyle, version: string): string {
  const paint = (code: string, text: string): string => (style.color ? `\u001b[${code}m${text}\u001b[0m` : text);
  if (!(error instanceof BuildError)) return bugText(error, version);
  const errors = error.diagnostics.filter((diagnostic) => diagnostic.severity === "error");
  if (errors.length > 0) return diagnosticsText(error.message, errors, style);
  const { message, summary = message, help, focus: span = error.span } = error;
  const { lastOutput, outputBefore = 0, step, logPath } = error.details;
  const lines: string[] = [];
  const head = `${paint("1;31", "error:")} ${summary}`;
  if (span) {
    const { location, excerpt } = renderPlace(span, style);
    lines.push(location === "" ? head : `${paint("1", `${location}:`)} ${head}`, ...excerpt);
  } else lines.push(head);
  for (const cause of causesOf(error)) lines.push(`  because: ${cause}`);
  if (lastOutput !== undefined && lastOutput.length > 0) {
    lines.push("------", ...(step === undefined ? [] : [` > ${step}:`]));
    if (outputBefore > 0) lines.push(linesBefore(outputBefore, logPath));
    lines.push(...lastOutput, "------");
  }
  if (help !== undefined) lines.push(`  ${paint("36", "help:")} ${help}`);
  if (logPath !== undefined) lines.push(`  complete log: ${logPath}`);
  if (summary !== message) lines.push(`  buildkit: ${message}`);
  return `${lines.join("\n")}\n`;
}

function linesBefore(count: number, logPath: string | undefined): string {
  const which = count === 1 ? "1 earlier line is" : `${count} earlier lines are`;
  return `… ${which} ${logPath === undefined ? "not shown" : "in the complete log"}`;
}

/** `message` is BuildKit's for all of them, where it is not that of one. */
function diagnosticsText(message: string, errors: readonly Diagnostic[], style: TextStyle): string {
  const shown = errors
    .slice(0, MOST_DIAGNOSTICS)
    .map((diagnostic, i) => renderDiagnostic(diagnostic, { ...style, isShort: i >= MOST_EXCERPTS }));
  const more = errors.length - shown.length;
  if (more > 0) shown.push(`… and ${more} more errors`);
  const short = shown.length - MOST_EXCERPTS - Number(more > 0);
  // What needs a whole file to be seen, an undefined stage or a wrong port, has not been looked for.
  const isSyntax = errors.some(({ message }) => message.startsWith("dockerfile parse error"));
  const unseen = isSyntax ? "; correct these, and the rest is checked" : "";
  if (short > 0) shown.push(`${errors.length} errors (the last ${short} without excerpt)${unseen}`);
  if (errors.every((each) => each.message !== message)) shown.push(`  buildkit: ${message}`);
  return `${shown.join("\n")}\n`;
}

/** Messages below the first that say something new. */
function causesOf(error: BuildError): string[] {
  const causes: string[] = [];
  let said = `${error.summary ?? ""}\n${error.message}`;
  for (let cause = error.cause; cause instanceof Error && causes.length < 3; cause = cause.cause) {
    const text = cause.message.split("\n")[0]!;
    if (text === "" || said.includes(text) || isSystemCall(text, said)) continue;
    causes.push(text);
    said += text;
  }
  return causes;
}

/** What Node says of a failed system call is in the message already, in words: `connect ECONNREFUSED …`, and `EACCES: permission denied, open …` where the same reason is. */
function isSystemCall(text: string, said: string): boolean {
  const reason = /^E[A-Z0-9]+: ([^,]+), /.exec(text)?.[1];
  return /^(?:connect|getaddrinfo) E[A-Z_]+ /.test(text) || (reason !== undefined && said.includes(reason));
}

function bugText(error: unknown, version: string): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `error: this is a bug in tsbuild ${version}, not in your Dockerfile; please report it with these lines\n${stack}\n`;
}
