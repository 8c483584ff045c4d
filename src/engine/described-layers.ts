// How the layers of a solved image stand in a manifest: which keep the blob that they have, which are packed, and how.
import { BuildError } from "../diagnostics/build-error.ts";
import type { AssembledLayer } from "../export/assemble.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import { isForeignLayer, layerCompression, layerMediaType, type ImageFormat } from "../oci/media-type.ts";
import { formatPlatform, parsePlatform, type Platform } from "../oci/platform.ts";
import type { Layer, PackedLayer, PackOptions, RemoteBlob, Rootfs } from "../rootfs/layer.ts";
import type { ImageOutputOptions } from "./options.ts";

export interface DescribeOptions {
  readonly image: ImageOutputOptions;
  /** Seconds since the epoch to which times of new layers are clamped; undefined = they stay. */
  readonly clampToEpoch: number | undefined;
  /** The vertices that made the layers above the base image's, bottom first. */
  readonly chain: readonly Digest[];
  readonly pack: (layer: Layer, options: PackOptions) => Promise<PackedLayer>;
}

/** The layers of `rootfs`, ready to be named by a manifest. */
export function describeLayers(rootfs: Rootfs, options: DescribeOptions): Promise<readonly AssembledLayer[]> {
  const baseCount = rootfs.length - options.chain.length;
  return Promise.all(
    rootfs.map(async (layer, index): Promise<AssembledLayer> => {
      const vertex = options.chain[index - baseCount];
      const kept = vertex === undefined ? keptBlob(layer, options.image) : undefined;
      const described = kept
        ? { descriptor: keptDescriptor(kept, options.image), diffId: await layer.diffId() }
        : await packedDescriptor(layer, vertex === undefined, options);
      const description = layer.remote ? `pulled from ${layer.remote.repository}` : "made by an earlier build";
      return { ...described, createdAt: layer.createdAt, description, ...(vertex === undefined ? {} : { vertex }) };
    }),
  );
}

/** The blob of a base layer, unless all are to be compressed anew (E24). What may not be distributed is left alone where asked for (E29). */
function keptBlob({ remote }: Layer, image: ImageOutputOptions): RemoteBlob | undefined {
  if (remote === undefined || !image.forceCompression) return remote;
  if (image.keepsForeignLayers && isForeignLayer(remote.mediaType)) return remote;
  const isSame = !image.isSeekable && layerCompression(remote.mediaType) === image.compression;
  return isSame ? remote : undefined;
}

function keptDescriptor({ mediaType, digest, size, urls }: RemoteBlob, image: ImageOutputOptions): Descriptor {
  const isForeign = image.keepsForeignLayers && isForeignLayer(mediaType);
  const compression = layerCompression(mediaType) ?? "gzip";
  return {
    mediaType: layerMediaType(formatOf(image), compression, isForeign),
    digest,
    size,
    ...(isForeign && urls ? { urls } : {}),
  };
}

async function packedDescriptor(
  layer: Layer,
  isBase: boolean,
  { image, clampToEpoch, pack }: DescribeOptions,
): Promise<Pick<AssembledLayer, "descriptor" | "diffId">> {
  const epoch = isBase ? undefined : clampToEpoch;
  const { digest, size, diffId, compression, annotations } = await pack(layer, {
    compression: image.compression,
    ...(image.compressionLevel === undefined ? {} : { level: image.compressionLevel }),
    ...(epoch === undefined ? {} : { clampToEpoch: epoch }),
    ...(image.isSeekable ? { isSeekable: true } : {}),
  });
  const all = { ...annotations, ...(epoch === undefined ? {} : { "buildkit/rewritten-timestamp": String(epoch) }) };
  return {
    descriptor: {
      mediaType: layerMediaType(formatOf(image), compression),
      digest,
      size,
      ...(Object.keys(all).length > 0 ? { annotations: all } : {}),
    },
    diffId,
  };
}

/** Fails with "usage" where annotations were written for another platform (E27). */
export function checkAnnotatedPlatforms(annotated: readonly string[], platform: Platform): void {
  for (const text of annotated) {
    const wanted = parsePlatform(text, platform);
    if (wanted && formatPlatform(wanted) === formatPlatform(platform)) continue;
    throw new BuildError("usage", `invalid annotation: no platform ${text} found in source`, {
      help: `the image is for ${formatPlatform(platform)}`,
    });
  }
}

export function formatOf({ ociMediaTypes }: ImageOutputOptions): ImageFormat {
  return ociMediaTypes ? "oci" : "docker";
}
