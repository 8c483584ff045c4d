// What --cache-to asks for. Layers are packed and sent while the build goes on, each as soon as it is known; at the end the document that names them replaces the old one.
// A place that cannot be written is told once and does not fail the build, unless it was asked to (G09 differs here; pains 7, 33).
import { nowMs } from "../base/clock.ts";
import {
  blobsOf,
  entryId,
  isCheaperToMake,
  withEntry,
  type CachedLayer,
  type CachedMount,
  type CachedStep,
  type CacheDocument,
} from "../cache/document.ts";
import { onePart } from "../cache/byte-parts.ts";
import type { CacheTarget } from "../cache/location.ts";
import { CACHE_PARTS, encodeParts } from "../cache/step-parts.ts";
import type { CacheStorage, StoredCache } from "../cache/storage.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { digestOf, digestOfJson, type Digest } from "../oci/digest.ts";
import { layerCompression, layerMediaType } from "../oci/media-type.ts";
import type { EventSink } from "../progress/events.ts";
import { skipBytes } from "../base/streams.ts";
import type { Layer } from "../rootfs/layer.ts";
import { remoteBlob } from "../rootfs/remote-blob.ts";
import type { Scheduler } from "../solve/scheduler.ts";
import type { SolvedStep } from "../solve/services.ts";
import { opDigest } from "../solve/solver.ts";
import type { Store } from "../store/store.ts";
import { PATIENCE_MS, withPatience } from "./cache-imports.ts";
import type { Session } from "./session.ts";
import { stepParts } from "./step-parts.ts";

/** Keys per layer that are worth their room: the newest. */
const MAX_KEYS = 8;
/** An unchanged cache says at most this often that it was used. */
const TOUCH_MS = 24 * 60 * 60_000;

export interface OpenTarget {
  readonly target: CacheTarget;
  readonly storage: CacheStorage;
}

export interface CacheExportsOptions {
  readonly targets: readonly OpenTarget[];
  readonly store: Store;
  readonly session: Session;
  readonly scheduler: Scheduler;
  /** The steps whose layers are the image's. */
  readonly chain: readonly Digest[];
  /** Ids of the cache mounts that the build's steps have. */
  readonly mountIds: readonly string[];
  readonly onEvent: EventSink;
  readonly signal: AbortSignal;
}

/** The exports of one build. Disposing stops what is still on its way. */
export class CacheExports implements AsyncDisposable {
  readonly #exports: readonly TargetExport[];
  readonly #scope = new AbortController();

