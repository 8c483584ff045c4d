// A directory of the host as a tree of files: the build context. Nothing is copied and nothing is ever written in it; symlinks are data, so nothing outside the root is read.
// Owners become 0:0 and sockets empty files, as BuildKit's context transfer makes them (reference C09, Q26).
// Looked at at most once per build: two steps that copy the same file see the same state of it. Whether the bytes are still those when they are packed is the packer's check.
import { realpathSync, statSync } from "node:fs";
import { setImmediate as breathe } from "node:timers/promises";
import { nowMs } from "../base/clock.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Entry, FileBytes } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import type { Tree } from "../tree/tree.ts";
import { RowList } from "./file-rows.ts";
import type { HashPoolOptions } from "./hash-pool.ts";
import { HashQueue } from "./hash-queue.ts";
import { LocalFiles, type Ignore } from "./local-files.ts";
import { errnoOf, readError } from "./read-error.ts";
import { StatIndex } from "./stat-index.ts";

export interface LocalCounts {
  /** Directories read. */
  readonly directories: number;
  /** Objects looked at with lstat. */
  readonly entries: number;
  readonly hashedFiles: number;
  readonly hashedBytes: number;
}

export interface LocalTreeOptions {
  /** Path of the directory; may be a symlink to one. */
  readonly root: string;
  readonly ignore?: Ignore;
  /** Where digests are remembered between builds; absent = nowhere. One file per context. */
  readonly indexPath?: string;
  readonly workers?: HashPoolOptions;
  /** Called now and then during a walk, and at its end. */
  readonly onCount?: (counts: LocalCounts) => void;
  /** The clock that the index's age rule uses. */
  readonly nowMs?: () => number;
  /** Paths from which what is known of them is kept in columns: less memory, more time. */
  readonly packedFrom?: number;
  readonly signal?: AbortSignal;
}

type Keep = (path: string, isDirectory: boolean) => "keep" | "skip" | "prune";

/** The event loop gets a turn after so many paths. */
const BREATHE_EVERY = 2_048;

/** Opens the directory `root` as a tree. The caller disposes it, which writes the index. Fails with "source" where `root` is no readable directory. */
export async function openLocalTree(options: LocalTreeOptions): Promise<LocalTree> {
  const root = resolveRoot(options.root);
  return new LocalTree(root, options, await StatIndex.open(options.indexPath));
}

function resolveRoot(root: string): string {
  const help = 'a context is a directory, a git or http(s) URL, or "-" for standard input';
  try {
    const real = realpathSync(root);
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") throw readError("read context", root, error);
    throw new BuildError("source", `unable to prepare context: path "${root}" not found`, { cause: error, help });
  }
  throw new BuildError("source", `unable to prepare context: "${root}" is not a directory`, {
    help: "name the directory that holds the files; a Dockerfile elsewhere is named by -f",
  });
}

/** A local directory; see {@link openLocalTree}. */
export class LocalTree implements Tree, AsyncDisposable {
  /** Real absolute path of the directory. */
  readonly root: string;
  readonly #options: LocalTreeOptions;
  readonly #index: StatIndex;
  readonly #files: LocalFiles;
  readonly #hashing: HashQueue;
  #turn: Promise<void> = Promise.resolve();

  constructor(root: string, options: LocalTreeOptions, index: StatIndex) {
    this.root = root;
    this.#options = options;
    this.#index = index;
    const clock = options.nowMs ?? nowMs;
    const { ignore, packedFrom } = options;
    this.#files = new LocalFiles({ root, ignore, index, nowMs: clock, packedFrom });
    this.#hashing = new HashQueue({ files: this.#files, index, nowMs: clock, workers: options.workers ?? {} });
  }

