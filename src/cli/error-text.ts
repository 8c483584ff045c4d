// A failure as one screen: cause, place in the Dockerfile, last output, one remedy. The text of BuildKit's error is in it, for scripts that look for it.
import { BuildError, dockerfileExcerpt, renderDiagnostic } from "../index.ts";

export interface TextStyle {
  readonly color: boolean;
  readonly width: number;
}

export function errorText(error: unknown, style: TextStyle, version: string): string {
  const paint = (code: string, text: string): string => (style.color ? `\u001b[${code}m${text}\u001b[0m` : text);
  if (!(error instanceof BuildError)) return bugText(error, version);
  const lines: string[] = [];
  const errors = error.diagnostics.filter((diagnostic) => diagnostic.severity === "error");
  if (errors.length > 0) return errors.map((diagnostic) => `${renderDiagnostic(diagnostic, style)}\n`).join("");
  const { lastOutput, step, logPath } = error.details;
  if (lastOutput !== undefined && lastOutput.length > 0) {
    lines.push("------", ` > ${step ?? "step"}:`, ...lastOutput, "------");
  }
  if (error.span) lines.push(dockerfileExcerpt(error.span));
  lines.push(`${paint("1;31", "error:")} ${error.message}`);
  for (const cause of causesOf(error)) lines.push(`  because: ${cause}`);
  if (error.help !== undefined) lines.push(`  help: ${error.help}`);
  if (logPath !== undefined) lines.push(`  complete log: ${logPath}`);
  return `${lines.join("\n")}\n`;
}

/** Messages below the first that say something new. */
function causesOf(error: BuildError): string[] {
  const causes: string[] = [];
  let said = error.message;
  for (let cause = error.cause; cause instanceof Error && causes.length < 3; cause = cause.cause) {
    if (cause.message === "" || said.includes(cause.message)) continue;
    causes.push(cause.message.split("\n")[0]!);
    said += cause.message;
  }
  return causes;
}

function bugText(error: unknown, version: string): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `error: this is a bug in tsbuild ${version}, not in your Dockerfile; please report it with these lines\n${stack}\n`;
}