  constructor(options: CacheExportsOptions) {
    const signal = AbortSignal.any([options.signal, this.#scope.signal]);
    this.#exports = options.targets.map((open) => new TargetExport(open, { ...options, signal }));
  }

  /** Starts moving the layer of a step. */
  add(step: SolvedStep): void {
    for (const target of this.#exports) target.add(step);
  }

  /** Writes the documents. `unneeded` are the steps that nobody had to look at. */
  async finish(unneeded: () => Promise<readonly SolvedStep[]>): Promise<void> {
    if (this.#exports.some(({ isWhole }) => isWhole)) for (const step of await unneeded()) this.add(step);
    await Promise.all(this.#exports.map((target) => target.finish()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#scope.abort(new Error("the build has ended"));
    await Promise.all(this.#exports.map((target) => target.settled()));
  }
}

/** A step whose layer is in the cache now. */
interface MovedStep {
  readonly step: SolvedStep;
  readonly cached: CachedLayer;
  readonly durationMs: number;
}

class TargetExport {
  readonly isWhole: boolean;
  readonly #target: CacheTarget;
  readonly #storage: CacheStorage;
  readonly #options: CacheExportsOptions;
  readonly #chain: ReadonlySet<Digest>;
  readonly #before: Promise<StoredCache | undefined>;
  readonly #moves = new Map<Digest, Promise<MovedStep | undefined>>();

  constructor({ target, storage }: OpenTarget, options: CacheExportsOptions) {
    this.#target = target;
    this.#storage = storage;
    this.#options = options;
    this.#chain = new Set(options.chain);
    this.isWhole = target.mode === "max";
    this.#before = this.#readBefore();
    this.#before.catch(() => {});
  }

  add(step: SolvedStep): void {
    const { id } = step.vertex;
    if ((!this.isWhole && !this.#chain.has(id)) || this.#moves.has(id)) return;
    const move = this.#move(step);
    move.catch(() => {});
    this.#moves.set(id, move);
  }

  async settled(): Promise<void> {
    await Promise.allSettled([this.#before, ...this.#moves.values()]);
  }

  async finish(): Promise<void> {
    const { onEvent, signal } = this.#options;
    const { label } = this.#storage;
    const vertex = digestOfJson(["cache-export", label]);
    onEvent({ kind: "vertex-added", vertex, name: `exporting cache to ${label}`, inputs: [] });
    onEvent({ kind: "vertex-started", vertex, atMs: nowMs() });
    try {
      await this.#write();
      onEvent({ kind: "vertex-finished", vertex, atMs: nowMs(), result: "succeeded" });
    } catch (error) {
      const message = messageOf(error);
      onEvent({ kind: "vertex-finished", vertex, atMs: nowMs(), result: "failed", error: message });
      if (signal.aborted || !this.#target.isErrorIgnored) throw error;
      onEvent({ kind: "notice", message: `cache to ${label} was not exported: ${message}` });
    }
  }

  /** What is there; damage counts as nothing, since it is about to be replaced. */
  async #readBefore(): Promise<StoredCache | undefined> {
    const { signal } = this.#options;
    try {
      const stored = await withPatience((limited) => this.#storage.read(limited), PATIENCE_MS, signal);
      // Of BuildKit's nothing is kept, and nothing taken away: others may still use it.
      return stored?.buildkit ? undefined : stored;
    } catch (error) {
      if (error instanceof BuildError && error.code === "content") return undefined;
      throw error;
    }
  }

  /** Makes sure that the layer is there; undefined where it is not worth it. */
  async #move(step: SolvedStep): Promise<MovedStep | undefined> {
    const { vertex, layer } = step;
    const durationMs = Math.round(this.#options.store.records.duration(opDigest(vertex.op)) ?? 0);
    const contentId = await layer.contentId();
    const held = await this.#held(contentId);
    const cached = held ?? (await this.#send(layer, contentId, durationMs));
    return cached && { step, cached, durationMs };
  }

  /** The record of a step. At the end only: its key by content is found out after it has run. */
  #record({ step, cached, durationMs }: MovedStep): CachedStep {
    const { key, layer, vertex } = step;
    const keys = [...new Set([key, ...this.#options.store.records.keysOf(layer.id, MAX_KEYS)])].sort();
    return { keys, op: opDigest(vertex.op), layer: cached, durationMs };
  }

  /** The same layer from an earlier export, if its blob is still there. */
  async #held(contentId: Digest): Promise<CachedLayer | undefined> {
    const { signal } = this.#options;
    const { compression, forceCompression } = this.#target;
    for (const { steps } of (await this.#before)?.document.entries ?? []) {
      const layer = steps.find((step) => step.layer.contentId === contentId)?.layer;
      if (!layer || (forceCompression && layerCompression(layer.blob.mediaType) !== compression)) continue;
      if (await this.#storage.has(layer.blob, signal)) return layer;
    }
    return undefined;
  }

  async #send(layer: Layer, contentId: Digest, durationMs: number): Promise<CachedLayer | undefined> {
    const { store, session, scheduler, signal } = this.#options;
    const { compression, compressionLevel: level, forceCompression, skipsCheap } = this.#target;
    const options = { compression, ...(level === undefined ? {} : { level }) };
    const { cached, createdAt } = layer;
    const isKept = cached && (!forceCompression || layerCompression(cached.mediaType) === compression);
    const known = layer.knownPacked(options);
    if (isKept && !known) {
      const { mediaType, digest, size, repository } = cached;
      const blob = { mediaType, digest, size };
      const made: CachedLayer = { blob, diffId: await layer.diffId(), contentId, createdAt };
      if (repository === this.#storage.place || (await this.#storage.has(blob, signal))) return made;
      await this.#put(blob, (offset) => session.openCached(remoteBlob(repository, blob), offset), [repository]);
      return made;
    }
    if (skipsCheap && isCheaperToMake({ durationMs, size: known?.size ?? (await sizeOf(layer)) / 2 })) return undefined;
    const packed = known ?? (await scheduler.run("disk", -1, () => layer.packed(options)));
    const { digest, size, diffId } = packed;
    const blob = { mediaType: layerMediaType("oci", packed.compression), digest, size };
    await this.#put(blob, (offset) => skipBytes(store.content.open(digest), offset), store.layers.blobSources(digest));
    return { blob, diffId, contentId, createdAt };
  }

  async #put(
    blob: CachedLayer["blob"],
    open: (offset: number) => AsyncIterable<Uint8Array>,
    sources: readonly string[],
  ): Promise<void> {
    const { store, scheduler, signal, onEvent } = this.#options;
    const isSent = await scheduler.run("network", -1, () => this.#storage.put(blob, open, { sources, signal }));
    if (isSent) onEvent({ kind: "counted", name: "cache.sent", subject: blob.digest, bytes: blob.size });
    if (this.#storage.isRegistry) store.layers.addBlobSource(blob.digest, this.#storage.place);
  }

  /** The mounts of this build as they are now; those that are not here, or in use, as they were. */
  async #exportMounts(before: StoredCache | undefined): Promise<readonly CachedMount[]> {
    const { store, session, mountIds, onEvent, signal } = this.#options;
    const { exportMount } = await import("./cache-mount-packs.ts");
    const entries = before?.document.entries ?? [];
    const packs = new Map(
      entries.flatMap(({ mounts }) => mounts.flatMap((mount) => mount.packs.map((pack) => [pack.id, pack] as const))),
    );
    const kept = (entries[0]?.mounts ?? []).filter(({ id }) => mountIds.includes(id));
    const mounts = new Map(kept.map((mount) => [mount.pool, mount]));
    const reader = await store.cacheMountReader();
    for (const { pool, id } of reader.list(mountIds)) {
      using opened = reader.open(pool);
      if (!opened) continue;
      try {
        const mount = await exportMount({ pool, id }, opened.path, {
          storage: this.#storage,
          before: packs,
          compression: this.#target.ociMediaTypes ? "zstd" : "gzip",
          xattrNamespace: session.xattrNamespace,
          makeScratchDir: () => session.makeScratchDir("p"),
          onSent: ({ digest, size }) => onEvent({ kind: "counted", name: "cache.sent", subject: digest, bytes: size }),
          signal,
        });
        mounts.set(pool, mount);
      } catch (error) {
        // It is at rest only as long as nobody else builds with it.
        if (signal.aborted || !(error instanceof BuildError) || error.code !== "runtime") throw error;
        onEvent({ kind: "notice", message: `cache mount ${id} was not exported: ${error.message}` });
      }
    }
    return [...mounts.values()].sort((a, b) => (a.pool < b.pool ? -1 : 1));
  }

  async #write(): Promise<void> {
    const { signal, onEvent } = this.#options;
    const { keep, maxSize, reset } = this.#target;
    const before = await this.#before;
    const moved = (await Promise.all(this.#moves.values())).filter((step) => step !== undefined);
    const steps = moved.map((step) => this.#record(step));
    if (steps.length === 0 && !(this.#target.mounts && this.#options.mountIds.length > 0)) {
      const message = `cache to ${this.#storage.label}: no step has a layer that is worth exporting`;
      onEvent({ kind: "notice", message });
      return;
    }
    steps.sort((a, b) => (a.keys[0]! < b.keys[0]! ? -1 : 1));
    const mounts = this.#target.mounts ? await this.#exportMounts(before) : [];
    const [now, parts] = [nowMs(), encodeParts(moved.map(({ step }) => stepParts(step)))];
    const blob = { mediaType: CACHE_PARTS, digest: digestOf(parts), size: parts.length };
    const entry = { steps, mounts, parts: blob, createdMs: now, lastUsedMs: now };
    const document = withEntry(before?.document, entry, { keep, maxSize });
    if (before && isSame(before.document, document)) return;
    await this.#storage.put(blob, (offset) => onePart(parts.subarray(offset)), { sources: [], signal });
    const isPruned = reset || keep !== undefined || maxSize !== undefined;
    const onNotice = (message: string): void => {
      onEvent({ kind: "notice", message: `cache to ${this.#storage.label}: ${message}` });
    };
    await this.#storage.write(document, { before, isPruned, onNotice, signal });
    onEvent({ kind: "counted", name: "cache.written", subject: this.#storage.label, bytes: sum(blobsOf(document)) });
  }
}

/** Whether writing would only say that the cache was used again, a short time after it last was. */
function isSame(before: CacheDocument, after: CacheDocument): boolean {
  const newest = (document: CacheDocument): number => document.entries[0]?.lastUsedMs ?? 0;
  return (
    before.entries.map(entryId).join() === after.entries.map(entryId).join() &&
    newest(after) - newest(before) < TOUCH_MS
  );
}

/** Bytes of a layer's files. */
async function sizeOf(layer: Layer): Promise<number> {
  let size = 0;
  for (const entry of await layer.entries())
    if (entry.type === "file" && entry.hardlink === undefined) size += entry.size;
  return size;
}

function sum(sized: readonly { readonly size: number }[]): number {
  return sized.reduce((total, { size }) => total + size, 0);
}
