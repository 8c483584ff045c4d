// Commands on images of the store: list, inspect, tag, remove, push, pull.
import { skipBytes } from "../base/streams.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { msOfIso, nowMs } from "../base/clock.ts";
import { digestOfJson, parseDigest, type Digest } from "../oci/digest.ts";
import type { Descriptor, ImageConfig, Manifest } from "../oci/image.ts";
import { formatPlatform, normalizePlatform } from "../oci/platform.ts";
import {
  familiarReference,
  formatReference,
  parseReference,
  repositoryName,
  withDefaultTag,
} from "../oci/reference.ts";
import { layerCompression } from "../oci/media-type.ts";
import { readReference, familiarName } from "./references.ts";
import type { EngineParts } from "./parts.ts";
import type { ImageSummary } from "./options.ts";
import { Session } from "./session.ts";
import { targetPlatform } from "./target-platform.ts";

export interface PullOptions {
  /** As `--platform`; absent = this machine's. */
  readonly platform?: string;
  readonly signal: AbortSignal;
}

/** An image of the store, read. */
export interface StoredImageData {
  /** Normalised; undefined = found by digest. */
  readonly name: string | undefined;
  readonly descriptor: Descriptor;
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
}

export class ImageCommands {
  readonly #parts: EngineParts;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  list(): ImageSummary[] {
    const { images } = this.#parts.store;
    return [...images.list(), ...images.untagged()].flatMap((image): ImageSummary[] => {
      const data = readImage(this.#parts, image.manifest, image.name);
      if (!data) return [];
      const { manifest, config } = data;
      const createdMs = config.created === undefined ? undefined : msOfIso(config.created);
      return [
        {
          ...(image.name === undefined ? {} : { name: familiarName(image.name) }),
          manifestDigest: image.manifest.digest,
          imageId: manifest.config.digest,
          ...(createdMs === undefined ? {} : { createdMs }),
          size: manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
          platform: formatPlatform(normalizePlatform(config.os, config.architecture, config.variant)),
        },
      ];
    });
  }

