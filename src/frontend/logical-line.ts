// One instruction's text with its continuations joined, and the way back from a place in it to the file. Pure.
// Everything that looks inside an instruction works on indices of `text`; spans are made here and nowhere else.
import type { SourceFile, Span } from "../diagnostics/source.ts";

/** From `index` in the joined text on, text is at `offset` in the source, until the next piece. */
export interface Piece {
  readonly index: number;
  readonly offset: number;
}

export interface LogicalLine {
  readonly source: SourceFile;
  readonly text: string;
  readonly pieces: readonly Piece[];
  /** Comment lines above, without "#" and surrounding blanks; an empty comment starts anew. */
  readonly comments: readonly string[];
  /** Blank lines inside the continuations, and the last physical line (BuildKit reports that one). */
  readonly emptyLines: readonly Span[];
  readonly lastLine: Span;
}

/** A part of a joined text that knows where it is. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

function offsetAt(line: LogicalLine, index: number): number {
  const { pieces } = line;
  let low = 0;
  let high = pieces.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pieces[middle]!.index <= index) low = middle;
    else high = middle - 1;
  }
  const piece = pieces[low];
  return piece === undefined ? line.lastLine.start : piece.offset + (index - piece.index);
}

/** Span of `text.slice(start, end)` in the source; continuations between the two are inside. */
export function spanIn(line: LogicalLine, { start, end }: Range): Span {
  const from = offsetAt(line, start);
  return { source: line.source, start: from, end: end > start ? offsetAt(line, end - 1) + 1 : from };
}

/** Go's unicode.IsSpace. */
export function isSpace(code: number): boolean {
  if (code <= 32) return code === 32 || (code >= 9 && code <= 13);
  if (code < 0x1680) return code === 0x85 || code === 0xa0;
  return (
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  );
}

/** The range without Unicode blanks at either end (Go's strings.TrimSpace). */
export function trimRange(text: string, range: Range): Range {
  let { start, end } = range;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return { start, end };
}

/** Go's strings.TrimSpace. */
export function trimSpace(text: string): string {
  const { start, end } = trimRange(text, { start: 0, end: text.length });
  return text.slice(start, end);
}
