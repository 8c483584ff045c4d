// Caches that were given with --cache-from, as one: which key leads to which layer, and the bytes of those layers. Documents are read in the background, in parallel with planning.
// A cache that cannot be read is told once and counts as empty; a layer that is missing, short or not what it was said to be is told once and is a miss (G09, pain 7).
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { StepKeyOptions } from "../cache/buildkit/step-key.ts";
import type { CachedMount, CachedStep } from "../cache/document.ts";
import { wholeOf } from "../cache/byte-parts.ts";
import { parseParts, stepLike, type StepParts } from "../cache/step-parts.ts";
import type { CacheStorage } from "../cache/storage.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { Descriptor } from "../oci/image.ts";
import { digestOf, type Digest } from "../oci/digest.ts";
import type { EventSink } from "../progress/events.ts";
import type { RemoteBlob } from "../rootfs/layer.ts";
import type { BuildView } from "../solve/services.ts";
import type { ExecOp, FileOp } from "../graph/op.ts";
import type { Vertex } from "../graph/graph.ts";
import type { BuildKitImport } from "./buildkit-import.ts";

export interface FoundStep {
  readonly step: CachedStep;
  readonly blob: RemoteBlob;
}

/** A layer that BuildKit has made. */
export interface FoundLayer {
  readonly blob: RemoteBlob;
  readonly diffId: Digest;
  /** RFC 3339. */
  readonly createdAt: string;
}

interface Source {
  readonly storage: CacheStorage;
  readonly records: Promise<Records>;
}

/** What a cache has; nothing where it is not to be had. */
interface Records {
  readonly steps: ReadonlyMap<Digest, CachedStep>;
  /** By pool. */
  readonly mounts: ReadonlyMap<string, CachedMount>;
  /** What the steps of the newest export were made from; fetched when first asked for. */
  readonly parts: () => Promise<readonly StepParts[]>;
  /** Of a cache that BuildKit has filled. */
  readonly buildkit: BuildKitImport | undefined;
}

export interface CacheImportsOptions {
  readonly storages: readonly CacheStorage[];
  readonly onEvent: EventSink;
  /** How long a cache may take to say what it has. Default 30 s. */
  readonly patienceMs?: number;
  readonly signal: AbortSignal;
}

/** A cache that takes longer to say what it has is treated as if it were down. */
export const PATIENCE_MS: number = 30_000;

/** The caches of one build, through all its attempts. */
export class CacheImports {
  readonly #sources: readonly Source[];
  readonly #options: CacheImportsOptions;
  /** Blobs that turned out not to be there, or not to be what they should. */
  readonly #lost = new Set<Digest>();
  readonly #checked = new Map<string, Promise<boolean>>();
  readonly #summarized = new Set<CacheStorage>();
  #lossCount = 0;

  constructor(options: CacheImportsOptions) {
    this.#options = options;
    this.#sources = options.storages.map((storage) => ({ storage, records: this.#read(storage) }));
  }

