// A layer as the solver and the exporters see it: an immutable diff whose faces are made when something asks, once. Who makes them: layer-faces.ts.
import type { Digest } from "../oci/digest.ts";
import type { Compression } from "../oci/media-type.ts";
import type { Entry, FileBytes, LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";

/** A layer's blob in the store. */
export interface PackedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: Digest;
  readonly compression: Compression;
  /** What its descriptor says beside that, for formats that need it. */
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface PackOptions {
  readonly compression: Compression;
  /** Undefined = the compression's own default. */
  readonly level?: number;
  /** Clamp file times to these seconds since the epoch. */
  readonly clampToEpoch?: number;
  /** gzip in the form of layer/estargz.ts. */
  readonly isSeekable?: boolean;
  /** Called where a blob begins to be made, for those who read along. */
  readonly onGrowing?: (blob: GrowingBlob) => void;
}

/** A blob while it is being made. */
export interface GrowingBlob {
  /** Whether it has so many bytes, as soon as that is certain. */
  atLeast(size: number): Promise<boolean>;
  /** Its bytes from the start, as they come. Fails where it does not become whole. */
  read(): AsyncIterable<Uint8Array>;
}

/** Where a layer's blob can be fetched: from the registry of its base image, or from a cache. */
export interface RemoteBlob {
  /** `registry/repository`, or what else names the place. */
  readonly repository: string;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /** Where a foreign layer is. */
  readonly urls?: readonly string[];
}

/** A layer that a cache has. */
export interface CachedLayer {
  readonly blob: RemoteBlob;
  readonly diffId: Digest;
  readonly contentId: Digest;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly createdBy: string;
}

/** A layer as a list: what a COPY makes before any byte is copied. */
export interface LayerManifest {
  /** Sorted by `comparePaths`; every regular file has its sha256. */
  readonly entries: Sequence<LayerEntry>;
  /** Where the bytes of the regular file `entries[index]` are. May unpack what they are in. */
  place(index: number): FileBytes | Promise<FileBytes>;
}

export interface Layer {
  readonly id: string;
  /** RFC 3339: the time that the history shows. */
  readonly createdAt: string;
  /** The blob of a base image's layer; undefined for layers made here. */
  readonly remote: RemoteBlob | undefined;
  /** A blob of a layer made elsewhere, in a cache that has it now. */
  readonly cached: RemoteBlob | undefined;
  /** Identity of what it contains, for content keys: the diffID of a base layer, the tree digest of one made here. */
  contentId(): Promise<Digest>;
  /** What the layer says, sorted. */
  entries(): Promise<Sequence<LayerEntry>>;
  /** The entries where they are known without fetching or unpacking anything. */
  knownEntries(): Promise<Sequence<LayerEntry> | undefined>;
  /** Where a regular file of it has its bytes. */
  locate(entry: Entry): Promise<FileBytes>;
  /** The directory face, in overlay form. */
  directory(): Promise<string>;
  /** The blob face in this compression, made or fetched if it is not there. */
  packed(options: PackOptions): Promise<PackedLayer>;
  /** {@link packed}, where that is there already. */
  knownPacked(options: PackOptions): PackedLayer | undefined;
  /** The diffID, packing if that is what it takes. */
  diffId(): Promise<Digest>;
  /** The diffID, where it is known. */
  knownDiffId(): Digest | undefined;
}

/** An ordered list of layers, bottom first: a root file system, exactly as in OCI. */
export type Rootfs = readonly Layer[];
