// Go's filepath.Match, exactly: `*` and `?` never match "/", classes may, `\` escapes; a bad pattern is bad for every name.
// Not `**`: that is src/tree/patterns.ts. Reference C07, T31.

/** One element of a compiled pattern. */
type Part =
  { readonly kind: "star" } | { readonly kind: "any" } | { readonly kind: "char"; readonly char: string } | ClassPart;

interface ClassPart {
  readonly kind: "class";
  readonly isNegated: boolean;
  /** Inclusive pairs of code points. */
  readonly ranges: readonly (readonly [number, number])[];
}

/** What Go calls a bad pattern. */
export const badPattern = "syntax error in pattern";

/** Whether `name` matches; undefined for a bad pattern. */
export function matchGlob(pattern: string, name: string): boolean | undefined {
  const match = compileGlob(pattern);
  return match?.(name);
}

/** A function that tells whether a name matches; undefined for a bad pattern. */
export function compileGlob(pattern: string): ((name: string) => boolean) | undefined {
  const parts = parseGlob(pattern);
  if (parts === undefined) return undefined;
  return (name) => matchParts(parts, Array.from(name));
}

function parseGlob(pattern: string): readonly Part[] | undefined {
  const chars = Array.from(pattern);
  const parts: Part[] = [];
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at]!;
    if (char === "*") {
      if (parts.at(-1)?.kind !== "star") parts.push({ kind: "star" });
    } else if (char === "?") parts.push({ kind: "any" });
    else if (char === "\\") {
      const escaped = chars[++at];
      if (escaped === undefined) return undefined;
      parts.push({ kind: "char", char: escaped });
    } else if (char === "[") {
      const parsed = parseClass(chars, at + 1);
      if (parsed === undefined) return undefined;
      parts.push(parsed.part);
      at = parsed.end;
    } else parts.push({ kind: "char", char });
  }
  return parts;
}

/** Reads a class from after its "["; `end` is the index of its "]". */
function parseClass(
  chars: readonly string[],
  start: number,
): { readonly part: ClassPart; readonly end: number } | undefined {
  const isNegated = chars[start] === "^";
  const ranges: (readonly [number, number])[] = [];
  let at = isNegated ? start + 1 : start;
  for (;;) {
    if (chars[at] === "]" && ranges.length > 0) return { part: { kind: "class", isNegated, ranges }, end: at };
    const low = classChar(chars, at);
    if (low === undefined) return undefined;
    at = low.next;
    let high = low;
    if (chars[at] === "-") {
      const upper = classChar(chars, at + 1);
      if (upper === undefined) return undefined;
      high = upper;
      at = upper.next;
    }
    ranges.push([low.code, high.code]);
  }
}

function classChar(chars: readonly string[], at: number): { readonly code: number; readonly next: number } | undefined {
  const first = chars[at];
  if (first === undefined || first === "-" || first === "]") return undefined;
  const index = first === "\\" ? at + 1 : at;
  const char = chars[index];
  // a class must be closed, so its last character is never the pattern's
  if (char === undefined || index + 1 >= chars.length) return undefined;
  return { code: char.codePointAt(0)!, next: index + 1 };
}

function matchParts(parts: readonly Part[], name: readonly string[]): boolean {
  let part = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  while (at < name.length) {
    const current = parts[part];
    if (current?.kind === "star") {
      star = part++;
      starAt = at;
    } else if (current !== undefined && matchesOne(current, name[at]!)) {
      part++;
      at++;
    } else {
      // the last star takes one more character; no earlier star can help, because they took as little as possible
      if (star < 0 || name[starAt] === "/") return false;
      part = star + 1;
      at = ++starAt;
    }
  }
  while (parts[part]?.kind === "star") part++;
  return part === parts.length;
}

function matchesOne(part: Part, char: string): boolean {
  switch (part.kind) {
    case "star":
      return false;
    case "any":
      return char !== "/";
    case "char":
      return part.char === char;
    case "class": {
      const code = char.codePointAt(0)!;
      return part.ranges.some(([low, high]) => low <= code && code <= high) !== part.isNegated;
    }
  }
}
