// The store: everything that survives a build, in one place. Opening is cheap, so that a build in which nothing changed pays next to nothing;
// what only real work needs (locks, leases, garbage collection) is loaded when it is first asked for.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestHex, digestOf } from "../oci/digest.ts";
import { BoundedFolder } from "./bounded-folder.ts";
import type { AcquiredCacheMount, CacheMountOptions, CachePool } from "./cache-mounts.ts";
import type { CacheUsage } from "./cache-entries.ts";
import { ContentStore } from "./content.ts";
import { Database } from "./database.ts";
import type { PruneOptions, PruneResult } from "./gc.ts";
import { ImageTable } from "./images.ts";
import { LayerTable } from "./layers.ts";
import { makeLayout, storePaths, type StorePaths } from "./layout.ts";
import type { Lease } from "./leases.ts";
import type { Lock, LockOptions } from "./locks.ts";
import type { Room } from "./room.ts";
import { StepLog } from "./logs.ts";
import { RecordTable } from "./records.ts";
import type { GcContext } from "./removal.ts";
import type { RemoveResult } from "./remove-named.ts";
import type { DiskUsage } from "./usage.ts";

export interface StoreOptions {
  readonly onNotice: (message: string) => void;
  /** "read" changes nothing on the disk and sees an absent store as an empty one. Default "write". */
  readonly mode?: "write" | "read";
  /** Bytes that everything below the root may take; goes before what `config.json` says. */
  readonly maxSize?: number;
}

export interface CacheMountReader {
  /** See {@link CachePool}. */
  list(ids: readonly string[]): readonly CachePool[];
  /** The caller disposes; undefined where somebody has it for himself. */
  open(pool: string): (Disposable & { readonly path: string }) | undefined;
}

/** Opens the store at `root` (absolute), which is made if it is missing. Fails with "store". The caller disposes. */
export function openStore(root: string, options: StoreOptions): Store {
  return new Store(root, options);
}

/** An open store. Any number of processes may have the same one open. */
export class Store implements Disposable {
  readonly paths: StorePaths;
  readonly content: ContentStore;
  readonly layers: LayerTable;
  readonly records: RecordTable;
  readonly images: ImageTable;
  /** What builds were like; their format is the engine's business. */
  readonly builds: BoundedFolder;
  /** Which files steps saw. */
  readonly fileLists: BoundedFolder;
  readonly #database: Database;
  readonly #onNotice: (message: string) => void;
  readonly #maxSize: number | undefined;

