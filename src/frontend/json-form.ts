// The exec form: a JSON array of strings, or nothing. Reference L11: other broken JSON is not an error but the shell form.
import type { Range } from "./logical-line.ts";

export type JsonForm =
  | { readonly kind: "array"; readonly items: readonly { readonly text: string; readonly range: Range }[] }
  | { readonly kind: "mixed" }
  | { readonly kind: "none" };

const stringToken = /"[^"\\]*(?:\\[^][^"\\]*)*"/g;

/** Reads `text[range]` as JSON. `mixed`: an array that holds something else than strings, which is an error. */
export function parseJsonForm(text: string, range: Range): JsonForm {
  if (text.charCodeAt(range.start) !== 91) return { kind: "none" };
  const raw = text.slice(range.start, range.end);
  let value: unknown;
  try {
    value = JSON.parse(raw);
  } catch {
    return { kind: "none" };
  }
  if (!Array.isArray(value)) return { kind: "none" };
  const strings = value.filter((item): item is string => typeof item === "string");
  if (strings.length !== value.length) return { kind: "mixed" };
  const places = [...raw.matchAll(stringToken)];
  return {
    kind: "array",
    items: strings.map((item, i) => {
      const start = range.start + places[i]!.index;
      return { text: item, range: { start, end: start + places[i]![0].length } };
    }),
  };
}

/** Looks like a JSON array whose quotes or commas are wrong: it will run as shell text, which is seldom meant (T46). */
export function isMalformedJson(text: string): boolean {
  return /^\[\s*["'][^]*\]\s*$/.test(text);
}