  async inspect(name: string): Promise<Readonly<Record<string, unknown>>> {
    const { descriptor, manifest, config, name: found } = findImage(this.#parts, name);
    return Promise.resolve({
      ...(found === undefined ? {} : { name: found }),
      digest: descriptor.digest,
      manifest,
      config,
    });
  }

  tag(source: string, name: string): void {
    const { descriptor } = findImage(this.#parts, source);
    this.#parts.store.images.set(formatReference(readReference(name)), descriptor);
  }

  /** Takes a name away, or an image without one; returns what it was. Its layers are cache from then on, for `prune` to collect. */
  remove(name: string): string {
    const { images } = this.#parts.store;
    const image = findImage(this.#parts, name);
    if (image.name === undefined) images.removeUntagged(new Set([image.descriptor.digest]));
    else images.remove(image.name);
    return image.name ?? image.descriptor.digest;
  }

  async push(name: string, signal: AbortSignal): Promise<string> {
    const image = findImage(this.#parts, name);
    const reference = readReference(name);
    if (image.name === undefined)
      throw new BuildError("usage", "an image is pushed by its name", { help: "give it one: tsbuild tag DIGEST NAME" });
    const { store, options } = this.#parts;
    const client = await this.#parts.client();
    const vertex = digestOfJson(["push", name]);
    const startedMs = nowMs();
    options.onEvent({ kind: "vertex-added", vertex, name: `pushing ${familiarReference(reference)}`, inputs: [] });
    options.onEvent({ kind: "vertex-started", vertex, atMs: startedMs });
    const layers = image.manifest.layers.map((descriptor, index) => ({
      descriptor,
      diffId: image.config.rootfs.diff_ids[index]!,
      createdAt: "",
      description: "",
    }));
    const { pushImage } = await import("../export/push.ts");
    await pushImage({
      client,
      reference,
      image: {
        config: image.configBytes,
        configDescriptor: image.manifest.config,
        manifest: image.manifestBytes,
        manifestDescriptor: image.descriptor,
        layers,
      },
      byDigest: false,
      openBlob: (descriptor, offset) => skipBytes(store.content.open(descriptor.digest), offset),
      sourcesOf: (digest) => store.layers.blobSources(digest),
      onHeld: (digest, repository) => {
        store.layers.addBlobSource(digest, repository);
      },
      onProgress: (digest, current, total, isDone) => {
        options.onEvent({
          kind: "vertex-status",
          vertex,
          id: digest,
          current,
          total,
          startedMs,
          ...(isDone ? { completedMs: nowMs() } : {}),
        });
      },
      signal,
    });
    options.onEvent({ kind: "vertex-finished", vertex, atMs: nowMs(), result: "succeeded" });
    return image.descriptor.digest;
  }

  /** Fetches an image with all its layers, verified, and gives it its name. */
  async pull(name: string, { platform: text, signal }: PullOptions): Promise<string> {
    const { store, options } = this.#parts;
    const reference = readReference(name);
    const client = () => this.#parts.client();
    await using session = new Session({
      engine: options,
      store,
      client,
      isRootless: this.#parts.isRootless,
      pull: "always",
      kind: "pull",
      signal,
    });
    await session.protect();
    const platform = targetPlatform(text === undefined ? [] : [text]);
    const vertex = digestOfJson(["pull", name]);
    options.onEvent({ kind: "vertex-added", vertex, name: `pulling ${familiarReference(reference)}`, inputs: [] });
    options.onEvent({ kind: "vertex-started", vertex, atMs: nowMs() });
    const resolved = await session.images.resolve(formatReference(reference), platform);
    const rootfs = await session.images.open(
      { kind: "image", reference: resolved.reference, digest: resolved.digest, platform },
      session.faces,
    );
    await Promise.all(
      rootfs.map(async (layer) => {
        const startedMs = nowMs();
        const { remote } = layer;
        const compression = layerCompression(remote?.mediaType ?? "") ?? "gzip";
        const packed = await layer.packed({ compression });
        const total = packed.size;
        options.onEvent({
          kind: "vertex-status",
          vertex,
          id: packed.digest,
          current: total,
          total,
          startedMs,
          completedMs: nowMs(),
        });
        store.layers.addBlobSource(packed.digest, repositoryName(reference));
      }),
    );
    const bytes = store.content.read(resolved.digest);
    const manifest = JSON.parse(Buffer.from(bytes).toString()) as Manifest;
    store.images.set(formatReference(reference), {
      mediaType: manifest.mediaType,
      digest: resolved.digest,
      size: bytes.length,
    });
    options.onEvent({ kind: "vertex-finished", vertex, atMs: nowMs(), result: "succeeded" });
    return resolved.digest;
  }
}

/** The image that people mean by a name, a manifest digest, an image id or a unique beginning of one. Fails with "image" where there is none. */
export function findImage(parts: EngineParts, text: string): StoredImageData {
  const { images } = parts.store;
  const reference = parseReference(text);
  const named = reference && images.get(formatReference(withDefaultTag({ ...reference })));
  if (named) {
    const data = readImage(parts, named.manifest, named.name);
    if (data) return data;
    throw new BuildError("store", `image ${text} is damaged in the store`, { help: "build or pull it again" });
  }
  const hex = text.replace(/^sha256:/, "");
  if (/^[0-9a-f]{4,64}$/.test(hex)) {
    const found = new Map<Digest, StoredImageData>();
    for (const image of [...images.list(), ...images.untagged()]) {
      const data = readImage(parts, image.manifest, image.name);
      const isMeant =
        data &&
        [data.descriptor.digest, data.manifest.config.digest].some((digest) => digest.startsWith(`sha256:${hex}`));
      if (isMeant && !found.has(data.descriptor.digest)) found.set(data.descriptor.digest, data);
    }
    if (found.size === 1) return [...found.values()][0]!;
    if (found.size > 1)
      throw new BuildError("image", `${text} begins the digests of ${found.size} images`, { help: "give more of it" });
  }
  throw new BuildError("image", `no such image in the store: ${text}`, {
    help: "tsbuild images lists what is there; tsbuild pull fetches one",
  });
}

function readImage(parts: EngineParts, descriptor: Descriptor, name: string | undefined): StoredImageData | undefined {
  const { content } = parts.store;
  const manifestBytes = content.readIfIntact(descriptor.digest);
  if (!manifestBytes) return undefined;
  try {
    const manifest = JSON.parse(Buffer.from(manifestBytes).toString()) as Manifest;
    const configBytes = parseDigest(manifest.config.digest) && content.readIfIntact(manifest.config.digest);
    if (!configBytes) return undefined;
    return {
      name,
      descriptor,
      manifestBytes,
      manifest,
      configBytes,
      config: JSON.parse(Buffer.from(configBytes).toString()) as ImageConfig,
    };
  } catch {
    // Not an image that can be shown: as good as damaged.
    return undefined;
  }
}