  constructor(root: string, options: StoreOptions) {
    const { onNotice, mode = "write" } = options;
    const paths = storePaths(root);
    if (mode === "write") makeLayout(paths);
    // A database that was deleted or damaged starts empty, but the names of images are in index.json as well.
    let isEmpty = mode === "write" && !existsSync(paths.database);
    let recover = (): void => {
      isEmpty = true;
    };
    this.paths = paths;
    this.#onNotice = onNotice;
    this.#maxSize = options.maxSize;
    this.content = new ContentStore(paths);
    this.builds = new BoundedFolder({ path: paths.builds, maxFiles: 200, maxBytes: 16 << 20 });
    this.fileLists = new BoundedFolder({ path: paths.fileLists, maxFiles: 500, maxBytes: 32 << 20 });
    this.#database = new Database({
      path: paths.database,
      mutexPath: join(paths.locks, "rebuild.db"),
      mode,
      onNotice,
      onRebuilt: () => {
        recover();
      },
    });
    const database = this.#database;
    this.layers = new LayerTable({ database, paths });
    this.records = new RecordTable(database);
    this.images = new ImageTable({ database, content: this.content, root });
    if (mode === "write") this.content.initialize();
    recover = () => {
      this.images.recover();
    };
    if (isEmpty) recover();
  }

  /**
   * Runs `work` (synchronous, on this store's tables) alone among all writers of all processes; it happens wholly or not at all.
   * A new layer is created and pinned in one such step, so that no garbage collector gets in between.
   */
  transaction<T>(work: () => T): T {
    return this.#database.transaction(work);
  }

  /** Writes down what was used. Disposing does it as well. */
  flush(): void {
    this.#database.flush();
  }

  /** Waits for the lock called `name`, any text; the same name is the same lock in every process. */
  async lock(name: string, options: LockOptions): Promise<Lock> {
    const { acquireLock } = await import("./locks.ts");
    return acquireLock(join(this.paths.locks, digestHex(digestOf(name)).slice(0, 32)), options);
  }

  /** A lease for a build, a pull or a run (`kind`). The caller disposes. */
  async openLease(options: { readonly kind: string }): Promise<Lease> {
    this.#needWriting();
    const { openLease } = await import("./leases.ts");
    return openLease({
      kind: options.kind,
      paths: this.paths,
      database: this.#database,
      content: this.content,
      onNotice: this.#onNotice,
    });
  }

  /**
   * The ceiling for a lease's build: of the store's own options, else of its `config.json`; undefined where there is none. Dispose it after the lease, so that
   * what was pinned can go.
   */
  async openRoom(lease: string, options: { readonly signal: AbortSignal }): Promise<Room | undefined> {
    const { readSettings } = await import("./settings.ts");
    const maxSize = this.#maxSize ?? readSettings(this.paths.root).cacheMaxSize;
    if (maxSize === undefined) return undefined;
    const { Room } = await import("./room.ts");
    const { signal } = options;
    return new Room({ context: this.#gcContext(), maxSize, lease, onNotice: this.#onNotice, signal });
  }

  /** Removes what dead processes left; `reap` ends what runs or is mounted in a dead build's lease directory. Returns how much there was. */
  async sweep(reap: (directory: string) => Promise<void>): Promise<number> {
    this.#needWriting();
    const { sweep } = await import("./sweep.ts");
    return sweep({ paths: this.paths, database: this.#database, reap, onNotice: this.#onNotice });
  }

  async acquireCacheMount(options: CacheMountOptions): Promise<AcquiredCacheMount> {
    this.#needWriting();
    const { acquireCacheMount } = await import("./cache-mounts.ts");
    return acquireCacheMount({ database: this.#database, paths: this.paths }, options);
  }

  /** Reads cache mounts, for who takes them elsewhere. */
  async cacheMountReader(): Promise<CacheMountReader> {
    const { listPools, readPool } = await import("./cache-mounts.ts");
    const context = { database: this.#database, paths: this.paths };
    return { list: (ids) => listPools(context, ids), open: (pool) => readPool(context, pool) };
  }

  /** The complete log of one step. The caller disposes. */
  openStepLog(build: string, step: string): StepLog {
    return new StepLog({ paths: this.paths, build, step, onNotice: this.#onNotice });
  }

  async diskUsage(): Promise<DiskUsage> {
    const { measureUsage } = await import("./usage.ts");
    return measureUsage(this.#gcContext());
  }

  /** Everything in the store, described; `filters` as of `prune`. */
  async cacheUsage(filters: readonly string[] = []): Promise<CacheUsage> {
    const [{ measureUsage }, { describeUsage }] = await Promise.all([
      import("./usage.ts"),
      import("./cache-entries.ts"),
    ]);
    const context = this.#gcContext();
    const usage = describeUsage(context, await measureUsage(context));
    if (filters.length === 0) return usage;
    const { parseEntryFilters } = await import("./entry-filters.ts");
    return { ...usage, entries: usage.entries.filter(parseEntryFilters(filters)) };
  }

  /** As {@link prune}, of what the filters leave (see entry-filters.ts). */
  async pruneFiltered(filters: readonly string[], options: PruneOptions): Promise<PruneResult> {
    if (filters.length === 0) return this.prune(options);
    const { entries } = await this.cacheUsage(filters);
    const ids = new Set(entries.map(({ id }) => id));
    return this.prune({ ...options, select: ({ id }) => ids.has(id) });
  }

  /** Removes what the words name: keys, instructions, ids of layers, blobs and cache mounts. */
  async removeNamed(words: readonly string[]): Promise<RemoveResult> {
    this.#needWriting();
    const { removeNamed } = await import("./remove-named.ts");
    return removeNamed(this.#gcContext(), words);
  }

  async prune(options: PruneOptions = {}): Promise<PruneResult> {
    if (options.dryRun !== true) this.#needWriting();
    const { prune } = await import("./gc.ts");
    return prune(this.#gcContext(), options);
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }

  #gcContext(): GcContext {
    const { paths, content, layers, images, records } = this;
    return { paths, content, layers, images, records, database: this.#database };
  }

  #needWriting(): void {
    if (!this.#database.isWritable)
      throw new BuildError("store", `the store at ${this.paths.root} was opened for reading`);
  }
}
