// Layers and their faces (architecture.md §2): which exist, where they are, and what is known of their blobs. Makes no face itself.
// A row may outlive a face: whoever asks for a directory or an entry list gets undefined where it is missing or damaged, and makes it again.
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { nowIso, nowMs, randomName } from "../base/clock.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { parseDigest, type Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import type { Compression } from "../oci/media-type.ts";
import type { LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { TMP_DAMAGED, TMP_GONE } from "./content.ts";
import type { Database } from "./database.ts";
import { readEntryFile, writeEntryFile } from "./entry-file.ts";
import { storeError, type StorePaths } from "./layout.ts";
import { removeTree } from "./remove-tree.ts";
import { seal, unseal } from "./sealed.ts";

/** Where a layer that was never downloaded can be had. */
export interface LayerOrigin {
  /** Normalised reference of the image's repository: `docker.io/library/debian`. */
  readonly reference: string;
  readonly descriptor: Descriptor;
}

export interface StoredLayer {
  readonly id: string;
  readonly treeDigest?: Digest;
  readonly diffId?: Digest;
  /** Bytes of the uncompressed tar. */
  readonly uncompressedSize?: number;
  readonly hasDirectory: boolean;
  readonly hasEntries: boolean;
  /** RFC 3339; the `created` of the history entry. */
  readonly createdAt: string;
  readonly createdBy: string;
  readonly lastUsedMs: number;
  readonly origin?: LayerOrigin;
}

export interface NewLayer {
  /** Default: now. */
  readonly createdAt?: string;
  readonly createdBy: string;
  readonly treeDigest?: Digest;
  readonly diffId?: Digest;
  readonly uncompressedSize?: number;
  readonly origin?: LayerOrigin;
}

/** A compressed form of a layer. Says nothing about media types: they belong to the manifest that names it. */
export interface LayerBlob {
  readonly compression: Compression;
  readonly digest: Digest;
  readonly size: number;
}

interface LayerRow {
  readonly id: string;
  readonly tree_digest: string | null;
  readonly diff_id: string | null;
  readonly uncompressed_size: number | null;
  readonly has_dir: number;
  readonly has_entries: number;
  readonly created_at: string;
  readonly created_by: string;
  readonly origin: string | null;
  readonly last_used_ms: number;
}

/** A layer used again within this time is not written down again: an unchanged build writes nothing. */
const TOUCH_MS = 10 * 60_000;
const NEWEST_FIRST = "ORDER BY has_dir DESC, last_used_ms DESC LIMIT 1";

export class LayerTable {
  readonly #database: Database;
  readonly #paths: StorePaths;

  constructor(options: { readonly database: Database; readonly paths: StorePaths }) {
    this.#database = options.database;
    this.#paths = options.paths;
  }

  /** A new layer without faces. */
  create(layer: NewLayer): StoredLayer {
    const lastUsedMs = nowMs();
    const createdAt = layer.createdAt ?? nowIso();
    // Short, because overlayfs takes its lower directories in one string of a page.
    const id = BigInt(`0x${randomName(8)}`)
      .toString(32)
      .padStart(13, "0");
    this.#database.run(
      `INSERT INTO layers (id, tree_digest, diff_id, uncompressed_size, created_at, created_by, origin, last_used_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      layer.treeDigest === undefined ? null : seal(layer.treeDigest),
      layer.diffId === undefined ? null : seal(layer.diffId),
      layer.uncompressedSize ?? null,
      createdAt,
      layer.createdBy,
      layer.origin === undefined ? null : seal(JSON.stringify(layer.origin)),
      lastUsedMs,
    );
    return { ...layer, id, createdAt, hasDirectory: false, hasEntries: false, lastUsedMs };
  }

  /** The layer with this diffID, made without faces where there is none: what every layer of a base image starts as. */
  obtainByDiffId(layer: NewLayer & { readonly diffId: Digest }): StoredLayer {
    return this.#database.transaction(() => this.findByDiffId(layer.diffId) ?? this.create(layer));
  }

  get(id: string): StoredLayer | undefined {
    return layerOf(this.#database.get<LayerRow>("SELECT * FROM layers WHERE id = ?", id));
  }

  findByTreeDigest(digest: Digest): StoredLayer | undefined {
    const sql = `SELECT * FROM layers WHERE tree_digest = ? ${NEWEST_FIRST}`;
    return layerOf(this.#database.get<LayerRow>(sql, seal(digest)));
  }

  findByDiffId(diffId: Digest): StoredLayer | undefined {
    const sql = `SELECT * FROM layers WHERE diff_id = ? ${NEWEST_FIRST}`;
    return layerOf(this.#database.get<LayerRow>(sql, seal(diffId)));
  }

  findByBlob(digest: Digest): StoredLayer | undefined {
    const sql = `SELECT * FROM layers WHERE id IN (SELECT layer_id FROM layer_blobs WHERE digest = ?) ${NEWEST_FIRST}`;
    return layerOf(this.#database.get<LayerRow>(sql, seal(digest)));
  }

  setTreeDigest(id: string, digest: Digest): void {
    this.#database.run("UPDATE layers SET tree_digest = ? WHERE id = ?", seal(digest), id);
  }

  setDiffId(id: string, diffId: Digest, uncompressedSize: number): void {
    const sql = "UPDATE layers SET diff_id = ?, uncompressed_size = ? WHERE id = ?";
    this.#database.run(sql, seal(diffId), uncompressedSize, id);
  }

  setOrigin(id: string, origin: LayerOrigin): void {
    this.#database.run("UPDATE layers SET origin = ? WHERE id = ?", seal(JSON.stringify(origin)), id);
  }

  /** Notes a compressed form, in place of an earlier one of the same compression. */
  addBlob(id: string, blob: LayerBlob): void {
    const sql = "INSERT OR REPLACE INTO layer_blobs (layer_id, compression, digest, size) VALUES (?, ?, ?, ?)";
    this.#database.run(sql, id, blob.compression, seal(blob.digest), blob.size);
  }

  /** The known compressed forms. Whether their bytes are here is for the content store to say. */
  blobs(id: string): readonly LayerBlob[] {
    const rows = this.#database.all<{ compression: Compression; digest: string; size: number }>(
      "SELECT compression, digest, size FROM layer_blobs WHERE layer_id = ? ORDER BY compression",
      id,
    );
    return rows.flatMap(({ compression, digest: sealed, size }) => {
      const digest = digestIn(sealed);
      return digest === undefined ? [] : [{ compression, digest, size }];
    });
  }

  blob(id: string, compression: Compression): LayerBlob | undefined {
    return this.blobs(id).find((blob) => blob.compression === compression);
  }

  /** Notes that a repository (`registry/name`) has the blob, so that a push to its registry can mount it. */
  addBlobSource(digest: Digest, repository: string): void {
    const sql = "INSERT OR REPLACE INTO blob_sources (digest, repository, seen_ms) VALUES (?, ?, ?)";
    this.#database.run(sql, seal(digest), repository, nowMs());
  }

  /** Repositories known to hold the blob, the last seen first. */
  blobSources(digest: Digest): readonly string[] {
    const sql = "SELECT repository FROM blob_sources WHERE digest = ? ORDER BY seen_ms DESC LIMIT 16";
    return this.#database.all<{ repository: string }>(sql, seal(digest)).map(({ repository }) => repository);
  }

  forgetBlobSource(digest: Digest, repository: string): void {
    this.#database.run("DELETE FROM blob_sources WHERE digest = ? AND repository = ?", seal(digest), repository);
  }

  /** The directory face, in overlayfs form; undefined where there is none. It may be mounted, never written. */
  directory(id: string): string | undefined {
    const path = this.#diffPath(id);
    const row = this.#database.get<{ has_dir: number }>("SELECT has_dir FROM layers WHERE id = ?", id);
    if (row?.has_dir !== 1) return undefined;
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : undefined;
  }

  /**
   * Makes the directory `from` (in the same file system, complete, not mounted) the directory face. Where another process was faster, its
   * directory stays and `from` is removed; returns whether it was this one. `diskSize` in bytes saves a walk later, where the caller knows it.
   */
  async adoptDirectory(id: string, from: string, options: { readonly diskSize?: number } = {}): Promise<boolean> {
    const path = this.#diffPath(id);
    let isSuperfluous = false;
    try {
      mkdirSync(this.#folder(id), { recursive: true, mode: 0o700 });
      isSuperfluous = existsSync(path) || !renameUnlessTaken(from, path);
    } catch (error) {
      throw storeError(error, this.#paths.root);
    }
    const sql = "UPDATE layers SET has_dir = 1, disk_size = ?, last_used_ms = ? WHERE id = ?";
    this.#database.run(sql, isSuperfluous ? null : (options.diskSize ?? null), nowMs(), id);
    if (isSuperfluous) await removeTree(from);
    return !isSuperfluous;
  }

  /** Writes the entry list; the last writer wins. Where there is a directory face it is to say what that is, down to its times. */
  writeEntries(id: string, entries: Sequence<LayerEntry>): void {
    const temp = join(this.#paths.tmp, `put-${randomName()}`);
    try {
      mkdirSync(this.#folder(id), { recursive: true, mode: 0o700 });
      // No fsync: the list carries a checksum and can be made again.
      const fd = openSync(temp, "wx", 0o644);
      try {
        writeEntryFile(fd, entries);
      } finally {
        closeSync(fd);
      }
      renameSync(temp, this.#entriesPath(id));
    } catch (error) {
      rmSync(temp, { force: true });
      throw storeError(error, this.#paths.root);
    }
    this.#database.run("UPDATE layers SET has_entries = 1 WHERE id = ?", id);
  }

  forgetEntries(id: string): void {
    rmSync(this.#entriesPath(id), { force: true });
  }

  /** The entry list without places of bytes; undefined where there is none or it is damaged. */
  readEntries(id: string): Sequence<LayerEntry> | undefined {
    return readEntryFile(this.#entriesPath(id));
  }

  /** Notes a use, at the next flush. */
  touch(layer: StoredLayer): void {
    const now = nowMs();
    if (now - layer.lastUsedMs < TOUCH_MS) return;
    const sql = "UPDATE layers SET last_used_ms = max(last_used_ms, ?), uses = uses + 1 WHERE id = ?";
    this.#database.later(`layer ${layer.id}`, sql, now, layer.id);
  }

  /** Takes the directory face away at once; what has to be removed from the disk is returned. Call within a transaction that has checked the pins. */
  detachDirectory(id: string): string | undefined {
    this.#database.run("UPDATE layers SET has_dir = 0, disk_size = NULL WHERE id = ?", id);
    return this.#detach(this.#diffPath(id));
  }

  /**
   * Takes the layer away at once, with all faces; what has to be removed from the disk is returned. As {@link detachDirectory}.
   * Its records stay, no longer found by key, to explain the miss that follows.
   */
  detach(id: string): string | undefined {
    this.#database.run("DELETE FROM layer_blobs WHERE layer_id = ?", id);
    this.#database.run("DELETE FROM layers WHERE id = ?", id);
    return this.#detach(this.#folder(id));
  }

  /** Forgets a layer that turned out to be another than it was said to be, with all faces. */
  async discard(id: string): Promise<void> {
    const gone = this.#database.transaction(() => this.detach(id));
    if (gone !== undefined) await removeTree(gone);
  }

  /** Takes a damaged directory face out of the way. It stays for a while, because another build may have it mounted. */
  setDirectoryAside(id: string): void {
    this.#database.run("UPDATE layers SET has_dir = 0, disk_size = NULL WHERE id = ?", id);
    try {
      renameSync(this.#diffPath(id), join(this.#paths.tmp, `${TMP_DAMAGED}${id}-${randomName(2)}`));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw storeError(error, this.#paths.root);
    }
  }

  #detach(path: string): string | undefined {
    const gone = join(this.#paths.tmp, TMP_GONE + randomName());
    try {
      renameSync(path, gone);
      return gone;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw storeError(error, this.#paths.root);
    }
  }

  #folder(id: string): string {
    return join(this.#paths.layers, id);
  }

  #diffPath(id: string): string {
    return join(this.#paths.layers, id, "diff");
  }

  #entriesPath(id: string): string {
    return join(this.#paths.layers, id, "entries");
  }
}

function renameUnlessTaken(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOTEMPTY") || isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

function layerOf(row: LayerRow | undefined): StoredLayer | undefined {
  if (!row) return undefined;
  const treeDigest = digestIn(row.tree_digest);
  const diffId = digestIn(row.diff_id);
  const origin = unseal(row.origin);
  return {
    id: row.id,
    ...(treeDigest === undefined ? {} : { treeDigest }),
    ...(diffId === undefined ? {} : { diffId }),
    ...(row.uncompressed_size === null ? {} : { uncompressedSize: row.uncompressed_size }),
    hasDirectory: row.has_dir === 1,
    hasEntries: row.has_entries === 1,
    createdAt: row.created_at,
    createdBy: row.created_by,
    lastUsedMs: row.last_used_ms,
    ...(origin === undefined ? {} : { origin: JSON.parse(origin) as LayerOrigin }),
  };
}

function digestIn(sealed: string | null): Digest | undefined {
  const text = unseal(sealed);
  return text === undefined ? undefined : parseDigest(text);
}
