// Layer ⇄ blob in one pass: pack, hash (diffID), compress, write. It knows no store; bytes go to and come from the caller.
// Follows image-spec layer.md and config.md ("Layer DiffID"); reference T06, T07.
import { createHash } from "node:crypto";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestOf, finishDigest, type Digest } from "../oci/digest.ts";
import type { Compression } from "../oci/media-type.ts";
import type { LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { checkLevel, compress, decompress, type CompressOptions } from "./compress.ts";
import { packLayer, type PackOptions } from "./pack.ts";

export interface WriteLayerOptions extends PackOptions, CompressOptions {
  /** Takes the blob's bytes in order; a chunk is only valid until the promise settles. */
  readonly write: (chunk: Uint8Array) => Promise<void> | void;
}

export interface WrittenLayer {
  /** Identity of the tar. */
  readonly diffId: Digest;
  /** Bytes of the tar. */
  readonly uncompressedSize: number;
}

/** Packs and compresses `entries` (see packLayer and compress for order and failures) and hands the blob to `write`, which is the one to hash it: a store does so anyway. */
export async function writeLayer(entries: Sequence<LayerEntry>, options: WriteLayerOptions): Promise<WrittenLayer> {
  checkLevel(options);
  const tar = new Meter(packLayer(entries, { ...options, reuseChunks: true }));
  const { write, signal } = options;
  for await (const chunk of compress(tar.read(), { ...options, reuseChunks: true })) {
    signal?.throwIfAborted();
    await write(chunk);
  }
  return { diffId: tar.digest(), uncompressedSize: tar.size };
}

/** The blob of a layer without entries: 1024 zero bytes, compressed. */
export async function emptyLayer(
  compression: Compression,
): Promise<WrittenLayer & { readonly digest: Digest; readonly bytes: Uint8Array }> {
  const chunks: Uint8Array[] = [];
  const written = await writeLayer([], { compression, write: (chunk) => void chunks.push(Buffer.from(chunk)) });
  const bytes = Buffer.concat(chunks);
  return { ...written, digest: digestOf(bytes), bytes };
}

export interface ReadLayerOptions {
  readonly compression: Compression;
  /** What the tar must be. */
  readonly expectedDiffId?: Digest | undefined;
  /** What the blob must be, for callers whose source does not verify. */
  readonly expectedDigest?: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Tar bytes of a blob. When it ends without an error, both identities that were given hold; use nothing of it before.
 * Fails with "content" where one does not, or where the compressed data is damaged.
 */
export async function* readLayer(
  blob: AsyncIterable<Uint8Array>,
  options: ReadLayerOptions,
): AsyncGenerator<Uint8Array> {
  const { compression, expectedDigest, expectedDiffId, signal } = options;
  const outer = expectedDigest === undefined ? undefined : new Meter(blob);
  const tar = decompress(outer?.read() ?? blob, { compression, signal });
  const inner = expectedDiffId === undefined ? undefined : new Meter(tar);
  yield* inner?.read() ?? tar;
  if (outer && expectedDigest !== undefined) assertSame("the blob", expectedDigest, outer.digest());
  if (inner && expectedDiffId !== undefined) assertSame("the uncompressed content", expectedDiffId, inner.digest());
}

function assertSame(what: string, expected: Digest, actual: Digest): void {
  if (expected !== actual)
    throw new BuildError("content", `${what} of a layer is ${actual}, expected ${expected}`, {
      help: "fetch the layer again; if it stays so, the image is damaged",
    });
}

/** Passes bytes on, counting and hashing them. */
class Meter {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #hash = createHash("sha256");
  size = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source;
  }

  async *read(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source) {
      this.#hash.update(chunk);
      this.size += chunk.length;
      yield chunk;
    }
  }

  /** sha256 of what has passed; once, at the end. */
  digest(): Digest {
    return finishDigest(this.#hash);
  }
}
