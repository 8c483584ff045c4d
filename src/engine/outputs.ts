// Makes what was asked for of a solved image: in the store, in archives, in registries, in docker or podman, or as plain files.
import { join, resolve } from "node:path";
import { nowIso, nowMs } from "../base/clock.ts";
import { writeFileAtomic } from "../base/fs-atomic.ts";
import { skipBytes } from "../base/streams.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { assembleImage, type AssembledImage, type AssembledLayer } from "../export/assemble.ts";
import type { ImagePlan } from "../graph/image-plan.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import { layerCompression } from "../oci/media-type.ts";
import { formatPlatform } from "../oci/platform.ts";
import { checkAnnotatedPlatforms, describeLayers, formatOf } from "./described-layers.ts";
import type { EventSink } from "../progress/events.ts";
import type { PushOptions } from "../export/push.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { Layer, PackedLayer, PackOptions, Rootfs } from "../rootfs/layer.ts";
import { RootfsView } from "../rootfs/view.ts";
import type { Scheduler } from "../solve/scheduler.ts";
import type { Store } from "../store/store.ts";
import { EarlyUploads } from "./early-uploads.ts";
import type { InlineCache } from "./inline-cache.ts";
import type { BuildOptions, BuildResult, ImageOutputOptions, OutputSpec } from "./options.ts";
import type { Session } from "./session.ts";
import { familiarReference, formatReference, type Reference } from "../oci/reference.ts";
import { readName, readReference } from "./references.ts";
import { exportName, namesOf, storeNames } from "./output-names.ts";

export interface SolvedImage {
  readonly plan: ImagePlan;
  readonly rootfs: Rootfs;
  /** The vertices that made the layers above the base image's, bottom first. */
  readonly chain: readonly Digest[];
}

export interface OutputContext {
  readonly store: Store;
  readonly session: Session;
  readonly scheduler: Scheduler;
  readonly client: () => Promise<RegistryClient>;
  readonly options: BuildOptions;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Records that the image is to carry. */
  readonly inlineCache: InlineCache | undefined;
  readonly onEvent: EventSink;
  readonly signal: AbortSignal;
}

/** Something that can be pushed: its bytes are in the store, or where its base image is. */
export class Outputs {
  readonly #context: OutputContext;
  readonly #solved: SolvedImage;
  readonly #assembled = new Map<string, Promise<AssembledImage>>();

  constructor(context: OutputContext, solved: SolvedImage) {
    this.#context = context;
    this.#solved = solved;
  }

  /** Makes all outputs, the store's image first. */
  async make(): Promise<BuildResult> {
    const { options, session } = this.#context;
    const names = new Set<string>();
    let image: AssembledImage | undefined;
    const isKept = options.outputs.every((output) => output.kind === "cacheonly" || this.#isNamed(output));
    if (!isKept) await session.protect();
    for (const output of options.outputs) {
      const vertex = digestOfJson(["export", output]);
      const made = await this.#observed(vertex, exportName(output), () => this.#makeOne(output));
      if (!made) continue;
      image ??= made;
      if ("names" in output) for (const name of namesOf(output, options.tags)) names.add(name);
    }
    const result = this.#result(image, [...names]);
    if (options.metadataFile !== undefined)
      writeText(options.metadataFile, `${JSON.stringify(result.metadata, undefined, 2)}\n`);
    if (options.iidFile !== undefined && result.imageId !== undefined) writeText(options.iidFile, result.imageId);
    return result;
  }

  /** Whether all that the output may turn out to be is the image that already has its names: what they need nobody removes. A push takes the lease itself. */
  #isNamed(output: OutputSpec): boolean {
    const { store, options } = this.#context;
    return (
      output.kind === "image" &&
      output.isStored &&
      !output.isUnpacked &&
      !output.dangling &&
      namesOf(output, options.tags).every((name) => store.images.get(name))
    );
  }

