// What a context's files were when they were last hashed: path → stat fields → sha256 and extended attributes. A file whose stat fields are unchanged is not read again.
// One binary file, read whole and replaced whole (architecture §3). Damage, another version or no file at all is an empty index, never an error.
// It does not decide what is walked or hashed; see local.ts.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { readFileIfExists } from "../base/fs-atomic.ts";
import type { Xattrs } from "./hash-file.ts";
import { putStamp, STAMP_FIELDS, type FileStamp } from "./file-stamp.ts";
import { errnoOf } from "./read-error.ts";
import { byteLength, hashOfPath, SHA_BYTES, StoredIndex, writeIndexFile, type IndexRow } from "./stat-index-file.ts";

/** What is known of an unchanged path. */
export interface KnownFile {
  /** "" for directories. */
  readonly sha256: string;
  readonly xattrs?: Xattrs;
}

/** A path that nobody asked for in this many rewrites is dropped: it was deleted, or belongs to a build that is no longer run. */
const KEPT_GENERATIONS = 20;
/**
 * A change within one tick of the file system's clock leaves no trace in the times. So what was hashed this soon after its last change is not remembered
 * (git's racily-clean rule, per file). Kernels tick every 1–10 ms; file systems that count whole seconds show it by times without a fraction.
 */
const RACY_NS = 50_000_000n;
const RACY_COARSE_NS = 2_100_000_000n;
const SECOND_NS = 1_000_000_000n;

/** The index of one context, in memory. `save` writes it back; two processes may do so, the last one wins. */
export class StatIndex {
  readonly #path: string | undefined;
  #old: StoredIndex;
  /** Per old row: what this build has found of it. */
  readonly #fates: Uint8Array;
  /** Hex of all old digests in one string: slices of it cost no copy. */
  readonly #oldDigests: string;
  #added = new Added();
  readonly #probe = new BigUint64Array(STAMP_FIELDS);
  readonly #probeWords = new Uint32Array(this.#probe.buffer);

  private constructor(path: string | undefined, old: StoredIndex) {
    this.#path = path;
    this.#old = old;
    this.#fates = new Uint8Array(old.count);
    this.#oldDigests = old.digests.toString("hex");
  }

  /** Reads the index at `path`; without a path it lives only in memory. */
  static async open(path: string | undefined): Promise<StatIndex> {
    const data = path === undefined ? undefined : readIfReadable(path);
    return new StatIndex(path, (data && (await StoredIndex.read(data))) ?? StoredIndex.empty);
  }

  /** Number of paths in the file that was read. */
  get size(): number {
    return this.#old.count;
  }

  /** What is known of `path` if it still has these stat fields. */
  find(path: string, stamp: FileStamp): KnownFile | undefined {
    if (this.#old.count === 0) return undefined;
    putStamp(this.#probe, 0, stamp);
    const row = this.#old.rowOf(path, this.#probeWords);
    if (row < 0) return undefined;
    this.#fates[row] = USED;
    const xattrs = this.#old.xattrs.size === 0 ? undefined : this.#old.xattrs.get(path);
    const sha256 = this.#oldDigests.slice(row * SHA_BYTES * 2, (row + 1) * SHA_BYTES * 2);
    return xattrs === undefined ? { sha256 } : { sha256, xattrs };
  }

  /** Remembers what was read of `path` at `readAtMs`, unless it changed so shortly before that a later change could look the same. */
  record(path: string, stamp: FileStamp, known: KnownFile, readAtMs: number): void {
    if (isRacy(stamp, readAtMs)) return;
    const row = this.#old.rowOf(path, undefined);
    if (row >= 0) this.#fates[row] = REPLACED;
    this.#added.add(path, stamp, known);
  }

  /** Writes what was learnt; nothing where nothing was. A store that cannot be written only costs the next build time. */
  async save(): Promise<void> {
    if (this.#path === undefined || this.#added.paths.length === 0) return;
    const generation = this.#old.generation + 1;
    const rows = (): Iterable<IndexRow> => this.#rows(generation);
    let [count, pathBytes] = [0, 0];
    for (const { path } of rows()) {
      count++;
      pathBytes += byteLength(path);
    }
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      await writeIndexFile(this.#path, { generation, count, pathBytes, rows, xattrs: this.#xattrs(generation) });
    } catch (error) {
      if (errnoOf(error) === "") throw error;
    }
  }

  /** Drops all that is known. */
  forget(): void {
    this.#old = StoredIndex.empty;
    this.#added = new Added();
  }

  /** Old rows that are still of use, then the new ones. */
  *#rows(now: number): Generator<IndexRow> {
    const { count, stamps, digests, pathHashes } = this.#old;
    const old: IndexRow = { path: "", pathHash: 0, stamps, digests, row: 0, lastUse: now };
    for (let row = 0; row < count; row++) {
      if (!this.#isKept(row, now)) continue;
      old.path = this.#old.pathBytes(row);
      old.pathHash = pathHashes[row]!;
      old.row = row;
      old.lastUse = this.#lastUse(row, now);
      yield old;
    }
    yield* this.#added.rows(now);
  }

  #isKept(row: number, now: number): boolean {
    return this.#fates[row] !== REPLACED && now - this.#lastUse(row, now) <= KEPT_GENERATIONS;
  }

  #lastUse(row: number, now: number): number {
    return this.#fates[row] === USED ? now : this.#old.lastUse[row]!;
  }

  #xattrs(now: number): Record<string, Xattrs> {
    const kept: Record<string, Xattrs> = {};
    for (const [path, xattrs] of this.#old.xattrs) {
      const row = this.#old.rowOf(path, undefined);
      if (row >= 0 && this.#isKept(row, now)) kept[path] = xattrs;
    }
    return Object.assign(kept, Object.fromEntries(this.#added.xattrs));
  }
}

const USED = 1;
const REPLACED = 2;

/** Rows of a part of {@link Added}: one that is full is never copied to a larger one. */
const PART_ROWS = 4096;

interface Part {
  readonly stamps: BigUint64Array<ArrayBuffer>;
  readonly digests: Buffer;
}

/** What this build has learnt, in columns: a hundred thousand small objects would cost more than the files' digests. */
class Added {
  readonly paths: string[] = [];
  readonly xattrs = new Map<string, Xattrs>();
  readonly #parts: Part[] = [];

  add(path: string, stamp: FileStamp, { sha256, xattrs }: KnownFile): void {
    const row = this.paths.length % PART_ROWS;
    if (row === 0)
      this.#parts.push({
        stamps: new BigUint64Array(PART_ROWS * STAMP_FIELDS),
        digests: Buffer.alloc(PART_ROWS * SHA_BYTES),
      });
    this.paths.push(path);
    const { stamps, digests } = this.#parts.at(-1)!;
    putStamp(stamps, row * STAMP_FIELDS, stamp);
    if (sha256 !== "") digests.write(sha256, row * SHA_BYTES, "hex");
    if (xattrs === undefined) this.xattrs.delete(path);
    else this.xattrs.set(path, xattrs);
  }

  *rows(now: number): Generator<IndexRow> {
    for (const [index, { stamps, digests }] of this.#parts.entries()) {
      const words = new Uint32Array(stamps.buffer);
      const one: IndexRow = { path: "", pathHash: 0, stamps: words, digests, row: 0, lastUse: now };
      const first = index * PART_ROWS;
      for (let row = 0; row < PART_ROWS && first + row < this.paths.length; row++) {
        one.path = this.paths[first + row]!;
        one.pathHash = hashOfPath(one.path);
        one.row = row;
        yield one;
      }
    }
  }
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
