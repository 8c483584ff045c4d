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
  if (errors.length > 0) return diagnosticsText(errors, style);
  const { message, summary = message, help, span } = error;
  const { lastOutput, step, logPath } = error.details;
  const lines: string[] = [];
  const head = `${paint("1;31", "error:")} ${summary}`;
  if (span) {
    const { location, excerpt } = renderPlace(span, style);
    lines.push(`${paint("1", `${location}:`)} ${head}`, ...excerpt);
  } else lines.push(head);
  for (const cause of causesOf(error)) lines.push(`  because: ${cause}`);
  if (lastOutput !== undefined && lastOutput.length > 0) {
    lines.push("------", ` > ${step ?? "step"}:`, ...lastOutput, "------");
  }
  if (help !== undefined) lines.push(`  ${paint("36", "help:")} ${help}`);
  if (logPath !== undefined) lines.push(`  complete log: ${logPath}`);
  if (summary !== message) lines.push(`  buildkit: ${message}`);
  return `${lines.join("\n")}\n`;
}

function diagnosticsText(errors: readonly Diagnostic[], style: TextStyle): string {
  const shown = errors.slice(0, MOST_DIAGNOSTICS).map((diagnostic, i) => {
    const text = renderDiagnostic(diagnostic, style);
    return i < MOST_EXCERPTS ? text : text.split("\n", 1)[0]!;
  });
  const more = errors.length - shown.length;
  if (more > 0) shown.push(`… and ${more} more errors`);
  return `${shown.join("\n")}\n`;
}

/** Messages below the first that say something new. */
function causesOf(error: BuildError): string[] {
  const causes: string[] = [];
  let said = `${error.summary ?? ""}\n${error.message}`;
  for (let cause = error.cause; cause instanceof Error && causes.length < 3; cause = cause.cause) {
    const text = cause.message.split("\n")[0]!;
    if (text === "" || said.includes(text) || isSystemCall(text)) continue;
    causes.push(text);
    said += text;
  }
  return causes;
}

/** What Node says of a failed system call (`connect ECONNREFUSED …`) is in the message already, in words. */
function isSystemCall(text: string): boolean {
  return /^(?:connect|getaddrinfo) E[A-Z_]+ /.test(text);
}

function bugText(error: unknown, version: string): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `error: this is a bug in tsbuild ${version}, not in your Dockerfile; please report it with these lines\n${stack}\n`;
}
