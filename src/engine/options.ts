// What a caller asks of the engine and what comes back: plain data, no strings left to parse but those that name things.
import type { CacheSource, CacheTarget } from "../cache/location.ts";
import type { Ulimit } from "../graph/op.ts";
import type { Digest } from "../oci/digest.ts";
import type { Compression } from "../oci/media-type.ts";
import type { EventSink } from "../progress/events.ts";
import type { StepResources } from "../sandbox/sandbox.ts";

/** The world around a build, given once. Nothing below the CLI reads `process`. */
export interface EngineOptions {
  /** Where everything that survives a build is kept; see {@link defaultStoreRoot}. */
  readonly root: string;
  /** Ours, for the User-Agent. */
  readonly version: string;
  /** Relative paths in options start here. */
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `host=url,host=url`: see registry/endpoints. */
  readonly registryMirrors?: string;
  /** Name or path of the OCI runtime; undefined = crun, else runc. */
  readonly runtime?: string;
  /** The process runs in a user namespace of its own: see sandbox/rootless. */
  readonly isRootless: boolean;
  /** "host": RUN sees the processes around this one and may signal them, for where the kernel forbids anything else (S72). Only where `isRootless`. */
  readonly processes?: "private" | "host";
  /** The process is there for this engine alone, as the command line is: its main thread may move into a mount namespace of its own to run steps faster. */
  readonly ownsProcess?: boolean;
  /** Bytes that everything in the store may take; undefined = what its config.json says, else no ceiling. */
  readonly cacheMaxSize?: number;
  /** Nothing is asked of the network: what is missing is an error that names it. RUN steps have the network that they have. */
  readonly isOffline?: boolean;
  /** PEM file that registries and RUN steps trust in addition. */
  readonly caCert?: string;
  readonly onEvent: EventSink;
}

/**
 * `missing`: what a build or a pull gave that name in this store, else what its registry said the last time, else the registry · `always`: the registry ·
 * `newer`: the registry, and what the store knows where that cannot be reached · `never`: only what the store knows.
 */
export type PullPolicy = "missing" | "always" | "newer" | "never";

export interface SecretSource {
  readonly id: string;
  /** Absolute path; else the environment variable `env`. */
  readonly file?: string;
  readonly env?: string;
  /** Steps that use it run again when its value changes: a keyed digest of it is in their keys. */
  readonly cache?: "content";
  /** Steps that use it may leave its value in the image; else that fails them. */
  readonly leak?: "allow";
}

export interface SshSource {
  readonly id: string;
  /** Agent sockets or private key files, absolute; empty = SSH_AUTH_SOCK. */
  readonly paths: readonly string[];
}

export type OutputSpec =
  /** Into the store, under the build's tags. */
  | {
      readonly kind: "image";
      readonly push: boolean;
      /** Whether the store keeps the image. */
      readonly isStored: boolean;
      /** Whether its layers are made ready to run. */
      readonly isUnpacked: boolean;
      /** A name that the store gives it beside the others, with its digest: `PREFIX@sha256:…`. */
      readonly dangling?: { readonly prefix: string; readonly isForUnnamed: boolean };
      readonly names: readonly string[];
      readonly image: ImageOutputOptions;
    }
  | {
      readonly kind: "oci";
      readonly dest: string;
      readonly tar: boolean;
      readonly names: readonly string[];
      readonly image: ImageOutputOptions;
    }
  /** `dest` undefined = load into docker or podman by their own command. */
  | {
      readonly kind: "docker";
      readonly dest?: string;
      /** The docker context to load into; undefined = docker's current one, or podman. */
      readonly context?: string;
      readonly names: readonly string[];
      readonly image: ImageOutputOptions;
    }
  | {
      readonly kind: "local";
      readonly dest: string;
      /** "delete" = what the result does not have is removed from `dest`. */
      readonly mode: "copy" | "delete";
      /** Into a directory of `dest` that is called after the platform. */
      readonly isSplit?: true;
      readonly epoch?: number | null;
    }
  /** `dest` "-" = standard output. */
  | { readonly kind: "tar"; readonly dest: string; readonly epoch?: number | null }
  | { readonly kind: "cacheonly" };

