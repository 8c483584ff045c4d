// The text of a .dockerignore → matcher and diagnostics. Which file is read is the engine's matter. Reference I02.
import { cleanPath } from "../base/container-path.ts";
import { createDiagnostic } from "../diagnostics/catalog.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import { lineCount, lineText, type SourceFile } from "../diagnostics/source.ts";
import { PatternMatcher, type PatternLine } from "../tree/patterns.ts";
import { trimSpace } from "./logical-line.ts";

export interface Dockerignore {
  readonly matcher: PatternMatcher;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads the patterns of an ignore file; lines that are no pattern are reported and match nothing. */
export function parseDockerignore(source: SourceFile): Dockerignore {
  const lines: PatternLine[] = [];
  const starts: number[] = [];
  let start = 0;
  for (let line = 1; line <= lineCount(source); line++) {
    starts.push(start);
    const raw = lineText(source, line);
    const pattern = readPattern(line === 1 ? raw.replace(/^\uFEFF/, "") : raw);
    if (pattern !== undefined) lines.push({ text: pattern, line });
    const newline = source.text.indexOf("\n", start);
    start = newline < 0 ? source.text.length : newline + 1;
  }
  const matcher = PatternMatcher.parse(lines);
  const diagnostics = matcher.errors.map(({ line, message }) => {
    const from = starts[line - 1]!;
    const span = { source, start: from, end: from + lineText(source, line).length };
    return createDiagnostic("InvalidIgnorePattern", span, `failed parsing .dockerignore: ${message}`, {
      help: message.startsWith("illegal")
        ? "put a pattern after the !"
        : "close the bracket, or write \\[ for a literal one",
    });
  });
  return { matcher, diagnostics };
}

/** One line as a pattern, cleaned; undefined for a comment or a blank line. */
function readPattern(line: string): string | undefined {
  if (line.startsWith("#")) return undefined;
  const trimmed = trimSpace(line);
  if (trimmed === "") return undefined;
  const isNegated = trimmed.startsWith("!");
  const text = isNegated ? trimSpace(trimmed.slice(1)) : trimmed;
  if (text === "") return "!";
  const cleaned = cleanPath(text);
  const relative = cleaned.length > 1 && cleaned.startsWith("/") ? cleaned.slice(1) : cleaned;
  return isNegated ? `!${relative}` : relative;
}
