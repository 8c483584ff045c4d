// A cache in an S3 bucket: PREFIX + manifests/NAME is the document, PREFIX + blobs/DIGEST a blob (reference G06).
import { nowMs } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { digestHex, digestOf } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import { blobsOf, encodeDocument, parseDocument, type CacheDocument } from "./document.ts";
import type { S3Location } from "./location.ts";
import type { S3Client } from "./s3-client.ts";
import { uploadInParts } from "./s3-multipart.ts";
import type { CacheStorage, PutOptions, StoredCache, WriteOptions } from "./storage.ts";

export interface S3StorageOptions {
  readonly location: S3Location;
  readonly client: S3Client;
  /** Larger blobs go in parts of `partSize` bytes. */
  readonly multipartFrom?: number;
  readonly partSize?: number;
  readonly dispose?: () => void;
}

const MULTIPART_FROM = 128 << 20;
const PART_SIZE = 16 << 20;
/** An upload in parts has at most 10,000. */
const MAX_PARTS = 9_000;
/** A blob that no document names may belong to an export that is still going on. */
const GRACE_MS = 24 * 60 * 60_000;

export class S3Storage implements CacheStorage {
  readonly label: string;
  readonly place: string;
  readonly isRegistry = false;
  readonly #options: S3StorageOptions;
  readonly #client: S3Client;
  /** Blob keys → when they were written. */
  readonly #seen = new Map<string, number>();

  constructor(options: S3StorageOptions) {
    const { bucket, prefix, names } = options.location;
    this.#options = options;
    this.#client = options.client;
    this.label = `s3 ${bucket}/${prefix}${names.join(";")}`;
    this.place = `s3://${bucket}/${prefix}`;
  }

  async read(signal: AbortSignal): Promise<StoredCache | undefined> {
    const bytes = await this.#client.read(this.#manifestKey(this.#options.location.names[0]!), signal);
    if (!bytes) return undefined;
    const document = parseDocument(bytes);
    if (document) return { document, version: digestOf(bytes) };
    throw new BuildError("content", foreignReason(bytes));
  }

  async has(blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    const key = this.#blobKey(blob.digest);
    const response = await this.#client.send({ method: "HEAD", key, accept: [200, 404], signal });
    await response.discard();
    const isThere = response.status === 200 && Number(response.headers["content-length"]) === blob.size;
    if (isThere) this.#seen.set(key, Date.parse(response.headers["last-modified"] ?? ""));
    return isThere;
  }

  async *open(blob: Descriptor, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const key = this.#blobKey(blob.digest);
    const response = await this.#client.send({
      method: "GET",
      key,
      headers,
      accept: [offset === 0 ? 200 : 206],
      signal,
    });
    yield* response.body;
  }

  async put(
    blob: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    { signal }: PutOptions,
  ): Promise<boolean> {
    if (await this.has(blob, signal)) return false;
    const key = this.#blobKey(blob.digest);
    const { multipartFrom = MULTIPART_FROM, location } = this.#options;
    if (blob.size >= multipartFrom) {
      const partSize = Math.max(this.#options.partSize ?? PART_SIZE, Math.ceil(blob.size / MAX_PARTS));
      const parallelism = location.uploadParallelism;
      await uploadInParts({ client: this.#client, key, bytes: open(0), partSize, parallelism, signal });
      return true;
    }
    const response = await this.#client.send({
      method: "PUT",
      key,
      headers: { "content-type": "application/octet-stream" },
      body: { size: blob.size, open: () => open(0) },
      payloadHash: blob.digest.startsWith("sha256:") ? digestHex(blob.digest) : "UNSIGNED-PAYLOAD",
      accept: [200],
      signal,
    });
    await response.discard();
    return true;
  }

  async write(document: CacheDocument, { before, isPruned, onNotice, signal }: WriteOptions): Promise<void> {
    const { names, touchRefreshMs } = this.#options.location;
    for (const { digest } of blobsOf(document)) {
      const key = this.#blobKey(digest);
      // Rules of the bucket may remove what was not written for long.
      if (nowMs() - (this.#seen.get(key) ?? nowMs()) > touchRefreshMs) await this.#client.touch(key, signal);
    }
    const bytes = encodeDocument(document);
    for (const name of names) await this.#client.write(this.#manifestKey(name), bytes, "application/json", signal);
    if (!isPruned) return;
    try {
      await this.#prune(before?.document, signal);
    } catch (error) {
      signal.throwIfAborted();
      onNotice(`what nothing names any more was not removed: ${messageOf(error)}`);
    }
  }

  [Symbol.dispose](): void {
    this.#options.dispose?.();
  }

  /** Removes blobs that no document of the prefix names: those of the document before, and others once they are old enough. */
  async #prune(before: CacheDocument | undefined, signal: AbortSignal): Promise<void> {
    const { prefix, manifestsPrefix, blobsPrefix } = this.#options.location;
    const named = new Set<string>();
    for (const { key } of await this.#client.list(prefix + manifestsPrefix, signal)) {
      const bytes = await this.#client.read(key, signal);
      for (const digest of bytes ? namedIn(bytes) : []) named.add(this.#blobKey(digest));
    }
    const own = new Set((before ? blobsOf(before) : []).map(({ digest }) => this.#blobKey(digest)));
    for (const { key, lastModifiedMs } of await this.#client.list(prefix + blobsPrefix, signal))
      if (!named.has(key) && (own.has(key) || nowMs() - lastModifiedMs > GRACE_MS))
        await this.#client.remove(key, signal);
  }

  #manifestKey(name: string): string {
    const { prefix, manifestsPrefix } = this.#options.location;
    return prefix + manifestsPrefix + name;
  }

  #blobKey(digest: string): string {
    const { prefix, blobsPrefix } = this.#options.location;
    return prefix + blobsPrefix + digest;
  }
}

/** Digests that a document names, whoever wrote it: BuildKit's lists are like ours in that. */
function namedIn(bytes: Uint8Array): readonly string[] {
  return (
    Buffer.from(bytes)
      .toString("utf8")
      .match(/sha256:[0-9a-f]{64}/g) ?? []
  );
}

function foreignReason(bytes: Uint8Array): string {
  return /"records"/.test(Buffer.from(bytes).toString("utf8"))
    ? "it is a cache of BuildKit, whose keys tsbuild does not have"
    : "its list of records is damaged or of another version";
}
