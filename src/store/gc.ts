// Garbage collection (reference GC01–GC06, pain 3): removes what no image needs and no lease pins, the least valuable first where there is a limit.
// How single things go: removal.ts. What they are worth: worth.ts.
import { statfsSync } from "node:fs";
import { nowMs } from "../base/clock.ts";
import type { Digest } from "../oci/digest.ts";
import { appraise, type Candidate } from "./appraisal.ts";
import { blobsOfImage } from "./needs.ts";
import type { EvictionReason } from "./records.ts";
import { Removal, type GcContext } from "./removal.ts";
import { measureUsage, type DiskUsage, type UsageItem, type UsageKind } from "./usage.ts";

export interface PruneOptions {
  /** Remove until the store takes no more than this many bytes. */
  readonly maxSize?: number;
  /** Remove until the disk has this many bytes free. */
  readonly minFreeSpace?: number;
  /** Whatever the two above say, leave this many bytes. */
  readonly reservedSpace?: number;
  /** Remove everything that can be made again: cache mounts, context indexes, downloads, git repositories and logs too. */
  readonly all?: boolean;
  /** Remove only what was last used longer ago than this. */
  readonly olderThanMs?: number;
  /** Remove only these, of any kind that can be removed. */
  readonly select?: (item: UsageItem) => boolean;
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

/** Without a limit or an age, only these go; the rest is small, or dear to make again. */
const ORDINARY: readonly UsageKind[] = ["layer", "blob", "stray"];
const REMOVABLE: readonly UsageKind[] = [...ORDINARY, "mount", "context", "source", "log", "record"];
const KEPT_ORPHAN_RECORDS = 2_000;
/** Beside builds that go on making things, removing comes to an end as well. */
const MAX_ROUNDS = 4;

/** Removes what `options` allow. Nothing that an image needs or a lease pins is touched. */
export async function prune(context: GcContext, options: PruneOptions = {}): Promise<PruneResult> {
  if (options.dryRun !== true) {
    context.database.verify();
    context.database.flush();
    context.database.truncateLog();
  }
  const before = await measureUsage(context);
  const removed: UsageItem[] = [];
  for (let usage = before, round = 1; ; round++) {
    const result = await pruneMeasured(context, usage, options);
    removed.push(...result.removed);
    if (options.dryRun === true || result.removed.length === 0 || round === MAX_ROUNDS)
      return { ...result, removed, freed: Math.max(0, before.total - result.total) };
    // Removing has filled the database's log, and that counts as well; what is gone from a list of sizes is not always what the disk has got back.
    context.database.truncateLog();
    usage = await measureUsage(context);
  }
}

/** As {@link prune}, with what was just measured. */
export async function pruneMeasured(context: GcContext, usage: DiskUsage, options: PruneOptions): Promise<PruneResult> {
  const goal = goalOf(options, usage.total, () => freeBytes(context.paths.root));
  let total = usage.total;
  const removed: UsageItem[] = [];
  if (total <= goal) return { removed, freed: 0, total };
  const dropped = untaggedToDrop(context, usage, options);
  const reason = options.reason ?? (options.olderThanMs === undefined ? "pruned" : "age");
  const removal = new Removal(context, { dropped, reason, items: usage.items });
  for (const candidate of candidatesOf(context, usage, options, goal)) {
    if (total <= goal) break;
    options.signal?.throwIfAborted();
    const size = options.dryRun === true ? removal.simulate(candidate) : await removal.remove(candidate);
    if (size === undefined) continue;
    removed.push({ ...candidate.item, size });
    total -= size;
  }
  if (options.dryRun !== true) tidy(context, options);
  return { removed, freed: usage.total - total, total };
}

function candidatesOf(context: GcContext, usage: DiskUsage, options: PruneOptions, goal: number): readonly Candidate[] {
  const eligible = usage.items.filter((item) => isEligible(item, options));
  const hasBlob = (digest: Digest): boolean => context.content.has(digest);
  return appraise(context, eligible, { isPartial: goal > 0 && options.select === undefined, hasBlob });
}

/** Bytes to come down to (GC03): the ceiling, lowered to leave the disk what it shall have, never below what is reserved. */
export function goalOf(
  options: Pick<PruneOptions, "maxSize" | "minFreeSpace" | "reservedSpace">,
  total: number,
  readFreeBytes: () => number,
): number {
  const { maxSize, minFreeSpace, reservedSpace = 0 } = options;
  if (minFreeSpace === undefined) return Math.max(maxSize ?? 0, reservedSpace);
  const excess = Math.max(0, minFreeSpace - readFreeBytes());
  return Math.max(Math.min(maxSize ?? Infinity, total - excess), reservedSpace);
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

function isEligible(item: UsageItem, options: PruneOptions): boolean {
  const { maxSize, minFreeSpace, reservedSpace, olderThanMs, select, all } = options;
  if (select !== undefined)
    return REMOVABLE.includes(item.kind) && select(item) && isOldEnough(item.lastUsedMs, options);
  const isLimited = [maxSize, minFreeSpace, reservedSpace, olderThanMs].some((limit) => limit !== undefined);
  // What earlier builds were like cannot be had again: it goes for its age, or for room.
  const kinds = isLimited ? REMOVABLE : all === true ? REMOVABLE.filter((kind) => kind !== "record") : ORDINARY;
  return kinds.includes(item.kind) && isOldEnough(item.lastUsedMs, options);
}

function isOldEnough(lastUsedMs: number, options: PruneOptions): boolean {
  return options.olderThanMs === undefined || nowMs() - lastUsedMs >= options.olderThanMs;
}

/** Images without a name are the first to go: nothing refers to them. Of a selection, those that would keep what is selected. */
function untaggedToDrop(context: GcContext, usage: DiskUsage, options: PruneOptions): ReadonlySet<Digest> {
  const old = context.images.untagged().filter((image) => isOldEnough(image.lastUsedMs, options));
  const { select } = options;
  const selected = select && selectedBlobs(context, usage.items.filter(select));
  const dropped = old.filter(
    ({ manifest }) => !selected || !selected.isDisjointFrom(blobsOfImage(context, manifest.digest)),
  );
  const digests = new Set(dropped.map((image) => image.manifest.digest));
  if (options.dryRun !== true) context.images.removeUntagged(digests);
  return digests;
}

function selectedBlobs({ layers }: GcContext, items: readonly UsageItem[]): Set<Digest> {
  return new Set(
    items.flatMap(({ kind, id }) =>
      kind === "layer" ? layers.blobs(id).map(({ digest }) => digest) : kind === "blob" ? [id as Digest] : [],
    ),
  );
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
