// Gets the digests of a tree's files: a few here, many on threads while the walk goes on, with what is under way bounded.
// A file that changes while it is read gets a second chance; see hash-file.ts for how that is noticed.
import { setImmediate as breathe } from "node:timers/promises";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { hashFile, READ_SIZE, type HashedFile } from "./hash-file.ts";
import { HashPool, threadsOf, type HashPoolOptions } from "./hash-pool.ts";
import type { UnreadFile } from "./hash-worker.ts";
import { hashedFile, withXattrs, type LocalFiles } from "./local-files.ts";
import { errnoOf, readError } from "./read-error.ts";
import type { StatIndex } from "./stat-index.ts";

export interface HashQueueOptions {
  readonly files: LocalFiles;
  readonly index: StatIndex;
  readonly nowMs: () => number;
  readonly workers: HashPoolOptions;
}

/** Less than this is hashed here: a thread costs 20–30 ms to start. */
const BATCH_FILES = 256;
const BATCH_BYTES = 8 * 1024 * 1024;
/** Batches that a thread has before the walk waits: enough to be busy while this thread hashes one itself. */
const RUNNING_PER_THREAD = 3;
/** What the system says of a file that was replaced or removed after it was seen. */
const CHANGED = new Set(["", "ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "ESTALE"]);

/** Hashes files that have a stamp, and gives their entries the digest. */
export class HashQueue {
  readonly counts: { hashedFiles: number; hashedBytes: number } = { hashedFiles: 0, hashedBytes: 0 };
  readonly #options: HashQueueOptions;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #batch: number[] = [];
  #batchBytes = 0;
  #pool: HashPool | undefined;
  #buffer: Buffer | undefined;

  constructor(options: HashQueueOptions) {
    this.#options = options;
  }

  add(row: number): void {
    this.#batch.push(row);
    this.#batchBytes += Number(this.#options.files.stamps.get(row)?.size ?? 0);
    if (this.isFull && !this.#isBusy) this.#submit();
  }

  get #isBusy(): boolean {
    return this.#running.size >= RUNNING_PER_THREAD * threadsOf(this.#options.workers);
  }

  /** Whether {@link room} has to be called before more is added. */
  get isFull(): boolean {
    return this.#batch.length >= BATCH_FILES || this.#batchBytes >= BATCH_BYTES;
  }

  /** Waits until more may be added, and rather than wait hashes a batch here: the walk has a core, and a thread less is 15 MB less. Throws the first failure. */
  async room(): Promise<void> {
    // Unless there is a big file in it, for which the event loop would stand still.
    if (this.#batchBytes < 2 * BATCH_BYTES) this.#hashBatchHere();
    else await Promise.race(this.#running);
    if (this.isFull && !this.#isBusy) this.#submit();
    // What the threads have answered meanwhile is taken.
    await breathe();
    this.#throwFailure();
  }

  /** Waits for all that was added, and ends the threads: what follows a long walk needs their memory more. Throws the first failure. */
  async finish(): Promise<void> {
    if (this.#running.size > 0 && this.#batch.length > 0) this.#submit();
    this.#hashBatchHere();
    await Promise.all(this.#running);
    const pool = this.#pool;
    this.#pool = undefined;
    await pool?.[Symbol.asyncDispose]();
    this.#throwFailure();
  }

  /** Drops what is under way and ends the threads; the queue can be used again. */
  async stop(): Promise<void> {
    const pool = this.#pool;
    this.#pool = undefined;
    this.#batch = [];
    this.#batchBytes = 0;
    await pool?.[Symbol.asyncDispose]();
    await Promise.all(this.#running);
    this.#failure = undefined;
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure.error;
  }

  #submit(): void {
    const work = this.#hashOnThreads(this.#batch)
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#running.delete(work));
    this.#running.add(work);
    this.#batch = [];
    this.#batchBytes = 0;
  }

  async #hashOnThreads(rows: readonly number[]): Promise<void> {
    const { files, nowMs, workers } = this.#options;
    this.#pool ??= new HashPool(workers);
    const readAtMs = nowMs();
    const stamped = rows.map((row) => ({ path: files.hostPath(files.pathOf(row)), stamp: files.stamps.get(row)! }));
    const outcomes = await this.#pool.hash(stamped);
    rows.forEach((row, index) => this.#settle(row, outcomes[index]!, readAtMs, false));
  }

  #hashBatchHere(): void {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    for (const row of batch) this.#hashHere(row, false);
  }

  #hashHere(row: number, isRetry: boolean): void {
    const readAtMs = this.#options.nowMs();
    this.#settle(row, this.#tryHash(row), readAtMs, isRetry);
  }

  #tryHash(row: number): HashedFile | UnreadFile {
    const { files } = this.#options;
    this.#buffer ??= Buffer.allocUnsafeSlow(READ_SIZE);
    try {
      const hashed = hashFile(files.hostPath(files.pathOf(row)), files.stamps.get(row)!, this.#buffer);
      return hashed ?? { code: "", message: "it changed" };
    } catch (error) {
      if (errnoOf(error) === "") throw error;
      return { code: errnoOf(error), message: messageOf(error) };
    }
  }

  /** Takes over a file's digest. One that was changing gets a second chance; one that has gone was never there. */
  #settle(row: number, outcome: HashedFile | UnreadFile, readAtMs: number, isRetry: boolean): void {
    const { files, index } = this.#options;
    const path = files.pathOf(row);
    if ("sha256" in outcome) {
      const entry = files.entryOf(row)!;
      this.counts.hashedFiles++;
      this.counts.hashedBytes += entry.size;
      files.setEntry(row, withXattrs(hashedFile(entry, outcome.sha256), outcome.xattrs));
      index.record(path, files.stamps.get(row)!, outcome, readAtMs);
      files.stamps.delete(row);
      return;
    }
    if (!CHANGED.has(outcome.code))
      throw readError("read", path, Object.assign(new Error(outcome.message), { code: outcome.code }));
    files.setEntry(row, undefined);
    files.stamps.delete(row);
    if (!files.look(row)) return;
    if (isRetry || !files.stamps.has(row))
      throw new BuildError("source", `file "${path}" changed while it was read`, {
        help: "stop what writes to it during the build, or name it in .dockerignore",
      });
    this.#hashHere(row, true);
  }
}
