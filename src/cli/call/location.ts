// Places as BuildKit's solver writes them into JSON (reference K46): one range for each line.
import type { LineRange, SourceFile } from "../../index.ts";

export interface Location {
  readonly sourceIndex?: number;
  readonly ranges?: readonly { readonly start: { readonly line: number }; readonly end: { readonly line: number } }[];
}

/** `sources` are the texts of the answer; the first is meant where no index is written. */
export function locationOf({ source, first, last }: LineRange, sources: readonly SourceFile[]): Location {
  const index = sources.indexOf(source);
  const lines = Array.from({ length: last - first + 1 }, (_, at) => ({ line: first + at }));
  return { ...(index > 0 ? { sourceIndex: index } : {}), ranges: lines.map((line) => ({ start: line, end: line })) };
}

/** A text's bytes as JSON has them. */
export function base64Of({ text }: SourceFile): string {
  return Buffer.from(text).toString("base64");
}
