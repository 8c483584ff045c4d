// Makes the faces of layers, each when first asked for and once: directory from entries or blob, entries from directory or blob, blob from entries; base layers are fetched as late as that.
// It decides nothing about caching or scheduling. Faces are kept by the store; what is here lives as long as one build.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Digest } from "../oci/digest.ts";
import { layerCompression, type Compression } from "../oci/media-type.ts";
import type { EventSink } from "../progress/events.ts";
import type { Store } from "../store/store.ts";
import type { StoredLayer } from "../store/layers.ts";
import { treeDigest } from "../tree/digest.ts";
import type { Entry, FileBytes, LayerEntry } from "../tree/entry.ts";
import type { Layer, LayerManifest, PackedLayer, PackOptions, RemoteBlob, Rootfs } from "./layer.ts";
import { RootfsView } from "./view.ts";

export interface LayerFacesOptions {
  readonly store: Store;
  readonly xattrNamespace: "trusted" | "user";
  /** Bytes of a base layer's blob from `offset`, verified at the end. */
  readonly openRemote: (remote: RemoteBlob, offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;
  /** An empty directory in the store's file system, removed with the build at the latest. */
  readonly makeScratchDir: () => string;
  /** Keeps the layer from being collected while the build lives. */
  readonly pin: (layerId: string) => boolean;
  readonly onEvent: EventSink;
  readonly signal: AbortSignal;
}

/** Layers of one build. */
export class LayerFaces {
  readonly #options: LayerFacesOptions;
  readonly #layers = new Map<string, StoreLayer>();
  readonly #background = new Set<Promise<unknown>>();

  constructor(options: LayerFacesOptions) {
    this.#options = options;
  }

  /** A layer of a base image. Nothing is fetched. */
  fromRemote(remote: RemoteBlob, diffId: Digest, createdAt: string): Layer {
    const { repository: reference, mediaType, digest, size } = remote;
    const origin = { reference, descriptor: { mediaType, digest, size } };
    const { layers } = this.#options.store;
    const row = layers.findByDiffId(diffId) ?? layers.obtainByDiffId({ diffId, createdAt, createdBy: "", origin });
    const layer = this.#layerOf(row);
    layer.remote = remote;
    return layer;
  }

  /** A layer of the store by id; undefined where it has gone. */
  fromStore(id: string): StoreLayer | undefined {
    const known = this.#layers.get(id);
    if (known) return known;
    // Pinned first: a collector may be taking it away at this moment.
    const row = this.#options.pin(id) ? this.#options.store.layers.get(id) : undefined;
    return row && this.#layerOf(row);
  }

  /** Takes over the upper directory of a step that ran on `below`; its content is read in the background. */
  async fromUpper(upperDir: string, createdBy: string, below: Rootfs): Promise<Layer> {
    const { layers } = this.#options.store;
    const layer = this.#options.store.transaction(() => this.#layerOf(layers.create({ createdBy })));
    await layers.adoptDirectory(layer.id, upperDir);
    layer.below = below;
    const reading = layer.contentId();
    this.#background.add(reading);
    reading.catch(() => {});
    return layer;
  }

