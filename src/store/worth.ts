// What a thing in the store is worth, so that under a ceiling the least valuable goes first (GC04, pain 3). Pure; who reads what it is made of: appraisal.ts.
//
//   worth = likelihood × cost ÷ bytes              seconds that a byte is expected to save
//   likelihood = 2^(−idle ÷ halfLife)              that it is used again
//   halfLife = 3 days × (1 + log2(1 + uses))       what was used often stays likely for longer
//   cost = what it takes to have it again          see `costOf`
//
// So a minute of compiling in 10 MB outlives 2 GB that a registry gives back in as long, and both fade when nothing asks for them.

/** How a thing can be had again. */
export type Recovery =
  /** Run the step: its recorded duration, at the least what unpacking takes. */
  | { readonly kind: "step"; readonly durationMs: number }
  /** Fetch it from a registry, and unpack it. */
  | { readonly kind: "registry" }
  /** Unpack the blob of the same layer. */
  | { readonly kind: "unpack" }
  /** Fetch or compute it again at so many bytes per second. */
  | { readonly kind: "rate"; readonly bytesPerSecond: number }
  /** Nobody needs it. */
  | { readonly kind: "none" };

export interface Appraised {
  /** Bytes that removing it frees. */
  readonly bytes: number;
  /** Since it, or something that is made of it, was last used. */
  readonly idleMs: number;
  readonly uses: number;
  readonly recovery: Recovery;
}

const HALF_LIFE_MS = 3 * 24 * 60 * 60_000;
const UNPACK_BYTES_PER_SECOND = 150e6;
const REGISTRY_BYTES_PER_SECOND = 20e6;
/** A request, a lock, a transaction: nothing is had again for less. */
const LEAST_COST_MS = 20;
const BLOCK = 4096;

/** Seconds per byte, times the likelihood: comparable among things of one store, and nowhere else. */
export function worthOf(thing: Appraised): number {
  if (thing.recovery.kind === "none") return 0;
  const likelihood = 2 ** (-Math.max(0, thing.idleMs) / halfLifeMs(thing.uses));
  return (likelihood * costOf(thing)) / 1000 / Math.max(BLOCK, thing.bytes);
}

/** Milliseconds after which something that was used so often is half as likely to be used again. */
export function halfLifeMs(uses: number): number {
  return HALF_LIFE_MS * (1 + Math.log2(1 + Math.max(0, uses)));
}

/** Milliseconds that it takes to have it again. */
export function costOf({ bytes, recovery }: Pick<Appraised, "bytes" | "recovery">): number {
  const unpackMs = (bytes / UNPACK_BYTES_PER_SECOND) * 1000;
  switch (recovery.kind) {
    case "step":
      return Math.max(LEAST_COST_MS, recovery.durationMs, unpackMs);
    case "registry":
      return Math.max(LEAST_COST_MS, (bytes / REGISTRY_BYTES_PER_SECOND) * 1000 + unpackMs);
    case "unpack":
      return Math.max(LEAST_COST_MS, unpackMs);
    case "rate":
      return Math.max(LEAST_COST_MS, (bytes / recovery.bytesPerSecond) * 1000);
    case "none":
      return 0;
  }
}
