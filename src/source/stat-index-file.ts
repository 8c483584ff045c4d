// The file of a stat index, by columns: read and written without a string or an object for each path, because there may be a million of them.
// Little-endian: magic (16) · checksum of all that follows (8) · row count, generation, bytes of paths, bytes of xattrs (4 × u32) · rows (6 × u64: the stamp)
// · generation of last use · end of the path among the paths · hash of the path (u32 each) · sha256 (32 each) · paths · xattrs as JSON.
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import type { XXHashAPI } from "xxhash-wasm";
import { replaceFile } from "../base/fs-atomic.ts";
import type { Xattrs } from "./hash-file.ts";
import { STAMP_FIELDS } from "./file-stamp.ts";
import { Column, readFully } from "./index-column.ts";

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

export type IndexColumn = "stamps" | "lastUse" | "paths" | "pathHashes" | "digests";

/** A row to be written. */
export interface IndexRow {
  path: string | Uint8Array;
  pathHash: number;
  /** Where the stamp is, and from which word on. */
  stamps: Uint32Array;
  stampAt: number;
  /** Where the digest is, and from which byte on. */
  digests: Uint8Array;
  digestAt: number;
  /** Generation of its last use. */
  lastUse: number;
}

/** A row in which nothing is set but when it was used. */
export function emptyRow(lastUse: number): IndexRow {
  return { path: "", pathHash: 0, stamps: NO_WORDS, stampAt: 0, digests: NO_BYTES, digestAt: 0, lastUse };
}

const NO_WORDS = new Uint32Array(0);
const NO_BYTES = new Uint8Array(0);

export interface IndexContent {
  readonly generation: number;
  readonly count: number;
  readonly pathBytes: number;
  /** The rows, as often as it is called; each may be the same object as the one before, and is asked for `column` only. */
  readonly rows: (column: IndexColumn) => Iterable<IndexRow>;
  readonly xattrs: Readonly<Record<string, Xattrs>>;
}

