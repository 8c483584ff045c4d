// Media types of both families (image-spec media-types.md; Docker image manifest v2.2).

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
export const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
export const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";
export const OCI_NONDISTRIBUTABLE_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";

export type Compression = "uncompressed" | "gzip" | "zstd";

/** "oci" or "docker": which family of media types a manifest speaks. */
export type ImageFormat = "oci" | "docker";

export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_INDEX;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

/** Compression of a layer's media type; undefined where it is not a layer that we can read. */
export function layerCompression(mediaType: string): Compression | undefined {
  const bases = [OCI_LAYER, DOCKER_LAYER, DOCKER_FOREIGN_LAYER, OCI_NONDISTRIBUTABLE_LAYER];
  const base = bases.find((candidate) => mediaType.startsWith(candidate));
  if (base === undefined) return undefined;
  const suffix = mediaType.slice(base.length);
  if (suffix === "") return "uncompressed";
  if (suffix === "+gzip" || suffix === ".gzip") return "gzip";
  if (suffix === "+zstd" || suffix === ".zstd") return "zstd";
  return undefined;
}

/** A layer whose bytes are not to be pushed: they come from the urls of its descriptor. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.startsWith(DOCKER_FOREIGN_LAYER) || mediaType.startsWith(OCI_NONDISTRIBUTABLE_LAYER);
}

/** Media type of a layer in one family. Docker has its own spelling of the suffix. */
export function layerMediaType(format: ImageFormat, compression: Compression, isForeign = false): string {
  const [oci, docker] = isForeign ? [OCI_NONDISTRIBUTABLE_LAYER, DOCKER_FOREIGN_LAYER] : [OCI_LAYER, DOCKER_LAYER];
  if (format === "oci") return compression === "uncompressed" ? oci : `${oci}+${compression}`;
  return compression === "uncompressed" ? docker : `${docker}.${compression}`;
}
