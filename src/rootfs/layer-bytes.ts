// What a layer takes on a disk, and waiting for room before it does.
import type { RoomClaim } from "../store/room-claim.ts";
import type { LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";

const BLOCK = 4096;

/** Bytes of files of these sizes, and of a directory each where there is one. */
export function allocatedBytes(entries: Sequence<LayerEntry>): number {
  let blocks = 0;
  for (const entry of entries) blocks += entry.type === "file" ? Math.ceil(entry.size / BLOCK) : 1;
  return blocks * BLOCK;
}

/** The tar, with room for what is in it before it is passed on. */
export async function* claimed(tar: AsyncIterable<Uint8Array>, claim: RoomClaim): AsyncGenerator<Uint8Array> {
  let seen = 0;
  for await (const chunk of tar) {
    seen += chunk.byteLength;
    await claim.atLeast(seen);
    yield chunk;
  }
}