/** For tables in memory: FNV-1a over UTF-16 units, then mixed, since tables look at the low bits. */
export function hashOfPath(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Bytes of an index that is read into memory as a whole: one of a hundred thousand files. */
const MAX_IN_MEMORY = 24 * 1024 * 1024;

/** The rows of an index file. A long one stays open, and is read as rows are asked for. */
export class StoredIndex {
  readonly count: number;
  readonly generation: number;
  readonly lastUse: Uint32Array;
  readonly pathHashes: Uint32Array;
  readonly xattrs: ReadonlyMap<string, Xattrs>;
  readonly #fd: number | undefined;
  readonly #pathEnds: Uint32Array;
  readonly #stamps: Column;
  readonly #digests: Column;
  readonly #paths: Column;
  /** Hex of all digests of an index in memory: slices of it cost no copy. */
  readonly #hex: string | undefined;
  /** Open addressing by path hash: number of the row + 1, 0 = free. */
  readonly #table: Int32Array;

  /** An index without a row. */
  static readonly empty: StoredIndex = new StoredIndex(Buffer.alloc(HEADER));

  /** The index at `path`; undefined where there is none, or it is damaged or of another version. The caller closes it. */
  static async open(path: string, maxInMemory: number = MAX_IN_MEMORY): Promise<StoredIndex | undefined> {
    const fd = openSync(path, "r");
    let isOpen = false;
    try {
      const { size } = fstatSync(fd);
      const isLong = size > maxInMemory;
      const data = Buffer.allocUnsafeSlow(isLong ? HEADER : size);
      if (!readFully(fd, data, 0) || !(await isWhole(fd, data, size))) return undefined;
      isOpen = isLong;
      return new StoredIndex(data, isLong ? fd : undefined);
    } finally {
      if (!isOpen) closeSync(fd);
    }
  }

  /** `data`: the file, or its header where `fd` is given. */
  private constructor(data: Buffer, fd?: number) {
    const count = data.readUInt32LE(24);
    let end = HEADER;
    const skip = (size: number): number => (end += size) - size;
    const read = (size: number): Buffer => bytesOf(data, fd, skip(size), size);
    const column = (size: number): Column =>
      fd === undefined ? Column.inMemory(read(size)) : Column.inFile(fd, skip(size));
    this.count = count;
    this.#fd = fd;
    this.generation = data.readUInt32LE(28);
    this.#stamps = column(count * STAMP_WORDS * 4);
    this.lastUse = words(read(count * 4));
    this.#pathEnds = words(read(count * 4));
    this.pathHashes = words(read(count * 4));
    this.#digests = column(count * SHA_BYTES);
    this.#hex = fd === undefined ? this.#digests.bytes.toString("hex") : undefined;
    this.#paths = column(data.readUInt32LE(32));
    const xattrs = read(data.readUInt32LE(36));
    this.xattrs = xattrs.length === 0 ? new Map() : decodeXattrs(xattrs.toString("utf8"));
    this.#table = tableOf(this.pathHashes);
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }

  /** sha256 in hex. */
  digestOf(row: number): string {
    if (this.#hex !== undefined) return this.#hex.slice(row * SHA_BYTES * 2, (row + 1) * SHA_BYTES * 2);
    this.#digests.seek(row * SHA_BYTES, SHA_BYTES);
    const { bytes, offset } = this.#digests;
    return bytes.toString("hex", offset, offset + SHA_BYTES);
  }

  /** Sets what `column` is about in `to`, valid until another row is asked for. */
  fill(to: IndexRow, row: number, column: IndexColumn): void {
    if (column === "paths") {
      const start = this.#seekPath(row);
      to.path = this.#paths.bytes.subarray(start, start + this.#pathLength(row));
    } else if (column === "pathHashes") to.pathHash = this.pathHashes[row]!;
    else if (column === "stamps") {
      this.#stamps.seek(row * STAMP_WORDS * 4, STAMP_WORDS * 4);
      to.stamps = this.#stamps.words;
      to.stampAt = this.#stamps.offset / 4;
    } else if (column === "digests") {
      this.#digests.seek(row * SHA_BYTES, SHA_BYTES);
      to.digests = this.#digests.bytes;
      to.digestAt = this.#digests.offset;
    }
  }

  #pathStart(row: number): number {
    return row === 0 ? 0 : this.#pathEnds[row - 1]!;
  }

  #pathLength(row: number): number {
    return this.#pathEnds[row]! - this.#pathStart(row);
  }

  /** Where in the bytes of the column the path of a row starts. */
  #seekPath(row: number): number {
    this.#paths.seek(this.#pathStart(row), this.#pathLength(row));
    return this.#paths.offset;
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
    const length = this.#pathLength(row);
    // Fewer bytes than units cannot be.
    if (length < path.length) return false;
    const start = this.#seekPath(row);
    const { bytes } = this.#paths;
    // More bytes than units: not all of it is ASCII.
    if (length !== path.length) return bytes.toString("utf8", start, start + length) === path;
    for (let i = 0; i < length; i++) if (bytes[start + i] !== path.charCodeAt(i)) return false;
    return true;
  }

  #hasStamp(row: number, stamp: Uint32Array | undefined): boolean {
    if (stamp === undefined) return true;
    this.#stamps.seek(row * STAMP_WORDS * 4, STAMP_WORDS * 4);
    const { words: known, offset } = this.#stamps;
    const start = offset / 4;
    for (let word = 0; word < STAMP_WORDS; word++) if (stamp[word] !== known[start + word]) return false;
    return true;
  }
}

/** Whether the file of `size` bytes that starts with `data` is an index and its checksum holds. */
async function isWhole(fd: number, data: Buffer, size: number): Promise<boolean> {
  if (data.length < HEADER || data.toString("latin1", 0, MAGIC.length) !== MAGIC) return false;
  const hash = await hashFor(size);
  if (data.length === size) hash.update(data.subarray(HASHED_FROM));
  else {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_SIZE);
    for (let at = HASHED_FROM; at < size; at += chunk.length) {
      const part = chunk.subarray(0, size - at);
      if (!readFully(fd, part, at)) return false;
      hash.update(part);
    }
  }
  if (data.readBigUInt64LE(MAGIC.length) !== hash.digest()) return false;
  return size === HEADER + data.readUInt32LE(24) * ROW_BYTES + data.readUInt32LE(32) + data.readUInt32LE(36);
}

/** Bytes of the file, of which `data` is all or, where `fd` is given, the header. */
function bytesOf(data: Buffer, fd: number | undefined, start: number, size: number): Buffer {
  if (fd === undefined) return data.subarray(start, start + size);
  const bytes = Buffer.alloc(size);
  if (!readFully(fd, bytes, start)) bytes.fill(0);
  return bytes;
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
    for (const { stamps, stampAt } of rows("stamps")) out.words(stamps, stampAt, STAMP_WORDS);
    for (const { lastUse } of rows("lastUse")) out.number(lastUse);
    let end = 0;
    for (const { path: one } of rows("paths")) out.number((end += byteLength(one)));
    for (const { pathHash } of rows("pathHashes")) out.number(pathHash);
    for (const { digests, digestAt } of rows("digests")) out.bytes(digests, digestAt, SHA_BYTES);
    for (const { path: one } of rows("paths")) out.text(one);
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
