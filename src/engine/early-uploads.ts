// Layers on their way to the registries while they are still being packed: what is sent then need not be sent afterwards (architecture: the export path is one pipeline).
// Only a head start. What goes wrong here is left to the push, which does everything that is missing and tells what fails.
import type { Digest } from "../oci/digest.ts";
import { repositoryName, type Reference } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { StreamedUpload } from "../registry/streamed-upload.ts";
import type { GrowingBlob, Layer, PackedLayer, PackOptions } from "../rootfs/layer.ts";

/** A smaller layer is sent in the time that the additional requests take; and where the registry has it already, one question says so. */
const WORTHWHILE_SIZE = 8 * 1024 * 1024;

export interface EarlyUploadOptions {
  readonly client: () => Promise<RegistryClient>;
  /** Where the image will be pushed. */
  readonly references: readonly Reference[];
  readonly signal: AbortSignal;
}

/** The caller disposes it: what nobody has {@link take taken} by then is stopped. */
export class EarlyUploads implements AsyncDisposable {
  readonly #options: EarlyUploadOptions;
  /** One repository of each registry: the others are given the blob by it. */
  readonly #targets: readonly Reference[];
  /** By repository and the digest that the layer turned out to have. */
  readonly #uploads = new Map<string, StreamedUpload>();
  /** Those whose layer is not packed yet, or that nobody needs. */
  readonly #begun = new Set<StreamedUpload>();
  #isClosed = false;

  constructor(options: EarlyUploadOptions) {
    this.#options = options;
    this.#targets = [...new Map(options.references.toReversed().map((name) => [name.registry, name])).values()];
  }

  /** Packs the layer by `pack`, sending its blob meanwhile. */
  async packed(
    layer: Layer,
    options: PackOptions,
    pack: (options: PackOptions) => Promise<PackedLayer>,
  ): Promise<PackedLayer> {
    if (this.#targets.length === 0) return pack(options);
    const own = new Map<Reference, StreamedUpload>();
    let isPacked = false;
    const begin = async (blob: GrowingBlob): Promise<void> => {
      if (!(await blob.atLeast(WORTHWHILE_SIZE))) return;
      const client = await this.#options.client();
      if (isPacked || this.#isClosed) return;
      for (const reference of this.#targets) {
        const subject = `${repositoryName(reference)} (layer ${layer.id})`;
        const upload = client.streamBlob(reference, subject, () => blob.read(), { signal: this.#options.signal });
        own.set(reference, upload);
        this.#begun.add(upload);
      }
    };
    const packed = await pack({ ...options, onGrowing: (blob) => void begin(blob).catch(() => undefined) });
    isPacked = true;
    for (const [reference, upload] of own) {
      const key = keyOf(reference, packed.digest);
      // Of two layers with the same bytes one is enough.
      if (this.#uploads.has(key)) continue;
      this.#uploads.set(key, upload);
      this.#begun.delete(upload);
    }
    return packed;
  }

  /** The upload of this blob to the repository, where there is one: the caller's from now on. */
  take(reference: Reference, digest: Digest): StreamedUpload | undefined {
    const key = keyOf(reference, digest);
    const upload = this.#uploads.get(key);
    this.#uploads.delete(key);
    return upload;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#begun, ...this.#uploads.values()].map((upload) => upload.cancel()));
  }
}

function keyOf(reference: Reference, digest: Digest): string {
  return `${repositoryName(reference)} ${digest}`;
}
