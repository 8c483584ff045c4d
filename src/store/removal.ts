// Removes single things from the store, or says what removing them would free, keeping account of which blobs are left without an owner. One thing per
// transaction, so that a build that pins at the same moment either keeps the thing or sees that it is gone. A removed thing vanishes by rename; emptying it comes after.
import { closeSync, existsSync, readdirSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { nowMs, randomName } from "../base/clock.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { parseDigest, type Digest } from "../oci/digest.ts";
import type { Candidate } from "./appraisal.ts";
import { detachMount } from "./cache-mounts.ts";
import { TMP_GONE, TMP_RESUME } from "./content.ts";
import { tryLockExisting } from "./file-lock.ts";
import type { ImageTable } from "./images.ts";
import type { LayerTable } from "./layers.ts";
import { ageMs } from "./leases.ts";
import { needsVersion, readNeeds, type Needs } from "./needs.ts";
import type { EvictionReason, RecordTable } from "./records.ts";
import { removeTree } from "./remove-tree.ts";
import { unseal } from "./sealed.ts";
import type { UsageContext, UsageItem } from "./usage.ts";

export interface GcContext extends UsageContext {
  readonly layers: LayerTable;
  readonly images: ImageTable;
  readonly records: RecordTable;
}

/** A blob gets its owner a moment after its name; while builds run, one this young may be about to. */
const GRACE_MS = 60_000;
const DAY_MS = 24 * 60 * 60_000;

export class Removal {
  readonly #context: GcContext;
  readonly #dropped: ReadonlySet<Digest>;
  readonly #reason: EvictionReason;
  readonly #blobSizes: ReadonlyMap<string, UsageItem>;
  /** Blob → layers that it is a face of. */
  readonly #owners = new Map<Digest, Set<string>>();
  readonly #blobsOf = new Map<string, Digest[]>();
  readonly #gone = new Set<string>();
  /** Layers whose directory has gone, while the layer stays. */
  readonly #bare = new Set<string>();
  readonly #isBuildLive: boolean;
  #needs: Needs;

  constructor(
    context: GcContext,
    options: {
      readonly dropped: ReadonlySet<Digest>;
      readonly reason: EvictionReason;
      readonly items: readonly UsageItem[];
    },
  ) {
    const { dropped, reason, items } = options;
    this.#context = context;
    this.#dropped = dropped;
    this.#reason = reason;
    this.#blobSizes = new Map(items.filter(({ kind }) => kind === "blob").map((item) => [item.id, item]));
    this.#isBuildLive = readdirSync(context.paths.leases).length > 0;
    this.#needs = readNeeds(context, dropped);
    const sql = "SELECT layer_id, digest FROM layer_blobs";
    for (const row of context.database.all<{ layer_id: string; digest: string }>(sql)) {
      const digest = parseDigest(unseal(row.digest) ?? "");
      if (digest === undefined) continue;
      this.#owners.set(digest, (this.#owners.get(digest) ?? new Set()).add(row.layer_id));
      this.#blobsOf.set(row.layer_id, [...(this.#blobsOf.get(row.layer_id) ?? []), digest]);
    }
  }

  /** Whether a live build or another process is using the item now. */
  isInUse(item: UsageItem): boolean {
    const { paths } = this.#context;
    switch (item.kind) {
      case "layer":
        return this.#needs.layers.has(item.id);
      case "blob":
        return this.#needs.pinned.has(item.id as Digest);
      case "mount":
        return !canLock(join(paths.mounts, item.id, "lock"));
      case "source":
        return this.#isSourceInUse(item);
      case "stray":
      case "context":
      case "log":
      case "record":
      case "other":
        return false;
      case "temporary":
      case "database":
        return true;
    }
  }

  /** Whether an image needs the item. */
  isShared(item: UsageItem): boolean {
    if (item.kind === "blob") return this.#needs.images.has(item.id as Digest);
    return item.kind === "layer" && (this.#blobsOf.get(item.id) ?? []).some((digest) => this.#needs.images.has(digest));
  }

  /** Bytes that removing the item would free; undefined where it has to stay. */
  simulate({ item, part }: Pick<Candidate, "item" | "part">): number | undefined {
    if (this.#gone.has(item.id)) return undefined;
    if (part === "directory") return this.#simulateDirectory(item);
    switch (item.kind) {
      case "layer":
        return this.#simulateLayer(item);
      case "blob":
        if (!this.#isRemovableBlob(item)) return undefined;
        this.#gone.add(item.id);
        return item.size;
      case "mount":
        return canLock(join(this.#context.paths.mounts, item.id, "lock")) ? item.size : undefined;
      case "stray":
        return this.#isRemovableStray(item) ? item.size : undefined;
      case "source":
        return this.#isSourceInUse(item) ? undefined : item.size;
      case "context":
      case "log":
      case "record":
      case "other":
      case "temporary":
      case "database":
        return item.size;
    }
  }

  /** Removes the item; returns the bytes that this frees, or undefined where it has to stay. */
  async remove(candidate: Pick<Candidate, "item" | "part">): Promise<number | undefined> {
    const { item } = candidate;
    const { database, paths } = this.#context;
    if (item.kind === "mount")
      return this.#removeLocked(item, join(paths.mounts, item.id, "lock"), () =>
        detachMount({ database, paths }, item.id),
      );
    if (item.kind === "stray" && basename(item.id).startsWith(TMP_RESUME))
      return this.#removeLocked(item, item.id, () => this.#moveAway(item.id));
    const outcome = database.transaction(() => {
      // Holding the write lock: from here on no image and no pin can come into being until the thing has vanished.
      if (needsVersion(database) !== this.#needs.version) this.#needs = readNeeds(this.#context, this.#dropped);
      const before = new Set(this.#gone);
      const size = this.simulate(candidate);
      if (size === undefined) return undefined;
      return { size, paths: this.#detach(item, this.#gone.difference(before)) };
    });
    if (!outcome) return undefined;
    for (const path of outcome.paths) await removeTree(path);
    return outcome.size;
  }

  /** The directory of a layer whose blob is here. */
  #simulateDirectory(item: UsageItem): number | undefined {
    const { layers, content } = this.#context;
    if (this.#needs.layers.has(item.id) || this.#bare.has(item.id)) return undefined;
    const hasBlob = (this.#blobsOf.get(item.id) ?? []).some((digest) => content.has(digest));
    if (!hasBlob || layers.get(item.id)?.hasDirectory !== true) return undefined;
    this.#bare.add(item.id);
    return item.size;
  }

  #simulateLayer(item: UsageItem): number | undefined {
    const { layers, content } = this.#context;
    if (this.#needs.layers.has(item.id)) return undefined;
    const ownSize = this.#bare.has(item.id) ? 0 : item.size;
    const blobs = this.#blobsOf.get(item.id) ?? [];
    const needed = blobs.filter((digest) => this.#needs.blobs.has(digest));
    if (needed.length > 0) {
      // An image needs one durable face: with the blob here, the directory can be unpacked again; without it, it is what is left of the layer.
      const isRestorable = needed.some((digest) => content.has(digest)) && layers.get(item.id)?.hasDirectory === true;
      if (!isRestorable || this.#bare.has(item.id)) return undefined;
      this.#bare.add(item.id);
      return item.size;
    }
    this.#gone.add(item.id);
    let size = ownSize;
    for (const digest of blobs) {
      const owners = this.#owners.get(digest);
      owners?.delete(item.id);
      const blob = this.#blobSizes.get(digest);
      if (owners?.size !== 0 || !blob || this.#gone.has(digest)) continue;
      this.#gone.add(digest);
      size += blob.size;
    }
    return size;
  }

  #isRemovableBlob(item: UsageItem): boolean {
    const digest = item.id as Digest;
    if (this.#needs.blobs.has(digest) || (this.#owners.get(digest)?.size ?? 0) > 0) return false;
    return !this.#isBuildLive || nowMs() - item.lastUsedMs > GRACE_MS;
  }

  /** A build reads downloads and checkouts where they lie, and says so by their time when it begins to. */
  #isSourceInUse({ id }: UsageItem): boolean {
    const isBuildLive = readdirSync(this.#context.paths.leases).length > 0;
    return isBuildLive && ageMs(id) < DAY_MS;
  }

  #isRemovableStray(item: UsageItem): boolean {
    const name = basename(item.id);
    if (name.startsWith(TMP_RESUME)) return canLock(item.id);
    const { database, paths } = this.#context;
    if (dirname(item.id) === paths.mounts && !canLock(join(item.id, "lock"))) return false;
    // A build that began before the database was lost may still be using what the new one does not know.
    if (this.#isBuildLive && nowMs() - item.lastUsedMs < DAY_MS) return false;
    return (
      database.get("SELECT 1 FROM layers WHERE id = ? UNION SELECT 1 FROM mounts WHERE name = ?", name, name) ===
      undefined
    );
  }

  /** Makes the item vanish, with what {@link simulate} found to go along; returns what has to be emptied. */
  #detach(item: UsageItem, alsoGone: ReadonlySet<string>): readonly string[] {
    const { layers, content, records } = this.#context;
    for (const id of alsoGone) {
      const digest = parseDigest(id);
      if (digest !== undefined) content.remove(digest);
    }
    if (item.kind === "blob") return [];
    if (item.kind === "layer") {
      if (alsoGone.has(item.id)) records.noteEviction(item.id, this.#reason);
      const gone = alsoGone.has(item.id) ? layers.detach(item.id) : layers.detachDirectory(item.id);
      return gone === undefined ? [] : [gone];
    }
    const gone = this.#moveAway(item.id);
    return gone === undefined ? [] : [gone];
  }

  #moveAway(path: string): string | undefined {
    const gone = join(this.#context.paths.tmp, TMP_GONE + randomName());
    try {
      renameSync(path, gone);
      return gone;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Removes what is protected by a lock instead of a pin, holding the lock until it is gone. */
  async #removeLocked(
    item: UsageItem,
    lockPath: string,
    detach: () => string | undefined,
  ): Promise<number | undefined> {
    const fd = tryLockExisting(lockPath, "exclusive");
    if (fd === undefined) return undefined;
    try {
      const gone = this.#context.database.transaction(detach);
      if (gone !== undefined) await removeTree(gone);
      return item.size;
    } finally {
      closeSync(fd);
    }
  }
}

function canLock(path: string): boolean {
  const fd = tryLockExisting(path, "exclusive");
  if (fd !== undefined) closeSync(fd);
  return fd !== undefined || !existsSync(path);
}
