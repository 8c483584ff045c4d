// Entries → layer tar, deterministic and in one pass (image-spec layer.md; reference T01–T07). Compression is not its business.
// Deviations from BuildKit, both so that nothing is lost between layers: mtimes keep nanoseconds (T02), `user.*` attributes are kept (T03).
import { createHash, hash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { comparePaths, joinRelative, baseName, parentPath } from "../base/container-path.ts";
import { isDated } from "../tree/dated.ts";
import type { Entry, FileBytes, LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { bytesOf, changed, openSource, SparseReader, type Locate } from "./file-bytes.ts";
import { asBuffer, assertNotReserved, OPAQUE_MARKER, WHITEOUT_PREFIX } from "./names.ts";
import { BLOCK, HeaderEncoder, paddingOf, type TypeFlag } from "./tar-header.ts";

export interface PackOptions {
  /** Where bytes are, for entries that do not say it themselves. */
  readonly locate?: Locate | undefined;
  /** Later modification times become this one (SOURCE_DATE_EPOCH with rewritten timestamps), and those that WORKDIR gave for another. Seconds since the epoch. */
  readonly clampMtime?: number | undefined;
  /** Each chunk is only valid until the next one is asked for; bounds memory where the receiver is done with it by then. */
  readonly reuseChunks?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const CHUNK_SIZE = 1 << 19;
const FLAGS: Readonly<Record<Entry["type"], TypeFlag>> = {
  file: "0",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
};

/**
 * Bytes of the layer tar of `entries`, which are sorted by `comparePaths`. Unless `reuseChunks` is set, chunks are the receiver's to keep.
 * No entries give 1024 zero bytes.
 * Fails with "source" where a file's bytes are no longer those of its sha256.
 */
export async function* packLayer(entries: Sequence<LayerEntry>, options: PackOptions = {}): AsyncGenerator<Buffer> {
  const out = new Output(options.reuseChunks ?? false);
  const headers = new HeaderEncoder();
  const links = new Set<string>();
  for (const entry of entries) if (entry.type !== "whiteout" && entry.hardlink !== undefined) links.add(entry.hardlink);
  const written = new Set<string>();
  const latestNs = options.clampMtime === undefined ? undefined : BigInt(options.clampMtime) * 1_000_000_000n;
  let previous: string | undefined;
  let index = -1;
  for (const entry of entries) {
    index++;
    assert(previous === undefined || comparePaths(previous, entry.path) < 0, `"${entry.path}" is out of order`);
    previous = entry.path;
    out.append(encodeMember(headers, entry, latestNs));
    if (entry.type === "dir" && entry.opaque === true)
      out.append(encodeMarker(headers, joinRelative(entry.path, OPAQUE_MARKER)));
    if (entry.type !== "whiteout") {
      assert(entry.hardlink === undefined || written.has(entry.hardlink), `"${entry.path}" links to what is not there`);
      if (links.has(entry.path)) written.add(entry.path);
    }
    if (entry.type === "file" && entry.hardlink === undefined && entry.size > 0) {
      const bytes = bytesOf(entry, index, options.locate);
      yield* writeContent(out, entry, bytes instanceof Promise ? await bytes : bytes, options.signal);
      out.pad(paddingOf(entry.size));
    }
    if (out.isReady) {
      options.signal?.throwIfAborted();
      yield* out.take();
      out.recycle();
    }
  }
  out.pad(2 * BLOCK);
  yield* out.takeAll();
}

function encodeMember(headers: HeaderEncoder, entry: LayerEntry, latestNs: bigint | undefined): Buffer {
  if (entry.type === "whiteout")
    return encodeMarker(headers, joinRelative(parentPath(entry.path), WHITEOUT_PREFIX + baseName(entry.path)));
  assertNotReserved(entry.path);
  const { path, type, mode, uid, gid, hardlink, xattrs } = entry;
  const isDevice = type === "char" || type === "block";
  const linkname = hardlink ?? entry.linkname;
  return headers.encode({
    name: type === "dir" ? `${path === "" ? "." : path}/` : path,
    type: hardlink === undefined ? FLAGS[type] : "1",
    mode,
    uid,
    gid,
    size: type === "file" && hardlink === undefined ? entry.size : 0,
    mtimeNs: latestNs === undefined ? entry.mtimeNs : rewrittenTime(entry, latestNs),
    ...(linkname === undefined ? {} : { linkname }),
    ...(isDevice ? { devMajor: entry.devMajor ?? 0, devMinor: entry.devMinor ?? 0 } : {}),
    ...(xattrs === undefined || hardlink !== undefined ? {} : { xattrs }),
  });
}

function rewrittenTime({ type, mtimeNs }: Entry, latestNs: bigint): bigint {
  return mtimeNs > latestNs || (type === "dir" && isDated(mtimeNs)) ? latestNs : mtimeNs;
}

/** An empty file whose name is the message, as containerd writes it: mode 0, root, epoch. */
function encodeMarker(headers: HeaderEncoder, name: string): Buffer {
  return headers.encode({ name, type: "0", mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n });
}

function* writeContent(
  out: Output,
  entry: Entry,
  bytes: FileBytes,
  signal: AbortSignal | undefined,
): Generator<Buffer> {
  if (bytes.kind === "inline") {
    const isSame = bytes.data.length === entry.size && isDigest(entry, () => hash("sha256", bytes.data, "hex"));
    if (!isSame) throw changed(entry.path);
    out.append(asBuffer(bytes.data));
    return;
  }
  const fd = openSource(bytes.path);
  try {
    if (entry.size <= CHUNK_SIZE) {
      const slice = out.reserve(entry.size);
      if (readSync(fd, slice, 0, entry.size, 0) !== entry.size) throw changed(bytes.path);
      if (!isDigest(entry, () => hash("sha256", slice, "hex"))) throw changed(bytes.path);
    } else yield* writeLarge(out, entry, { fd, path: bytes.path, signal });
  } finally {
    closeSync(fd);
  }
}

function* writeLarge(
  out: Output,
  entry: Entry,
  { fd, path, signal }: { readonly fd: number; readonly path: string; readonly signal: AbortSignal | undefined },
): Generator<Buffer> {
  const digest = createHash("sha256");
  const file = new SparseReader(fd, entry.size);
  for (let position = 0; position < entry.size;) {
    const slice = out.reserve(Math.min(out.room || CHUNK_SIZE, entry.size - position));
    const count = file.read(slice, position);
    if (count !== slice.length) throw changed(path);
    digest.update(slice);
    position += count;
    signal?.throwIfAborted();
    yield* out.take();
    out.recycle();
  }
  if (!isDigest(entry, () => digest.digest("hex"))) throw changed(path);
}

function isDigest(entry: Entry, actual: () => string): boolean {
  return entry.sha256 === undefined || entry.sha256 === actual();
}

/** Collects bytes into chunks of one size, so that many small files cost few chunks. */
class Output {
  #full: Buffer[] = [];
  #chunk: Buffer = Buffer.allocUnsafeSlow(CHUNK_SIZE);
  #used = 0;
  readonly #isReusing: boolean;
  /** Memory of chunks that were given out, and that may be filled again. */
  #given: Buffer[] = [];
  #spare: Buffer[] = [];

  constructor(isReusing: boolean) {
    this.#isReusing = isReusing;
  }

  /** Bytes left in the chunk that is being filled. */
  get room(): number {
    return CHUNK_SIZE - this.#used;
  }

  get isReady(): boolean {
    return this.#full.length > 0;
  }

  append(bytes: Buffer): void {
    for (let done = 0; done < bytes.length;) {
      if (this.room === 0) this.#turn();
      const count = bytes.copy(this.#chunk, this.#used, done);
      this.#used += count;
      done += count;
    }
  }

  /** Memory in the output for `size` (≤ one chunk) bytes that the caller fills before it does anything else. */
  reserve(size: number): Buffer {
    if (size > this.room) this.#turn();
    const slice = this.#chunk.subarray(this.#used, this.#used + size);
    this.#used += size;
    if (this.room === 0) this.#turn();
    return slice;
  }

  pad(size: number): void {
    for (let left = size; left > 0;) {
      if (this.room === 0) this.#turn();
      const count = Math.min(left, this.room);
      this.#chunk.fill(0, this.#used, this.#used + count);
      this.#used += count;
      left -= count;
    }
  }

  /** Full chunks. */
  take(): Buffer[] {
    const chunks = this.#full;
    this.#full = [];
    return chunks;
  }

  /** Says that whoever got chunks is done with them. */
  recycle(): void {
    this.#spare.push(...this.#given);
    this.#given = [];
  }

  /** Full chunks and the rest. */
  takeAll(): Buffer[] {
    this.#full.push(this.#chunk.subarray(0, this.#used));
    return this.take();
  }

  #turn(): void {
    this.#full.push(this.#chunk.subarray(0, this.#used));
    if (this.#isReusing) this.#given.push(this.#chunk);
    this.#chunk = this.#spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK_SIZE);
    this.#used = 0;
  }
}
