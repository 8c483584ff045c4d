// What a remote cache says, as data and as JSON: which keys lead to which layers. Holds digests and names of things, never values of build args or secrets.
// A document is a list of entries, one per export that is kept; equal steps and layers of several entries are written once.
// What was read came from outside: anything that is not of this form is refused whole.
import { parseDigest, digestOfJson, type Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import { layerCompression } from "../oci/media-type.ts";
import { CACHE_PARTS } from "./step-parts.ts";

/** The media type of the document as the config of a manifest. */
export const CACHE_CONFIG = "application/vnd.tsbuild.cache.config.v1+json";

/** A layer whose blob is in the cache. */
export interface CachedLayer {
  readonly blob: Descriptor;
  readonly diffId: Digest;
  /** What content keys know it by: see rootfs/layer. */
  readonly contentId: Digest;
  /** RFC 3339. */
  readonly createdAt: string;
}

export interface CachedStep {
  /** Every key, by definition or by content, that leads to the layer; sorted. */
  readonly keys: readonly Digest[];
  /** The op without its inputs. */
  readonly op: Digest;
  readonly layer: CachedLayer;
  /** Milliseconds that the work took; 0 = not known. */
  readonly durationMs: number;
}

/** A part of a cache mount: the layer tar of some of its paths. */
export interface CachedPack {
  /** Of the entries in it, times included. */
  readonly id: Digest;
  readonly blob: Descriptor;
  readonly diffId: Digest;
}

/** The content of a cache mount of RUN. */
export interface CachedMount {
  /** Names the mount's id and its initial content, the same on every machine. */
  readonly pool: string;
  /** The id, for people. */
  readonly id: string;
  /** Attributes of its root. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In the order of their paths. */
  readonly packs: readonly CachedPack[];
}

/** What one build exported. */
export interface CacheEntry {
  readonly steps: readonly CachedStep[];
  readonly mounts: readonly CachedMount[];
  /** The blob that says what the steps were made from: see step-parts.ts. */
  readonly parts?: Descriptor;
  readonly createdMs: number;
  readonly lastUsedMs: number;
}

export interface CacheDocument {
  /** Newest first. */
  readonly entries: readonly CacheEntry[];
}

interface WireStep {
  readonly keys: readonly string[];
  readonly op: string;
  readonly layer: number;
  readonly durationMs: number;
}

interface WireDocument {
  readonly version: 1;
  readonly layers: readonly CachedLayer[];
  readonly steps: readonly WireStep[];
  readonly mounts: readonly CachedMount[];
  readonly entries: readonly {
    readonly steps: readonly number[];
    readonly mounts: readonly number[];
    readonly parts?: Descriptor;
    readonly createdMs: number;
    readonly lastUsedMs: number;
  }[];
}

/** Identity of what an entry holds, without its times. */
export function entryId(entry: CacheEntry): Digest {
  const steps = entry.steps.map(({ keys, layer }) => [keys, layer.blob.digest]);
  return digestOfJson([steps.sort((a, b) => (String(a) < String(b) ? -1 : 1)), entry.mounts]);
}

/** Every blob that the document names, each once. */
export function blobsOf(document: CacheDocument): readonly Descriptor[] {
  const blobs = new Map<Digest, Descriptor>();
  for (const entry of document.entries) for (const blob of entryBlobs(entry)) blobs.set(blob.digest, blob);
  return [...blobs.values()];
}

function entryBlobs({ steps, mounts, parts }: CacheEntry): Descriptor[] {
  const packed = mounts.flatMap(({ packs }) => packs.map(({ blob }) => blob));
  return [...steps.map(({ layer }) => layer.blob), ...packed, ...(parts ? [parts] : [])];
}

/** The JSON of a document; equal documents give equal bytes. */
export function encodeDocument(document: CacheDocument): Uint8Array {
  const layers = new Table<CachedLayer>();
  const steps = new Table<WireStep>();
  const mounts = new Table<CachedMount>();
  const entries = document.entries.map((entry) => ({
    steps: entry.steps.map(({ keys, op, layer, durationMs }) => {
      const at = layers.add(layer.blob.digest, layer);
      return steps.add(digestOfJson([keys, at]), { keys, op, layer: at, durationMs });
    }),
    mounts: entry.mounts.map((mount) => mounts.add(digestOfJson(mount), mount)),
    ...(entry.parts ? { parts: entry.parts } : {}),
    createdMs: entry.createdMs,
    lastUsedMs: entry.lastUsedMs,
  }));
  const wire: WireDocument = { version: 1, layers: layers.rows, steps: steps.rows, mounts: mounts.rows, entries };
  return Buffer.from(JSON.stringify(wire));
}

/** Rows, each once, by number. */
class Table<T> {
  readonly rows: T[] = [];
  readonly #places = new Map<string, number>();

  add(key: string, row: T): number {
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    this.#places.set(key, this.rows.push(row) - 1);
    return this.rows.length - 1;
  }
}

/** Reads a document; undefined where the bytes are no document of this version. */
export function parseDocument(bytes: Uint8Array): CacheDocument | undefined {
  try {
    return readDocument(JSON.parse(Buffer.from(bytes).toString("utf8")) as WireDocument);
  } catch {
    return undefined;
  }
}

function readDocument(wire: WireDocument): CacheDocument {
  if (wire.version !== 1) throw new Error("another version");
  const layers = wire.layers.map(readLayer);
  const steps = wire.steps.map(({ keys, op, layer, durationMs }): CachedStep => {
    return { keys: keys.map(digest), op: digest(op), layer: at(layers, layer), durationMs: number(durationMs) };
  });
  const mounts = wire.mounts.map(readMount);
  return {
    entries: wire.entries.map((entry) => ({
      steps: entry.steps.map((index) => at(steps, index)),
      mounts: entry.mounts.map((index) => at(mounts, index)),
      ...(entry.parts ? { parts: readParts(entry.parts) } : {}),
      createdMs: number(entry.createdMs),
      lastUsedMs: number(entry.lastUsedMs),
    })),
  };
}

function readLayer({ blob, diffId, contentId, createdAt }: CachedLayer): CachedLayer {
  if (Number.isNaN(Date.parse(createdAt))) throw new Error("no time");
  return { blob: readBlob(blob), diffId: digest(diffId), contentId: digest(contentId), createdAt };
}

function readMount({ pool, id, mode, uid, gid, packs }: CachedMount): CachedMount {
  if (!/^[0-9a-f]{32}$/.test(pool)) throw new Error("no pool");
  return {
    pool,
    id: text(id),
    mode: number(mode) & 0o7777,
    uid: number(uid),
    gid: number(gid),
    packs: packs.map((pack) => ({ id: digest(pack.id), blob: readBlob(pack.blob), diffId: digest(pack.diffId) })),
  };
}

function readBlob(blob: Descriptor): Descriptor {
  if (layerCompression(blob.mediaType) === undefined) throw new Error("no layer");
  return { mediaType: blob.mediaType, digest: digest(blob.digest), size: number(blob.size) };
}

function readParts(blob: Descriptor): Descriptor {
  if (blob.mediaType !== CACHE_PARTS) throw new Error("no parts");
  return { mediaType: CACHE_PARTS, digest: digest(blob.digest), size: number(blob.size) };
}

function digest(text: unknown): Digest {
  const parsed = typeof text === "string" ? parseDigest(text) : undefined;
  if (parsed === undefined) throw new Error("no digest");
  return parsed;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new Error("no text");
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) throw new Error("no number");
  return value;
}

