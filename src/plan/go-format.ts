// Values as Go's fmt package writes them: `created_by` texts are made of these, and images are compared by them (reference 1.13).

/** Go's `%q` of a string: double quotes, escapes for what cannot be printed. */
export function quoteGo(text: string): string {
  const quoted = text.replace(/["\\]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, (character) => {
    const known = GO_ESCAPES[character];
    if (known !== undefined) return known;
    const code = character.codePointAt(0)!;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return `"${quoted}"`;
}

const GO_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

/** `%q` of a list of strings: `["a" "b"]`. */
export function quoteGoList(values: readonly string[]): string {
  return `[${values.map(quoteGo).join(" ")}]`;
}

/** `%v` of a list of strings: `[a b]`. */
export function formatGoList(values: readonly string[]): string {
  return `[${values.join(" ")}]`;
}

const UNITS: readonly (readonly [string, bigint])[] = [
  ["h", 3_600_000_000_000n],
  ["m", 60_000_000_000n],
];

/** A time.Duration of whole nanoseconds, not negative: `1m30s`, `1.5s`, `250ms`, `0s`. */
export function formatGoDuration(nanoseconds: number): string {
  let rest = BigInt(Math.trunc(nanoseconds));
  if (rest === 0n) return "0s";
  for (const [unit, size] of [
    ["ns", 1n],
    ["µs", 1_000n],
    ["ms", 1_000_000n],
  ] as const) {
    if (rest < size * 1000n) return `${decimal(rest, size)}${unit}`;
  }
  let text = "";
  for (const [unit, size] of UNITS) {
    if (rest >= size || text !== "") text += `${rest / size}${unit}`;
    rest %= size;
  }
  return `${text}${decimal(rest, 1_000_000_000n)}s`;
}

function decimal(value: bigint, unit: bigint): string {
  const fraction = (value % unit)
    .toString()
    .padStart(unit.toString().length - 1, "0")
    .replace(/0+$/, "");
  return unit === 1n || fraction === "" ? `${value / unit}` : `${value / unit}.${fraction}`;
}