  #result(image: AssembledImage | undefined, names: readonly string[]): BuildResult {
    if (!image) return { names, metadata: {} };
    const { digest } = image.manifestDescriptor;
    const metadata = {
      "containerimage.config.digest": image.configDescriptor.digest,
      "containerimage.descriptor": image.manifestDescriptor,
      "containerimage.digest": digest,
      ...(names.length === 0 ? {} : { "image.name": names.join(",") }),
    };
    return { manifestDigest: digest, imageId: image.configDescriptor.digest, names, metadata };
  }

  async #makeOne(output: OutputSpec): Promise<AssembledImage | undefined> {
    const { signal, options } = this.#context;
    const { writeStdout } = options;
    switch (output.kind) {
      case "cacheonly":
        return undefined;
      case "local": {
        await this.#fetchCached();
        const { writeTree } = await import("../export/files.ts");
        const { plan } = this.#solved;
        const { epoch } = withEpoch(plan, output.epoch);
        const dest = output.isSplit
          ? join(output.dest, formatPlatform(plan.platform).replaceAll("/", "_"))
          : output.dest;
        await writeTree(this.#view(), dest, { epoch, isMirror: output.mode === "delete", signal });
        return undefined;
      }
      case "tar": {
        await this.#fetchCached();
        const { treeTar } = await import("../export/files.ts");
        const { writeOutput } = await import("../export/sink.ts");
        const { epoch } = withEpoch(this.#solved.plan, output.epoch);
        const tar = treeTar(this.#view(), { epoch, signal });
        await writeOutput(output.dest, tar, writeStdout);
        return undefined;
      }
      case "image":
        return this.#makeImage(output);
      case "oci":
      case "docker":
        return this.#makeArchive(output);
    }
  }

  /** Layers of caches, before the first byte is written: one of them may turn out to be of no use. */
  async #fetchCached(): Promise<void> {
    const layers = this.#solved.rootfs.filter(({ cached }) => cached);
    if (layers.length === 0) return;
    await this.#context.session.protect();
    await Promise.all(layers.map((layer) => this.#context.scheduler.run("network", 0, () => layer.directory())));
  }

  #view(): RootfsView {
    return new RootfsView(this.#solved.rootfs);
  }

  /** The image in the store; with `push` in its registries as well. A pushed image's base layers need not be here. */
  async #makeImage(output: OutputSpec & { readonly kind: "image" }): Promise<AssembledImage> {
    const { store, options, session, client, signal } = this.#context;
    const given = namesOf(output, options.tags);
    const references = output.push ? given.map(output.image.pushByDigest ? readName : readReference) : [];
    await using early = new EarlyUploads({ client, references, signal });
    const image = await this.#assemble(output.image, early);
    store.content.put(image.config);
    store.content.put(image.manifest);
    for (const reference of references)
      await this.#push(reference, image, { early, pushByDigest: output.image.pushByDigest });
    if (output.isUnpacked) await this.#unpack();
    if (!output.isStored) return image;
    const names = storeNames(given, image.manifestDescriptor.digest, output);
    const isOnlyPushed = output.push && options.outputs.length === 1;
    if (!isOnlyPushed || (await this.#hasAllBlobs(image))) {
      await this.#fetchBlobs(image);
      const { digest } = image.manifestDescriptor;
      const isKept = (name: string): boolean => store.images.get(name)?.manifest.digest === digest;
      const isKeptUntagged =
        names.length === 0 && store.images.untagged().some(({ manifest }) => manifest.digest === digest);
      if (names.length === 0 ? !isKeptUntagged : !names.every(isKept)) await session.protect();
      for (const name of names) store.images.set(name, image.manifestDescriptor);
      if (names.length === 0 && !isKeptUntagged) store.images.addUntagged(image.manifestDescriptor);
    }
    return image;
  }

  async #makeArchive(output: OutputSpec & { readonly kind: "oci" | "docker" }): Promise<AssembledImage> {
    const { store, options, environment, signal } = this.#context;
    const { archiveTar, familiarName, writeLayoutDirectory } = await import("../export/archive.ts");
    const image = await this.#assemble(output.image);
    const isLoaded = output.kind === "docker" && output.dest === undefined;
    if (!isLoaded) await this.#fetchBlobs(image);
    const archive = {
      image,
      names: namesOf(output, options.tags),
      descriptorAnnotations: output.image.descriptorAnnotations,
      createdAt: createdOf(image),
      blobPath: (digest: Digest) => store.content.blobPath(digest),
      isDocker: output.kind === "docker",
    };
    if (output.kind === "oci" && !output.tar) await writeLayoutDirectory(archive, output.dest);
    else if (output.dest !== undefined) {
      const { writeOutput } = await import("../export/sink.ts");
      await writeOutput(output.dest, archiveTar(archive, signal), options.writeStdout);
    } else {
      const { loadIntoEngine } = await import("./load.ts");
      const context = output.kind === "docker" ? output.context : undefined;
      const open = async (): Promise<AsyncIterable<Uint8Array>> => {
        await this.#fetchBlobs(image);
        return archiveTar(archive, signal);
      };
      const imageId = image.configDescriptor.digest;
      await loadIntoEngine({
        imageId,
        names: archive.names.map(familiarName),
        archive: open,
        context,
        environment,
        signal,
      });
    }
    return image;
  }

  /** Makes every layer ready to be mounted. */
  async #unpack(): Promise<void> {
    const { session, scheduler } = this.#context;
    await session.protect();
    await Promise.all(this.#solved.rootfs.map((layer) => scheduler.run("disk", 0, () => layer.directory())));
  }

  #assemble(options: ImageOutputOptions, early?: EarlyUploads): Promise<AssembledImage> {
    const key = JSON.stringify(options);
    let promise = this.#assembled.get(key);
    if (!promise) {
      promise = this.#assembleNow(options, early);
      this.#assembled.set(key, promise);
    }
    return promise;
  }

  async #assembleNow(image: ImageOutputOptions, early: EarlyUploads | undefined): Promise<AssembledImage> {
    const { rootfs, chain } = this.#solved;
    const plan = withEpoch(this.#solved.plan, image.epoch);
    checkAnnotatedPlatforms(image.annotatedPlatforms, plan.platform);
    if (image.rewriteTimestamp && plan.epoch === undefined) {
      const message = "rewrite-timestamp=true changes nothing: no SOURCE_DATE_EPOCH and no source-date-epoch is given";
      this.#context.onEvent({ kind: "notice", message });
    }
    const layers = await describeLayers(rootfs, {
      image,
      clampToEpoch: image.rewriteTimestamp ? plan.epoch : undefined,
      chain,
      pack: (layer, options) => this.#packed(layer, options, early),
    });
    const createdAt = this.#firstMadeAt(layers);
    const members = (await this.#context.inlineCache?.members(layers.map(({ vertex }) => vertex))) ?? {};
    const { annotations } = image;
    return assembleImage(plan, layers, { format: formatOf(image), createdAt, annotations, members });
  }

  async #packed(layer: Layer, options: PackOptions, early: EarlyUploads | undefined): Promise<PackedLayer> {
    const { session, scheduler } = this.#context;
    const known = layer.knownPacked(options) ?? (await inCache(layer, options));
    if (known) return known;
    await session.protect();
    const pack = (all: PackOptions): Promise<PackedLayer> => scheduler.run("disk", 0, () => layer.packed(all));
    return early ? early.packed(layer, options, pack) : pack(options);
  }

  /** When exactly this image was made first: so that building it again gives the same bytes, also where no layer has a time. */
  #firstMadeAt(layers: readonly AssembledLayer[]): string {
    const { store } = this.#context;
    const { config, platform, history } = this.#solved.plan;
    const key = digestOfJson([
      layers.map(({ diffId }) => diffId),
      config,
      platform,
      history.map(({ createdBy }) => createdBy),
    ]);
    const known = store.records.getBlob("made", key);
    if (known) return Buffer.from(known.value).toString();
    const now = nowIso();
    store.records.putBlob("made", key, Buffer.from(now));
    return now;
  }

  async #hasAllBlobs(image: AssembledImage): Promise<boolean> {
    return image.layers.every(({ descriptor }) => this.#context.store.content.has(descriptor.digest, descriptor.size));
  }

  /** Base layers that were never needed until now. */
  async #fetchBlobs(image: AssembledImage): Promise<void> {
    const { store, scheduler, session } = this.#context;
    await Promise.all(
      this.#solved.rootfs.map(async (layer, index) => {
        const descriptor = image.layers[index]!.descriptor;
        const compression = layerCompression(descriptor.mediaType);
        if (store.content.has(descriptor.digest, descriptor.size) || compression === undefined) return;
        await session.protect();
        await scheduler.run("network", 0, () => layer.packed({ compression }));
      }),
    );
  }

  async #push(
    reference: Reference,
    image: AssembledImage,
    { early, pushByDigest }: { readonly early: EarlyUploads; readonly pushByDigest: boolean },
  ): Promise<void> {
    const { store, session, signal, onEvent } = this.#context;
    const client = await this.#context.client();
    const vertex = digestOfJson(["push", formatReference(reference)]);
    const { rootfs } = this.#solved;
    const remotes = new Map(rootfs.flatMap(({ remote }) => (remote ? [[remote.digest, remote] as const] : [])));
    const cached = new Map(
      rootfs.flatMap((layer) => (layer.cached ? [[layer.cached.digest, layer.cached] as const] : [])),
    );
    const startedMs = nowMs();
    const { isPushed, pushImage } = await import("../export/push.ts");
    const pushing: PushOptions = {
      client,
      reference,
      image,
      byDigest: pushByDigest,
      streamed: (digest) => early.take(reference, digest),
      openBlob: (descriptor, offset) => {
        const { digest, size } = descriptor;
        const [remote, held] = [remotes.get(digest), cached.get(digest)];
        if (store.content.has(digest, size) || !(remote ?? held)) return skipBytes(store.content.open(digest), offset);
        return remote ? session.openRemote(remote, offset) : session.openCached(held!, offset);
      },
      sourcesOf: (digest) => {
        const remote = remotes.get(digest) ?? cached.get(digest);
        return [...(remote ? [remote.repository] : []), ...store.layers.blobSources(digest)];
      },
      onHeld: (digest, repository) => {
        store.layers.addBlobSource(digest, repository);
      },
      onProgress: (digest, current, total, isDone) => {
        onEvent({
          kind: "vertex-status",
          vertex,
          id: `pushing ${digest}`,
          current,
          total,
          startedMs,
          ...(isDone ? { completedMs: nowMs() } : {}),
        });
      },
      signal,
    };
    const isThere = await isPushed(pushing);
    if (!isThere) await session.protect();
    await this.#observed(vertex, `pushing ${familiarReference(reference)}`, async () => {
      if (!isThere) await pushImage(pushing);
    });
  }

  /** Shows an export or a push as a step of its own. */
  async #observed<T>(vertex: Digest, name: string, work: () => Promise<T>): Promise<T> {
    const { onEvent } = this.#context;
    onEvent({ kind: "vertex-added", vertex, name, inputs: [] });
    onEvent({ kind: "vertex-started", vertex, atMs: nowMs() });
    try {
      const made = await work();
      onEvent({ kind: "vertex-finished", vertex, atMs: nowMs(), result: "succeeded" });
      return made;
    } catch (error) {
      onEvent({ kind: "vertex-finished", vertex, atMs: nowMs(), result: "failed", error: messageOf(error) });
      throw error;
    }
  }
}

/** A layer in the form in which a cache has it: it need not be here to be named, or to be pushed to where it is. */
async function inCache(layer: Layer, options: PackOptions): Promise<PackedLayer | undefined> {
  const { cached } = layer;
  const isAsked = cached && layerCompression(cached.mediaType) === options.compression;
  if (!isAsked || options.level !== undefined || options.clampToEpoch !== undefined || options.isSeekable)
    return undefined;
  const { digest, size } = cached;
  return { digest, size, diffId: await layer.diffId(), compression: options.compression };
}

/** The plan with the time that an output gives itself. */
function withEpoch(plan: ImagePlan, own: number | null | undefined): ImagePlan {
  if (own === undefined) return plan;
  const { epoch: _, ...rest } = plan;
  return own === null ? rest : { ...rest, epoch: own };
}

function createdOf(image: AssembledImage): string {
  return (JSON.parse(Buffer.from(image.config).toString()) as { readonly created: string }).created;
}

function writeText(path: string, text: string): void {
  try {
    writeFileAtomic(resolve(path), text);
  } catch (error) {
    throw new BuildError("export", `cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}
