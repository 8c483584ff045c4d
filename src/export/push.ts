// Pushing an assembled image: blobs in parallel, each once, then the config, then the manifest under every name (reference RG14–RG20).
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import { isForeignLayer } from "../oci/media-type.ts";
import { repositoryName, type Reference } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { StreamedUpload } from "../registry/streamed-upload.ts";
import type { AssembledImage } from "./assemble.ts";

export interface PushOptions {
  readonly client: RegistryClient;
  readonly reference: Reference;
  readonly image: AssembledImage;
  /** Bytes of a layer from `offset`: of the store, or of the registry that its base image came from. */
  readonly openBlob: (descriptor: Descriptor, offset: number) => AsyncIterable<Uint8Array>;
  /** Repositories, as `registry/repository`, that are known to hold a blob. */
  readonly sourcesOf: (digest: Digest) => readonly string[];
  /** The upload of a blob that was begun before the image was known. */
  readonly streamed?: (digest: Digest) => StreamedUpload | undefined;
  /** The blob is now known to be in this repository. */
  readonly onHeld: (digest: Digest, repository: string) => void;
  readonly onProgress: (digest: Digest, current: number, total: number, isDone: boolean) => void;
  /** Push by digest only; `reference` has no tag then. */
  readonly byDigest: boolean;
  readonly signal: AbortSignal;
}

/**
 * Whether the registry has exactly this image under this name. Asked only where all of its blobs have been seen in that repository: then an answer
 * is likely, and who asks for nothing new waits for one request.
 */
export async function isPushed(options: PushOptions): Promise<boolean> {
  const { client, reference, image, sourcesOf, signal } = options;
  const blobs = [image.configDescriptor, ...image.layers.map(({ descriptor }) => descriptor)];
  const repository = repositoryName(reference);
  const wereSeen = blobs.every(
    ({ digest, mediaType }) => isForeignLayer(mediaType) || sourcesOf(digest).includes(repository),
  );
  return wereSeen && client.hasManifest(targetOf(options), image.manifestDescriptor.digest, { signal });
}

/** Pushes and returns how many bytes of blobs were sent. The first failure stops the others. */
export async function pushImage(options: PushOptions): Promise<number> {
  const { client, image, signal } = options;
  const config: Descriptor = image.configDescriptor;
  const layers = new Map(image.layers.map(({ descriptor }) => [descriptor.digest, descriptor]));
  const scope = new AbortController();
  const both = AbortSignal.any([signal, scope.signal]);
  let sent = 0;
  const pushes = [config, ...layers.values()].map(async (descriptor) => {
    // Foreign layers stay where their urls say (RG24).
    if (isForeignLayer(descriptor.mediaType)) return;
    try {
      sent += await pushBlob(options, descriptor, descriptor === config ? image.config : undefined, both);
    } catch (error) {
      scope.abort(error);
      throw error;
    }
  });
  const failed = (await Promise.allSettled(pushes)).find((outcome) => outcome.status === "rejected");
  if (failed) throw scope.signal.aborted && !signal.aborted ? scope.signal.reason : failed.reason;
  await client.pushManifest(targetOf(options), image.manifest, image.manifestDescriptor.mediaType, { signal });
  return sent;
}

function targetOf({ reference, byDigest, image }: PushOptions): Reference {
  const { registry, repository } = reference;
  return byDigest ? { registry, repository, digest: image.manifestDescriptor.digest } : reference;
}

async function pushBlob(
  options: PushOptions,
  descriptor: Descriptor,
  inline: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<number> {
  const { client, reference } = options;
  const { digest, size } = descriptor;
  const mountFrom = client
    .repositoriesAt(reference.registry, options.sourcesOf(digest))
    .filter((repository) => repository !== reference.repository);
  const streamed = inline ? undefined : options.streamed?.(digest);
  const outcome = await client.pushBlob(
    reference,
    descriptor,
    (offset) => (inline ? once(inline.subarray(offset)) : options.openBlob(descriptor, offset)),
    { mountFrom, streamed, onProgress: (current) => options.onProgress(digest, current, size, false), signal },
  );
  options.onHeld(digest, repositoryName(reference));
  options.onProgress(digest, size, size, true);
  return outcome === "uploaded" ? size : 0;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
