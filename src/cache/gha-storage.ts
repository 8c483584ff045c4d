// A cache in GitHub Actions (reference G05). Blobs are entries of their own, under BuildKit's names, so both share them. The document is a new entry per export,
// numbered: entries cannot be changed. It has a name of its own, because BuildKit could not read it.
import { createHash } from "node:crypto";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { Descriptor } from "../oci/image.ts";
import { onePart, wholeOf } from "./byte-parts.ts";
import { blobsOf, encodeDocument, parseDocument, type CacheDocument } from "./document.ts";
import type { GhaClient, GhaEntry } from "./gha-client.ts";
import type { GhaLocation } from "./location.ts";
import type { CacheStorage, PutOptions, StoredCache, WriteOptions } from "./storage.ts";

export interface GhaStorageOptions {
  readonly location: GhaLocation;
  readonly client: GhaClient;
  readonly dispose?: () => void;
}

const MAY_WRITE = 2;
/** Exports of other jobs that may take the next number before us. */
const MAX_CONFLICTS = 10;

export class GhaStorage implements CacheStorage {
  readonly label: string;
  readonly place: string;
  readonly isRegistry = false;
  readonly #options: GhaStorageOptions;
  readonly #client: GhaClient;
  /** Blobs that were found: their addresses are good for a while. */
  readonly #entries = new Map<string, GhaEntry>();

  constructor(options: GhaStorageOptions) {
    this.#options = options;
    this.#client = options.client;
    this.label = `gha scope ${options.location.scope}`;
    this.place = `gha://${options.location.scope}`;
  }

  /** The newest document of the branch, else of a scope that it falls back to. */
  async read(signal: AbortSignal): Promise<StoredCache | undefined> {
    for (const { scope } of this.#client.scopes()) {
      const entry = await this.#client.find(`${this.#indexKey(scope)}#`, signal);
      if (!entry) continue;
      const document = parseDocument(await wholeOf(this.#client.open(entry, 0, signal)));
      if (!document) throw new BuildError("content", "its list of records is damaged or of another version");
      return { document, version: entry.key };
    }
    return undefined;
  }

  async has(blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    return (await this.#entryOf(blob, signal)) !== undefined;
  }

  async *open(blob: Descriptor, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const entry = this.#entries.get(blob.digest) ?? (await this.#entryOf(blob, signal));
    if (!entry) throw new BuildError("content", `blob ${blob.digest} is not there any more`);
    yield* this.#client.open(entry, offset, signal);
  }

  async put(
    blob: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    { signal }: PutOptions,
  ): Promise<boolean> {
    if (await this.has(blob, signal)) return false;
    return this.#client.create(blobKey(blob.digest), blob.size, () => open(0), signal);
  }

  async write(document: CacheDocument, { before, isPruned, onNotice, signal }: WriteOptions): Promise<void> {
    const scope = this.#client.scopes().find(({ permission }) => (permission & MAY_WRITE) !== 0)?.scope;
    if (scope === undefined)
      throw new BuildError("registry", "the token of this job may not write to the GitHub Actions cache");
    const key = this.#indexKey(scope);
    const bytes = encodeDocument(document);
    const newest = await this.#client.find(`${key}#`, signal);
    let number = Number(newest?.key.slice(key.length + 1) ?? 0) || 0;
    for (let attempt = 0; ; attempt++) {
      if (await this.#client.create(`${key}#${++number}`, bytes.length, () => onePart(bytes), signal)) break;
      if (attempt === MAX_CONFLICTS)
        throw new BuildError("registry", `other jobs export to scope ${scope} all the time`);
    }
    const { repository, ghToken } = this.#options.location;
    if (!isPruned || !before) return;
    if (repository === undefined || ghToken === undefined) {
      onNotice("what is not kept stays until GitHub removes it: give repository and ghtoken to remove it now");
      return;
    }
    try {
      await this.#prune(before, document, newest?.key, signal);
    } catch (error) {
      signal.throwIfAborted();
      onNotice(`what is not kept was not removed: ${messageOf(error)}`);
    }
  }

  [Symbol.dispose](): void {
    this.#options.dispose?.();
  }

  async #prune(before: StoredCache, now: CacheDocument, index: string | undefined, signal: AbortSignal): Promise<void> {
    const named = new Set(blobsOf(now).map(({ digest }) => digest));
    for (const { digest } of blobsOf(before.document))
      if (!named.has(digest)) await this.#client.remove(blobKey(digest), signal);
    if (index !== undefined) await this.#client.remove(index, signal);
  }

  async #entryOf({ digest }: Descriptor, signal: AbortSignal): Promise<GhaEntry | undefined> {
    const key = blobKey(digest);
    const entry = await this.#client.find(key, signal);
    if (entry?.key !== key) return undefined;
    this.#entries.set(digest, entry);
    return entry;
  }

  #indexKey(scope: string): string {
    const hash = createHash("sha256").update(scope).digest("hex").slice(0, 8);
    return `tsbuild-index-${this.#options.location.scope}-1-${hash}`;
  }
}

function blobKey(digest: string): string {
  return `buildkit-blob-1-${digest}`;
}
