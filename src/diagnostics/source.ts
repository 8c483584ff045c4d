// Where text came from. Lines and columns are worked out only when something is shown.

/** A text that spans point into: a Dockerfile, "ONBUILD of debian:12", "--build-arg", … */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** A flag of the command line: it has no lines that anyone could go to. */
  readonly isOption?: true;
  /** The text is an ONBUILD trigger. */
  readonly trigger?: TriggerPlace;
}

export interface TriggerPlace {
  /** The FROM that runs it, which is what BuildKit blames. */
  readonly runBy: Span;
  /** How many triggers that FROM runs before it. */
  readonly index: number;
  /** Where it is written in the Dockerfile: there as it is, if the lengths are equal. Undefined = an image has it. */
  readonly written?: Span;
}

/** Half-open range of UTF-16 offsets in a source's text. */
export interface Span {
  readonly source: SourceFile;
  readonly start: number;
  readonly end: number;
}

/** The place where a person finds what the span points at. */
export function writtenPlace({ source, start, end }: Span): Span {
  const written = source.trigger?.written;
  if (!written) return { source, start, end };
  const isLiteral = written.end - written.start === source.text.length;
  return isLiteral ? { ...written, start: written.start + start, end: written.start + end } : written;
}

/** One-based line, one-based column in UTF-16 units. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

const lineStarts = new WeakMap<SourceFile, readonly number[]>();

function startsOf(source: SourceFile): readonly number[] {
  const known = lineStarts.get(source);
  if (known) return known;
  const starts = [0];
  for (let at = source.text.indexOf("\n"); at >= 0; at = source.text.indexOf("\n", at + 1)) starts.push(at + 1);
  lineStarts.set(source, starts);
  return starts;
}

/** Position of an offset; offsets past the end belong to the last line. */
export function positionAt(source: SourceFile, offset: number): Position {
  const starts = startsOf(source);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - starts[low]! + 1 };
}

/** Text of a one-based line without its line ending; "" past the end. */
export function lineText(source: SourceFile, line: number): string {
  const starts = startsOf(source);
  const start = starts[line - 1];
  if (start === undefined) return "";
  return source.text.slice(start, starts[line] ?? source.text.length).replace(/\r?\n$/, "");
}

export function lineCount(source: SourceFile): number {
  return startsOf(source).length;
}

export function spanText(span: Span): string {
  return span.source.text.slice(span.start, span.end);
}

/** Where `part` first stands in the text of `span`; undefined where it does not stand there literally. */
export function findIn(span: Span, part: string): Span | undefined {
  const at = spanText(span).indexOf(part);
  if (at < 0) return undefined;
  const start = span.start + at;
  return { ...span, start, end: start + part.length };
}
