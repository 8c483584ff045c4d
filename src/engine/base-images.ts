// Base images: what a reference means (a name in the store, what was learnt before, a registry, an OCI layout) and which layers it has. Fetches manifests and configs, never layers.
//
// What decides where a tag is looked up is PullPolicy.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nowIso } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { ImageOp } from "../graph/op.ts";
import { digestAlgorithm, digestHex, digestOf, parseDigest, type Digest } from "../oci/digest.ts";
import type { Descriptor, ImageConfig, Index, Manifest } from "../oci/image.ts";
import { isIndexType, isManifestType } from "../oci/media-type.ts";
import { formatPlatform, normalizePlatform, platformDistance, type Platform } from "../oci/platform.ts";
import { formatReference, parseReference, repositoryName, type Reference } from "../oci/reference.ts";
import type { LayoutReference, ResolvedImage } from "../plan/options.ts";
import type { EventSink } from "../progress/events.ts";
import type { RegistryClient } from "../registry/client.ts";
import { selectPlatform } from "../oci/platform-choice.ts";
import type { LayerFaces } from "../rootfs/layer-faces.ts";
import type { Rootfs } from "../rootfs/layer.ts";
import type { Store } from "../store/store.ts";
import { offlineError } from "./offline.ts";
import type { PullPolicy } from "./options.ts";
import { nameWithoutDigest, readReference } from "./references.ts";

/** The `repository` of a layer that lies in an OCI layout of the user: this and the layout's path. */
export const LAYOUT_PREFIX = "oci-layout://";

export interface BaseImagesOptions {
  readonly store: Store;
  readonly client: () => Promise<RegistryClient>;
  readonly pull: PullPolicy;
  readonly isOffline: boolean;
  readonly onEvent: EventSink;
  readonly signal: AbortSignal;
}

/** An image's manifest and config, wherever they came from. */
interface FoundImage {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

interface StoredImage extends FoundImage {
  /** It is for another platform, and nobody knows yet whether its registry has one for this. */
  readonly isOther?: true;
}

export class BaseImages {
  readonly #options: BaseImagesOptions;
  readonly #resolved = new Map<string, Promise<ResolvedImage>>();

  constructor(options: BaseImagesOptions) {
    this.#options = options;
  }

  /** Pins a reference for a platform; asked twice, it answers the same. */
  resolve(text: string, platform: Platform, layout?: LayoutReference): Promise<ResolvedImage> {
    const key = JSON.stringify([text, formatPlatform(platform), layout ?? null]);
    let promise = this.#resolved.get(key);
    if (!promise) {
      promise = layout ? this.#resolveLayout(text, platform, layout) : this.#resolveReference(text, platform);
      this.#resolved.set(key, promise);
    }
    return promise;
  }

  /** The layers of a pinned image, bottom first. */
  async open(op: ImageOp, faces: LayerFaces): Promise<Rootfs> {
    const { layout } = op;
    const read = (digest: Digest) => (layout === undefined ? this.#fromStore(digest) : readLayoutBlob(layout, digest));
    const bytes = read(op.digest) ?? (await this.#fetchManifest(op));
    const manifest = parseManifest(bytes, op.reference);
    const configBytes = read(manifest.config.digest) ?? (await this.#fetchBlob(op.reference, manifest.config));
    const config = parseJson<ImageConfig>(configBytes, op.reference);
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== manifest.layers.length) {
      throw new BuildError(
        "image",
        `${op.reference} has ${manifest.layers.length} layers and ${diffIds.length} diffIDs`,
        { help: "the image is damaged" },
      );
    }
    const repository = op.layout === undefined ? repositoryOf(op.reference) : LAYOUT_PREFIX + op.layout;
    return manifest.layers.map((layer, index) => {
      const { mediaType, digest, size, urls } = layer;
      const remote = { repository, mediaType, digest, size, ...(urls ? { urls } : {}) };
      return faces.fromRemote(remote, diffIds[index]!, config.created ?? nowIso());
    });
  }

  async #resolveReference(text: string, platform: Platform): Promise<ResolvedImage> {
    const reference = readReference(text);
    const found = await this.#choose(reference, platform, this.#findStored(reference, platform));
    return { reference: nameWithoutDigest(reference), digest: found.digest, config: found.config };
  }

  /** The registry's image or the one that is stored, as the policy wants. A digest means the same for ever. */
  async #choose(reference: Reference, platform: Platform, stored: StoredImage | undefined): Promise<FoundImage> {
    const { pull, isOffline, onEvent } = this.#options;
    const isAsked = pull === "always" || pull === "newer" || (pull === "missing" && stored?.isOther === true);
    if (stored && (reference.digest !== undefined || isOffline || !isAsked)) return stored;
    if (isOffline) throw offlineError("image", formatReference(reference));
    if (pull === "never" && reference.digest === undefined)
      throw new BuildError(
        "image",
        `${formatReference(reference)} is not in the store, and --pull=never forbids asking its registry`,
        {
          help: "pull it, or build with --pull=missing",
        },
      );
    try {
      return await this.#ask(reference, platform);
    } catch (error) {
      const isFatal = pull === "always" || !stored || !(error instanceof BuildError);
      if (isFatal || this.#options.signal.aborted) throw await this.#withTags(error, reference);
      onEvent({
        kind: "notice",
        message: `${formatReference(reference)}: the one in the store is used, for ${error.message}`,
      });
      return stored;
    }
  }

  async #withTags(error: unknown, reference: Reference): Promise<unknown> {
    const { client, signal } = this.#options;
    const { withTags } = await import("./missing-image.ts");
    return withTags(error, reference, async (at, both) => (await client()).tags(at, { signal: both }), signal);
  }

