// What a context's files were when they were last hashed: path → stat fields → sha256 and extended attributes. A file whose stat fields are unchanged is not read again.
// One binary file, read whole and replaced whole (architecture §3). Damage, another version or no file at all is an empty index, never an error.
// It does not decide what is walked or hashed; see local.ts.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { readFileIfExists, writeFileAtomic } from "../base/fs-atomic.ts";
import type { Xattrs } from "./hash-file.ts";
import { putStamp, STAMP_FIELDS, type FileStamp } from "./file-stamp.ts";
import { errnoOf } from "./read-error.ts";

/** What is known of an unchanged path. */
export interface KnownFile {
  /** "" for directories. */
  readonly sha256: string;
  readonly xattrs?: Xattrs;
}

/*
 * Layout, little-endian: magic (16) · checksum of all that follows (8) · row count, generation, bytes of paths, bytes of xattrs (4 × u32)
 * · rows (6 × u64: the stamp) · generation of last use (u32 each) · sha256 (32 each) · paths, each ended by NUL · xattrs as JSON.
 */
const MAGIC = "tsbuild.stat.v2\n";
const HASHED_FROM = 24;
const HEADER = 40;
const STAMP_WORDS = 2 * STAMP_FIELDS;
const SHA_BYTES = 32;
/** A path that nobody asked for in this many rewrites is dropped: it was deleted, or belongs to a build that is no longer run. */
const KEPT_GENERATIONS = 20;
/**
 * A change within one tick of the file system's clock leaves no trace in the times. So what was hashed this soon after its last change is not remembered
 * (git's racily-clean rule, per file). Kernels tick every 1–10 ms; file systems that count whole seconds show it by times without a fraction.
 */
const RACY_NS = 50_000_000n;
const RACY_COARSE_NS = 2_100_000_000n;
const SECOND_NS = 1_000_000_000n;

interface Columns {
  readonly generation: number;
  readonly rows: ReadonlyMap<string, number>;
  readonly stamps: Uint32Array;
  readonly lastUse: Uint32Array;
  readonly digests: Uint8Array;
  readonly xattrs: ReadonlyMap<string, Xattrs>;
}

const EMPTY: Columns = {
  generation: 0,
  rows: new Map(),
  stamps: new Uint32Array(0),
  lastUse: new Uint32Array(0),
  digests: new Uint8Array(0),
  xattrs: new Map(),
};

/** The index of one context, in memory. `save` writes it back; two processes may do so, the last one wins. */
export class StatIndex {
  readonly #path: string | undefined;
  #old: Columns;
  readonly #used: Uint8Array;
  /** Hex of all old digests in one string: slices of it cost no copy. */
  readonly #oldDigests: string;
  #added = new Added();
  readonly #probe = new BigUint64Array(STAMP_FIELDS);
  readonly #probeWords = new Uint32Array(this.#probe.buffer);

  private constructor(path: string | undefined, old: Columns) {
    this.#path = path;
    this.#old = old;
    this.#used = new Uint8Array(old.lastUse.length);
    this.#oldDigests = Buffer.from(old.digests.buffer, old.digests.byteOffset, old.digests.length).toString("hex");
  }

  /** Reads the index at `path`; without a path it lives only in memory. */
  static async open(path: string | undefined): Promise<StatIndex> {
    const data = path === undefined ? undefined : readIfReadable(path);
    if (data === undefined) return new StatIndex(path, EMPTY);
    return new StatIndex(path, decode(data, await hashFor(data.length)) ?? EMPTY);
  }

  /** Number of paths in the file that was read. */
  get size(): number {
    return this.#old.rows.size;
  }

