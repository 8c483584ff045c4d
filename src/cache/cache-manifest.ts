// A cache as an OCI image manifest (or BuildKit's index of blobs): the layers are its blobs, the document is its config. Any registry and any tool that copies images carries it.
import { BuildError } from "../diagnostics/build-error.ts";
import { digestOf } from "../oci/digest.ts";
import type { Descriptor, ImageConfig, Index, Manifest } from "../oci/image.ts";
import {
  DOCKER_CONFIG,
  DOCKER_INDEX,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
  isManifestType,
  layerCompression,
  layerMediaType,
} from "../oci/media-type.ts";
import { selectPlatform } from "../oci/platform-choice.ts";
import { hostPlatform } from "../oci/platform.ts";
import { parseBuildKitConfig, type BuildKitCache } from "./buildkit/config.ts";
import { CACHE_CONFIG, blobsOf, encodeDocument, parseDocument, type CacheDocument } from "./document.ts";
import { INLINE_MEMBER, decodeBuildKitInline, decodeInline } from "./inline-cache.ts";
import type { StoredCache } from "./storage.ts";

/** The largest document that is read, bytes. */
const MAX_DOCUMENT = 64 * 1024 * 1024;

export interface ManifestForm {
  /** False = an index of blobs, as BuildKit wrote before image manifests. */
  readonly imageManifest: boolean;
  readonly ociMediaTypes: boolean;
}

export interface EncodedCache {
  readonly config: Uint8Array;
  readonly configDescriptor: Descriptor;
  readonly manifest: Uint8Array;
  readonly mediaType: string;
}

/** Manifest and config of `document`. `tag` keeps equal caches under two names apart, so that removing one of them leaves the other. */
export function encodeCache(document: CacheDocument, form: ManifestForm, tag: string): EncodedCache {
  const config = encodeDocument(document);
  const configDescriptor: Descriptor = { mediaType: CACHE_CONFIG, digest: digestOf(config), size: config.length };
  const layers = blobsOf(document).map((blob) => ({ ...blob, mediaType: layerType(blob, form) }));
  const annotations = { "dev.tsbuild.cache.tag": tag };
  const mediaType = form.imageManifest ? OCI_MANIFEST : form.ociMediaTypes ? OCI_INDEX : DOCKER_INDEX;
  const value = form.imageManifest
    ? ({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: configDescriptor, layers, annotations } satisfies Manifest)
    : ({ schemaVersion: 2, mediaType, manifests: [...layers, configDescriptor], annotations } satisfies Index);
  return { config, configDescriptor, manifest: Buffer.from(JSON.stringify(value)), mediaType };
}

function layerType({ mediaType }: Descriptor, form: ManifestForm): string {
  const compression = layerCompression(mediaType);
  return compression === undefined ? mediaType : layerMediaType(form.ociMediaTypes ? "oci" : "docker", compression);
}

/** BuildKit's own records, in a manifest or an index. */
const BUILDKIT_CONFIG = "application/vnd.buildkit.cacheconfig.v0";

export interface ManifestReader {
  /** A small blob, verified. */
  readonly blob: (blob: Descriptor) => Promise<Uint8Array>;
  /** Another manifest of the same place. */
  readonly manifest: (descriptor: Descriptor) => Promise<Uint8Array>;
}

export type DecodedCache = Pick<StoredCache, "document" | "buildkit">;

/** Reads the document behind a manifest: a cache of ours or of BuildKit, or an image with an inline cache of either. Fails with "content" where there is none. */
export async function decodeCache(manifest: Uint8Array, read: ManifestReader): Promise<DecodedCache> {
  const value = parseJson(manifest);
  const candidates = [value.config, ...(value.manifests ?? [])].filter((descriptor) => descriptor !== undefined);
  const ofType = (type: string) => candidates.find(({ mediaType }) => mediaType === type);
  const config = ofType(CACHE_CONFIG);
  if (config) {
    const document = parseDocument(await readConfig(config, read));
    if (document) return { document };
    throw new BuildError("content", "its list of records is damaged or of another version");
  }
  const foreign = ofType(BUILDKIT_CONFIG);
  if (foreign) {
    const blobs = value.layers ?? value.manifests ?? [];
    return ofBuildKit(parseBuildKitConfig(await readConfig(foreign, read), blobs));
  }
  if (value.manifests) {
    const chosen = selectPlatform(value as Index, hostPlatform());
    if (!chosen || !isManifestType(chosen.mediaType))
      throw new BuildError("content", "it is neither a cache nor an image for this platform");
    return decodeCache(await read.manifest(chosen), read);
  }
  return inlineCache(value, read);
}

async function inlineCache({ config, layers }: Partial<Manifest>, read: ManifestReader): Promise<DecodedCache> {
  const isImage = config?.mediaType === OCI_CONFIG || config?.mediaType === DOCKER_CONFIG;
  if (!isImage || !layers) throw new BuildError("content", "it is no cache of tsbuild");
  const image = parseJson(await readConfig(config, read)) as unknown as ImageConfig;
  const document = decodeInline(layers, image);
  if (document) return { document };
  if (INLINE_MEMBER in image) return ofBuildKit(decodeBuildKitInline(layers, image));
  throw new BuildError("content", "it is an image without a cache in it", {
    help: "export it with --cache-to type=inline",
  });
}

function ofBuildKit(buildkit: BuildKitCache | undefined): DecodedCache {
  if (buildkit) return { document: { entries: [] }, buildkit };
  throw new BuildError("content", "it is a cache of BuildKit whose list of records is damaged");
}

function readConfig(config: Descriptor, read: ManifestReader): Promise<Uint8Array> {
  if (config.size <= MAX_DOCUMENT) return read.blob(config);
  throw new BuildError("content", `its list of records has ${config.size} bytes`);
}

function parseJson(bytes: Uint8Array): Partial<Manifest & Index> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (value !== null && typeof value === "object") return value;
  } catch {
    // Told below.
  }
  throw new BuildError("content", "it is not JSON");
}