  /** What the store has: an image of that name for the platform, what its registry said before, or an image of that name for another platform. */
  #findStored(reference: Reference, platform: Platform): StoredImage | undefined {
    const learnt = this.#learnt(reference, platform);
    if (reference.digest !== undefined) return this.#readStored(learnt ?? reference.digest, platform);
    const named = this.#options.store.images.get(nameWithoutDigest(reference))?.manifest.digest;
    const image = named && this.#readStored(named, platform);
    if (image && isFor(image.config, platform)) return image;
    return (learnt && this.#readStored(learnt, platform)) ?? (image && { ...image, isOther: true });
  }

  #learnt(reference: Reference, platform: Platform): Digest | undefined {
    const fact = this.#options.store.records.getBlob("tag", factKey(reference, platform));
    return fact && parseDigest(Buffer.from(fact.value).toString());
  }

  /** The image by manifest or index digest, if all of it but the layers is in the store. */
  #readStored(digest: Digest, platform: Platform): FoundImage | undefined {
    const bytes = this.#fromStore(digest);
    if (!bytes) return undefined;
    const value = parseJson<Manifest | Index>(bytes, digest);
    if ("manifests" in value) {
      const chosen = selectPlatform(value, platform);
      return chosen && this.#readStored(chosen.digest, platform);
    }
    if (!("config" in value)) return undefined;
    const configBytes = this.#fromStore(value.config.digest);
    return configBytes && { digest, manifest: value, config: parseJson<ImageConfig>(configBytes, digest) };
  }

  /** Asks the registry and keeps what it said. */
  async #ask(reference: Reference, platform: Platform): Promise<FoundImage> {
    const { store, signal } = this.#options;
    const client = await this.#options.client();
    const { descriptor } = await client.resolve(reference, { signal });
    let { digest, mediaType } = descriptor;
    let bytes = this.#fromStore(digest) ?? (await client.manifest(reference, digest, { signal })).bytes;
    store.content.put(bytes);
    if (isIndexType(mediaType)) {
      const index = parseJson<Index>(bytes, formatReference(reference));
      const chosen = selectPlatform(index, platform);
      if (!chosen) throw noMatch(reference, platform, index);
      ({ digest, mediaType } = chosen);
      bytes = this.#fromStore(digest) ?? (await client.manifest(reference, digest, { signal })).bytes;
      store.content.put(bytes);
    }
    const manifest = parseManifest(bytes, formatReference(reference));
    const configBytes =
      this.#fromStore(manifest.config.digest) ?? (await this.#fetchBlob(formatReference(reference), manifest.config));
    for (const layer of manifest.layers) store.layers.addBlobSource(layer.digest, repositoryName(reference));
    store.records.putBlob("tag", factKey(reference, platform), Buffer.from(digest));
    return { digest, manifest, config: parseJson<ImageConfig>(configBytes, formatReference(reference)) };
  }

  #fromStore(digest: Digest): Uint8Array | undefined {
    return this.#options.store.content.readIfIntact(digest);
  }

  async #fetchManifest(op: ImageOp): Promise<Uint8Array> {
    if (this.#options.isOffline) throw offlineError("image", `${op.reference}@${op.digest}`);
    const client = await this.#options.client();
    const { bytes } = await client.manifest(readReference(op.reference), op.digest, { signal: this.#options.signal });
    this.#options.store.content.put(bytes);
    return bytes;
  }

  async #fetchBlob(reference: string, descriptor: Descriptor): Promise<Uint8Array> {
    if (this.#options.isOffline) throw offlineError("image", `the config of ${reference}`);
    const client = await this.#options.client();
    const chunks: Uint8Array[] = [];
    for await (const chunk of client.openBlob(readReference(reference), descriptor, { signal: this.#options.signal }))
      chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    this.#options.store.content.put(bytes);
    return bytes;
  }

  async #resolveLayout(text: string, platform: Platform, layout: LayoutReference): Promise<ResolvedImage> {
    const index = parseJson<Index>(readLayoutFile(layout.path, "index.json"), layout.path);
    const wanted = layout.digest ?? pickTag(index, layout)?.digest;
    if (wanted === undefined) {
      const tag = layout.tag === undefined ? "" : ` tagged ${layout.tag}`;
      throw new BuildError("image", `no image${tag} in the OCI layout ${layout.path}: not found`, {
        details: { status: 404 },
      });
    }
    let digest = wanted;
    let value = parseJson<Manifest | Index>(readLayoutBlob(layout.path, digest), text);
    if ("manifests" in value) {
      const chosen = selectPlatform(value, platform);
      if (!chosen) throw new BuildError("image", `no match for platform ${formatPlatform(platform)} in ${layout.path}`);
      digest = chosen.digest;
      value = parseJson<Manifest>(readLayoutBlob(layout.path, digest), text);
    }
    const manifest = parseManifest(readLayoutBlob(layout.path, digest), text);
    const config = parseJson<ImageConfig>(readLayoutBlob(layout.path, manifest.config.digest), text);
    return { reference: nameWithoutDigest(readReference(text)), digest, config, layout: layout.path };
  }
}

/** Whether the image can be a base for `platform`. */
function isFor({ os, architecture, variant }: ImageConfig, platform: Platform): boolean {
  return platformDistance(platform, normalizePlatform(os, architecture, variant)) !== undefined;
}

function pickTag(index: Index, { tag }: LayoutReference): Descriptor | undefined {
  const refName = (descriptor: Descriptor) => descriptor.annotations?.["org.opencontainers.image.ref.name"];
  const [only, ...more] = index.manifests;
  if (only && more.length === 0 && (tag === undefined || refName(only) === undefined)) return only;
  return index.manifests.find((descriptor) => {
    const name = refName(descriptor);
    return name === (tag ?? "latest") || (name !== undefined && parseReference(name)?.tag === (tag ?? "latest"));
  });
}

function noMatch(reference: Reference, platform: Platform, index: Index): BuildError {
  const all = index.manifests.flatMap(({ platform: of }) =>
    of && of.os !== "unknown" ? [formatPlatform(normalizePlatform(of.os, of.architecture, of.variant))] : [],
  );
  const have = [...new Set(all)];
  const [first, second] = have;
  const wanted = formatPlatform(platform);
  return new BuildError("image", `${formatReference(reference)}: no match for platform in manifest: not found`, {
    summary: `${formatReference(reference)} has no version for ${wanted}, only for ${inWords(have)}`,
    help:
      first === undefined
        ? `use an image that has ${wanted}`
        : `build with --platform=${first}${second === undefined ? "" : ` (or ${second})`}, or use an image that has ${wanted}`,
    details: { status: 404, platforms: have },
  });
}

function inWords(platforms: readonly string[]): string {
  const [last = "no platform", ...others] = platforms.toReversed();
  return others.length === 0 ? last : `${others.reverse().join(", ")} and ${last}`;
}

function parseManifest(bytes: Uint8Array, name: string): Manifest {
  const manifest = parseJson<Manifest>(bytes, name);
  const isComplete =
    manifest.schemaVersion === 2 &&
    Array.isArray(manifest.layers) &&
    parseDigest(manifest.config?.digest ?? "") !== undefined;
  if (!isComplete || (manifest.mediaType !== undefined && !isManifestType(manifest.mediaType))) {
    throw new BuildError(
      "image",
      `${name} is no image manifest that can be read (${manifest.mediaType ?? "no media type"})`,
    );
  }
  return manifest;
}

function parseJson<T>(bytes: Uint8Array, name: string): T {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (value === null || typeof value !== "object") throw new Error("not an object");
    return value as T;
  } catch (error) {
    throw new BuildError("image", `${name} is damaged: ${messageOf(error)}`, { cause: error });
  }
}

function readLayoutFile(path: string, name: string): Uint8Array {
  try {
    return readFileSync(join(path, name));
  } catch (error) {
    throw new BuildError("image", `${path} is no OCI layout: ${messageOf(error)}`, {
      help: "it needs oci-layout, index.json and blobs/",
    });
  }
}

/** A small blob of the user's layout, verified. */
function readLayoutBlob(path: string, digest: Digest): Uint8Array {
  const bytes = readLayoutFile(path, layoutBlobName(digest));
  if (digest.startsWith("sha256:") && digestOf(bytes) !== digest)
    throw new BuildError("content", `blob ${digest} in ${path} does not match its digest`);
  return bytes;
}

/** Path of a blob within an OCI layout. */
export function layoutBlobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

function repositoryOf(text: string): string {
  return repositoryName(readReference(text));
}

function factKey(reference: Reference, platform: Platform): string {
  return `${formatReference(reference)} ${formatPlatform(platform)}`;
}
