// What the steps of store-worker.ts consist of, and the judge of a store that processes have worked or died on.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Index } from "../../../src/oci/image.ts";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
import type { Store } from "../../../src/store/store.ts";
import { digestFor } from "./temp-store.ts";

export const LAYER_FILES: readonly string[] = Array.from({ length: 20 }, (_, i) => `dir-${i % 3}/file-${i}`);

/** The same 50,000 bytes for the same step, other bytes for another. */
export function bytesFor(n: number): Buffer {
  return Buffer.alloc(50_000, `bytes of step ${n}.`);
}

export function keyFor(n: number): Digest {
  return digestFor(`key of step ${n}`);
}

/**
 * Throws unless the layer's directory has every file of step `n`, whole. Of a layer that nobody pinned for a while the collector may have taken the directory
 * alone: then its blob must be there.
 */
export function checkLayer(
  store: Store,
  id: string,
  n: number,
  { mayBePacked }: { readonly mayBePacked: boolean },
): void {
  const directory = store.layers.directory(id);
  if (directory === undefined && mayBePacked && store.layers.blobs(id).some(({ digest }) => store.content.has(digest)))
    return;
  if (directory === undefined) throw new Error(`layer ${id} of step ${n} has no directory`);
  const expected = bytesFor(n).subarray(0, 2000);
  for (const name of LAYER_FILES)
    if (!readFileSync(join(directory, name)).equals(expected)) throw new Error(`${directory}/${name} is torn`);
}

/** What is wrong with a store: blobs that are not what they are called, records that lie, an index that differs from the table. */
export function faultsOf(store: Store): readonly string[] {
  const faults: string[] = [];
  for (const { digest } of store.content.list())
    if (digestOf(readFileSync(store.content.blobPath(digest))) !== digest) faults.push(`blob ${digest} is torn`);
  for (let n = 0; n < 2000; n++) {
    const record = store.records.find(keyFor(n));
    if (!record) continue;
    if (record.parts[0]?.value !== `${n}`) faults.push(`record ${n} has lost its parts`);
    try {
      checkLayer(store, record.layerId, n, { mayBePacked: true });
    } catch (error) {
      faults.push((error as Error).message);
    }
  }
  for (const id of readdirSync(store.paths.layers))
    if (readdirSync(join(store.paths.layers, id)).includes("entries") && !store.layers.readEntries(id))
      faults.push(`entries of ${id} are torn`);
  const index = JSON.parse(readFileSync(store.content.indexPath, "utf8")) as Index;
  for (const { digest } of index.manifests) if (!store.content.has(digest)) faults.push(`index names ${digest}`);
  return faults;
}
