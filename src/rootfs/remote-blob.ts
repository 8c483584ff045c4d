// Blobs that lie elsewhere: what their descriptors say, and reading them to the end.
import { BuildError } from "../diagnostics/build-error.ts";
import { layerCompression, type Compression } from "../oci/media-type.ts";
import type { Descriptor } from "../oci/image.ts";
import type { RemoteBlob } from "./layer.ts";

/** The blob that `descriptor` names in `repository`. */
export function remoteBlob(repository: string, { mediaType, digest, size }: Descriptor): RemoteBlob {
  return { repository, mediaType, digest, size };
}

/** Fails with "image" where the blob is no layer that we can read. */
export function compressionOf(remote: RemoteBlob | undefined): Compression {
  const compression = remote && layerCompression(remote.mediaType);
  if (compression === undefined) {
    throw new BuildError(
      "image",
      `a layer has the media type ${remote?.mediaType ?? "unknown"}, which is no layer tar`,
      {
        help: "tsbuild reads tar layers: plain, gzip and zstd",
      },
    );
  }
  return compression;
}

/** Reads to the end, for what happens on the way. */
export async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of chunks);
}
