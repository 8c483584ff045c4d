// Worker threads that hash files, so that the cores share the work and the event loop stays free. Started by the first batch; see hash-worker.ts for what a batch does.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { InternalError } from "../base/assert.ts";
import { putStamp, STAMP_FIELDS, type FileStamp } from "./file-stamp.ts";
import type { HashReply, HashRequest } from "./hash-worker.ts";

export interface UnhashedFile {
  /** On the host. */
  readonly path: string;
  /** The state that the caller has seen. */
  readonly stamp: FileStamp;
}

export interface HashPoolOptions {
  /** Threads; default: one less than the CPUs that we may use, since the caller has one, and at most 4. */
  readonly threads?: number;
  /** Where hash-worker is; the default fits the sources and the bundle that bin/bundle.ts makes. */
  readonly url?: URL;
}

const MAX_THREADS = 4;
const DEFAULT_URL: URL = import.meta.url.endsWith(".ts")
  ? new URL("./hash-worker.ts", import.meta.url)
  : new URL("./source/hash-worker.js", import.meta.url);

/** How many threads a pool of these options has at most. */
export function threadsOf({ threads }: HashPoolOptions): number {
  return threads ?? Math.max(1, Math.min(availableParallelism() - 1, MAX_THREADS));
}

interface Thread {
  readonly worker: Worker;
  /** Batches that it has not answered. */
  load: number;
}

interface Waiting {
  readonly thread: Thread;
  readonly resolve: (files: HashReply["files"]) => void;
  readonly reject: (error: unknown) => void;
}

/** Hashes batches of files on threads. The caller disposes; batches that are still under way then fail. */
export class HashPool implements AsyncDisposable {
  readonly #options: HashPoolOptions;
  readonly #threads: Thread[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor(options: HashPoolOptions = {}) {
    this.#options = options;
  }

  /** Digests of `files`, in order, or the reason why one could not be read. */
  hash(files: readonly UnhashedFile[]): Promise<HashReply["files"]> {
    const thread = this.#idlest();
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<HashReply["files"]>();
    this.#waiting.set(id, { thread, resolve, reject });
    thread.load++;
    thread.worker.ref();
    const stamps = new BigUint64Array(files.length * STAMP_FIELDS);
    files.forEach(({ stamp }, index) => putStamp(stamps, index * STAMP_FIELDS, stamp));
    const request: HashRequest = { id, paths: files.map(({ path }) => path), stamps };
    thread.worker.postMessage(request, [stamps.buffer]);
    return promise;
  }

  #idlest(): Thread {
    const limit = threadsOf(this.#options);
    const best = this.#threads.toSorted((a, b) => a.load - b.load)[0];
    if (best !== undefined && (best.load === 0 || this.#threads.length >= limit)) return best;
    const worker = new Worker(this.#options.url ?? DEFAULT_URL, {
      name: "tsbuild-hash",
      // What a batch needs: without limits each thread grows to what V8 thinks the machine can spare.
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 },
    });
    const thread: Thread = { worker, load: 0 };
    worker.on("message", (reply: HashReply) => this.#answer(reply));
    worker.on("error", (error) => this.#fail(thread, error));
    worker.on("exit", () => this.#fail(thread, new InternalError("a hash worker ended early")));
    this.#threads.push(thread);
    return thread;
  }

  #answer({ id, files }: HashReply): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    // An idle thread must not keep the process alive.
    if (--waiting.thread.load === 0) waiting.thread.worker.unref();
    waiting.resolve(files);
  }

  #fail(thread: Thread, error: unknown): void {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.thread !== thread) continue;
      this.#waiting.delete(id);
      waiting.reject(error);
    }
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}
