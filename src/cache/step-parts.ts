// What the steps of an export were made from, to tell another machine why a step of its own is another one (pain 1). Names and digests only: no value, no command, no text.
// A blob of its own, because a build in which everything is cached does not need it.
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { digestHex, digestOf } from "../oci/digest.ts";

export const CACHE_PARTS = "application/vnd.tsbuild.cache.parts.v1+zstd";

/** A step by its place, and the parts of its key. */
export interface StepParts {
  readonly stage: string;
  /** Kind of the op. */
  readonly op: string;
  /** Its number in the stage. */
  readonly place: number;
  /** {@link shortDigestOf} the instruction's words. */
  readonly text: string;
  /** Part of the key → {@link shortDigestOf} its value, in the order of the key. */
  readonly parts: readonly (readonly [name: string, value: string])[];
}

const DIGEST_LENGTH = 16;
/** More text than any Dockerfile makes of names and digests. */
const MAX_TEXT = 32 * 1024 * 1024;

/** Enough to tell values apart. */
export function shortDigestOf(value: string): string {
  return digestHex(digestOf(value)).slice(0, DIGEST_LENGTH);
}

export function encodeParts(steps: readonly StepParts[]): Uint8Array {
  return zstdCompressSync(JSON.stringify(steps));
}

/** Undefined where the bytes are not of this form. */
export function parseParts(bytes: Uint8Array): readonly StepParts[] | undefined {
  try {
    const text = zstdDecompressSync(bytes, { maxOutputLength: MAX_TEXT }).toString("utf8");
    const steps = JSON.parse(text) as readonly StepParts[];
    const isWhole = steps.every(
      ({ stage, op, place, text: words, parts }) =>
        [stage, op, words].every((field) => typeof field === "string") &&
        typeof place === "number" &&
        parts.every((part) => part.length === 2 && part.every((field) => typeof field === "string")),
    );
    return isWhole ? steps : undefined;
  } catch {
    return undefined;
  }
}

/** The step that stood there: the same words in the same stage, else one of its kind in the same place. */
export function stepLike(
  { stage, op, place, text }: Omit<StepParts, "parts">,
  steps: readonly StepParts[],
): StepParts | undefined {
  const there = steps.filter((step) => step.stage === stage && step.op === op);
  return there.find((step) => step.text === text) ?? there.find((step) => step.place === place);
}

/** Names of parts that are not what they were, in the order of the key; then of those that are gone. */
export function differingNames(before: StepParts["parts"], now: StepParts["parts"]): readonly string[] {
  const old = new Map(before);
  const names = new Set(now.map(([name]) => name));
  const changed = now.filter(([name, value]) => old.get(name) !== value).map(([name]) => name);
  return [...changed, ...before.map(([name]) => name).filter((name) => !names.has(name))];
}
