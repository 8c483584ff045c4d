// A cache under a tag of a registry.
import { BuildError } from "../diagnostics/build-error.ts";
import type { Descriptor } from "../oci/image.ts";
import type { Digest } from "../oci/digest.ts";
import { familiarReference, repositoryName, type Reference } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import { onePart, wholeOf } from "./byte-parts.ts";
import { decodeCache, encodeCache, type ManifestForm } from "./cache-manifest.ts";
import type { CacheDocument } from "./document.ts";
import type { CacheStorage, PutOptions, StoredCache, WriteOptions } from "./storage.ts";

export interface RegistryStorageOptions {
  readonly reference: Reference;
  readonly form: ManifestForm;
  /** For everything that moves blobs. */
  readonly client: () => Promise<RegistryClient>;
  /** For the first question, which is not worth waiting for long. */
  readonly hastyClient: () => Promise<RegistryClient>;
}

export class RegistryStorage implements CacheStorage {
  readonly label: string;
  readonly place: string;
  readonly isRegistry = true;
  readonly #options: RegistryStorageOptions;

  constructor(options: RegistryStorageOptions) {
    this.#options = options;
    this.label = `registry ${familiarReference(options.reference)}`;
    this.place = repositoryName(options.reference);
  }

  async read(signal: AbortSignal): Promise<StoredCache | undefined> {
    const { reference } = this.#options;
    const client = await this.#options.hastyClient();
    try {
      const { descriptor, bytes } = await client.resolve(reference, { signal });
      const manifest = bytes ?? (await client.manifest(reference, descriptor.digest, { signal })).bytes;
      const decoded = await decodeCache(manifest, {
        blob: (blob) => this.#readWhole(client, blob, signal),
        manifest: async ({ digest }) => (await client.manifest(reference, digest, { signal })).bytes,
      });
      return { ...decoded, version: descriptor.digest };
    } catch (error) {
      if (error instanceof BuildError && error.details.status === 404) return undefined;
      throw error;
    }
  }

  async #readWhole(client: RegistryClient, blob: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
    return wholeOf(client.openBlob(this.#options.reference, blob, { signal }));
  }

  async has(blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    const client = await this.#options.hastyClient();
    return client.hasBlob(this.#options.reference, blob, { signal });
  }

  async *open(blob: Descriptor, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const client = await this.#options.client();
    yield* client.openBlob(this.#options.reference, blob, { offset, signal });
  }

  async put(
    blob: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    { sources, signal }: PutOptions,
  ): Promise<boolean> {
    const { reference } = this.#options;
    const client = await this.#options.client();
    const mountFrom = sources
      .filter((source) => source.startsWith(`${reference.registry}/`) && source !== this.place)
      .map((source) => source.slice(reference.registry.length + 1));
    return (await client.pushBlob(reference, blob, open, { mountFrom, signal })) === "uploaded";
  }

  async write(document: CacheDocument, { before, isPruned, signal }: WriteOptions): Promise<void> {
    const { reference, form } = this.#options;
    const client = await this.#options.client();
    const encoded = encodeCache(document, form, reference.tag ?? "latest");
    const { config, configDescriptor } = encoded;
    await client.pushBlob(reference, configDescriptor, (offset) => onePart(config.subarray(offset)), { signal });
    const { digest } = await client.pushManifest(reference, encoded.manifest, encoded.mediaType, { signal });
    // What the registry's own collection can free once no manifest names it.
    if (isPruned && before && before.version !== digest)
      await client.deleteManifest(reference, before.version as Digest, { signal });
  }

  [Symbol.dispose](): void {}
}
