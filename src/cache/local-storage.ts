// A cache in an OCI layout on this machine. Files appear whole; who writes the index holds a lock, so that two exports at once both stay.
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { nowMs, randomName } from "../base/clock.ts";
import { readFileIfExists, writeFileAtomic } from "../base/fs-atomic.ts";
import { tryFlock } from "../base/libc.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { digestAlgorithm, digestHex, digestOf, parseDigest, type Digest } from "../oci/digest.ts";
import type { Descriptor, Index, Manifest } from "../oci/image.ts";
import { OCI_INDEX } from "../oci/media-type.ts";
import { onePart } from "./byte-parts.ts";
import { decodeCache, encodeCache, type ManifestForm } from "./cache-manifest.ts";
import { blobsOf, type CacheDocument } from "./document.ts";
import type { CacheStorage, PutOptions, StoredCache, WriteOptions } from "./storage.ts";

export interface LocalStorageOptions {
  /** Absolute; made by the first export. */
  readonly path: string;
  readonly tag: string;
  /** Read exactly this manifest. */
  readonly digest?: Digest;
  readonly form: ManifestForm;
}

const TAG = "org.opencontainers.image.ref.name";
const LOCK_POLL_MS = 50;
/** A blob this young may belong to an export that has not written its index yet. */
const GRACE_MS = 10 * 60_000;

export class LocalStorage implements CacheStorage {
  readonly label: string;
  readonly place: string;
  readonly isRegistry = false;
  readonly #options: LocalStorageOptions;

  constructor(options: LocalStorageOptions) {
    this.#options = options;
    this.label = `directory ${options.path}`;
    this.place = `oci-layout://${options.path}`;
  }

