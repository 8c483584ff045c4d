// What solving needs from the world, declared here and constructed by the engine.
import type { Standstill } from "../base/standstill.ts";
import type { Vertex } from "../graph/graph.ts";
import type { ExecOp, FileOp, GitOp, HttpOp, ImageOp, LocalOp } from "../graph/op.ts";
import type { Digest } from "../oci/digest.ts";
import type { EventSink, KeyPart } from "../progress/events.ts";
import type { Layer, LayerManifest, Rootfs } from "../rootfs/layer.ts";
import type { DeviceEdits } from "../sandbox/cdi.ts";
import type { Sandbox, StepResources } from "../sandbox/sandbox.ts";
import type { FileBytes, LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import type { Tree } from "../tree/tree.ts";
import type { ArchiveTree } from "./file/archive.ts";

/** Files that a vertex without rootfs stands for. */
export interface SourceTree {
  readonly tree: Tree;
  /** What the files are, where that is known without reading them (a commit, a checksum); undefined = digest what is selected. */
  readonly identity: Digest | undefined;
  /** Word for explanations: `context`, `https://…`. */
  readonly label: string;
}

/** A step that was done before. */
export interface CacheRecord {
  readonly layer: Layer;
  /** Whether the layer's content is there: a list of entries alone has to be worked out again. */
  readonly isDurable: boolean;
  /** When the step ran. */
  readonly createdMs: number;
}

/** What became of a record that cannot be found. */
export type RecordFate =
  | { readonly kind: "evicted"; readonly atMs: number; readonly reason: "pruned" | "ceiling" | "age" }
  /** There is one, but the files that it leads to are gone or damaged. */
  | { readonly kind: "lost" }
  | { readonly kind: "unknown" };

/** Remembers which key made which layer. */
export interface CacheIndex {
  find(key: Digest): CacheRecord | undefined;
  /** As {@link find}, in the caches elsewhere that the build was given; absent where it was given none. */
  readonly elsewhere?: CacheElsewhere;
  /** Whether any record was ever made for this op, whatever its inputs: without one, content keys need not be worked out. */
  knowsOp(op: Digest): boolean;
  put(record: NewRecord): void;
  fateOf(key: Digest): RecordFate;
  /** Milliseconds that the op took when it last ran. */
  durationOf(op: Digest): number | undefined;
  /** Milliseconds that the step took which has this key; undefined where there is no record of it. */
  durationOfKey(key: Digest): number | undefined;
}

/** Caches that other machines have filled. Fetches no layer; what it finds is durable. */
export interface CacheElsewhere {
  find(key: Digest, createdBy: string): Promise<FoundElsewhere | undefined>;
  /** As {@link find}, by what BuildKit calls the step, in caches that BuildKit has filled. What lies below it is waited for only where there is a layer. */
  findByOp(step: Vertex & { readonly op: ExecOp | FileOp }, build: BuildView): Promise<FoundElsewhere | undefined>;
  knowsOp(op: Digest): Promise<boolean>;
  /** Names of the parts that differ from the step that stood in the same place when a cache was filled; undefined where there was none. */
  changedParts(vertex: Vertex, parts: readonly KeyPart[]): Promise<readonly string[] | undefined>;
}

/** The results of a build as those who look something up for it may ask for them. */
export interface BuildView {
  vertex(id: Digest): Vertex;
  rootfs(id: Digest): Promise<Rootfs>;
  tree(id: Digest): Promise<SourceTree>;
}

export interface FoundElsewhere {
  readonly layer: Layer;
  /** When the step ran there. */
  readonly createdMs: number;
  readonly durationMs: number;
}

/** A step whose layer is known now. */
export interface SolvedStep {
  readonly vertex: Vertex;
  readonly key: Digest;
  readonly parts: readonly KeyPart[];
  readonly layer: Layer;
}

export interface NewRecord {
  readonly key: Digest;
  readonly op: Digest;
  readonly layer: Layer;
  readonly parts: readonly KeyPart[];
  readonly slot: string;
  readonly durationMs: number;
  /** When the step ran, where that was before: a record that is found by content is no younger for it. */
  readonly createdMs?: number;
}

/** A step of an earlier build of the same Dockerfile and target. */
export interface PastStep {
  /** `[build 2/4] RUN make`. */
  readonly name: string;
  readonly stage: string;
  readonly instruction: string;
  readonly op: string;
  readonly key: Digest;
  readonly parts: readonly KeyPart[];
  readonly outcome: "ran" | "cached" | "failed";
  /** Id of the layer that it led to. */
  readonly layer?: string;
}

/** What earlier builds were like, to explain how this one differs. */
export interface PastBuilds {
  /** Their steps, of the latest build first. */
  steps(): Iterable<readonly PastStep[]>;
  /** What a layer of the store contains, as {@link Layer.contentId}; undefined where it is gone. */
  contentId(layer: string): Digest | undefined;
  hasFiles(value: string): boolean;
  /** Files that stood behind a part of a key with this value; undefined where that is not known any more. */
  files(value: string): Sequence<LayerEntry> | undefined;
  /** Never fails. */
  keepFiles(value: string, entries: Sequence<LayerEntry>): void;
  /** What a layer of the store holds; undefined where that is not known any more. */
  layerFiles(layer: string): Sequence<LayerEntry> | undefined;
}

/** Makes layers; each is whole and durable as far as its faces go when the promise settles. */
export interface LayerFactory {
  /** Takes over the upper directory of a step that ran on `below`. What is in it is hashed in the background, until {@link settled}. */
  fromUpper(upperDir: string, createdBy: string, below: Rootfs): Promise<Layer>;
  /** A layer that is only a list of entries whose bytes lie elsewhere; equal lists are one layer. */
  fromManifest(manifest: LayerManifest, createdBy: string): Layer;
  /** Ends when nothing is being hashed any more; fails where hashing did. */
  settled(): Promise<void>;
}

export interface AcquiredMount extends AsyncDisposable {
  readonly path: string;
  readonly isNew: boolean;
}

export interface CacheMountRequest {
  readonly id: string;
  readonly sharing: "shared" | "private" | "locked";
  /** Identity of the initial content and of mode, uid, gid: another one is another cache. */
  readonly seed: string;
  /** What holds it, for those who wait: the step's name. */
  readonly step: string;
  /** Start empty whatever is kept. */
  readonly isFresh: boolean;
  /** Fills a new cache's directory. */
  readonly prepare: (directory: string) => Promise<void>;
  readonly onWait: (holder: string) => void;
  readonly signal: AbortSignal;
}

export interface StepLog extends Disposable {
  readonly path: string;
  write(chunk: Uint8Array): void;
}

export interface SolveServices {
  readonly cache: CacheIndex;
  readonly past: PastBuilds;
  readonly layers: LayerFactory;
  /** Made at the first RUN. */
  sandbox(): Promise<Sandbox>;
  /** Layers of an image, without fetching them. */
  openImage(op: ImageOp): Promise<Rootfs>;
  openTree(op: LocalOp | HttpOp | GitOp, signal: AbortSignal): Promise<SourceTree>;
  /** A lock that holds across processes until disposed: two builds that need the same step run it once. */
  lockStep(key: Digest, onWait: (holder: string) => void, signal: AbortSignal): Promise<AsyncDisposable>;
  acquireCacheMount(request: CacheMountRequest): Promise<AcquiredMount>;
  /** Where everything is kept that steps write, as a person may know it. */
  readonly storePath: string;
  /** An empty directory of this build's lease, removed with it at the latest. */
  makeScratchDir(name: string): string;
  /**
   * Does `work` under the store's ceiling: what it writes to the directories is followed, and where there is no room its signal is aborted. `settle` counts
   * for the last time, before what was written is moved away. `hold` makes the work stand still, while room is being made; `reset` takes back what it has
   * written: where other builds need the room, `work` is stopped and called again later.
   */
  watchStep<T>(
    what: string,
    watched: {
      readonly scratch: readonly string[];
      readonly kept: readonly string[];
      readonly hold?: () => Standstill;
      readonly reset?: () => Promise<void>;
    },
    work: (signal: AbortSignal, settle: () => Promise<void>) => Promise<T>,
  ): Promise<T>;
  openLog(vertex: Vertex): StepLog;
  /** The value of a secret; undefined where none was given. */
  secret(id: string): Promise<Uint8Array | undefined>;
  /** What of a secret's value belongs into the keys of the steps that use it; undefined = nothing. */
  secretDigest(id: string): Promise<string | undefined>;
  /** Whether a step may leave the secret's value in what it makes. */
  isLeakAllowed(id: string): boolean;
  /** A socket of an ssh agent; undefined where none was given. */
  sshSocket(id: string): Promise<string | undefined>;
  /** What the devices of a step add to its container; fails where a required one is not there. */
  deviceEdits(requests: NonNullable<ExecOp["devices"]>): Promise<DeviceEdits>;
  /** Addresses for the names of --add-host. */
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
  /** Limits of each RUN: what it makes does not depend on them, so they are in no key. */
  readonly resources: StepResources | undefined;
  readonly caCert: string | undefined;
  /** Opens ADD's archives. */
  readonly openArchive: (bytes: FileBytes, signal: AbortSignal) => Promise<ArchiveTree | undefined>;
  readonly xattrNamespace: "trusted" | "user";
  /** Modification time of directories that a COPY or WORKDIR makes. */
  readonly createdMtimeNs: bigint;
  /** Names the place of the Dockerfile, so that a step can be told from its namesake elsewhere. */
  readonly slotScope: string;
  readonly onEvent: EventSink;
  /** Told of each step that was looked at, once, as soon as its layer is known. */
  readonly onSolved?: (step: SolvedStep) => void;
}
