// Garbage collection (reference GC01–GC06, pain 3): removes by last use what no image needs and no lease pins, one thing per transaction, so that a build
// that pins at the same moment either keeps the thing or sees that it is gone. A removed thing vanishes by rename; emptying it comes after.
import { closeSync, existsSync, readdirSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { nowMs, randomName } from "../base/clock.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { parseDigest, type Digest } from "../oci/digest.ts";
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
import { measureUsage, type UsageContext, type UsageItem, type UsageKind } from "./usage.ts";

export interface PruneOptions {
  /** Remove until the store takes no more than this many bytes. */
  readonly maxSize?: number;
  /** Remove everything that can be made again: cache mounts, context indexes, downloads, git repositories and logs too. */
  readonly all?: boolean;
  /** Remove only what was last used longer ago than this. */
  readonly olderThanMs?: number;
  /** What explains the misses that follow. Default: by age where there is one, else that somebody asked. */
  readonly reason?: EvictionReason;
  /** Say what would be removed. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

export interface PruneResult {
  readonly removed: readonly UsageItem[];
  /** Bytes on the disk. */
  readonly freed: number;
  /** Bytes that the store takes afterwards. */
  readonly total: number;
}

export interface GcContext extends UsageContext {
  readonly layers: LayerTable;
  readonly images: ImageTable;
  readonly records: RecordTable;
}

/** Without a limit or an age, only these go; the rest is small, or dear to make again. */
const ORDINARY: readonly UsageKind[] = ["layer", "blob", "stray"];
const REMOVABLE: readonly UsageKind[] = [...ORDINARY, "mount", "context", "source", "log"];
/** A blob gets its owner a moment after its name; while builds run, one this young may be about to. */
const GRACE_MS = 60_000;
const DAY_MS = 24 * 60 * 60_000;
const KEPT_ORPHAN_RECORDS = 2_000;

/** Removes what `options` allow. Nothing that an image needs or a lease pins is touched. */
export async function prune(context: GcContext, options: PruneOptions = {}): Promise<PruneResult> {
  if (options.dryRun !== true) {
    context.database.verify();
    context.database.flush();
    context.database.truncateLog();
  }
  const usage = await measureUsage(context);
  const goal = options.maxSize ?? 0;
  let total = usage.total;
  const removed: UsageItem[] = [];
  if (total <= goal) return { removed, freed: 0, total };
  const dropped = untaggedToDrop(context, options);
  const reason = options.reason ?? (options.olderThanMs === undefined ? "pruned" : "age");
  const plan = new Plan(context, { dropped, reason, items: usage.items });
  for (const item of evictionOrder(usage.items.filter((item) => isEligible(item, options)))) {
    if (total <= goal) break;
    options.signal?.throwIfAborted();
    const size = options.dryRun === true ? plan.simulate(item) : await plan.remove(item);
    if (size === undefined) continue;
    removed.push({ ...item, size });
    total -= size;
  }
  if (options.dryRun !== true) tidy(context, options);
  return { removed, freed: usage.total - total, total };
}

/** Makes room for `bytes` more under a ceiling of `maxSize`; false where what is in use leaves none. */
export async function ensureRoom(
  context: GcContext,
  options: { readonly bytes: number; readonly maxSize: number; readonly signal?: AbortSignal },
): Promise<boolean> {
  const { bytes, maxSize, signal } = options;
  const goal = Math.max(0, maxSize - bytes);
  // Asked before every big write, so the common answer must not cost a collection.
  if ((await measureUsage(context)).total <= goal) return true;
  const { total } = await prune(context, {
    maxSize: goal,
    reason: "ceiling",
    ...(signal === undefined ? {} : { signal }),
  });
  return total <= goal;
}

/** Reference GC04: by rank of last use and rank of use count together, the least wanted first. */
export function evictionOrder(items: readonly UsageItem[]): readonly UsageItem[] {
  const score = new Map<UsageItem, number>();
  const addRanks = (value: (item: UsageItem) => number): void => {
    const values = [...new Set(items.map(value))].sort((a, b) => a - b);
    const ranks = new Map(values.map((each, rank) => [each, rank / values.length]));
    for (const item of items) score.set(item, (score.get(item) ?? 0) + ranks.get(value(item))!);
  };
  addRanks((item) => item.lastUsedMs);
  addRanks((item) => item.uses);
  return [...items].sort((a, b) => score.get(a)! - score.get(b)! || a.lastUsedMs - b.lastUsedMs);
}

function isEligible(item: UsageItem, options: PruneOptions): boolean {
  const isLimited = options.maxSize !== undefined || options.olderThanMs !== undefined;
  const kinds = options.all === true || isLimited ? REMOVABLE : ORDINARY;
  return kinds.includes(item.kind) && isOldEnough(item.lastUsedMs, options);
}

function isOldEnough(lastUsedMs: number, options: PruneOptions): boolean {
  return options.olderThanMs === undefined || nowMs() - lastUsedMs >= options.olderThanMs;
}

/** Images without a name are the first to go: nothing refers to them. */
function untaggedToDrop(context: GcContext, options: PruneOptions): ReadonlySet<Digest> {
  const dropped = context.images.untagged().filter((image) => isOldEnough(image.lastUsedMs, options));
  const digests = new Set(dropped.map((image) => image.manifest.digest));
  if (options.dryRun !== true) context.images.removeUntagged(digests);
  return digests;
}

/** Removes single things, or says what removing them would free, keeping account of which blobs are left without an owner. */
class Plan {
  readonly #context: GcContext;
  readonly #dropped: ReadonlySet<Digest>;
  readonly #reason: EvictionReason;
  readonly #blobSizes: ReadonlyMap<string, UsageItem>;
  /** Blob → layers that it is a face of. */
  readonly #owners = new Map<Digest, Set<string>>();
  readonly #blobsOf = new Map<string, Digest[]>();
  readonly #gone = new Set<string>();
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

  /** Bytes that removing the item would free; undefined where it has to stay. */
  simulate(item: UsageItem): number | undefined {
    if (this.#gone.has(item.id)) return undefined;
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
      case "temporary":
      case "database":
        return item.size;
    }
  }

  /** Removes the item; returns the bytes that this frees, or undefined where it has to stay. */
  async remove(item: UsageItem): Promise<number | undefined> {
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
      const size = this.simulate(item);
      if (size === undefined) return undefined;
      return { size, paths: this.#detach(item, this.#gone.difference(before)) };
    });
    if (!outcome) return undefined;
    for (const path of outcome.paths) await removeTree(path);
    return outcome.size;
  }

  #simulateLayer(item: UsageItem): number | undefined {
    const { layers, content } = this.#context;
    if (this.#needs.layers.has(item.id)) return undefined;
    const blobs = this.#blobsOf.get(item.id) ?? [];
    const needed = blobs.filter((digest) => this.#needs.blobs.has(digest));
    if (needed.length > 0) {
      // An image needs one durable face: with the blob here, the directory can be unpacked again; without it, it is what is left of the layer.
      const isRestorable = needed.some((digest) => content.has(digest)) && layers.get(item.id)?.hasDirectory === true;
      return isRestorable ? item.size : undefined;
    }
    this.#gone.add(item.id);
    let size = item.size;
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

/** Rows that nothing needs any more. */
function tidy(context: GcContext, options: PruneOptions): void {
  const { database, images } = context;
  database.transaction(() => {
    const orphans = "SELECT rowid FROM records WHERE layer_id NOT IN (SELECT id FROM layers)";
    database.run(
      `DELETE FROM records WHERE rowid IN (${orphans}) AND rowid NOT IN (${orphans} ORDER BY created_ms DESC LIMIT ${KEPT_ORPHAN_RECORDS})`,
    );
    database.run("DELETE FROM record_parts WHERE key NOT IN (SELECT key FROM records)");
    database.run("DELETE FROM layer_blobs WHERE layer_id NOT IN (SELECT id FROM layers)");
  });
  images.repairIndex();
  if (options.all === true) database.compact();
}