  /** The step of a key whose layer's blob is there: the first cache that has it. */
  async find(key: Digest): Promise<FoundStep | undefined> {
    for (const { storage, records } of this.#sources) {
      const step = (await records).steps.get(key);
      if (!step || !(await this.#isThere(storage, step.layer.blob))) continue;
      return { step, blob: { repository: storage.place, ...step.layer.blob } };
    }
    return undefined;
  }

  /** The layer of a step by what BuildKit calls it: the first of its caches that has one which fits. */
  async findByOp(
    step: Vertex & { readonly op: ExecOp | FileOp },
    build: BuildView,
    options: StepKeyOptions,
  ): Promise<FoundLayer | undefined> {
    for (const { storage, records } of this.#sources) {
      const { buildkit } = await records;
      const found = await buildkit?.find(step, build, {
        ...options,
        isThere: (blob) => this.#isThere(storage, blob),
      });
      if (!found) continue;
      const { layer, createdAt } = found;
      return { blob: { repository: storage.place, ...layer.blob }, diffId: layer.diffId, createdAt };
    }
    return undefined;
  }

  /** Says of each cache of BuildKit what came of it; once. */
  async summarize(): Promise<void> {
    for (const { storage, records } of this.#sources) {
      const summary = (await records).buildkit?.summary();
      if (summary !== undefined && !this.#summarized.has(storage)) this.#tell(storage.label, summary);
      this.#summarized.add(storage);
    }
  }

  /** Whether any cache has a record of the op, whatever its inputs were. */
  async knowsOp(op: Digest): Promise<boolean> {
    for (const { records } of this.#sources)
      for (const step of (await records).steps.values()) if (step.op === op) return true;
    return false;
  }

  /** Bytes of a blob that {@link find} named. A failure makes it a miss from now on. */
  async *open(blob: RemoteBlob, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const source = this.#sources.find(({ storage }) => storage.place === blob.repository);
    const { digest, size, mediaType } = blob;
    try {
      if (!source) throw new Error(`nothing is known of ${blob.repository}`);
      yield* source.storage.open({ mediaType, digest, size }, offset, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.lose(blob, error);
      throw error;
    }
  }

  /** What stood in the place of a step when a cache was filled; undefined where there was nothing, or nobody can say. */
  async stepLike(step: StepParts): Promise<StepParts | undefined> {
    for (const { records } of this.#sources) {
      const found = stepLike(step, await (await records).parts());
      if (found) return found;
    }
    return undefined;
  }

  /** Fills an empty directory with what a cache has of a mount; false where none has anything that is whole. */
  async restoreMount(pool: string, directory: string, xattrNamespace: "trusted" | "user"): Promise<boolean> {
    const { signal } = this.#options;
    for (const { storage, records } of this.#sources) {
      const mount = (await records).mounts.get(pool);
      if (!mount) continue;
      const { importMount } = await import("./cache-mount-packs.ts");
      try {
        const open = (blob: Descriptor) => storage.open(blob, 0, signal);
        await importMount(mount, directory, { open, xattrNamespace, signal });
        return true;
      } catch (error) {
        signal.throwIfAborted();
        this.#tell(storage.label, `cache mount ${mount.id} is not used: ${messageOf(error)}`);
        for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true, force: true });
      }
    }
    return false;
  }

  /** The layer is of no use: whoever asks again does not find it. */
  lose({ repository, digest }: RemoteBlob, reason: unknown): void {
    if (this.#lost.has(digest)) return;
    this.#lost.add(digest);
    this.#lossCount++;
    this.#tell(this.#labelOf(repository), `layer ${digest.slice(0, 19)} is not used: ${messageOf(reason)}`);
  }

  /** How many layers were found to be of no use since the last call: those who relied on them have to start again. */
  takeLosses(): number {
    const count = this.#lossCount;
    this.#lossCount = 0;
    return count;
  }

  /** Asked once per blob: a record may outlive its blob. */
  #isThere(storage: CacheStorage, blob: Descriptor): Promise<boolean> {
    if (this.#lost.has(blob.digest)) return Promise.resolve(false);
    const key = `${storage.place} ${blob.digest}`;
    let checking = this.#checked.get(key);
    if (!checking) {
      checking = this.#check(storage, blob);
      this.#checked.set(key, checking);
    }
    return checking;
  }

  async #check(storage: CacheStorage, blob: Descriptor): Promise<boolean> {
    const { signal } = this.#options;
    try {
      if (await this.#patiently((limited) => storage.has(blob, limited))) return true;
      this.#tell(storage.label, `layer ${blob.digest.slice(0, 19)} is not there any more, or not in its size`);
    } catch (error) {
      signal.throwIfAborted();
      this.#tell(storage.label, `layer ${blob.digest.slice(0, 19)} is not used: ${messageOf(error)}`);
    }
    return false;
  }

  async #read(storage: CacheStorage): Promise<Records> {
    const { signal } = this.#options;
    const steps = new Map<Digest, CachedStep>();
    const mounts = new Map<string, CachedMount>();
    let blob: Descriptor | undefined;
    let buildkit: BuildKitImport | undefined;
    try {
      const stored = await this.#patiently((limited) => storage.read(limited));
      if (!stored) this.#tell(storage.label, "there is none yet");
      blob = stored?.document.entries[0]?.parts;
      if (stored?.buildkit) buildkit = new (await import("./buildkit-import.ts")).BuildKitImport(stored.buildkit);
      // The newest entry wins.
      for (const entry of stored?.document.entries ?? []) {
        for (const step of entry.steps) for (const key of step.keys) if (!steps.has(key)) steps.set(key, step);
        for (const mount of entry.mounts) if (!mounts.has(mount.pool)) mounts.set(mount.pool, mount);
      }
    } catch (error) {
      if (!signal.aborted) this.#tell(storage.label, messageOf(error));
    }
    let parts: Promise<readonly StepParts[]> | undefined;
    return { steps, mounts, buildkit, parts: () => (parts ??= this.#readParts(storage, blob)) };
  }

  /** Explanations are not worth a word where they are not to be had. */
  async #readParts(storage: CacheStorage, blob: Descriptor | undefined): Promise<readonly StepParts[]> {
    if (!blob) return [];
    try {
      const bytes = await this.#patiently((limited) => wholeOf(storage.open(blob, 0, limited)));
      return (digestOf(bytes) === blob.digest ? parseParts(bytes) : undefined) ?? [];
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (error instanceof BuildError) return [];
      throw error;
    }
  }

  /** A cache that does not answer is no cache: waiting for it would take longer than building. */
  #patiently<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return withPatience(ask, this.#options.patienceMs ?? PATIENCE_MS, this.#options.signal);
  }

  #labelOf(place: string): string {
    return this.#sources.find(({ storage }) => storage.place === place)?.storage.label ?? place;
  }

  #tell(label: string, message: string): void {
    this.#options.onEvent({ kind: "notice", message: `cache from ${label}: ${message}` });
  }
}

/** Gives up after `ms`, in words of its own. */
export async function withPatience<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  ms: number,
  signal: AbortSignal,
): Promise<T> {
  const timeout = AbortSignal.timeout(ms);
  try {
    return await ask(AbortSignal.any([signal, timeout]));
  } catch (error) {
    if (signal.aborted || !timeout.aborted) throw error;
    throw new BuildError("registry", `it did not answer within ${ms / 1000} s`, { cause: error });
  }
}
