// Cache mounts of RUN on their way to and from a cache: scanned and packed part by part, unpacked as one tree (pain 2).
import { createHash } from "node:crypto";
import { chmodSync, chownSync, createReadStream, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { CachedMount, CachedPack } from "../cache/document.ts";
import { mountParts, type MountPart } from "../cache/mount-packs.ts";
import type { CacheStorage } from "../cache/storage.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { layerMediaType, layerCompression, type Compression } from "../oci/media-type.ts";
import type { Descriptor } from "../oci/image.ts";
import { finishDigest, type Digest } from "../oci/digest.ts";
import { readLayer, writeLayer } from "../layer/blob.ts";
import { scanUpper } from "../layer/scan.ts";
import { unpackLayer } from "../layer/unpack.ts";

export interface MountExportOptions {
  readonly storage: CacheStorage;
  /** The mount's parts as an earlier export left them. */
  readonly before: ReadonlyMap<Digest, CachedPack>;
  readonly compression: Compression;
  readonly xattrNamespace: "trusted" | "user";
  readonly makeScratchDir: () => string;
  readonly onSent: (blob: Descriptor) => void;
  readonly signal: AbortSignal;
}

/** Makes sure that the parts of the mount in `directory` are in the cache. Fails with "runtime" where a file changes meanwhile. */
export async function exportMount(
  { pool, id }: Pick<CachedMount, "pool" | "id">,
  directory: string,
  options: MountExportOptions,
): Promise<CachedMount> {
  const { storage, before, xattrNamespace, signal } = options;
  const entries = await scanUpper(directory, { xattrNamespace, signal });
  const packs: CachedPack[] = [];
  for (const part of mountParts(entries)) {
    const known = before.get(part.id);
    const isThere = known !== undefined && (await storage.has(known.blob, signal));
    packs.push(isThere ? known : await sendPart(part, options));
  }
  const { mode, uid, gid } = statSync(directory);
  return { pool, id, mode: mode & 0o7777, uid, gid, packs };
}

/** Packs one part beside the store, because nothing here needs it again. */
async function sendPart(part: MountPart, options: MountExportOptions): Promise<CachedPack> {
  const { storage, compression, makeScratchDir, onSent, signal } = options;
  const path = join(makeScratchDir(), "pack");
  const hash = createHash("sha256");
  let size = 0;
  try {
    const file = await open(path, "w");
    let packed;
    try {
      packed = await writeLayer(part.entries, {
        compression,
        write: (chunk) => {
          hash.update(chunk);
          size += chunk.length;
          return file.writeFile(chunk);
        },
        signal,
      });
    } finally {
      await file.close();
    }
    const { diffId } = packed;
    const blob = { mediaType: layerMediaType("oci", compression), digest: finishDigest(hash), size };
    const bytes = (start: number): AsyncIterable<Uint8Array> => createReadStream(path, { start });
    if (await storage.put(blob, bytes, { sources: [], signal })) onSent(blob);
    return { id: part.id, blob, diffId };
  } finally {
    rmSync(path, { force: true });
  }
}

export interface MountImportOptions {
  readonly open: (blob: Descriptor) => AsyncIterable<Uint8Array>;
  readonly xattrNamespace: "trusted" | "user";
  readonly signal: AbortSignal;
}

/** Fills an empty directory with a mount's content; each part is verified. What a failure leaves is the caller's to remove. */
export async function importMount(mount: CachedMount, directory: string, options: MountImportOptions): Promise<void> {
  const { xattrNamespace, signal } = options;
  await unpackLayer(oneTar(mount, options), directory, { xattrNamespace, signal });
  chmodSync(directory, mount.mode);
  chownSync(directory, mount.uid, mount.gid);
}

const END_SIZE = 1024;

/** The parts as one archive: of their ends only the last one stays. */
async function* oneTar(
  { packs }: CachedMount,
  { open: openBlob, signal }: MountImportOptions,
): AsyncGenerator<Uint8Array> {
  for (const { blob, diffId } of packs) {
    const compression = layerCompression(blob.mediaType);
    if (compression === undefined) throw new BuildError("content", `${blob.mediaType} is no layer`);
    const tar = readLayer(openBlob(blob), {
      compression,
      expectedDigest: blob.digest,
      expectedDiffId: diffId,
      signal,
    });
    yield* withoutEnd(tar);
  }
  yield Buffer.alloc(END_SIZE);
}

/** All bytes but the zero blocks that end an archive. */
async function* withoutEnd(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held = Buffer.alloc(0);
  for await (const chunk of tar) {
    const all = Buffer.concat([held, chunk]);
    const cut = Math.max(0, all.length - END_SIZE);
    if (cut > 0) yield all.subarray(0, cut);
    held = Buffer.from(all.subarray(cut));
  }
  if (held.some((byte) => byte !== 0)) throw new BuildError("content", "a part of a cache mount has no end");
}
