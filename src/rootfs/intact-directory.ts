// Whether a directory face still is what its entries say, as far as that shows without reading files: each regular file's size and modification time.
// A truncated or overwritten file shows; bits that rot below the file system do not.
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { LayerEntry } from "../tree/entry.ts";

const BATCH = 1024;
const SECOND_NS = 1_000_000_000n;
const TOLERANCE_NS = 1_000_000n;

export async function isIntactDirectory(directory: string, entries: readonly LayerEntry[]): Promise<boolean> {
  let seen = 0;
  for (const entry of entries) {
    if (entry.type !== "file") continue;
    if (++seen % BATCH === 0) await setImmediate();
    const stat = lstatSync(join(directory, entry.path), { bigint: true, throwIfNoEntry: false });
    if (!stat?.isFile() || stat.size !== BigInt(entry.size) || !isSameTime(stat.mtimeNs, entry.mtimeNs)) return false;
  }
  return true;
}

/** Some file systems keep whole seconds, or microseconds. */
function isSameTime(found: bigint, recorded: bigint): boolean {
  const apart = found > recorded ? found - recorded : recorded - found;
  return apart < TOLERANCE_NS || (found % SECOND_NS === 0n && apart < SECOND_NS);
}
