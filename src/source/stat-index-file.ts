// The file of a stat index, by columns: read and written without a string or an object for each path, because there may be a million of them.
// Little-endian: magic (16) · checksum of all that follows (8) · row count, generation, bytes of paths, bytes of xattrs (4 × u32) · rows (6 × u64: the stamp)
// · generation of last use · end of the path among the paths · hash of the path (u32 each) · sha256 (32 each) · paths · xattrs as JSON.
import { writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import type { XXHashAPI } from "xxhash-wasm";
import { replaceFile } from "../base/fs-atomic.ts";
import type { Xattrs } from "./hash-file.ts";
import { STAMP_FIELDS } from "./file-stamp.ts";

const MAGIC = "tsbuild.stat.v3\n";
const HASHED_FROM = 24;
const HEADER = 40;
/** 32-bit words of a stamp. */
export const STAMP_WORDS: number = 2 * STAMP_FIELDS;
export const SHA_BYTES = 32;
/** Bytes of a row in all columns of one size. */
const ROW_BYTES = STAMP_WORDS * 4 + 3 * 4 + SHA_BYTES;
const CHUNK_SIZE = 1 << 16;
/** Longest UTF-8 of a UTF-16 unit. */
const MAX_UTF8 = 3;

/** A row to be written. */
export interface IndexRow {
  path: string | Uint8Array;
  pathHash: number;
  /** Columns, and the number of this row in them. */
  stamps: Uint32Array;
  digests: Uint8Array;
  row: number;
  /** Generation of its last use. */
  lastUse: number;
}

export interface IndexContent {
  readonly generation: number;
  readonly count: number;
  readonly pathBytes: number;
  /** The rows, as often as it is called; each may be the same object as the one before. */
  readonly rows: () => Iterable<IndexRow>;
  readonly xattrs: Readonly<Record<string, Xattrs>>;
}

/** For tables in memory: FNV-1a over UTF-16 units, then mixed, since tables look at the low bits. */
export function hashOfPath(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** The rows of an index file. */
export class StoredIndex {
  readonly count: number;
  readonly generation: number;
  readonly stamps: Uint32Array;
  readonly lastUse: Uint32Array;
  readonly pathHashes: Uint32Array;
  readonly digests: Buffer;
  readonly xattrs: ReadonlyMap<string, Xattrs>;
  readonly #pathEnds: Uint32Array;
  readonly #paths: Buffer;
  /** Open addressing by path hash: number of the row + 1, 0 = free. */
  readonly #table: Int32Array;

  /** An index without a row. */
  static readonly empty: StoredIndex = new StoredIndex(Buffer.alloc(HEADER));

  /** The rows of `data`; undefined where it is damaged or of another version. */
  static async read(data: Buffer): Promise<StoredIndex | undefined> {
    if (data.length < HEADER || data.toString("latin1", 0, MAGIC.length) !== MAGIC) return undefined;
    const hash = await hashFor(data.length);
    hash.update(data.subarray(HASHED_FROM));
    if (data.readBigUInt64LE(MAGIC.length) !== hash.digest()) return undefined;
    const size = HEADER + data.readUInt32LE(24) * ROW_BYTES + data.readUInt32LE(32) + data.readUInt32LE(36);
    return size === data.length ? new StoredIndex(data) : undefined;
  }

  private constructor(data: Buffer) {
    const count = data.readUInt32LE(24);
    let at = HEADER;
    const column = (size: number): Buffer => data.subarray(at, (at += size));
    this.count = count;
    this.generation = data.readUInt32LE(28);
    this.stamps = words(column(count * STAMP_WORDS * 4));
    this.lastUse = words(column(count * 4));
    this.#pathEnds = words(column(count * 4));
    this.pathHashes = words(column(count * 4));
    this.digests = column(count * SHA_BYTES);
    this.#paths = column(data.readUInt32LE(32));
    const xattrs = column(data.readUInt32LE(36));
    this.xattrs = xattrs.length === 0 ? new Map() : decodeXattrs(xattrs.toString("utf8"));
    this.#table = tableOf(this.pathHashes);
  }

  /** UTF-8. */
  pathBytes(row: number): Buffer {
    return this.#paths.subarray(row === 0 ? 0 : this.#pathEnds[row - 1]!, this.#pathEnds[row]);
  }

  /** The row of `path` with this stamp, or with any where none is given; -1 = none. */
  rowOf(path: string, stamp: Uint32Array | undefined): number {
    if (this.count === 0) return -1;
    const hash = hashOfPath(path);
    const mask = this.#table.length - 1;
    for (let slot = hash & mask; this.#table[slot] !== 0; slot = (slot + 1) & mask) {
      const row = this.#table[slot]! - 1;
      if (this.pathHashes[row] === hash && this.#isPath(row, path) && this.#hasStamp(row, stamp)) return row;
    }
    return -1;
  }

  #isPath(row: number, path: string): boolean {
    const start = row === 0 ? 0 : this.#pathEnds[row - 1]!;
    const end = this.#pathEnds[row]!;
    // More bytes than units: not all of it is ASCII.
    if (end - start !== path.length)
      return end - start > path.length && this.#paths.toString("utf8", start, end) === path;
    for (let i = 0; i < path.length; i++) if (this.#paths[start + i] !== path.charCodeAt(i)) return false;
    return true;
  }

  #hasStamp(row: number, stamp: Uint32Array | undefined): boolean {
    if (stamp === undefined) return true;
    const start = row * STAMP_WORDS;
    for (let word = 0; word < STAMP_WORDS; word++) if (stamp[word] !== this.stamps[start + word]) return false;
    return true;
  }
}

function tableOf(hashes: Uint32Array): Int32Array {
  let size = 1;
  while (size < 2 * hashes.length) size *= 2;
  const table = new Int32Array(size);
  for (let row = 0; row < hashes.length; row++) {
    let slot = hashes[row]! & (size - 1);
    while (table[slot] !== 0) slot = (slot + 1) & (size - 1);
    table[slot] = row + 1;
  }
  return table;
}

/** The bytes as 32-bit words; a copy where they do not start at a multiple of four. */
function words(bytes: Buffer): Uint32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(buffer, byteOffset, length / 4);
}

/** Replaces the file at `path`, unsynced: it carries its checksum. */
export async function writeIndexFile(path: string, content: IndexContent): Promise<void> {
  const { count, generation, pathBytes, rows } = content;
  const xattrs = encodeXattrs(content.xattrs);
  const hash = await hashFor(HEADER + count * ROW_BYTES + pathBytes + xattrs.length);
  replaceFile(path, 0o600, (fd) => {
    writeSync(fd, Buffer.alloc(HASHED_FROM));
    const out = new ColumnWriter(fd, hash);
    for (const value of [count, generation, pathBytes, xattrs.length]) out.number(value);
    for (const { stamps, row } of rows()) out.words(stamps, row * STAMP_WORDS, STAMP_WORDS);
    for (const { lastUse } of rows()) out.number(lastUse);
    let end = 0;
    for (const { path: one } of rows()) out.number((end += byteLength(one)));
    for (const { pathHash } of rows()) out.number(pathHash);
    for (const { digests, row } of rows()) out.bytes(digests, row * SHA_BYTES, SHA_BYTES);
    for (const { path: one } of rows()) out.text(one);
    out.text(xattrs);
    out.flush();
    const start = Buffer.alloc(HASHED_FROM);
    start.write(MAGIC, "latin1");
    start.writeBigUInt64LE(hash.digest(), MAGIC.length);
    writeSync(fd, start, 0, start.length, 0);
  });
}

/** Bytes of a path in UTF-8. */
export function byteLength(path: string | Uint8Array): number {
  return typeof path === "string" ? Buffer.byteLength(path) : path.length;
}

/** Writes small pieces through one buffer, hashed on the way. */
class ColumnWriter {
  readonly #fd: number;
  readonly #hash: Hash64;
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK_SIZE);
  readonly #words = new Uint32Array(this.#chunk.buffer);
  #used = 0;

  constructor(fd: number, hash: Hash64) {
    this.#fd = fd;
    this.#hash = hash;
  }

  number(value: number): void {
    this.#makeRoom(4);
    this.#chunk.writeUInt32LE(value, this.#used);
    this.#used += 4;
  }

  /** Called before anything whose length is no multiple of four. */
  words(from: Uint32Array, start: number, count: number): void {
    this.#makeRoom(count * 4);
    for (let i = 0, to = this.#used / 4; i < count; i++) this.#words[to + i] = from[start + i]!;
    this.#used += count * 4;
  }

  bytes(from: Uint8Array, start: number, count: number): void {
    this.#makeRoom(count);
    for (let i = 0; i < count; i++) this.#chunk[this.#used + i] = from[start + i]!;
    this.#used += count;
  }

  text(text: string | Uint8Array): void {
    const longest = text.length * (typeof text === "string" ? MAX_UTF8 : 1);
    if (longest > CHUNK_SIZE) {
      this.flush();
      this.#put(typeof text === "string" ? Buffer.from(text) : text);
      return;
    }
    this.#makeRoom(longest);
    if (typeof text === "string") this.#used += this.#chunk.write(text, this.#used, "utf8");
    else this.bytes(text, 0, text.length);
  }

  flush(): void {
    this.#put(this.#chunk.subarray(0, this.#used));
    this.#used = 0;
  }

  #makeRoom(size: number): void {
    if (this.#used + size > CHUNK_SIZE) this.flush();
  }

  #put(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }
}

/** Hash of some bytes, at most 64 bits. */
interface Hash64 {
  update(data: Uint8Array): void;
  digest(): bigint;
}

/** Bytes of an index for which a CRC is guard enough: starting WebAssembly takes a build in which nothing changed longer than looking at a thousand files. */
const CRC_SIZE = 256 * 1024;

async function hashFor(size: number): Promise<Hash64> {
  if (size >= CRC_SIZE) return xxhash64();
  let checksum = 0;
  return { update: (data) => void (checksum = crc32(data, checksum)), digest: () => BigInt(checksum) };
}

let xxhash: Promise<XXHashAPI> | undefined;

async function xxhash64(): Promise<Hash64> {
  xxhash ??= import("xxhash-wasm").then(({ default: load }) => load());
  const state = (await xxhash).create64();
  return {
    // In pieces: one call would grow the module's memory by the whole file.
    update: (data) => {
      for (let at = 0; at < data.length; at += CHUNK_SIZE) state.update(data.subarray(at, at + CHUNK_SIZE));
    },
    digest: () => state.digest(),
  };
}

type XattrText = Readonly<Record<string, Readonly<Record<string, string>>>>;

function encodeXattrs(xattrs: Readonly<Record<string, Xattrs>>): Buffer {
  const values = (one: Xattrs): readonly (readonly [string, string])[] =>
    Object.entries(one).map(([name, value]) => [name, Buffer.from(value).toString("base64")]);
  const all = Object.entries(xattrs).map(([path, one]) => [path, Object.fromEntries(values(one))]);
  return all.length === 0 ? Buffer.alloc(0) : Buffer.from(JSON.stringify(Object.fromEntries(all)));
}

function decodeXattrs(text: string): ReadonlyMap<string, Xattrs> {
  const bytes = (values: Readonly<Record<string, string>>): Xattrs =>
    Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, new Uint8Array(Buffer.from(value, "base64"))]),
    );
  return new Map(Object.entries(JSON.parse(text) as XattrText).map(([path, values]) => [path, bytes(values)]));
}