  /** What is known of `path` if it still has these stat fields. */
  find(path: string, stamp: FileStamp): KnownFile | undefined {
    const row = this.#old.rows.get(path);
    if (row === undefined) return undefined;
    putStamp(this.#probe, 0, stamp);
    const start = row * STAMP_WORDS;
    for (let word = 0; word < STAMP_WORDS; word++)
      if (this.#probeWords[word] !== this.#old.stamps[start + word]) return undefined;
    this.#used[row] = 1;
    const xattrs = this.#old.xattrs.size === 0 ? undefined : this.#old.xattrs.get(path);
    const sha256 = this.#oldDigests.slice(row * SHA_BYTES * 2, (row + 1) * SHA_BYTES * 2);
    return xattrs === undefined ? { sha256 } : { sha256, xattrs };
  }

  /** Remembers what was read of `path` at `readAtMs`, unless it changed so shortly before that a later change could look the same. */
  record(path: string, stamp: FileStamp, known: KnownFile, readAtMs: number): void {
    if (!isRacy(stamp, readAtMs)) this.#added.add(path, stamp, known);
  }

  /** Writes what was learnt; nothing where nothing was. A store that cannot be written only costs the next build time. */
  async save(): Promise<void> {
    if (this.#path === undefined || this.#added.rows.size === 0) return;
    const data = await this.#encode();
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      writeFileAtomic(this.#path, data, 0o600, "unsynced");
    } catch (error) {
      if (errnoOf(error) === "") throw error;
    }
  }

  /** Drops all that is known. */
  forget(): void {
    this.#old = EMPTY;
    this.#added = new Added();
  }

  #encode(): Promise<Buffer> {
    const now = this.#old.generation + 1;
    const rows: RowsSize = { count: 0, pathBytes: 0 };
    const xattrs: { [path: string]: XattrValues } = {};
    for (const { path, values } of this.#rows(now)) {
      rows.count++;
      rows.pathBytes += Buffer.byteLength(path) + 1;
      if (values !== undefined) xattrs[path] = base64Values(values);
    }
    const file = new IndexFile(rows, now, Buffer.from(JSON.stringify(xattrs), "utf8"));
    for (const row of this.#rows(now)) file.add(row);
    return file.finish();
  }

  /** Old rows that are still of use, then the new ones. */
  *#rows(now: number): Generator<Row> {
    const { rows, stamps, lastUse, digests, xattrs } = this.#old;
    for (const [path, row] of rows) {
      const used = this.#used[row] === 1 ? now : lastUse[row]!;
      if (now - used > KEPT_GENERATIONS || this.#added.rows.has(path)) continue;
      yield { path, stamps, digests, row, used, values: xattrs.get(path) };
    }
    const added = this.#added;
    const words = new Uint32Array(added.stamps.buffer);
    for (const [path, row] of added.rows)
      yield { path, stamps: words, digests: added.digests, row, used: now, values: added.xattrs.get(path) };
  }
}

interface RowsSize {
  count: number;
  pathBytes: number;
}

/** A row of some columns. */
interface Row {
  readonly path: string;
  readonly stamps: Uint32Array;
  readonly digests: Uint8Array;
  readonly row: number;
  /** Generation of its last use. */
  readonly used: number;
  readonly values: Xattrs | undefined;
}

/** What this build has learnt, in columns: a hundred thousand small objects would cost more than the files' digests. */
class Added {
  readonly rows = new Map<string, number>();
  readonly xattrs = new Map<string, Xattrs>();
  stamps: BigUint64Array<ArrayBuffer> = new BigUint64Array(64 * STAMP_FIELDS);
  digests: Buffer = Buffer.alloc(64 * SHA_BYTES);

  add(path: string, stamp: FileStamp, { sha256, xattrs }: KnownFile): void {
    const row = this.rows.get(path) ?? this.rows.size;
    if ((row + 1) * STAMP_FIELDS > this.stamps.length) this.#grow();
    this.rows.set(path, row);
    putStamp(this.stamps, row * STAMP_FIELDS, stamp);
    if (sha256 === "") this.digests.fill(0, row * SHA_BYTES, (row + 1) * SHA_BYTES);
    else this.digests.write(sha256, row * SHA_BYTES, "hex");
    if (xattrs === undefined) this.xattrs.delete(path);
    else this.xattrs.set(path, xattrs);
  }

  #grow(): void {
    const stamps = new BigUint64Array(this.stamps.length * 2);
    stamps.set(this.stamps);
    this.stamps = stamps;
    const digests = Buffer.alloc(this.digests.length * 2);
    digests.set(this.digests);
    this.digests = digests;
  }
}

/** Lays rows out as the file has them, in one buffer of the right size. */
class IndexFile {
  readonly #data: Buffer;
  readonly #stamps: Uint32Array;
  readonly #lastUse: Uint32Array;
  readonly #digests: Uint8Array;
  #row = 0;
  #pathAt: number;

  constructor({ count, pathBytes }: RowsSize, generation: number, xattrs: Uint8Array) {
    const useAt = HEADER + count * STAMP_WORDS * 4;
    const shaAt = useAt + count * 4;
    this.#pathAt = shaAt + count * SHA_BYTES;
    this.#data = Buffer.alloc(this.#pathAt + pathBytes + xattrs.length);
    this.#data.write(MAGIC, "latin1");
    [count, generation, pathBytes, xattrs.length].forEach((value, i) => this.#data.writeUInt32LE(value, 24 + 4 * i));
    this.#data.set(xattrs, this.#pathAt + pathBytes);
    const { buffer, byteOffset } = this.#data;
    this.#stamps = new Uint32Array(buffer, byteOffset + HEADER, count * STAMP_WORDS);
    this.#lastUse = new Uint32Array(buffer, byteOffset + useAt, count);
    this.#digests = new Uint8Array(buffer, byteOffset + shaAt, count * SHA_BYTES);
  }

  add({ path, stamps, digests, row, used }: Row): void {
    const to = this.#row++;
    const [stampAt, shaAt] = [row * STAMP_WORDS, row * SHA_BYTES];
    this.#stamps.set(stamps.subarray(stampAt, stampAt + STAMP_WORDS), to * STAMP_WORDS);
    this.#digests.set(digests.subarray(shaAt, shaAt + SHA_BYTES), to * SHA_BYTES);
    this.#lastUse[to] = used;
    this.#pathAt += this.#data.write(path, this.#pathAt, "utf8") + 1;
  }

  async finish(): Promise<Buffer> {
    const hash = await hashFor(this.#data.length);
    this.#data.writeBigUInt64LE(hash(this.#data.subarray(HASHED_FROM)), MAGIC.length);
    return this.#data;
  }
}

type XattrValues = Readonly<{ [name: string]: string }>;

function base64Values(values: Xattrs): XattrValues {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
  );
}

function readIfReadable(path: string): Buffer | undefined {
  try {
    return readFileIfExists(path);
  } catch (error) {
    if (errnoOf(error) === "") throw error;
    return undefined;
  }
}

function isRacy(stamp: FileStamp, readAtMs: number): boolean {
  const isCoarse = stamp.ctimeNs % SECOND_NS === 0n;
  const limit = BigInt(Math.floor(readAtMs)) * 1_000_000n - (isCoarse ? RACY_COARSE_NS : RACY_NS);
  return stamp.ctimeNs >= limit || stamp.mtimeNs >= limit;
}

/** Hash of some bytes, at most 64 bits. */
type Hash64 = (data: Uint8Array) => bigint;

/** Bytes of an index for which a CRC is guard enough: starting WebAssembly takes a build in which nothing changed longer than looking at a thousand files. */
const CRC_SIZE = 256 * 1024;

function hashFor(size: number): Promise<Hash64> {
  return size < CRC_SIZE ? Promise.resolve((data) => BigInt(crc32(data))) : xxhash64();
}

let hash64: Promise<Hash64> | undefined;

function xxhash64(): Promise<Hash64> {
  hash64 ??= import("xxhash-wasm").then(async ({ default: load }) => {
    const api = await load();
    // In pieces: the one-shot call would grow the module's memory by the whole file.
    return (data) => {
      const state = api.create64();
      for (let at = 0; at < data.length; at += 65_536) state.update(data.subarray(at, at + 65_536));
      return state.digest();
    };
  });
  return hash64;
}

function decode(data: Buffer, hash: Hash64): Columns | undefined {
  if (data.length < HEADER || data.toString("latin1", 0, MAGIC.length) !== MAGIC) return undefined;
  if (data.readBigUInt64LE(MAGIC.length) !== hash(data.subarray(HASHED_FROM))) return undefined;
  const count = data.readUInt32LE(24);
  const pathBytes = data.readUInt32LE(32);
  const [stampsAt, useAt] = [HEADER, HEADER + count * STAMP_WORDS * 4];
  const shaAt = useAt + count * 4;
  const pathsAt = shaAt + count * SHA_BYTES;
  const xattrsAt = pathsAt + pathBytes;
  if (xattrsAt + data.readUInt32LE(36) !== data.length) return undefined;
  const rows = new Map<string, number>();
  const paths = data.toString("utf8", pathsAt, xattrsAt).split("\0");
  for (let row = 0; row < count; row++) rows.set(paths[row]!, row);
  return {
    generation: data.readUInt32LE(28),
    rows,
    stamps: words(data, stampsAt, useAt),
    lastUse: words(data, useAt, shaAt),
    digests: data.subarray(shaAt, pathsAt),
    xattrs: decodeXattrs(data.toString("utf8", xattrsAt)),
  };
}

/** A copy, because typed arrays must start at multiples of their element's size. */
function words(data: Buffer, start: number, end: number): Uint32Array {
  return new Uint32Array(new Uint8Array(data.subarray(start, end)).buffer);
}

type XattrText = Readonly<Record<string, Readonly<Record<string, string>>>>;

function decodeXattrs(text: string): ReadonlyMap<string, Xattrs> {
  const bytes = (values: Readonly<Record<string, string>>): Xattrs =>
    Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, new Uint8Array(Buffer.from(value, "base64"))]),
    );
  return new Map(Object.entries(JSON.parse(text) as XattrText).map(([path, values]) => [path, bytes(values)]));
}
