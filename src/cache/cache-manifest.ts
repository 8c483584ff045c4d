// A cache as an OCI image manifest (or BuildKit's index of blobs): the layers are its blobs, the document is its config. Any registry and any tool that copies images carries it.
import { BuildError } from "../diagnostics/build-error.ts";
import { digestOf } from "../oci/digest.ts";
import type { Descriptor, Index, Manifest } from "../oci/image.ts";
import {
  DOCKER_INDEX,
  OCI_INDEX,
  OCI_MANIFEST,
  layerCompression,
  layerMediaType,
  type Compression,
} from "../oci/media-type.ts";
import { CACHE_CONFIG, blobsOf, encodeDocument, parseDocument, type CacheDocument } from "./document.ts";

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
  const compression: Compression = layerCompression(mediaType) ?? "gzip";
  return layerMediaType(form.ociMediaTypes ? "oci" : "docker", compression);
}

/** Reads the document behind a manifest. Fails with "content" where there is none. */
export async function decodeCache(
  manifest: Uint8Array,
  readBlob: (blob: Descriptor) => Promise<Uint8Array>,
): Promise<CacheDocument> {
  const value = parseJson(manifest);
  const candidates = [...("config" in value ? [value.config] : []), ...("manifests" in value ? value.manifests : [])];
  const config = candidates.find((descriptor) => descriptor?.mediaType === CACHE_CONFIG);
  if (!config) throw new BuildError("content", "it is no cache of tsbuild");
  if (config.size > MAX_DOCUMENT) throw new BuildError("content", `its list of records has ${config.size} bytes`);
  const document = parseDocument(await readBlob(config));
  if (!document) throw new BuildError("content", "its list of records is damaged or of another version");
  return document;
}

function parseJson(bytes: Uint8Array): Partial<Manifest> | Index {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (value !== null && typeof value === "object") return value;
  } catch {
    // Told below.
  }
  throw new BuildError("content", "its manifest is not JSON");
}
