// What importing and exporting need of a place that keeps caches. Each back end is one implementation; none decides what is kept.
import type { Descriptor } from "../oci/image.ts";
import type { BuildKitCache } from "./buildkit/config.ts";
import type { CacheDocument } from "./document.ts";

/** What a place holds now: a cache of ours, or one that BuildKit has exported, whose document is empty. */
export interface StoredCache {
  readonly document: CacheDocument;
  readonly buildkit?: BuildKitCache;
  /** Names this state of the place, for who replaces it. */
  readonly version: string;
}

export interface PutOptions {
  /** Repositories (`registry/name`) that are known to hold the blob, for places that can take it over from there. */
  readonly sources: readonly string[];
  readonly signal: AbortSignal;
}

export interface WriteOptions {
  /** What is replaced, as it was read. */
  readonly before: StoredCache | undefined;
  /** Remove what nothing names any more. */
  readonly isPruned: boolean;
  readonly onNotice: (message: string) => void;
  readonly signal: AbortSignal;
}

/** Failures are BuildErrors or the signal's reason; what they mean for the build is for the caller to decide. */
export interface CacheStorage extends Disposable {
  /** For messages: `registry host/name:tag`. */
  readonly label: string;
  /** Names where blobs lie: `registry/repository` where it is one. */
  readonly place: string;
  /** Whether `place` is a repository, from which pushes to its registry can take blobs over. */
  readonly isRegistry: boolean;
  /** The cache, or undefined where there is none. Fails where there is one that cannot be read. */
  read(signal: AbortSignal): Promise<StoredCache | undefined>;
  /** Whether the blob is there in its size. */
  has(blob: Descriptor, signal: AbortSignal): Promise<boolean>;
  /** Bytes from `offset`; their digest is for the reader to check. */
  open(blob: Descriptor, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Makes sure that the blob is there; whether bytes had to be sent. */
  put(blob: Descriptor, open: (offset: number) => AsyncIterable<Uint8Array>, options: PutOptions): Promise<boolean>;
  /** Makes `document`, all of whose blobs are there, what {@link read} finds. */
  write(document: CacheDocument, options: WriteOptions): Promise<void>;
}
