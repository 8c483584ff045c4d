// Directories of RUN --mount=type=cache, shared by processes (reference Q34, M20–M25). Directories with the same id and the same initial content form
// a pool. shared: all users are in one directory; private: one of the pool that is free, else a new one; locked: the pool's directory, alone, after a wait.
// As in BuildKit the three draw from one pool, so a private user never meets a shared one.
import { closeSync, existsSync, ftruncateSync, mkdirSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { nowMs, randomName } from "../base/clock.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { digestHex, digestOfJson } from "../oci/digest.ts";
import { TMP_GONE } from "./content.ts";
import type { Database } from "./database.ts";
import { tryLock, tryLockExisting, type LockMode } from "./file-lock.ts";
import { storeError, type StorePaths } from "./layout.ts";
import { acquireLock, pauseFor } from "./locks.ts";
import { removeTree } from "./remove-tree.ts";

export interface CacheMountOptions {
  /** As the user wrote it, cleaned, with the namespace in front if there is one. */
  readonly id: string;
  readonly sharing: "shared" | "private" | "locked";
  /** Stands for the initial content and its owner and mode: another text is another cache. */
  readonly seed?: string;
  /** Fills a new directory before anybody sees it. If it fails or the process dies, the directory is made anew next time. */
  readonly prepare?: (directory: string) => Promise<void>;
  /** Fills a new directory with what another machine has of the pool; false = it has nothing, and `prepare` is called. */
  readonly restore?: (pool: string, directory: string) => Promise<boolean>;
  /** Leave the directories of the pool to those who are in them, and start over (reference Q30). */
  readonly isFresh?: boolean;
  /** Who holds it, for those who wait: `[2/4] RUN apt-get update of /src/Dockerfile (pid 4711)`. One line, no secrets. */
  readonly holder?: string;
  readonly onWait?: (holder: string) => void;
  readonly signal?: AbortSignal;
}

/** A cache directory in use. The caller disposes when the process that writes to it has ended. */
export interface AcquiredCacheMount extends AsyncDisposable {
  readonly path: string;
  /** It was made for this call (and `prepare` has run). */
  readonly isNew: boolean;
}

export interface CacheMountContext {
  readonly database: Database;
  readonly paths: StorePaths;
}

interface MountRow {
  readonly name: string;
  readonly is_ready: number;
}

const RETRY_MS = 100;

/** A cache directory for one RUN step. Rejects with the signal's reason, or code "store". */
export async function acquireCacheMount(
  context: CacheMountContext,
  options: CacheMountOptions,
): Promise<AcquiredCacheMount> {
  const { onWait, signal } = options;
  const pool = digestHex(digestOfJson({ id: options.id, seed: options.seed ?? "" })).slice(0, 32);
  let isFresh = options.isFresh === true;
  let told: string | undefined;
  for (;;) {
    const outcome = await choose(context, options, pool, isFresh);
    isFresh = false;
    if (typeof outcome !== "string") return outcome;
    if (outcome !== told) onWait?.(outcome);
    told = outcome;
    await pauseFor(RETRY_MS, signal);
  }
}

/** One attempt, alone in the pool: the mount, or who is in the way. */
async function choose(
  context: CacheMountContext,
  options: CacheMountOptions,
  pool: string,
  isFresh: boolean,
): Promise<AcquiredCacheMount | string> {
  const { database, paths } = context;
  const { sharing, signal } = options;
  // Short, except while a new directory is being filled; then everybody who wants this cache has to wait for it anyway.
  const lock = await acquireLock(join(paths.locks, `pool-${pool}`), {
    mode: "exclusive",
    holder: `cache mount ${JSON.stringify(options.id)} of pid ${process.pid}`,
    ...(signal === undefined ? {} : { signal }),
    ...(options.onWait === undefined ? {} : { onWait: options.onWait }),
  });
  try {
    if (isFresh) database.run("UPDATE mounts SET is_superseded = 1 WHERE pool = ?", pool);
    const mode: LockMode = sharing === "shared" ? "shared" : "exclusive";
    const found = await findFree(context, options, pool, mode);
    if (typeof found === "object") return found;
    if (sharing === "locked" && found !== undefined) return found;
    return await createMount(context, options, pool, mode);
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}

/** A directory of the pool that can be used in this mode; else who is in the way, or undefined where the pool is empty. Call alone in the pool. */
async function findFree(
  context: CacheMountContext,
  options: CacheMountOptions,
  pool: string,
  mode: LockMode,
): Promise<AcquiredCacheMount | string | undefined> {
  const { database, paths } = context;
  const rows = database.all<MountRow>(
    "SELECT name, is_ready FROM mounts WHERE pool = ? AND is_superseded = 0 ORDER BY created_ms, rowid",
    pool,
  );
  let inTheWay: string | undefined;
  for (const row of rows) {
    const lock = join(paths.mounts, row.name, "lock");
    const fd = tryLockExisting(lock, mode);
    if (fd !== undefined && row.is_ready === 1) return useMount(context, options, { name: row.name, fd, isNew: false });
    if (fd === undefined && existsSync(lock)) inTheWay ??= readHolder(lock);
    else {
      // Somebody died while filling it (who does so is alone in the pool until it is ready), or it was removed by hand.
      if (fd !== undefined) closeSync(fd);
      await discard(context, row.name);
    }
  }
  return inTheWay;
}

async function createMount(
  context: CacheMountContext,
  options: CacheMountOptions,
  pool: string,
  mode: LockMode,
): Promise<AcquiredCacheMount> {
  const { database, paths } = context;
  const name = randomName(6);
  const folder = join(paths.mounts, name);
  const now = nowMs();
  database.run(
    "INSERT INTO mounts (name, pool, cache_id, created_ms, last_used_ms) VALUES (?, ?, ?, ?, ?)",
    name,
    pool,
    options.id,
    now,
    now,
  );
  let fd: number | undefined;
  try {
    mkdirSync(join(folder, "data"), { recursive: true, mode: 0o755 });
    fd = tryLock(join(folder, "lock"), mode);
    assert(fd !== undefined, "nobody else knows a cache mount that is being made");
    const isRestored = options.isFresh !== true && (await options.restore?.(pool, join(folder, "data"))) === true;
    if (!isRestored) await options.prepare?.(join(folder, "data"));
    options.signal?.throwIfAborted();
    database.run("UPDATE mounts SET is_ready = 1 WHERE name = ?", name);
    return useMount(context, options, { name, fd, isNew: true });
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    await discard(context, name);
    throw storeError(error, paths.root);
  }
}

function useMount(
  context: CacheMountContext,
  options: CacheMountOptions,
  { name, fd, isNew }: { readonly name: string; readonly fd: number; readonly isNew: boolean },
): AcquiredCacheMount {
  const { database, paths } = context;
  const note = (): void => {
    database.run("UPDATE mounts SET last_used_ms = ?, uses = uses + 1 WHERE name = ?", nowMs(), name);
  };
  note();
  ftruncateSync(fd, 0);
  writeSync(fd, options.holder ?? `pid ${process.pid}`, 0);
  let isHeld = true;
  return {
    path: join(paths.mounts, name, "data"),
    isNew,
    [Symbol.asyncDispose]() {
      if (isHeld) {
        isHeld = false;
        closeSync(fd);
        // The size may have changed until now, so this is the time that counts.
        note();
      }
      return Promise.resolve();
    },
  };
}

/** A pool of directories that start with the same content. Its name is the same on every machine. */
export interface CachePool {
  readonly pool: string;
  readonly id: string;
}

/** The pools of these ids that have something. */
export function listPools({ database }: CacheMountContext, ids: readonly string[]): readonly CachePool[] {
  const sql =
    "SELECT DISTINCT pool FROM mounts WHERE cache_id = ? AND is_ready = 1 AND is_superseded = 0 ORDER BY pool";
  return ids.flatMap((id) => database.all<{ pool: string }>(sql, id).map(({ pool }) => ({ pool, id })));
}

/** The directory of a pool that was used last, to read it: nobody who wants it alone gets it meanwhile. Undefined where it is in use so, or gone. */
export function readPool(
  { database, paths }: CacheMountContext,
  pool: string,
): (Disposable & { readonly path: string }) | undefined {
  const sql =
    "SELECT name FROM mounts WHERE pool = ? AND is_ready = 1 AND is_superseded = 0 ORDER BY last_used_ms DESC, rowid DESC LIMIT 1";
  const name = database.get<{ name: string }>(sql, pool)?.name;
  const fd = name === undefined ? undefined : tryLockExisting(join(paths.mounts, name, "lock"), "shared");
  if (name === undefined || fd === undefined) return undefined;
  return { path: join(paths.mounts, name, "data"), [Symbol.dispose]: () => closeSync(fd) };
}

/** Removes a cache mount that nobody can be in. */
async function discard(context: CacheMountContext, name: string): Promise<void> {
  const gone = context.database.transaction(() => detachMount(context, name));
  if (gone !== undefined) await removeTree(gone);
}

/** Takes a cache mount away at once; what has to be removed from the disk is returned. Call within a transaction, holding its lock or knowing that nobody does. */
export function detachMount(context: CacheMountContext, name: string): string | undefined {
  const { database, paths } = context;
  database.run("DELETE FROM mounts WHERE name = ?", name);
  const gone = join(paths.tmp, TMP_GONE + randomName());
  try {
    renameSync(join(paths.mounts, name), gone);
    return gone;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw storeError(error, paths.root);
  }
}

function readHolder(lock: string): string {
  try {
    return readFileSync(lock, "utf8") || "another step that uses this cache";
  } catch {
    return "another step that uses this cache";
  }
}