  get counts(): LocalCounts {
    return { ...this.#files.counts, ...this.#hashing.counts };
  }

  /** As {@link Tree.lstat}; a file's sha256 and attributes are absent until a walk has read it or the index knew it. */
  lstat(path: string): Promise<Entry | undefined> {
    return attempt(() => {
      const row = this.#files.resolve(path);
      return row === undefined ? undefined : this.#files.entryOf(row);
    });
  }

  /** As {@link Tree.readdir}; what is no directory has no names. */
  readdir(path: string): Promise<readonly string[]> {
    return attempt(() => {
      const row = this.#files.resolve(path);
      if (row === undefined || this.#files.entryOf(row)?.type !== "dir") return [];
      const visible = this.#files.list(row).filter((child) => this.#files.isVisible(child));
      return visible.map((child) => this.#files.nameOf(child));
    });
  }

  /** As {@link Tree.walk}; nothing where `path` does not exist. `keep` sees `path` itself too. Fails with "source" where a file cannot be read or keeps changing. */
  async walk(path: string, keep?: Keep): Promise<Sequence<Entry>> {
    // One after the other: the second finds in memory what the first has read, and nothing is hashed twice.
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      return await this.#walk(path, keep);
    } finally {
      resolve();
    }
  }

  locate(entry: Entry): Promise<FileBytes> {
    return Promise.resolve(entry.bytes ?? { kind: "host", path: this.#files.hostPath(entry.path) });
  }

  /** Ends the threads, writes the index if something was learnt, and forgets what was read. Where bytes are can still be asked; anything else is read again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hashing.stop();
    await this.#index.save();
    this.#index.forget();
    this.#files.forget();
  }

  async #walk(path: string, keep: Keep | undefined): Promise<Sequence<Entry>> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const start = this.#files.resolve(path);
    if (start === undefined) return [];
    const stop = (): void => void this.#hashing.stop();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const found = await this.#collect(start, keep);
      await this.#hashing.finish();
      return this.#files.entries(found);
    } catch (error) {
      await this.#hashing.stop();
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
      this.#options.onCount?.(this.counts);
    }
  }

  /** Numbers of what the walk returns, in order; files without a digest are handed to the hashing on the way. */
  async #collect(start: number, keep: Keep | undefined): Promise<Uint32Array> {
    const files = this.#files;
    const found = new RowList();
    // Excluded directories on the way to where we are: they exist only if something below them does.
    const parents: number[] = [];
    const stack = [start];
    for (let visited = 1; stack.length > 0; visited++) {
      if (visited % BREATHE_EVERY === 0) await this.#breathe();
      const row = stack.pop()!;
      const isDirectory = files.isDirectory(row);
      const verdict = keep?.(files.pathOf(row), isDirectory) ?? "keep";
      if ((verdict === "skip" && !isDirectory) || verdict === "prune") continue;
      if (!files.look(row)) continue;
      if (isDirectory && files.entryOf(row)?.type === "dir") pushReversed(stack, files.list(row));
      if (verdict === "skip") continue;
      while (parents.length > 0 && !isBelow(files.pathOf(row), files.pathOf(parents.at(-1)!))) parents.pop();
      if (isDirectory && files.isExcluded(row)) parents.push(row);
      else {
        if (parents.length > 0) for (const parent of parents.splice(0)) found.push(parent);
        found.push(row);
      }
      if (files.stamps.has(row)) this.#hashing.add(row);
      while (this.#hashing.isFull) await this.#hashing.room();
    }
    return found.rows();
  }

  async #breathe(): Promise<void> {
    this.#options.onCount?.(this.counts);
    await breathe();
    this.#options.signal?.throwIfAborted();
  }
}

/** The outcome of synchronous work as a promise. */
async function attempt<T>(work: () => T): Promise<T> {
  return work();
}

function pushReversed(stack: number[], children: readonly number[]): void {
  for (let i = children.length - 1; i >= 0; i--) stack.push(children[i]!);
}

function isBelow(path: string, directory: string): boolean {
  return directory === "" || path.startsWith(`${directory}/`);
}
