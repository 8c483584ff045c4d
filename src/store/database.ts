// The store's SQLite database: one connection, statements by their text, write transactions across processes. Damage costs records, never a build:
// a damaged file is set aside and an empty one takes its place. What the tables mean is in the files that use them.
import { accessSync, constants, existsSync, renameSync, statSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { nowIso, randomName } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { MIGRATIONS } from "./schema.ts";

export interface DatabaseOptions {
  readonly path: string;
  /** A file of its own that guards the replacement of a damaged database. */
  readonly mutexPath: string;
  /** "read" never changes a file and sees an absent database as an empty one. */
  readonly mode: "write" | "read";
  readonly onNotice: (message: string) => void;
  /** Called when an empty database has taken the place of a damaged one. */
  readonly onRebuilt: () => void;
}

export type Value = SQLInputValue;

/** Bytes of the write-ahead log that are not worth a checkpoint. */
const LOG_LIMIT = 256 * 1024;

/** How long a writer waits for another process's transaction. Transactions here take milliseconds. */
const BUSY_MS = 30_000;

// Primary result codes of sqlite3.h.
const SQLITE_ERROR = 1;
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** The connection. Every method fails with code "store" where the disk or another process is in the way. */
export class Database implements Disposable {
  readonly #options: DatabaseOptions;
  readonly #statements = new Map<string, StatementSync>();
  readonly #later = new Map<string, readonly [sql: string, ...params: Value[]]>();
  #handle: DatabaseSync;
  /** Inode of the file behind the handle, to know whether somebody has replaced it. */
  #inode: number | undefined;
  #isInTransaction = false;
  #isClosed = false;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    try {
      this.#handle = this.#open();
    } catch (error) {
      if (!this.#isReplaceable(error)) throw this.#explain(error);
      this.#handle = this.#replace();
    }
  }

  get isWritable(): boolean {
    return this.#options.mode === "write";
  }

  /** The first row, or undefined. The caller knows the shape from its own SELECT. */
  get<Row>(sql: string, ...params: readonly Value[]): Row | undefined {
    return this.#attempt(() => this.#statement(sql).get(...params) as Row | undefined);
  }

  all<Row>(sql: string, ...params: readonly Value[]): readonly Row[] {
    return this.#attempt(() => this.#statement(sql).all(...params) as Row[]);
  }

  /** Runs a statement; returns how many rows it changed. */
  run(sql: string, ...params: readonly Value[]): number {
    return this.#attempt(() => Number(this.#statement(sql).run(...params).changes));
  }

  /** A write that may wait and may be lost (times of last use): done in one transaction by {@link flush}. The last of equal `id` wins. */
  later(id: string, sql: string, ...params: readonly Value[]): void {
    if (this.isWritable) this.#later.set(id, [sql, ...params]);
  }

  flush(): void {
    if (this.#later.size === 0) return;
    const writes = [...this.#later.values()];
    this.#later.clear();
    this.transaction(() => {
      for (const [sql, ...params] of writes) this.run(sql, ...params);
    });
  }

  /**
   * Runs `work` alone among all writers of all processes; it happens wholly or not at all. Nested calls join the outer one.
   * `work` may run a second time, on an empty database, if the first run finds the file damaged.
   */
  transaction<T>(work: () => T): T {
    if (this.#isInTransaction) return work();
    return this.#attempt(() => {
      this.#handle.exec("BEGIN IMMEDIATE");
      this.#isInTransaction = true;
      try {
        const result = work();
        this.#handle.exec("COMMIT");
        return result;
      } catch (error) {
        this.#rollBack();
        throw error;
      } finally {
        this.#isInTransaction = false;
      }
    });
  }

  /** As {@link transaction}, and on the disk when it returns: for what a user would miss after a power failure. */
  durably<T>(work: () => T): T {
    this.#attempt(() => this.#handle.exec("PRAGMA synchronous = FULL"));
    try {
      return this.transaction(work);
    } finally {
      this.#attempt(() => this.#handle.exec("PRAGMA synchronous = NORMAL"));
    }
  }

  /** Looks at every page, a few milliseconds per megabyte; a damaged database is replaced. Some damage shows only here: an index that misses rows. */
  verify(): void {
    const row = this.get<{ integrity_check: string }>("PRAGMA integrity_check(1)");
    if (row?.integrity_check !== "ok") this.#handle = this.#replace();
  }

  /** Empties a write-ahead log that has grown, so that it does not count against a ceiling. Where readers are in the way it stays for now. */
  truncateLog(): void {
    const log = statSync(`${this.#options.path}-wal`, { throwIfNoEntry: false });
    if (log !== undefined && log.size > LOG_LIMIT) this.all("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  /** Gives pages that nothing uses back to the disk, where that is many and nobody else is at work. */
  compact(): void {
    const count = (pragma: string): number => Number(Object.values(this.get<Record<string, number>>(pragma) ?? {})[0]);
    if (count("PRAGMA freelist_count") * 2 < count("PRAGMA page_count")) return;
    try {
      this.#handle.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      if (primaryCode(error) !== SQLITE_BUSY) throw this.#explain(error);
    }
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    try {
      this.flush();
    } catch (error) {
      // Only times of last use are lost, and there may be an error under way that says more.
      this.#options.onNotice(`the store did not note what was used: ${messageOf(error)}`);
    }
    this.#isClosed = true;
    this.#statements.clear();
    this.#handle.close();
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#handle.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #rollBack(): void {
    try {
      this.#handle.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself, which it does for a full disk and for damage.
    }
  }

  #attempt<T>(work: () => T): T {
    // Inside a transaction the whole of it has to be repeated, so its own attempt deals with the error.
    if (this.#isInTransaction) return work();
    try {
      return work();
    } catch (error) {
      if (!this.#isReplaceable(error)) throw this.#explain(error);
      this.#handle = this.#replace();
      return work();
    }
  }

  /** Whether another file in its place would help. "Read-only" of a file that can be written: its header is damaged, or another process has moved it. */
  #isReplaceable(error: unknown): boolean {
    if (isDamage(error)) return true;
    const { path, mode } = this.#options;
    return mode === "write" && primaryCode(error) === SQLITE_READONLY && isWritableFile(path);
  }

  #open(): DatabaseSync {
    const { path, mode } = this.#options;
    if (mode === "read") return this.#openForReading();
    const handle = new DatabaseSync(path, { timeout: BUSY_MS });
    try {
      this.#inode = statSync(path).ino;
      handle.exec(`PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = ${LOG_LIMIT}`);
      migrate(handle, path);
      return handle;
    } catch (error) {
      handle.close();
      throw error;
    }
  }

  #openForReading(): DatabaseSync {
    const { path } = this.#options;
    if (!existsSync(path)) return emptyDatabase();
    const handle = openReadOnly(path);
    this.#inode = statSync(path).ino;
    const version = versionOf(handle);
    if (version === MIGRATIONS.length) return handle;
    handle.close();
    if (version > MIGRATIONS.length) throw newerStore(path);
    return emptyDatabase();
  }

  /** Sets the damaged file aside, unless another process has done so, and opens what is there then. */
  #replace(): DatabaseSync {
    const { path, mutexPath, mode, onNotice, onRebuilt } = this.#options;
    this.#statements.clear();
    const damaged = this.#inode ?? statSync(path, { throwIfNoEntry: false })?.ino;
    this.#closeQuietly();
    if (mode === "read") {
      onNotice(`the store's database ${path} is damaged; it is shown as empty`);
      return emptyDatabase();
    }
    // fcntl locks of a second, tiny database: freed when a process dies, and no library has to be loaded for it.
    const mutex = new DatabaseSync(mutexPath, { timeout: BUSY_MS });
    try {
      mutex.exec("BEGIN EXCLUSIVE");
      const isMine = statSync(path, { throwIfNoEntry: false })?.ino === damaged;
      if (isMine) {
        const aside = `${path}.damaged-${nowIso().replace(/[:.]/g, "-")}-${randomName(2)}`;
        for (const suffix of ["-wal", "-shm", ""])
          if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
        onNotice(`the store's database was damaged and is now ${aside}; cached steps run again`);
      }
      const handle = this.#open();
      this.#handle = handle;
      if (isMine) onRebuilt();
      return handle;
    } catch (error) {
      throw this.#explain(error);
    } finally {
      mutex.close();
    }
  }

  #closeQuietly(): void {
    try {
      this.#handle.close();
    } catch {
      // Either it was never opened, or closing found the damage again.
    }
  }

  #explain(error: unknown): unknown {
    const code = primaryCode(error);
    if (code === undefined) return error;
    const { path } = this.#options;
    if (code === SQLITE_BUSY)
      return new BuildError(
        "store",
        `another process has kept the store's database ${path} locked for ${BUSY_MS / 1000} s`,
        {
          cause: error,
          help: "end the process that hangs, then build again",
        },
      );
    if (code === SQLITE_FULL)
      return new BuildError("store", `cannot write to the store's database ${path}: the disk is full`, {
        cause: error,
        help: "free some space, with `tsbuild prune` for example",
      });
    const reason = code === SQLITE_READONLY ? "it is read-only" : messageOf(error);
    return new BuildError("store", `cannot use the store's database ${path}: ${reason}`, {
      cause: error,
      help: "set TSBUILD_ROOT to a directory that you can write to",
    });
  }
}

