// What the store holds, as tables: by kind, step, image or cache mount, or everything, with the totals that docker's `du` has.
import { isoOfMs } from "../base/clock.ts";
import { formatBytes } from "../base/size-text.ts";
import type { CacheEntry, CacheUsage } from "../index.ts";

/** Rows of an ordinary answer; `--verbose` and `--format json` have all. */
const TOP = 30;

export function usageText(usage: CacheUsage, by: "kind" | "step" | "image" | "mount" | "everything"): string {
  switch (by) {
    case "kind":
      return byKind(usage.entries) + totals(usage);
    case "step":
      return steps(usage.entries) + totals(usage);
    case "image":
      return images(usage) + totals(usage);
    case "mount":
      return mountsText(usage.entries.filter(({ kind }) => kind === "mount")) + totals(usage);
    case "everything":
      return everything(usage.entries) + totals(usage);
  }
}

/** Cache mounts with their ids, the largest first. */
export function mountsText(entries: readonly CacheEntry[]): string {
  const rows = largestFirst(entries).map((entry) => [
    entry.description,
    entry.id,
    formatBytes(entry.size),
    String(entry.uses),
    dateOf(entry.lastUsedMs),
    entry.isInUse ? "in use" : "",
  ]);
  return table([["CACHE MOUNT", "ID", "SIZE", "USES", "LAST USED", ""], ...rows]);
}

function byKind(entries: readonly CacheEntry[]): string {
  const groups = [...Map.groupBy(entries, ({ kind }) => kind)].map(([kind, items]) => ({
    kind,
    count: items.length,
    size: sizeOf(items),
    reclaimable: sizeOf(items.filter(isReclaimable)),
  }));
  const rows = groups
    .toSorted((a, b) => b.size - a.size)
    .map(({ kind, count, size, reclaimable }) => [kind, String(count), formatBytes(size), formatBytes(reclaimable)]);
  return table([["KIND", "COUNT", "SIZE", "RECLAIMABLE"], ...rows]);
}

/** Steps with the time that having their layers saves. */
function steps(entries: readonly CacheEntry[]): string {
  const layers = largestFirst(entries.filter(({ kind }) => kind === "layer"));
  const rows = layers
    .slice(0, TOP)
    .map((entry) => [
      formatBytes(entry.size),
      entry.durationMs > 0 ? `${(entry.durationMs / 1000).toFixed(1)}s` : "",
      String(entry.uses),
      dateOf(entry.lastUsedMs),
      oneLine(entry.description) || entry.id,
    ]);
  return table([["SIZE", "TOOK", "USES", "LAST USED", "STEP"], ...rows]) + more(layers.length);
}

function images({ images: found }: CacheUsage): string {
  const rows = found
    .slice(0, TOP)
    .map(({ name, size, ownSize }) => [name, formatBytes(size), formatBytes(ownSize), formatBytes(size - ownSize)]);
  return table([["IMAGE", "SIZE", "OWN", "SHARED"], ...rows]) + more(found.length);
}

function everything(entries: readonly CacheEntry[]): string {
  const rows = largestFirst(entries).map((entry) => [
    entry.id,
    entry.type,
    String(isReclaimable(entry)),
    formatBytes(entry.size),
    dateOf(entry.lastUsedMs),
    oneLine(entry.description),
  ]);
  return table([["ID", "TYPE", "RECLAIMABLE", "SIZE", "LAST ACCESSED", "DESCRIPTION"], ...rows]);
}

function totals({ entries, total }: CacheUsage): string {
  const shared = sizeOf(entries.filter(({ isShared }) => isShared));
  const reclaimable = sizeOf(entries.filter(isReclaimable));
  const rows = [
    ["Shared:", formatBytes(shared)],
    ["Private:", formatBytes(Math.max(0, total - shared))],
    ["Reclaimable:", formatBytes(reclaimable)],
    ["Total:", formatBytes(total)],
  ];
  return `\n${table(rows)}`;
}

function isReclaimable({ kind, isInUse, isShared }: CacheEntry): boolean {
  return !isInUse && !isShared && kind !== "other";
}

function sizeOf(entries: readonly CacheEntry[]): number {
  return entries.reduce((sum, { size }) => sum + size, 0);
}

function largestFirst(entries: readonly CacheEntry[]): readonly CacheEntry[] {
  return entries.toSorted((a, b) => b.size - a.size);
}

function more(count: number): string {
  return count <= TOP ? "" : `and ${count - TOP} more: --verbose\n`;
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= 100 ? line : `${line.slice(0, 99)}…`;
}

/** `2026-11-27 09:30`, UTC. */
function dateOf(ms: number): string {
  return isoOfMs(ms).slice(0, 16).replace("T", " ");
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