  async read(): Promise<StoredCache | undefined> {
    const digest = this.#options.digest ?? this.#tagged(this.#readIndex())?.digest;
    if (digest === undefined) return undefined;
    const read = (descriptor: Descriptor) => Promise.resolve(this.#readWhole(descriptor.digest));
    const decoded = await decodeCache(this.#readWhole(digest), { blob: read, manifest: read });
    return { ...decoded, version: digest };
  }

  has(blob: Descriptor): Promise<boolean> {
    return Promise.resolve(statSync(this.#blobPath(blob.digest), { throwIfNoEntry: false })?.size === blob.size);
  }

  async *open(blob: Descriptor, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const path = this.#blobPath(blob.digest);
    try {
      for await (const chunk of createReadStream(path, { start: offset, highWaterMark: 1 << 19, signal }))
        yield chunk as Uint8Array;
    } catch (error) {
      signal.throwIfAborted();
      throw new BuildError("content", `blob ${blob.digest} cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }

  async put(
    blob: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    { signal }: PutOptions,
  ): Promise<boolean> {
    if (await this.has(blob)) return false;
    this.#makeFolders();
    const temp = join(this.#options.path, "blobs", "sha256", `.${randomName()}.tmp`);
    const hash = createHash(digestAlgorithm(blob.digest));
    try {
      const fd = openSync(temp, "wx", 0o644);
      try {
        for await (const chunk of open(0)) {
          signal.throwIfAborted();
          hash.update(chunk);
          writeSync(fd, chunk);
        }
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      if (hash.digest("hex") !== digestHex(blob.digest))
        throw new BuildError("content", `blob ${blob.digest} does not match its digest`);
      renameSync(temp, this.#blobPath(blob.digest));
    } catch (error) {
      rmSync(temp, { force: true });
      throw error;
    }
    return true;
  }

  async write(document: CacheDocument, { isPruned, signal }: WriteOptions): Promise<void> {
    const { path, tag, form } = this.#options;
    this.#makeFolders();
    const encoded = encodeCache(document, form, tag);
    await this.put(encoded.configDescriptor, () => onePart(encoded.config), { sources: [], signal });
    const digest = digestOf(encoded.manifest);
    const { length: size } = encoded.manifest;
    const { mediaType } = encoded;
    await this.put({ mediaType, digest, size }, () => onePart(encoded.manifest), { sources: [], signal });
    using _lock = await this.#lock(signal);
    for (const blob of blobsOf(document))
      if (!(await this.has(blob)))
        throw new BuildError("export", `another export has removed blob ${blob.digest} meanwhile`, {
          help: "export again",
        });
    const index = this.#readIndex();
    const others = index.manifests.filter((descriptor) => descriptor.annotations?.[TAG] !== tag);
    const manifests = [...others, { mediaType, digest, size, annotations: { [TAG]: tag } }];
    writeFileAtomic(join(path, "index.json"), JSON.stringify({ ...index, manifests }));
    writeFileAtomic(join(path, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    if (isPruned) this.#prune(manifests);
  }

  [Symbol.dispose](): void {}

  #tagged(index: Index): Descriptor | undefined {
    return index.manifests.find((descriptor) => descriptor.annotations?.[TAG] === this.#options.tag);
  }

  #readIndex(): Index {
    const bytes = readFileIfExists(join(this.#options.path, "index.json"));
    if (!bytes) return { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };
    try {
      const index = JSON.parse(Buffer.from(bytes).toString("utf8")) as Index;
      if (Array.isArray(index.manifests)) return index;
    } catch {
      // Told below.
    }
    throw new BuildError("content", `index.json in ${this.#options.path} is damaged`, {
      help: "remove the directory: the next export makes it again",
    });
  }

  /** A small blob, verified. */
  #readWhole(digest: Digest): Uint8Array {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(this.#blobPath(digest));
    } catch (error) {
      throw new BuildError("content", `blob ${digest} cannot be read: ${messageOf(error)}`, { cause: error });
    }
    if (createHash(digestAlgorithm(digest)).update(bytes).digest("hex") !== digestHex(digest))
      throw new BuildError("content", `blob ${digest} does not match its digest`);
    return bytes;
  }

  /** Removes blobs that no manifest of the layout names, whoever wrote it. Anything that cannot be followed stops it. */
  #prune(manifests: readonly Descriptor[]): void {
    const named = new Set<Digest>();
    const follow = ({ digest, mediaType }: Descriptor): void => {
      if (named.has(digest)) return;
      named.add(digest);
      if (!/manifest|index/.test(mediaType)) return;
      const value = JSON.parse(Buffer.from(this.#readWhole(digest)).toString("utf8")) as Partial<Manifest & Index>;
      for (const child of [
        ...(value.config ? [value.config] : []),
        ...(value.layers ?? []),
        ...(value.manifests ?? []),
      ])
        follow(child);
    };
    for (const manifest of manifests) follow(manifest);
    const folder = join(this.#options.path, "blobs", "sha256");
    for (const name of readdirSync(folder)) {
      const digest = parseDigest(`sha256:${name}`);
      const file = join(folder, name);
      const isYoung =
        digest === undefined && nowMs() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) < GRACE_MS;
      if ((digest !== undefined && named.has(digest)) || isYoung) continue;
      rmSync(file, { force: true });
    }
  }

  #makeFolders(): void {
    try {
      mkdirSync(join(this.#options.path, "blobs", "sha256"), { recursive: true });
    } catch (error) {
      throw new BuildError("export", `cannot write to ${this.#options.path}: ${messageOf(error)}`, { cause: error });
    }
  }

  #blobPath(digest: Digest): string {
    return join(this.#options.path, "blobs", digestAlgorithm(digest), digestHex(digest));
  }

  async #lock(signal: AbortSignal): Promise<Disposable> {
    const path = join(this.#options.path, ".tsbuild.lock");
    for (;;) {
      const fd = openSync(path, "a", 0o644);
      if (tryFlock(fd, "exclusive")) return { [Symbol.dispose]: () => closeSync(fd) };
      closeSync(fd);
      await delay(LOCK_POLL_MS, undefined, { signal });
    }
  }
}