function migrate(handle: DatabaseSync, path: string): void {
  const target = MIGRATIONS.length;
  if (versionOf(handle) === target) return;
  handle.exec("PRAGMA journal_mode = WAL");
  handle.exec("BEGIN IMMEDIATE");
  // Read again: another process may have migrated while this one waited.
  const version = versionOf(handle);
  if (version > target) throw newerStore(path);
  for (const sql of MIGRATIONS.slice(version)) handle.exec(sql);
  handle.exec(`PRAGMA user_version = ${target}`);
  handle.exec("COMMIT");
}

function versionOf(handle: DatabaseSync): number {
  const row = handle.prepare("PRAGMA user_version").get();
  const version = Number(row?.["user_version"] ?? 0);
  // No release will ever get there: the header is damaged.
  return version > 1000 || version < 0 ? 0 : version;
}

function emptyDatabase(): DatabaseSync {
  const handle = new DatabaseSync(":memory:");
  migrate(handle, ":memory:");
  return handle;
}

/** A WAL database in a folder that cannot be written has no place for its index; then the file alone is read. */
function openReadOnly(path: string): DatabaseSync {
  const handle = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS });
  try {
    versionOf(handle);
    return handle;
  } catch (error) {
    handle.close();
    if (isDamage(error)) throw error;
    return new DatabaseSync(`${pathToFileURL(path).href}?immutable=1`, { readOnly: true });
  }
}

function newerStore(path: string): BuildError {
  return new BuildError("store", `the store's database ${path} was written by a newer tsbuild`, {
    help: "use that version, or set TSBUILD_ROOT to another directory",
  });
}

function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== "ERR_SQLITE_ERROR") return undefined;
  return ((error as { readonly errcode?: number }).errcode ?? 0) & 0xff;
}

/** Damage also shows as an error of SQL, where the page that holds the schema was hit, and as numbers that nobody wrote. */
function isDamage(error: unknown): boolean {
  const code = primaryCode(error);
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) return true;
  if (code === SQLITE_ERROR)
    return /no such (table|column)|has no column|malformed|already exists|unsupported file/.test(messageOf(error));
  return code === undefined && (error as NodeJS.ErrnoException | undefined)?.code === "ERR_OUT_OF_RANGE";
}

function isWritableFile(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
