// One layer of the store and its faces, each made when first asked for and once: directory from entries or blob, entries from directory or blob, blob from entries;
// what lies elsewhere is fetched as late as that. Which layers there are: layer-faces.ts.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { comparePaths } from "../base/container-path.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Digest } from "../oci/digest.ts";
import type { Compression } from "../oci/media-type.ts";
import type { EventSink } from "../progress/events.ts";
import type { RoomClaim } from "../store/room-claim.ts";
import type { Store } from "../store/store.ts";
import type { StoredLayer } from "../store/layers.ts";
import { treeDigest } from "../tree/digest.ts";
import type { Entry, FileBytes, LayerEntry } from "../tree/entry.ts";
import { findSorted, type Sequence } from "../tree/sequence.ts";
import type { Layer, LayerManifest, PackedLayer, PackOptions, RemoteBlob, Rootfs } from "./layer.ts";
import { allocatedBytes, claimed } from "./layer-bytes.ts";
import { compressionOf, drain, remoteBlob } from "./remote-blob.ts";
import { knownSeekable, packSeekable } from "./seekable.ts";
import { RootfsView } from "./view.ts";

export interface FaceOptions {
  readonly store: Store;
  readonly xattrNamespace: "trusted" | "user";
  /** Bytes of a base layer's blob from `offset`, verified at the end. */
  readonly openRemote: (remote: RemoteBlob, offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;
  /** The same of a layer that a cache has. */
  readonly openCached: (cached: RemoteBlob, offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;
  /** A layer of a cache turned out not to be what it was said to be. */
  readonly onCachedLost: (cached: RemoteBlob, reason: unknown) => void;
  /** An empty directory in the store's file system, removed with the build at the latest. */
  readonly makeScratchDir: () => string;
  /** Keeps the layer from being collected while the build lives. */
  readonly pin: (layerId: string) => boolean;
  /** Room below the store's ceiling for `bytes` that are about to be written. */
  readonly claim: (what: string, bytes: number) => Promise<RoomClaim>;
  readonly onEvent: EventSink;
  readonly signal: AbortSignal;
}

/** A layer of the store and the faces that this build has made of it. */
export class StoreLayer implements Layer {
  readonly id: string;
  readonly createdAt: string;
  /** Entries whose bytes lie elsewhere; set where the layer was just computed. */
  manifest: LayerManifest | undefined;
  /** What the step ran on that made it; set where it was just run. */
  below: Rootfs | undefined;
  remote: RemoteBlob | undefined;
  cached: RemoteBlob | undefined;
  readonly #row: StoredLayer;
  readonly #options: FaceOptions;
  #entries: Promise<Sequence<LayerEntry>> | undefined;
  #directory: Promise<string> | undefined;
  #contentId: Promise<Digest> | undefined;
  #diffId: Digest | undefined;
  #wasDurable = false;
  readonly #packed = new Map<string, Promise<PackedLayer>>();

  constructor(row: StoredLayer, options: FaceOptions) {
    this.id = row.id;
    this.createdAt = row.createdAt;
    this.#row = row;
    this.#options = options;
    this.#diffId = row.diffId;
    if (row.origin) this.remote = remoteBlob(row.origin.reference, row.origin.descriptor);
  }

  /** Whether its content can be had without whoever made it. */
  isDurable(): boolean {
    if (this.cached) return true;
    this.#wasDurable = this.#hasKnownDirectory() || this.#storedBlob() !== undefined;
    return this.#wasDurable;
  }

  /** A directory that nobody has looked at since its step ended, because the build was killed then, may be anything. */
  #hasKnownDirectory(): boolean {
    const { layers } = this.#options.store;
    if (layers.directory(this.id) === undefined) return false;
    const { treeDigest, diffId } = this.#row;
    return (
      this.below !== undefined || (treeDigest ?? diffId) !== undefined || layers.get(this.id)?.treeDigest !== undefined
    );
  }

  /** False where {@link isDurable} was true and is so no more. */
  isIntact(): boolean {
    return !this.#wasDurable || this.isDurable();
  }

  /** Its blob, if packing it so would do nothing. */
  knownPacked(options: PackOptions): PackedLayer | undefined {
    const { compression, level, clampToEpoch } = options;
    if (options.isSeekable) return knownSeekable(this.#options.store, this.#seekableKey(options));
    if (level !== undefined || clampToEpoch !== undefined || this.#diffId === undefined) return undefined;
    const { layers, content } = this.#options.store;
    const blob = layers.blob(this.id, compression);
    if (blob && content.has(blob.digest, blob.size)) return { ...blob, diffId: this.#diffId };
    const remote = this.#origin;
    if (!remote || compressionOf(remote) !== compression || !content.has(remote.digest, remote.size)) return undefined;
    return { digest: remote.digest, size: remote.size, compression, diffId: this.#diffId };
  }

  contentId(): Promise<Digest> {
    if (this.remote && this.#diffId !== undefined) return Promise.resolve(this.#diffId);
    if (this.#row.treeDigest !== undefined) return Promise.resolve(this.#row.treeDigest);
    return (this.#contentId ??= this.#computeTreeDigest());
  }

  entries(): Promise<Sequence<LayerEntry>> {
    if (this.manifest) return Promise.resolve(this.manifest.entries);
    return (this.#entries ??= this.#readEntries());
  }

  async locate(entry: Entry): Promise<FileBytes> {
    if (entry.bytes) return entry.bytes;
    if (this.manifest && this.#options.store.layers.directory(this.id) === undefined) {
      const index = findSorted(this.manifest.entries, ({ path }) => comparePaths(path, entry.path));
      if (index >= 0) return this.manifest.place(index);
    }
    return { kind: "host", path: join(await this.directory(), entry.path) };
  }

  async knownEntries(): Promise<Sequence<LayerEntry> | undefined> {
    return this.manifest?.entries ?? this.#options.store.layers.readEntries(this.id);
  }

  directory(): Promise<string> {
    return (this.#directory ??= this.#makeDirectory());
  }

  packed(options: PackOptions): Promise<PackedLayer> {
    const { compression, level, clampToEpoch, isSeekable } = options;
    const key = `${compression} ${level ?? ""} ${clampToEpoch ?? ""} ${isSeekable ? "seekable" : ""}`;
    let promise = this.#packed.get(key);
    if (!promise) {
      promise = this.#pack(options);
      this.#packed.set(key, promise);
    }
    return promise;
  }

  knownDiffId(): Digest | undefined {
    return this.#diffId;
  }

  async diffId(): Promise<Digest> {
    return this.#diffId ?? (await this.packed({ compression: "gzip" })).diffId;
  }

  async #computeTreeDigest(): Promise<Digest> {
    const digest = treeDigest(await this.entries());
    this.#options.store.layers.setTreeDigest(this.id, digest);
    return digest;
  }

  async #readEntries(): Promise<Sequence<LayerEntry>> {
    const { layers } = this.#options.store;
    const stored = layers.readEntries(this.id);
    if (stored) return stored;
    if (this.below) return this.#listUpper(this.below);
    const relisted = (await this.#wholeDirectory()) === undefined ? undefined : layers.readEntries(this.id);
    if (relisted) return relisted;
    this.#count("layer.listed");
    const { listLayer } = await import("../layer/unpack.ts");
    const { entries } = await this.#readBlob((tar) => listLayer(tar));
    if (layers.directory(this.id) === undefined) layers.writeEntries(this.id, entries);
    return entries;
  }

  /** The first look at what a step of this build has left. Not ended by the build's end: without it the step would have to run again. */
  async #listUpper(below: Rootfs): Promise<Sequence<LayerEntry>> {
    const { store, xattrNamespace } = this.#options;
    const directory = store.layers.directory(this.id);
    assert(directory !== undefined, "what a step has left is in the store until the build ends");
    const { listChanges } = await import("./changes.ts");
    const entries = await listChanges(directory, { below: new RootfsView(below), xattrNamespace });
    store.layers.writeEntries(this.id, entries);
    return entries;
  }

  async #makeDirectory(): Promise<string> {
    const { store, xattrNamespace, signal } = this.#options;
    const known = await this.#wholeDirectory();
    if (known !== undefined) return known;
    const temp = join(this.#options.makeScratchDir(), "d");
    mkdirSync(temp, { mode: 0o755 });
    await using claim = await this.#options.claim(this.#name, 0);
    let entries: Sequence<LayerEntry>;
    if (this.manifest) {
      this.#count("layer.materialized");
      const { materializeLayer } = await import("../layer/materialize.ts");
      await claim.atLeast(allocatedBytes(this.manifest.entries));
      ({ entries } = this.manifest);
      await materializeLayer(entries, temp, { xattrNamespace, locate: this.#places(), signal });
    } else {
      this.#count("layer.unpacked");
      const { unpackLayer } = await import("../layer/unpack.ts");
      ({ entries } = await this.#readBlob((tar) => unpackLayer(claimed(tar, claim), temp, { xattrNamespace, signal })));
    }
    const { lockFaces } = await import("./intact-directory.ts");
    await using _ = await lockFaces(this.id, this.#options);
    // Equal files with other times are the same layer: a list from before must not be taken for this directory's, nor ours for the one of who was faster.
    if (store.layers.directory(this.id) === undefined) store.layers.forgetEntries(this.id);
    if (await store.layers.adoptDirectory(this.id, temp)) store.layers.writeEntries(this.id, entries);
    const path = store.layers.directory(this.id);
    if (path === undefined)
      throw new BuildError("store", `layer ${this.id} was removed while it was being made`, { help: "build again" });
    return path;
  }

  /** The directory that is there, unless it is damaged: then it is made again from what else there is, or the step that made it has to run again. */
  async #wholeDirectory(): Promise<string | undefined> {
    const known = this.#options.store.layers.directory(this.id);
    if (known === undefined || this.below) return known;
    const { findWholeDirectory } = await import("./intact-directory.ts");
    const { path, isDamaged } = await findWholeDirectory(this.id, this.#options);
    if (!isDamaged || this.manifest || this.#origin || this.#storedBlob()) return path;
    throw new BuildError("content", `${this.#name} is damaged in the store and has been set aside`, {
      help: "build again: it is made anew",
      details: { isDamage: true },
    });
  }

  /** Feeds the layer's tar to `read`, from the store or, kept on the way, from where the base image is. Checks the diffID. */
  async #readBlob<T>(read: (tar: AsyncIterable<Uint8Array>) => Promise<T>): Promise<T> {
    const { store, signal } = this.#options;
    const { readLayer } = await import("../layer/blob.ts");
    const stored = this.#storedBlob();
    if (!stored && !this.#origin)
      throw new BuildError("store", `layer ${this.id} has lost its content`, {
        help: "build again",
        details: { isDamage: true },
      });
    const compression = stored?.compression ?? compressionOf(this.#origin);
    const bytes = stored ? store.content.open(stored.digest) : this.#fetch();
    try {
      return await read(readLayer(bytes, { compression, expectedDiffId: this.#diffId, signal }));
    } catch (error) {
      // A cache may name a blob that is whole and yet not the layer.
      if (!stored && !this.remote && this.cached && !signal.aborted) {
        this.#options.onCachedLost(this.cached, error);
        await store.layers.discard(this.id);
      }
      // Decompressing fails before the digest does; a blob that is intact has another problem.
      if (stored && !signal.aborted) for await (const _ of store.content.open(stored.digest)) signal.throwIfAborted();
      throw error;
    }
  }

  /** Where its blob can be had when it is not here. */
  get #origin(): RemoteBlob | undefined {
    return this.remote ?? this.cached;
  }

  /** The base layer's blob, written to the store as it is read. */
  async *#fetch(): AsyncGenerator<Uint8Array> {
    const { store, openRemote, openCached, signal } = this.#options;
    const remote = this.#origin;
    assert(remote, "a layer that is fetched lies somewhere else");
    this.#count("blob.fetched", remote.size);
    const { digest, size } = remote;
    await using _claim = await this.#options.claim(`layer ${digest}`, size);
    await using ingest = await store.content.ingest({ expected: { digest, size } });
    for await (const chunk of (this.remote ? openRemote : openCached)(remote, 0, signal)) {
      await ingest.write(chunk);
      yield chunk;
    }
    await ingest.commit();
    this.#noteBlob(compressionOf(remote), digest, size);
  }

  async #pack(options: PackOptions): Promise<PackedLayer> {
    const { store, signal } = this.#options;
    const { compression, level, clampToEpoch } = options;
    const isPlain = level === undefined && clampToEpoch === undefined;
    const known = this.knownPacked(options);
    if (known) return known;
    if (options.isSeekable) return this.#packSeekable(options);
    const origin = this.#origin;
    if (isPlain && origin && this.#diffId !== undefined && compressionOf(origin) === compression) {
      const { digest, size } = origin;
      if (this.remote) for await (const _ of this.#fetch()) signal.throwIfAborted();
      // What a cache says of its layer is checked; what a registry says of an image's is the image.
      else await this.#readBlob(drain);
      return { digest, size, compression, diffId: this.#diffId };
    }
    if (this.remote || (this.cached && !this.#isHere() && clampToEpoch === undefined))
      return this.#recompress({ compression, ...(level === undefined ? {} : { level }) });
    const entries = await this.entries();
    const { writeLayer } = await import("../layer/blob.ts");
    await using claim = await this.#options.claim(this.#name, 0);
    await using ingest = await store.content.ingest();
    options.onGrowing?.(ingest.growth);
    const packed = await writeLayer(entries, {
      compression,
      level,
      clampMtime: clampToEpoch,
      locate: this.#places(),
      write: async (chunk) => {
        await claim.atLeast(ingest.offset + chunk.byteLength);
        await ingest.write(chunk);
      },
      signal,
    });
    const { digest, size } = await ingest.commit();
    this.#count("layer.packed", size);
    if (isPlain) {
      this.#diffId = packed.diffId;
      store.layers.setDiffId(this.id, packed.diffId, packed.uncompressedSize);
      if (this.manifest && store.layers.directory(this.id) === undefined)
        store.layers.writeEntries(this.id, this.manifest.entries);
      this.#noteBlob(compression, digest, size);
    }
    return { digest, size, diffId: packed.diffId, compression };
  }

  /** The layer in eStargz form, which has another tar and so another diffID. */
  async #packSeekable(options: PackOptions): Promise<PackedLayer> {
    const { store, signal } = this.#options;
    const isElsewhere = this.remote !== undefined || (this.cached !== undefined && !this.#isHere());
    const packed = await packSeekable(this.#seekableKey(options), {
      store,
      level: options.level,
      readTar: async (read) => (isElsewhere ? this.#readBlob(read) : read(await this.#tar(options.clampToEpoch))),
      signal,
    });
    this.#count("layer.packed", packed.size);
    return packed;
  }

  #seekableKey({ level, clampToEpoch }: PackOptions): string {
    return `${this.id} ${level ?? ""} ${clampToEpoch ?? ""}`;
  }

  /** The layer's tar, from the entries that are here. */
  async #tar(clampMtime: number | undefined): Promise<AsyncGenerator<Uint8Array>> {
    const { packLayer } = await import("../layer/pack.ts");
    const { signal } = this.#options;
    return packLayer(await this.entries(), { clampMtime, locate: this.#places(), signal });
  }

  /** Where the bytes of {@link entries} are, asked for one by one: a list of all places would be as big as the entries. */
  #places(): (entry: Entry, index: number) => FileBytes | Promise<FileBytes> {
    const { manifest } = this;
    if (!manifest || this.#options.store.layers.directory(this.id) !== undefined) return (entry) => this.locate(entry);
    return (entry, index) => entry.bytes ?? manifest.place(index);
  }

  /** A layer that was not made here, in another compression: the same tar, so the same diffID. */
  async #recompress({ compression, level }: PackOptions): Promise<PackedLayer> {
    const { compress } = await import("../layer/compress.ts");
    const { store, signal } = this.#options;
    await using claim = await this.#options.claim(this.#name, 0);
    await using ingest = await store.content.ingest();
    await this.#readBlob(async (tar) => {
      for await (const chunk of compress(tar, { compression, level, reuseChunks: true, signal })) {
        await claim.atLeast(ingest.offset + chunk.byteLength);
        await ingest.write(chunk);
      }
    });
    const { digest, size } = await ingest.commit();
    if (level === undefined) this.#noteBlob(compression, digest, size);
    assert(this.#diffId !== undefined, "a layer that was not made here has a diffID");
    return { digest, size, compression, diffId: this.#diffId };
  }

  /** Whether it can be packed from what is here. */
  #isHere(): boolean {
    return this.manifest !== undefined || this.#options.store.layers.directory(this.id) !== undefined;
  }

  #noteBlob(compression: Compression, digest: Digest, size: number): void {
    this.#options.store.layers.addBlob(this.id, { compression, digest, size });
  }

  #storedBlob(): { readonly compression: Compression; readonly digest: Digest } | undefined {
    const { layers, content } = this.#options.store;
    const known = layers.blobs(this.id).find(({ digest, size }) => content.has(digest, size));
    if (known) return known;
    const remote = this.#origin;
    return remote && content.has(remote.digest, remote.size)
      ? { compression: compressionOf(remote), digest: remote.digest }
      : undefined;
  }

  /** For errors. */
  get #name(): string {
    return this.#row.createdBy === "" ? "a layer of the base image" : `the layer of ${this.#row.createdBy}`;
  }

  #count(name: string, bytes?: number): void {
    this.#options.onEvent({ kind: "counted", name, subject: this.id, ...(bytes === undefined ? {} : { bytes }) });
  }
}
