// A lease says that a build is alive: a directory with a locked file, the build's temporary files in it, and pins on what must not be removed meanwhile.
// A killed build's lock is free, which is how the sweep knows. Pins and garbage collection meet in database transactions (pain 13, trap T50).
import { closeSync, mkdirSync, mkdtempSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { nowMs, randomName } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { parseDigest } from "../oci/digest.ts";
import type { ContentStore } from "./content.ts";
import type { Database } from "./database.ts";
import { tryLock } from "./file-lock.ts";
import { storeError, type StorePaths } from "./layout.ts";
import { removeTree } from "./remove-tree.ts";

/** What a pin protects: a layer by id, a blob by digest, an image by manifest digest with everything that it needs. */
export type PinKind = "layer" | "blob" | "image";

export interface LeaseOptions {
  readonly paths: StorePaths;
  readonly database: Database;
  readonly content: ContentStore;
  /** What for: "build", "pull", "run". Part of the lease's name. */
  readonly kind: string;
  readonly onNotice: (message: string) => void;
}

/** Names of leases that are being born start like this; the sweep leaves young ones alone. */
export const NEWBORN = ".new-";

/** Held by one build until disposed. Disposing removes the pins and the temporary files. */
export class Lease implements AsyncDisposable {
  readonly id: string;
  readonly directory: string;
  /** Every temporary file of the build lives here; in the same file system as the layers. */
  readonly tmp: string;
  readonly #options: LeaseOptions;
  readonly #pins = new Set<string>();
  #fd: number | undefined;

  constructor(options: LeaseOptions, id: string, fd: number) {
    this.#options = options;
    this.#fd = fd;
    this.id = id;
    this.directory = join(options.paths.leases, id);
    this.tmp = join(this.directory, "tmp");
  }

  /** A fresh directory in {@link tmp}. */
  tempDirectory(prefix: string): string {
    try {
      return mkdtempSync(join(this.tmp, `${prefix}-`));
    } catch (error) {
      throw storeError(error, this.#options.paths.root);
    }
  }

  /**
   * Protects `target` from removal while the lease lives. False where it is gone already: then it is a miss.
   * A blob or an image may be pinned before it is there (`isComing`), by who is about to write it.
   */
  pin(kind: PinKind, target: string, options: { readonly isComing?: boolean } = {}): boolean {
    assert(this.#fd !== undefined, "a lease is used before it is disposed");
    const { database } = this.#options;
    const known = `${kind} ${target}`;
    if (this.#pins.has(known)) return true;
    return database.transaction(() => {
      if (options.isComing !== true && !this.#exists(kind, target)) return false;
      database.run("INSERT OR IGNORE INTO pins (lease, kind, target) VALUES (?, ?, ?)", this.id, kind, target);
      this.#pins.add(known);
      return true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    const { database, onNotice } = this.#options;
    try {
      if (this.#pins.size > 0) database.run("DELETE FROM pins WHERE lease = ?", this.id);
      await removeTree(this.directory);
    } catch (error) {
      // The lock is given back below, so the next sweep tries again with everything it has.
      onNotice(`temporary files of a build are left for the next sweep: ${messageOf(error)}`);
    } finally {
      closeSync(fd);
    }
  }

  #exists(kind: PinKind, target: string): boolean {
    const { database, content } = this.#options;
    if (kind === "layer") return database.get("SELECT 1 FROM layers WHERE id = ?", target) !== undefined;
    const digest = parseDigest(target);
    return digest !== undefined && content.has(digest);
  }
}

/** Begins a lease. Fails with "store". */
export function openLease(options: LeaseOptions): Lease {
  const { paths, kind } = options;
  const id = `${kind}-${nowMs().toString(36)}-${randomName(4)}`;
  // Born under another name: a directory with a lease's name always has its lock held, or its owner is dead.
  const cradle = join(paths.leases, NEWBORN + id);
  try {
    mkdirSync(join(cradle, "tmp"), { recursive: true, mode: 0o700 });
    const fd = tryLock(join(cradle, "lock"), "exclusive");
    if (fd === undefined) throw new BuildError("store", `the lease ${cradle} is locked by another process`);
    try {
      renameSync(cradle, join(paths.leases, id));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new Lease(options, id, fd);
  } catch (error) {
    throw storeError(error, paths.root);
  }
}

/** Milliseconds since the last change of a file or directory; 0 where it is gone. */
export function ageMs(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? nowMs() - stat.mtimeMs : 0;
}
