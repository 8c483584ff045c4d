// What a context's files were when they were last hashed: path → stat fields → sha256 and extended attributes. A file whose stat fields are unchanged is not read again.
// One binary file, read whole and replaced whole (architecture §3). Damage, another version or no file at all is an empty index, never an error.
// It does not decide what is walked or hashed; see local.ts.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Xattrs } from "./hash-file.ts";
import { putStamp, STAMP_FIELDS, type FileStamp } from "./file-stamp.ts";
import { errnoOf } from "./read-error.ts";
import { LearntRows } from "./learnt-rows.ts";
import {
  byteLength,
  emptyRow,
  StoredIndex,
  writeIndexFile,
  type IndexColumn,
  type IndexRow,
} from "./stat-index-file.ts";

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

export interface StatIndexOptions {
  /** Bytes of a file that is read as a whole; tests set it lower. */
  readonly maxInMemory?: number;
  /** Rows that were learnt and stay in memory, by 4,096. */
  readonly keptParts?: number;
}

/** The index of one context, in memory as far as it is not long. `save` writes it back; two processes may do so, the last one wins. */
export class StatIndex {
  readonly #path: string | undefined;
  #old: StoredIndex;
  /** Per old row: what this build has found of it. */
  readonly #fates: Uint8Array;
  readonly #learnt: LearntRows | undefined;
  readonly #probe = new BigUint64Array(STAMP_FIELDS);
  readonly #probeWords = new Uint32Array(this.#probe.buffer);

  private constructor(path: string | undefined, old: StoredIndex, { keptParts }: StatIndexOptions) {
    this.#path = path;
    this.#old = old;
    this.#fates = new Uint8Array(old.count);
    this.#learnt = path === undefined ? undefined : new LearntRows({ beside: path, keptParts });
  }

  /** Reads the index at `path`; without a path it lives only in memory. */
  static async open(path: string | undefined, options: StatIndexOptions = {}): Promise<StatIndex> {
    const old = path === undefined ? undefined : await openIfReadable(path, options.maxInMemory);
    return new StatIndex(path, old ?? StoredIndex.empty, options);
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
    const sha256 = this.#old.digestOf(row);
    return xattrs === undefined ? { sha256 } : { sha256, xattrs };
  }

  /** Remembers what was read of `path` at `readAtMs`, unless it changed so shortly before that a later change could look the same. */
  record(path: string, stamp: FileStamp, known: KnownFile, readAtMs: number): void {
    if (isRacy(stamp, readAtMs)) return;
    const row = this.#old.rowOf(path, undefined);
    if (row >= 0) this.#fates[row] = REPLACED;
    this.#learnt?.add(path, stamp, known.sha256, known.xattrs);
  }

  /** Writes what was learnt; nothing where nothing was. A store that cannot be written only costs the next build time. */
  async save(): Promise<void> {
    if (this.#path === undefined || !this.#learnt || this.#learnt.count === 0) return;
    const generation = this.#old.generation + 1;
    const rows = (column: IndexColumn): Iterable<IndexRow> => this.#rows(generation, column);
    try {
      let [count, pathBytes] = [0, 0];
      for (const { path } of rows("paths")) {
        count++;
        pathBytes += byteLength(path);
      }
      mkdirSync(dirname(this.#path), { recursive: true });
      await writeIndexFile(this.#path, { generation, count, pathBytes, rows, xattrs: this.#xattrs(generation) });
    } catch (error) {
      if (errnoOf(error) === "") throw error;
    }
  }

  /** Drops all that is known. */
  forget(): void {
    this.#old[Symbol.dispose]();
    this.#old = StoredIndex.empty;
    this.#learnt?.[Symbol.dispose]();
  }

  /** Old rows that are still of use, then the new ones. */
  *#rows(now: number, column: IndexColumn): Generator<IndexRow> {
    const old = emptyRow(now);
    for (let row = 0; row < this.#old.count; row++) {
      if (!this.#isKept(row, now)) continue;
      this.#old.fill(old, row, column);
      old.lastUse = this.#lastUse(row, now);
      yield old;
    }
    yield* this.#learnt?.rows(column, now) ?? [];
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
    return Object.assign(kept, Object.fromEntries(this.#learnt?.xattrs ?? []));
  }
}

const USED = 1;
const REPLACED = 2;

async function openIfReadable(path: string, maxInMemory: number | undefined): Promise<StoredIndex | undefined> {
  try {
    return await StoredIndex.open(path, maxInMemory);
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