/** Options common to everything that makes manifests (reference E20–E29). */
export interface ImageOutputOptions {
  readonly ociMediaTypes: boolean;
  readonly compression: Compression;
  readonly compressionLevel?: number;
  /** gzip with a table of contents: eStargz. */
  readonly isSeekable: boolean;
  readonly forceCompression: boolean;
  /** Foreign layers of the base keep their media types and urls. */
  readonly keepsForeignLayers: boolean;
  /** Seconds since the epoch for this output; null = none; undefined = the build's. */
  readonly epoch?: number | null;
  readonly rewriteTimestamp: boolean;
  readonly pushByDigest: boolean;
  readonly nameCanonical: boolean;
  readonly insecureRegistry: boolean;
  /** Manifest annotations; other kinds are refused while reading the flags. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Annotations of the manifest's descriptor in index.json. */
  readonly descriptorAnnotations: Readonly<Record<string, string>>;
  /** Platforms that annotations were written for: the image has to be of each of them. */
  readonly annotatedPlatforms: readonly string[];
}

export interface BuildOptions {
  /** Directory, git or http URL, or "-". */
  readonly context: string;
  /** As `-f`: a path, "-" or a URL; undefined = Dockerfile in the context. */
  readonly dockerfile?: string;
  /** Standard input, where the context or the Dockerfile is "-". */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** Standard output, for `-o -`. Called once; awaits back-pressure. */
  readonly writeStdout?: (chunk: Uint8Array) => Promise<void>;
  readonly tags: readonly string[];
  readonly target?: string;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** Name → path, `docker-image://…`, `oci-layout://…`, git or http URL. */
  readonly buildContexts: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  readonly platforms: readonly string[];
  readonly cache: "use" | "ignore";
  /** Stages built without cache. */
  readonly noCacheFilter: readonly string[];
  /** Milliseconds after which results do not count any more. */
  readonly cacheTtlMs?: number;
  /** `host:ip`, `host=ip`. */
  readonly addHosts: readonly string[];
  readonly network: "default" | "none" | "host";
  readonly shmSize?: number;
  readonly ulimits: readonly Ulimit[];
  readonly cgroupParent?: string;
  /** Limits of each RUN; in no key. A RUN fails where it gets no cgroup of its own. */
  readonly resources?: StepResources;
  readonly secrets: readonly SecretSource[];
  readonly ssh: readonly SshSource[];
  readonly outputs: readonly OutputSpec[];
  /** Caches to read, the first that has a step wins. */
  readonly cacheFrom: readonly CacheSource[];
  readonly cacheTo: readonly CacheTarget[];
  /** The image carries the records of its own steps. */
  readonly inlineCache: boolean;
  /** Where tags of base images are looked up. */
  readonly pull: PullPolicy;
  /** Entitlements: `network.host`, `security.insecure`. */
  readonly allow: readonly string[];
  /** "git": files of local contexts have the modes that git would give them. */
  readonly contextMode?: "git";
  /** Steps at once; undefined = from the CPUs and memory of the cgroup. */
  readonly jobs?: number;
  readonly metadataFile?: string;
  readonly iidFile?: string;
  /** Absolute; see report.ts. Written however the build ends. */
  readonly reportFile?: string;
  readonly signal?: AbortSignal;
}

export interface BuildResult {
  /** Of the manifest; undefined where only files were exported. */
  readonly manifestDigest?: Digest;
  /** Of the config: docker's "image id". */
  readonly imageId?: Digest;
  readonly names: readonly string[];
  /** Contents of `--metadata-file`. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface RunOptions {
  readonly image: string;
  /** Replaces the image's Cmd; with an empty list the image's own is used. */
  readonly args: readonly string[];
  readonly entrypoint?: string;
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly network: "default" | "none" | "host";
  readonly onOutput: (stream: "stdout" | "stderr", chunk: Uint8Array) => void;
  readonly signal?: AbortSignal;
}

export interface ImageSummary {
  /** Normalised name; undefined = untagged. */
  readonly name?: string;
  readonly manifestDigest: Digest;
  readonly imageId: Digest;
  readonly createdMs?: number;
  /** Sum of compressed layers, bytes. */
  readonly size: number;
  readonly platform: string;
}
