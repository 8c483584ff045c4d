// What the store holds as people and BuildKit's filters see it (reference GC05): each thing with its type, what it is made on, and whether it is in use or shared.
import { parseDigest, type Digest } from "../oci/digest.ts";
import { blobsOfImage } from "./needs.ts";
import { Removal, type GcContext } from "./removal.ts";
import { unseal } from "./sealed.ts";
import type { DiskUsage, UsageItem } from "./usage.ts";

/** BuildKit's record types; "frontend" exists for its filters and is never used. */
export type RecordType =
  "regular" | "internal" | "frontend" | "source.local" | "source.git.checkout" | "exec.cachemount";

export interface CacheEntry extends UsageItem {
  readonly type: RecordType;
  /** Ids of the layers below, of what builds are remembered. */
  readonly parents: readonly string[];
  /** Milliseconds that the step took which made it; 0 where none did. */
  readonly durationMs: number;
  readonly isMutable: boolean;
  /** A live build or another process is using it. */
  readonly isInUse: boolean;
  /** A named image needs it. */
  readonly isShared: boolean;
}

/** What a named image takes: the blobs and directories of its layers. */
export interface ImageUsage {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Of these, what no other named image needs. */
  readonly ownSize: number;
}

export interface CacheUsage {
  /** Allocated bytes of everything below the root. */
  readonly total: number;
  readonly entries: readonly CacheEntry[];
  readonly images: readonly ImageUsage[];
}

/** Describes what was measured. Changes nothing. */
export function describeUsage(context: GcContext, usage: DiskUsage): CacheUsage {
  const removal = new Removal(context, { dropped: new Set(), reason: "pruned", items: usage.items });
  const parents = layersBelow(context);
  const durations = durationsByLayer(context);
  const entries = usage.items.map((item): CacheEntry => ({
    ...item,
    type: typeOf(item),
    parents: parents.get(item.id) ?? [],
    durationMs: durations.get(item.id) ?? 0,
    isMutable: item.kind === "mount" || item.kind === "context" || typeOf(item) === "source.git.checkout",
    isInUse: removal.isInUse(item),
    isShared: removal.isShared(item),
  }));
  return { total: usage.total, entries, images: imageUsage(context, usage) };
}

function typeOf({ kind, id }: UsageItem): RecordType {
  switch (kind) {
    case "layer":
    case "blob":
      return "regular";
    case "mount":
      return "exec.cachemount";
    case "context":
      return "source.local";
    case "source":
      return id.includes("/sources/git/") ? "source.git.checkout" : "regular";
    case "stray":
    case "temporary":
    case "database":
    case "log":
    case "record":
    case "other":
      return "internal";
  }
}

function layersBelow({ records }: GcContext): ReadonlyMap<string, readonly string[]> {
  const below = new Map<string, Set<string>>();
  for (const { layerIds } of records.results())
    layerIds.forEach((id, index) => {
      const parent = layerIds[index - 1];
      if (parent !== undefined) below.set(id, (below.get(id) ?? new Set()).add(parent));
    });
  return new Map([...below].map(([id, parents]) => [id, [...parents]]));
}

function durationsByLayer({ database }: GcContext): ReadonlyMap<string, number> {
  const sql = "SELECT layer_id, max(duration_ms) AS duration FROM records GROUP BY layer_id";
  return new Map(
    database.all<{ layer_id: string; duration: number }>(sql).map((row) => [row.layer_id, row.duration] as const),
  );
}

function imageUsage(context: GcContext, usage: DiskUsage): readonly ImageUsage[] {
  const sizes = new Map(usage.items.map(({ id, size }) => [id, size] as const));
  const layers = layersByBlob(context);
  const parts = context.images.list().flatMap(({ name, manifest }) => {
    const blobs = blobsOfImage(context, manifest.digest);
    const ids = new Set<string>(blobs);
    for (const digest of blobs) for (const layer of layers.get(digest) ?? []) ids.add(layer);
    return name === undefined ? [] : [{ name, ids }];
  });
  const users = new Map<string, number>();
  for (const { ids } of parts) for (const id of ids) users.set(id, (users.get(id) ?? 0) + 1);
  const sum = (ids: Iterable<string>, isCounted: (id: string) => boolean): number =>
    [...ids].reduce((total, id) => total + (isCounted(id) ? (sizes.get(id) ?? 0) : 0), 0);
  return parts
    .map(({ name, ids }) => ({ name, size: sum(ids, () => true), ownSize: sum(ids, (id) => users.get(id) === 1) }))
    .toSorted((a, b) => b.size - a.size);
}

function layersByBlob({ database }: GcContext): ReadonlyMap<Digest, readonly string[]> {
  const found = new Map<Digest, string[]>();
  for (const row of database.all<{ layer_id: string; digest: string }>("SELECT layer_id, digest FROM layer_blobs")) {
    const digest = parseDigest(unseal(row.digest) ?? "");
    if (digest !== undefined) found.set(digest, [...(found.get(digest) ?? []), row.layer_id]);
  }
  return found;
}

/** Things that a person can mean by a word: a thing's id, a cache mount's id, a key or the beginning of one, a step's instruction. */
export function entriesNamed(context: GcContext, usage: DiskUsage, word: string): readonly UsageItem[] {
  const byId = usage.items.filter(
    ({ kind, id, description }) => id === word || (kind === "mount" && description === word),
  );
  if (byId.length > 0) return byId;
  const layers = new Set<string>();
  if (/^(sha256:)?[0-9a-f]{8,64}$/.test(word)) {
    const prefix = `sha256:${word.replace(/^sha256:/, "")}`;
    const sql = "SELECT layer_id FROM records WHERE key >= ? AND key < ?";
    for (const row of context.database.all<{ layer_id: string }>(sql, prefix, `${prefix}g`)) layers.add(row.layer_id);
    const blobs = usage.items.filter(({ kind, id }) => kind === "blob" && id.startsWith(prefix));
    if (layers.size === 0 && blobs.length > 0) return blobs;
  }
  const wanted = oneLine(word);
  return usage.items.filter(
    ({ kind, id, description }) => kind === "layer" && (layers.has(id) || oneLine(description) === wanted),
  );
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