  /** A layer that is a list of entries; one with an equal list is the same layer. */
  fromManifest(manifest: LayerManifest, createdBy: string): Layer {
    const { layers } = this.#options.store;
    const digest = treeDigest(manifest.entries);
    const layer = this.#options.store.transaction(() => {
      return this.#layerOf(layers.findByTreeDigest(digest) ?? layers.create({ createdBy, treeDigest: digest }));
    });
    layer.manifest ??= manifest;
    return layer;
  }

  /** Whether the layers that were said to be durable still are. */
  isIntact(): boolean {
    return [...this.#layers.values()].every((layer) => layer.isIntact());
  }

  /** Ends when nothing is being read any more; fails where reading did. */
  async settled(): Promise<void> {
    const failed = (await Promise.allSettled(this.#background)).find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  }

  #layerOf(row: StoredLayer): StoreLayer {
    const known = this.#layers.get(row.id);
    if (known) return known;
    this.#options.pin(row.id);
    const layer = new StoreLayer(row, this.#options);
    this.#layers.set(row.id, layer);
    return layer;
  }
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
  readonly #row: StoredLayer;
  readonly #options: LayerFacesOptions;
  #entries: Promise<readonly LayerEntry[]> | undefined;
  #directory: Promise<string> | undefined;
  #contentId: Promise<Digest> | undefined;
  #places: Promise<ReadonlyMap<string, FileBytes>> | undefined;
  #diffId: Digest | undefined;
  #wasDurable = false;
  readonly #packed = new Map<string, Promise<PackedLayer>>();

  constructor(row: StoredLayer, options: LayerFacesOptions) {
    this.id = row.id;
    this.createdAt = row.createdAt;
    this.#row = row;
    this.#options = options;
    this.#diffId = row.diffId;
    if (row.origin) this.remote = { repository: row.origin.reference, ...pick(row.origin.descriptor) };
  }

  /** Whether its content can be had without whoever made it. */
  isDurable(): boolean {
    this.#wasDurable = this.#options.store.layers.directory(this.id) !== undefined || this.#storedBlob() !== undefined;
    return this.#wasDurable;
  }

  /** False where {@link isDurable} was true and is so no more. */
  isIntact(): boolean {
    return !this.#wasDurable || this.isDurable();
  }

  /** Its blob, if packing it so would do nothing. */
  knownPacked({ compression, level, clampToEpoch }: PackOptions): PackedLayer | undefined {
    if (level !== undefined || clampToEpoch !== undefined || this.#diffId === undefined) return undefined;
    const { layers, content } = this.#options.store;
    const blob = layers.blob(this.id, compression);
    if (blob && content.has(blob.digest, blob.size)) return { ...blob, diffId: this.#diffId };
    const { remote } = this;
    if (!remote || compressionOf(remote) !== compression || !content.has(remote.digest, remote.size)) return undefined;
    return { digest: remote.digest, size: remote.size, compression, diffId: this.#diffId };
  }

  contentId(): Promise<Digest> {
    if (this.remote && this.#diffId !== undefined) return Promise.resolve(this.#diffId);
    if (this.#row.treeDigest !== undefined) return Promise.resolve(this.#row.treeDigest);
    return (this.#contentId ??= this.#computeTreeDigest());
  }

  entries(): Promise<readonly LayerEntry[]> {
    if (this.manifest) return Promise.resolve(this.manifest.entries);
    return (this.#entries ??= this.#readEntries());
  }

  async locate(entry: Entry): Promise<FileBytes> {
    if (entry.bytes) return entry.bytes;
    if (this.manifest && this.#options.store.layers.directory(this.id) === undefined) {
      const bytes = (await this.#located()).get(entry.path);
      if (bytes) return bytes;
    }
    return { kind: "host", path: join(await this.directory(), entry.path) };
  }

  async knownEntries(): Promise<readonly LayerEntry[] | undefined> {
    return this.manifest?.entries ?? this.#options.store.layers.readEntries(this.id);
  }

  /** Places of the manifest's bytes, by path. */
  #located(): Promise<ReadonlyMap<string, FileBytes>> {
    return (this.#places ??= (async () => {
      const entries = (await this.manifest?.locate()) ?? [];
      return new Map(
        entries.flatMap((entry) => (entry.type === "file" && entry.bytes ? [[entry.path, entry.bytes]] : [])),
      );
    })());
  }

  directory(): Promise<string> {
    return (this.#directory ??= this.#makeDirectory());
  }

  packed(options: PackOptions): Promise<PackedLayer> {
    const key = `${options.compression} ${options.level ?? ""} ${options.clampToEpoch ?? ""}`;
    let promise = this.#packed.get(key);
    if (!promise) {
      promise = this.#pack(options);
      this.#packed.set(key, promise);
    }
    return promise;
  }

  async diffId(): Promise<Digest> {
    return this.#diffId ?? (await this.packed({ compression: "gzip" })).diffId;
  }

  async #computeTreeDigest(): Promise<Digest> {
    const digest = treeDigest(await this.entries());
    this.#options.store.layers.setTreeDigest(this.id, digest);
    return digest;
  }

  async #readEntries(): Promise<readonly LayerEntry[]> {
    const { store, xattrNamespace, signal } = this.#options;
    const stored = store.layers.readEntries(this.id);
    if (stored) return stored;
    const directory = store.layers.directory(this.id);
    if (directory !== undefined) {
      const { scanUpper } = await import("../layer/scan.ts");
      const copiedUp = new Set<string>();
      const upper = await scanUpper(directory, { xattrNamespace, onCopiedUp: (path) => copiedUp.add(path), signal });
      const entries = await this.#changes(upper, copiedUp);
      store.layers.writeEntries(this.id, entries);
      return entries;
    }
    this.#count("layer.listed");
    const { listLayer } = await import("../layer/unpack.ts");
    const { entries } = await this.#readBlob((tar) => listLayer(tar));
    store.layers.writeEntries(this.id, entries);
    return entries;
  }

  /** Without what is below it, an upper directory is the same layer in more words. */
  async #changes(entries: readonly LayerEntry[], copiedUp: ReadonlySet<string>): Promise<readonly LayerEntry[]> {
    if (this.below === undefined) return entries;
    const { changesOf } = await import("./changes.ts");
    return changesOf({ entries, copiedUp, below: new RootfsView(this.below) });
  }

  async #makeDirectory(): Promise<string> {
    const { store, xattrNamespace, signal } = this.#options;
    const known = store.layers.directory(this.id);
    if (known !== undefined) return known;
    const temp = join(this.#options.makeScratchDir(), "d");
    mkdirSync(temp, { mode: 0o755 });
    if (this.manifest) {
      this.#count("layer.materialized");
      const { materializeLayer } = await import("../layer/materialize.ts");
      await materializeLayer(await this.manifest.locate(), temp, { xattrNamespace, signal });
      store.layers.writeEntries(this.id, this.manifest.entries);
    } else {
      this.#count("layer.unpacked");
      const { unpackLayer } = await import("../layer/unpack.ts");
      const { entries } = await this.#readBlob((tar) => unpackLayer(tar, temp, { xattrNamespace, signal }));
      store.layers.writeEntries(this.id, entries);
    }
    await store.layers.adoptDirectory(this.id, temp);
    const path = store.layers.directory(this.id);
    if (path === undefined)
      throw new BuildError("store", `layer ${this.id} was removed while it was being made`, { help: "build again" });
    return path;
  }

  /** Feeds the layer's tar to `read`, from the store or, kept on the way, from where the base image is. Checks the diffID. */
  async #readBlob<T>(read: (tar: AsyncIterable<Uint8Array>) => Promise<T>): Promise<T> {
    const { store, signal } = this.#options;
    const { readLayer } = await import("../layer/blob.ts");
    const stored = this.#storedBlob();
    const compression = stored?.compression ?? compressionOf(this.remote);
    const bytes = stored ? store.content.open(stored.digest) : this.#fetch();
    return read(readLayer(bytes, { compression, expectedDiffId: this.#diffId, signal }));
  }

  /** The base layer's blob, written to the store as it is read. */
  async *#fetch(): AsyncGenerator<Uint8Array> {
    const { store, openRemote, signal } = this.#options;
    const { remote } = this;
    if (!remote)
      throw new BuildError("store", `layer ${this.id} has lost its content`, { help: "build again with --no-cache" });
    this.#count("blob.fetched", remote.size);
    const { digest, size } = remote;
    await using ingest = await store.content.ingest({ expected: { digest, size } });
    for await (const chunk of openRemote(remote, 0, signal)) {
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
    if (isPlain && this.remote && this.#diffId !== undefined && compressionOf(this.remote) === compression) {
      const { digest, size } = this.remote;
      for await (const _ of this.#fetch()) signal.throwIfAborted();
      return { digest, size, compression, diffId: this.#diffId };
    }
    if (this.remote) return this.#recompress({ compression, ...(level === undefined ? {} : { level }) });
    const entries =
      this.manifest && store.layers.directory(this.id) === undefined
        ? await this.manifest.locate()
        : await this.entries();
    const { writeLayer } = await import("../layer/blob.ts");
    await using ingest = await store.content.ingest();
    const packed = await writeLayer(entries, {
      compression,
      level,
      clampMtime: clampToEpoch,
      locate: (entry) => this.locate(entry),
      write: (chunk) => ingest.write(chunk),
      signal,
    });
    await ingest.commit({ digest: packed.digest, size: packed.size });
    this.#count("layer.packed", packed.size);
    if (isPlain) {
      this.#diffId = packed.diffId;
      store.layers.setDiffId(this.id, packed.diffId, packed.uncompressedSize);
      if (this.manifest) store.layers.writeEntries(this.id, this.manifest.entries);
      this.#noteBlob(compression, packed.digest, packed.size);
    }
    return { digest: packed.digest, size: packed.size, diffId: packed.diffId, compression };
  }

  /** A base layer in another compression: the same tar, so the same diffID. */
  async #recompress({ compression, level }: PackOptions): Promise<PackedLayer> {
    const { readLayer } = await import("../layer/blob.ts");
    const { compress } = await import("../layer/compress.ts");
    const { store, signal } = this.#options;
    const stored = this.#storedBlob();
    const bytes = stored ? store.content.open(stored.digest) : this.#fetch();
    const from = stored?.compression ?? compressionOf(this.remote);
    const tar = readLayer(bytes, { compression: from, expectedDiffId: this.#diffId, signal });
    await using ingest = await store.content.ingest();
    for await (const chunk of compress(tar, { compression, level, signal })) await ingest.write(chunk);
    const { digest, size } = await ingest.commit();
    if (level === undefined) this.#noteBlob(compression, digest, size);
    assert(this.#diffId !== undefined, "a base layer has a diffID");
    return { digest, size, compression, diffId: this.#diffId };
  }

  #noteBlob(compression: Compression, digest: Digest, size: number): void {
    this.#options.store.layers.addBlob(this.id, { compression, digest, size });
  }

  #storedBlob(): { readonly compression: Compression; readonly digest: Digest } | undefined {
    const { layers, content } = this.#options.store;
    const known = layers.blobs(this.id).find(({ digest, size }) => content.has(digest, size));
    if (known) return known;
    const { remote } = this;
    return remote && content.has(remote.digest, remote.size)
      ? { compression: compressionOf(remote), digest: remote.digest }
      : undefined;
  }

  #count(name: string, bytes?: number): void {
    this.#options.onEvent({ kind: "counted", name, subject: this.id, ...(bytes === undefined ? {} : { bytes }) });
  }
}

function pick({
  mediaType,
  digest,
  size,
}: {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}) {
  return { mediaType, digest, size };
}

function compressionOf(remote: RemoteBlob | undefined): Compression {
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
