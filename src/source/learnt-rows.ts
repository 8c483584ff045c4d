// What a build has learnt of paths, in columns: a hundred thousand small objects would cost more than the files' digests. Beyond that, in a file that nobody else sees.
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { randomName } from "../base/clock.ts";
import { putStamp, STAMP_FIELDS, type FileStamp } from "./file-stamp.ts";
import type { Xattrs } from "./hash-file.ts";
import { readFully } from "./index-column.ts";
import { errnoOf } from "./read-error.ts";
import { emptyRow, hashOfPath, SHA_BYTES, STAMP_WORDS, type IndexColumn, type IndexRow } from "./stat-index-file.ts";

/** Rows of a part: one that is full is never copied to a larger one. */
const PART_ROWS = 4096;
/** Full parts that stay in memory. */
const KEPT_PARTS = 32;
const STAMP_BYTES = STAMP_WORDS * 4;

interface Part {
  /** Undefined = in the file. */
  memory:
    { readonly paths: string[]; readonly stamps: BigUint64Array<ArrayBuffer>; readonly digests: Buffer } | undefined;
  /** Where in the file, and how many bytes of paths: stamps · digests · path hashes · ends of paths · paths. */
  at: number;
  pathBytes: number;
}

export interface LearntRowsOptions {
  /** The file that rows beyond a number of them are kept in, gone with the process, is made beside this one. */
  readonly beside: string;
  readonly keptParts?: number | undefined;
}

export class LearntRows {
  readonly xattrs: Map<string, Xattrs> = new Map();
  readonly #beside: string;
  readonly #keptParts: number;
  readonly #parts: Part[] = [];
  #count = 0;
  #fd: number | undefined;
  #fileSize = 0;
  #canSpill = true;

  constructor({ beside, keptParts = KEPT_PARTS }: LearntRowsOptions) {
    this.#beside = beside;
    this.#keptParts = keptParts;
  }

  get count(): number {
    return this.#count;
  }

  /** `sha256` "" for directories. */
  add(path: string, stamp: FileStamp, sha256: string, xattrs: Xattrs | undefined): void {
    const row = this.#count++ % PART_ROWS;
    if (row === 0) this.#addPart();
    const { paths, stamps, digests } = this.#parts.at(-1)!.memory!;
    paths.push(path);
    putStamp(stamps, row * STAMP_FIELDS, stamp);
    if (sha256 !== "") digests.write(sha256, row * SHA_BYTES, "hex");
    if (xattrs === undefined) this.xattrs.delete(path);
    else this.xattrs.set(path, xattrs);
  }

  /** In the order of {@link add}; each may be the same object as the one before, valid in `column` only. */
  *rows(column: IndexColumn, lastUse: number): Generator<IndexRow> {
    const one = emptyRow(lastUse);
    let left = this.#count;
    for (const part of this.#parts) {
      const count = Math.min(left, PART_ROWS);
      if (part.memory) yield* memoryRows(part.memory, one);
      else yield* this.#fileRows(part, column, one, count);
      left -= count;
    }
  }

  /** Drops all rows. */
  [Symbol.dispose](): void {
    this.#parts.length = 0;
    this.#count = 0;
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #addPart(): void {
    if (this.#canSpill && this.#parts.length >= this.#keptParts)
      for (const part of this.#parts) if (part.memory) this.#spill(part);
    const stamps = new BigUint64Array(PART_ROWS * STAMP_FIELDS);
    this.#parts.push({
      memory: { paths: [], stamps, digests: Buffer.alloc(PART_ROWS * SHA_BYTES) },
      at: 0,
      pathBytes: 0,
    });
  }

  /** Moves a full part to the file. Where that fails, this and all others stay in memory. */
  #spill(part: Part): void {
    const { paths, stamps, digests } = part.memory!;
    const hashes = Uint32Array.from(paths, hashOfPath);
    let end = 0;
    const ends = Uint32Array.from(paths, (path) => (end += Buffer.byteLength(path)));
    const columns = [stamps, digests, hashes, ends, Buffer.from(paths.join(""))];
    try {
      this.#fd ??= openUnnamed(this.#beside);
      part.at = this.#fileSize;
      for (const column of columns) this.#write(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
      part.pathBytes = end;
      part.memory = undefined;
    } catch (error) {
      if (errnoOf(error) === "") throw error;
      this.#canSpill = false;
    }
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const count = writeSync(this.#fd!, bytes, done, bytes.length - done, this.#fileSize);
      done += count;
      this.#fileSize += count;
    }
  }

  *#fileRows(part: Part, column: IndexColumn, one: IndexRow, count: number): Generator<IndexRow> {
    const digestsAt = part.at + PART_ROWS * STAMP_BYTES;
    const hashesAt = digestsAt + PART_ROWS * SHA_BYTES;
    const endsAt = hashesAt + PART_ROWS * 4;
    const hashes = column === "pathHashes" ? this.#words(hashesAt, PART_ROWS) : NO_WORDS;
    const ends = column === "paths" ? this.#words(endsAt, PART_ROWS) : NO_WORDS;
    const paths = column === "paths" ? this.#bytes(endsAt + PART_ROWS * 4, part.pathBytes) : NO_BYTES;
    one.stamps = column === "stamps" ? this.#words(part.at, PART_ROWS * STAMP_WORDS) : NO_WORDS;
    one.digests = column === "digests" ? this.#bytes(digestsAt, PART_ROWS * SHA_BYTES) : NO_BYTES;
    for (let row = 0; row < count; row++) {
      if (column === "paths") one.path = paths.subarray(row === 0 ? 0 : ends[row - 1]!, ends[row]);
      else if (column === "pathHashes") one.pathHash = hashes[row]!;
      one.stampAt = row * STAMP_WORDS;
      one.digestAt = row * SHA_BYTES;
      yield one;
    }
  }

  #words(at: number, count: number): Uint32Array {
    const bytes = this.#bytes(at, count * 4);
    return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
  }

  #bytes(at: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    if (!readFully(this.#fd!, bytes, at))
      throw Object.assign(new Error(`cannot read what was learnt of ${this.#beside}`), { code: "EIO" });
    return bytes;
  }
}

const NO_WORDS = new Uint32Array(0);
const NO_BYTES = new Uint8Array(0);

function* memoryRows({ paths, stamps, digests }: NonNullable<Part["memory"]>, one: IndexRow): Generator<IndexRow> {
  one.stamps = new Uint32Array(stamps.buffer);
  one.digests = digests;
  for (const [row, path] of paths.entries()) {
    one.path = path;
    one.pathHash = hashOfPath(path);
    one.stampAt = row * STAMP_WORDS;
    one.digestAt = row * SHA_BYTES;
    yield one;
  }
}

/** A new file in the same folder, without a name: it is gone with the process, however that ends. */
function openUnnamed(beside: string): number {
  mkdirSync(dirname(beside), { recursive: true });
  const path = `${beside}.${randomName(6)}.tmp`;
  const fd = openSync(path, "wx+", 0o600);
  rmSync(path);
  return fd;
}
