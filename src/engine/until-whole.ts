// Starts work again where another process, or a cache elsewhere, has lost what it had counted on, or where the disk has damaged it: pain 13, T50.
import { BuildError } from "../diagnostics/build-error.ts";
import type { Caches } from "./caches.ts";
import type { BuildOptions } from "./options.ts";
import { readsOnlyDirectories } from "./plan-build.ts";
import { LayersGone } from "./session.ts";

/** Whether the lease is taken at once, or when something has to be done. */
export type Protection = "early" | "late";

export interface Wholeness {
  readonly options: BuildOptions;
  readonly caches: Caches | undefined;
  readonly first: Protection;
}

/** Each time something damaged is set aside, so this is only for a disk that damages what is written to it. */
const MOST_DAMAGES = 20;

/** Resolves with what the first attempt gives that lost nothing. */
export async function untilWhole<T>(
  { options, caches, first }: Wholeness,
  attempt: (protection: Protection) => Promise<T>,
): Promise<T> {
  let protection = first;
  for (let damages = 0; ;) {
    try {
      return await attempt(protection);
    } catch (error) {
      const isGone = error instanceof LayersGone && protection === "late";
      const isDamaged = isDamage(error, options) && ++damages <= MOST_DAMAGES;
      if (!isGone && !isDamaged && !isMiss(error, caches, options)) throw error;
      protection = "early";
    }
  }
}

/** Whether damage was found in the store, which is a miss. Not where standard input has been read. */
function isDamage(error: unknown, options: BuildOptions): boolean {
  const isDamaged = error instanceof BuildError && error.details.isDamage === true;
  return isDamaged && options.signal?.aborted !== true && readsOnlyDirectories(options);
}

/** Whether a cache did not have what it said. The next attempt goes without that, which ends because each time something is left out. */
function isMiss(error: unknown, caches: Caches | undefined, { signal }: BuildOptions): boolean {
  const hasLost = (caches?.imports.takeLosses() ?? 0) > 0;
  return hasLost && signal?.aborted !== true && !(error instanceof BuildError && error.code === "command");
}
