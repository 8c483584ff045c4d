// Where a cache is kept and how it is written there: what `--cache-from` and `--cache-to` say, as data (reference G01–G06).
import type { Digest } from "../oci/digest.ts";
import type { Compression } from "../oci/media-type.ts";

export interface RegistryLocation {
  readonly kind: "registry";
  /** As the user wrote it. */
  readonly ref: string;
  readonly isInsecure: boolean;
}

/** An OCI layout on this machine. */
export interface LocalLocation {
  readonly kind: "local";
  /** Absolute. */
  readonly path: string;
  readonly tag: string;
  /** Import exactly this manifest, whatever the tag says. */
  readonly digest?: Digest;
}

export interface S3Location {
  readonly kind: "s3";
  readonly bucket: string;
  readonly region: string;
  readonly prefix: string;
  readonly manifestsPrefix: string;
  readonly blobsPrefix: string;
  /** Of the cache; an export writes all of them, an import reads the first. */
  readonly names: readonly string[];
  /** Undefined = AWS. */
  readonly endpointUrl?: string;
  readonly usesPathStyle: boolean;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly retryMode: "standard" | "adaptive";
  readonly retryMaxAttempts: number;
  /** Blobs that are older are written again, so that they do not expire. */
  readonly touchRefreshMs: number;
  readonly uploadParallelism: number;
}

/** The cache service of GitHub Actions, version 2. */
export interface GhaLocation {
  readonly kind: "gha";
  /** The cache's own name among the repository's. */
  readonly scope: string;
  /** Of the service and its token; undefined outside of a job. */
  readonly url?: string;
  readonly token?: string;
  /** How long requests may wait while the service asks for less. */
  readonly timeoutMs: number;
  /** `owner/name`, for removing what is not kept: only the REST API can. */
  readonly repository?: string;
  readonly ghToken?: string;
  readonly apiUrl: string;
}

export type CacheLocation = RegistryLocation | LocalLocation | S3Location | GhaLocation;

export interface CacheSource {
  readonly location: CacheLocation;
}

export interface CacheTarget {
  readonly location: CacheLocation;
  /** "min" = the steps of the image; "max" = all steps of all stages. */
  readonly mode: "min" | "max";
  /** Only an explicit `ignore-error=false` lets a failed export fail the build. */
  readonly isErrorIgnored: boolean;
  readonly compression: Compression;
  readonly compressionLevel?: number;
  /** Compress again what was stored or imported in another way. */
  readonly forceCompression: boolean;
  /** An image manifest, which every registry takes, or BuildKit's older index of blobs. */
  readonly imageManifest: boolean;
  readonly ociMediaTypes: boolean;
  /** Exports that stay importable, this one included; undefined = this one alone. */
  readonly keep?: number;
  /** Bytes of blobs that all kept exports may take together. */
  readonly maxSize?: number;
  /** Leave out layers that are made faster than moved. */
  readonly skipsCheap: boolean;
  /** Export the cache mounts of RUN as well. */
  readonly mounts: boolean;
  /** Local: remove blobs that nothing in the layout names. */
  readonly reset: boolean;
}
