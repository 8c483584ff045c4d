// Whether a directory face still is what its entries say, as far as that shows without reading files: each regular file's size and modification time.
// A truncated or overwritten file shows; bits that rot below the file system do not. Where the list itself is lost, every file is read, and the directory
// is believed only if it comes to the layer's tree digest: a list that is made of a damaged directory would vouch for the damage (pain 13).
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Lock } from "../store/locks.ts";
import type { Store } from "../store/store.ts";
import { treeDigest } from "../tree/digest.ts";
import type { LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";

const BATCH = 1024;
const SECOND_NS = 1_000_000_000n;
const TOLERANCE_NS = 1_000_000n;

export interface FacesOptions {
  readonly store: Store;
  readonly xattrNamespace: "trusted" | "user";
  readonly signal: AbortSignal;
}

/** Held by who puts a layer's directory and its list in their places, or takes a damaged directory away: others see both or none. */
export function lockFaces(id: string, { store, signal }: FacesOptions): Promise<Lock> {
  return store.lock(`faces of layer ${id}`, { mode: "exclusive", signal });
}

export interface FoundDirectory {
  /** Undefined where there is none. */
  readonly path: string | undefined;
  /** There was one, and it has been set aside now. */
  readonly isDamaged: boolean;
}

/** The directory face, if it is there and whole, and its list then as well. */
export async function findWholeDirectory(id: string, options: FacesOptions): Promise<FoundDirectory> {
  const { layers } = options.store;
  const find = async (): Promise<FoundDirectory | undefined> => {
    const path = layers.directory(id);
    const entries = path === undefined ? undefined : layers.readEntries(id);
    const isWhole = path === undefined || (entries !== undefined && (await isIntactDirectory(path, entries)));
    return isWhole ? { path, isDamaged: false } : undefined;
  };
  const found = await find();
  if (found) return found;
  // Looked at again: another process may have made it anew meanwhile, or be about to write its list.
  await using _ = await lockFaces(id, options);
  const foundMeanwhile = await find();
  if (foundMeanwhile) return foundMeanwhile;
  if (layers.readEntries(id) === undefined && (await relist(id, options)))
    return { path: layers.directory(id), isDamaged: false };
  layers.setDirectoryAside(id);
  return { path: undefined, isDamaged: true };
}

/** Makes the list anew, where the directory comes to the layer's tree digest. */
async function relist(id: string, { store, xattrNamespace, signal }: FacesOptions): Promise<boolean> {
  const directory = store.layers.directory(id);
  const known = store.layers.get(id)?.treeDigest;
  if (directory === undefined || known === undefined) return false;
  const { scanUpper } = await import("../layer/scan.ts");
  try {
    const entries = await scanUpper(directory, { xattrNamespace, signal });
    if (treeDigest(entries) !== known) return false;
    store.layers.writeEntries(id, entries);
    return true;
  } catch {
    signal.throwIfAborted();
    // What cannot be read through is damaged, whatever the reason.
    return false;
  }
}

export async function isIntactDirectory(directory: string, entries: Sequence<LayerEntry>): Promise<boolean> {
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
