// Values as Go's fmt package writes them: `created_by` texts are made of these, and images are compared by them (reference 1.13).
import { goQuote } from "../base/go-text.ts";

/** `%q` of a list of strings: `["a" "b"]`. */
export function quoteGoList(values: readonly string[]): string {
  return `[${values.map(goQuote).join(" ")}]`;
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
export function formatGoDuration(nanoseconds: number | bigint): string {
  let rest = BigInt(nanoseconds);
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