function at<T>(rows: readonly T[], index: number): T {
  const row = rows[index];
  if (row === undefined) throw new Error("no such row");
  return row;
}

export interface KeepOptions {
  readonly keep?: number | undefined;
  readonly maxSize?: number | undefined;
}

/** What an export leaves of a cache: its own entry first, then as many older ones as the limits allow (pain 33). */
export function withEntry(
  before: CacheDocument | undefined,
  entry: CacheEntry,
  { keep, maxSize }: KeepOptions,
): CacheDocument {
  const id = entryId(entry);
  const isKept = keep !== undefined || maxSize !== undefined;
  const older = isKept ? (before?.entries ?? []).filter((other) => entryId(other) !== id) : [];
  const own = maxSize === undefined ? entry : fitting(entry, maxSize);
  const entries = [own];
  const seen = new Set<Digest>();
  let size = addSize(own, seen);
  for (const other of older) {
    if (keep !== undefined && entries.length >= keep) break;
    const trial = new Set(seen);
    const more = addSize(other, trial);
    if (maxSize !== undefined && size + more > maxSize) break;
    size += more;
    for (const blob of trial) seen.add(blob);
    entries.push(other);
  }
  return { entries };
}

function addSize(entry: CacheEntry, seen: Set<Digest>): number {
  let size = 0;
  for (const blob of entryBlobs(entry)) {
    if (seen.has(blob.digest)) continue;
    seen.add(blob.digest);
    size += blob.size;
  }
  return size;
}

/** The steps that save the most time per byte, and then the mounts, as far as they fit. */
function fitting(entry: CacheEntry, maxSize: number): CacheEntry {
  if (addSize(entry, new Set()) <= maxSize) return entry;
  const worth = ({ durationMs, layer }: CachedStep): number => durationMs / Math.max(layer.blob.size, 1);
  const chosen = new Set<CachedStep>();
  const seen = new Set<Digest>();
  let size = 0;
  for (const step of entry.steps.toSorted((a, b) => worth(b) - worth(a))) {
    const more = seen.has(step.layer.blob.digest) ? 0 : step.layer.blob.size;
    if (size + more > maxSize) continue;
    size += more;
    seen.add(step.layer.blob.digest);
    chosen.add(step);
  }
  const fitted: CacheEntry = { ...entry, steps: entry.steps.filter((step) => chosen.has(step)), mounts: [] };
  return entry.mounts.reduce((smaller: CacheEntry, mount) => {
    const larger = { ...smaller, mounts: [...smaller.mounts, mount] };
    return addSize(larger, new Set()) <= maxSize ? larger : smaller;
  }, fitted);
}

/** Bytes per second at which a layer is assumed to go there and back. */
const TRANSFER_RATE = 25_000_000;
/** Smaller layers always travel: looking at them costs more than moving them. */
const CHEAP_FROM = 4_000_000;

/** Whether making the layer again takes less time than moving it: a large one that was made in less than its size / 25 MB/s. */
export function isCheaperToMake({ durationMs, size }: { readonly durationMs: number; readonly size: number }): boolean {
  return durationMs > 0 && size >= CHEAP_FROM && durationMs / 1000 < size / TRANSFER_RATE;
}
