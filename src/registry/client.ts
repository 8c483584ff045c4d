// Pull from and push to any registry that speaks the distribution protocol (distribution-spec 1.1; reference section 7). One object per set of options; safe to use in parallel.
// Not here: what is kept (store/) and what an image consists of (export/).
import type { Hash } from "node:crypto";
import { nowMs } from "../base/clock.ts";
import { amend, BuildError } from "../diagnostics/build-error.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor, Index } from "../oci/image.ts";
import { isIndexType } from "../oci/media-type.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";
import { downloadBlob } from "./blob-download.ts";
import { hasBlob, uploadBlob, type BlobOutcome, type OpenBytes } from "./blob-upload.ts";
import { readCertificates } from "./certificates.ts";
import { ConfiguredCredentials } from "./configured-credentials.ts";
import { anonymous, type CredentialSource } from "./credentials.ts";
import { endpointsFor, originOf, repositoriesAt, type Endpoint, type Mirrors } from "./endpoints.ts";
import { Exchange, isEndpointFailure, type RequestObserver } from "./exchange.ts";
import {
  getManifest,
  headManifest,
  putManifest,
  removeManifest,
  type ManifestCall,
  type ManifestContent,
  type PushedManifest,
} from "./manifests.ts";
import { selectPlatform } from "../oci/platform-choice.ts";
import { listReferrers, noteReferrer } from "./referrers.ts";
import { listTags } from "./tags.ts";
import { Backoff, systemClock, type RetryClock } from "./retry.ts";
import { StreamedUpload } from "./streamed-upload.ts";
import { Transport } from "./transport.ts";

export interface RegistryClientOptions {
  /** Our version, for the User-Agent. */
  readonly version?: string;
  /** Proxy variables, and where docker's configuration is. Absent = direct, anonymous. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Instead of the configuration files that `environment` implies. */
  readonly credentials?: CredentialSource;
  /** See parseMirrors in endpoints.ts. */
  readonly mirrors?: Mirrors;
  /** Trusted in addition to the system's, PEM. */
  readonly caCerts?: readonly string[];
  /** Folders with certificates per host; see certificates.ts. */
  readonly certificateFolders?: readonly string[];
  /** Do not verify certificates, and fall back to http. */
  readonly isInsecure?: boolean;
  readonly clock?: RetryClock;
  readonly onRequest?: RequestObserver;
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What a reference means now. */
export interface ResolvedReference {
  /** Of the manifest, or of the index where no platform was asked for. */
  readonly descriptor: Descriptor;
  readonly mediaType: string;
  /** The manifest's bytes, where they had to be fetched. */
  readonly bytes?: Uint8Array;
  /** The index that the platform was chosen from. */
  readonly index?: ManifestContent;
}

/** How long an endpoint that could not be reached is asked last instead of first. */
const UNREACHABLE_MS = 60_000;

/** Every failure is a BuildError `registry` (`details.status`, `details.isTransient`) or `content`, or the signal's reason. */
export class RegistryClient implements Disposable {
  readonly #options: RegistryClientOptions;
  readonly #clock: RetryClock;
  readonly #transport: Transport;
  readonly #exchange: Exchange;
  readonly #unreachableUntil = new Map<string, number>();
  /** Blobs on their way, by registry and digest. */
  readonly #uploads = new Map<string, { readonly repository: string; readonly done: Promise<BlobOutcome> }>();

  constructor(options: RegistryClientOptions = {}) {
    this.#options = options;
    const clock = options.clock ?? { ...systemClock, now: nowMs };
    this.#clock = clock;
    const folders = options.certificateFolders ?? [];
    const { environment, caCerts, connectTimeoutMs, idleTimeoutMs, onRequest } = options;
    this.#transport = new Transport({
      userAgent: `tsbuild/${options.version ?? "dev"}`,
      ...(environment === undefined ? {} : { environment }),
      ...(caCerts === undefined ? {} : { caCerts }),
      ...(folders.length === 0 ? {} : { certificatesOf: (host: string) => readCertificates(folders, host) }),
      ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
      ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
    });
    const configured =
      environment === undefined ? undefined : new ConfiguredCredentials({ environment, now: () => clock.now() });
    this.#exchange = new Exchange({
      transport: this.#transport,
      credentials: options.credentials ?? configured ?? anonymous,
      clock,
      ...(configured === undefined ? {} : { extraHeaders: () => extraHeaders(configured) }),
      ...(onRequest === undefined ? {} : { onRequest }),
    });
  }

  /** Names at `registry` under which it probably holds a blob that these repositories (`registry/name`) are known to hold. */
  repositoriesAt(registry: string, sources: readonly string[]): readonly string[] {
    const references = sources.map(parseReference).filter((source) => source !== undefined);
    return repositoriesAt(registry, references, this.#options.mirrors);
  }

  /** Asks what a reference means: one HEAD where the registry does its part. With a platform, follows an index to its manifest. */
  async resolve(
    reference: Reference,
    { platform, signal }: CallOptions & { readonly platform?: Platform } = {},
  ): Promise<ResolvedReference> {
    const named = await this.#read(reference, signal, headManifest);
    const { descriptor, bytes } = named;
    const found: ResolvedReference = { ...named, mediaType: descriptor.mediaType };
    if (platform === undefined || !isIndexType(descriptor.mediaType)) return found;
    const { mediaType, digest } = descriptor;
    const index = bytes ? { bytes, mediaType, digest } : await this.manifest(reference, digest, { signal });
    const chosen = selectPlatform(parseIndex(index, reference), platform);
    if (chosen === undefined)
      throw new BuildError(
        "image",
        `${formatReference(reference)}: no match for platform in manifest: ${formatPlatform(platform)} not found`,
        {
          help: "build for a platform that the image has, or use another base image",
        },
      );
    return { descriptor: chosen, mediaType: chosen.mediaType, index };
  }

  /** The verified bytes of a manifest or index. */
  manifest(reference: Reference, digest: Digest, { signal }: CallOptions = {}): Promise<ManifestContent> {
    const exact: Reference = { ...reference, digest };
    return this.#read(exact, signal, (call) => getManifest(call, exact));
  }

  /** Some tags of the reference's repository. */
  tags(reference: Reference, { signal }: CallOptions = {}): Promise<readonly string[]> {
    return this.#read(reference, signal, listTags);
  }

  /**
   * The bytes of a blob from `offset`, verified at the end: nothing that was yielded may be trusted before. `prefix` is the hash of the
   * bytes before `offset`; without it a part is checked for its length only.
   */
  openBlob(
    reference: Reference,
    descriptor: Descriptor,
    { offset = 0, prefix, signal }: CallOptions & { readonly offset?: number; readonly prefix?: Hash } = {},
  ): AsyncIterable<Uint8Array> {
    return downloadBlob({
      exchange: this.#exchange,
      clock: this.#clock,
      endpoints: this.#endpoints(reference),
      reference,
      descriptor,
      offset,
      ...(prefix === undefined ? {} : { prefix }),
      signal,
    });
  }

  /** Whether the registry itself (not a mirror) has the blob in this repository. */
  hasBlob(reference: Reference, descriptor: Descriptor, { signal }: CallOptions = {}): Promise<boolean> {
    const endpoint = this.#origin(reference);
    return hasBlob({ exchange: this.#exchange, clock: this.#clock, endpoint, reference, descriptor, signal }, "pull");
  }

  /** Whether the reference means this manifest at the registry itself. False also where it does not say: then a push will. */
  async hasManifest(reference: Reference, digest: Digest, { signal }: CallOptions = {}): Promise<boolean> {
    try {
      const { descriptor } = await headManifest(this.#call(reference, this.#origin(reference), signal, 1));
      return descriptor.digest === digest;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  }

  /** Makes sure that the repository has the blob, sending bytes only where nothing else helps. `open` is called once per attempt. */
  async pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    open: OpenBytes,
    { mountFrom = [], streamed, onProgress, signal }: PushBlobOptions = {},
  ): Promise<BlobOutcome> {
    const key = `${reference.registry} ${descriptor.digest}`;
    const known = [...mountFrom];
    // A cache and an image of one build often have the same layers: the second one waits, and finds or mounts what the first one sent.
    for (let other = this.#uploads.get(key); other; other = this.#uploads.get(key)) {
      await other.done.catch(() => undefined);
      signal?.throwIfAborted();
      known.unshift(other.repository);
    }
    const done = uploadBlob({
      exchange: this.#exchange,
      clock: this.#clock,
      endpoint: this.#origin(reference),
      reference,
      descriptor,
      open,
      mountFrom: known,
      streamed,
      ...(onProgress === undefined ? {} : { onProgress }),
      signal,
    });
    this.#uploads.set(key, { repository: reference.repository, done });
    try {
      return await done;
    } finally {
      this.#uploads.delete(key);
    }
  }

  /** Begins to send a blob that is still being made, for {@link pushBlob} to go on with. `subject` is its name in messages. */
  streamBlob(
    reference: Reference,
    subject: string,
    open: () => AsyncIterable<Uint8Array>,
    { signal }: CallOptions = {},
  ): StreamedUpload {
    const target = { exchange: this.#exchange, clock: this.#clock, endpoint: this.#origin(reference) };
    return new StreamedUpload({ ...target, reference, subject, signal }, open);
  }

  /** Puts a manifest whose blobs are there: under the tag, else under `latest`; by digest alone where the reference has only a digest. */
  async pushManifest(
    reference: Reference,
    bytes: Uint8Array,
    mediaType: string,
    { signal }: CallOptions = {},
  ): Promise<PushedManifest> {
    const call = this.#call(reference, this.#origin(reference), signal);
    const pushed = await putManifest(call, bytes, mediaType);
    await noteReferrer(call, bytes, pushed);
    return pushed;
  }

  /** Removes a manifest with all its tags; false where the registry does not let us. */
  deleteManifest(reference: Reference, digest: Digest, { signal }: CallOptions = {}): Promise<boolean> {
    return removeManifest(this.#call(reference, this.#origin(reference), signal), digest);
  }

  /** What refers to a manifest: signatures, attestations, artifacts. */
  referrers(
    reference: Reference,
    subject: Digest,
    { artifactType, signal }: CallOptions & { readonly artifactType?: string } = {},
  ): Promise<readonly Descriptor[]> {
    return listReferrers(this.#call(reference, this.#origin(reference), signal), subject, artifactType);
  }

  /** Closes the connections. Transfers that still run fail. */
  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  /** Tries the endpoints in order; the first answer counts. Only the last one gets patience. */
  async #read<T>(
    reference: Reference,
    signal: AbortSignal | undefined,
    read: (call: ManifestCall) => Promise<T>,
  ): Promise<T> {
    const endpoints = this.#endpoints(reference);
    let missing: BuildError | undefined;
    for (const [index, endpoint] of endpoints.entries()) {
      const isLast = index === endpoints.length - 1;
      try {
        return await read(this.#call(reference, endpoint, signal, isLast ? undefined : 1));
      } catch (error) {
        if (!isEndpointFailure(error)) throw error;
        // That a mirror does not have it says more than that nobody else could be asked, as containerd has it.
        if (isLast) throw missing && error.details.status === undefined ? amend(missing, { cause: error }) : error;
        if (error.details.status === 404) missing ??= error;
        if (error.details.status === undefined)
          this.#unreachableUntil.set(endpoint.host, this.#clock.now() + UNREACHABLE_MS);
      }
    }
    throw new BuildError("registry", `no endpoint for ${reference.registry}`);
  }

  #call(reference: Reference, endpoint: Endpoint, signal: AbortSignal | undefined, attempts?: number): ManifestCall {
    const backoff = new Backoff({ clock: this.#clock, signal, ...(attempts === undefined ? {} : { attempts }) });
    return { exchange: this.#exchange, endpoint, reference, backoff, signal };
  }

  #origin({ registry }: Reference): Endpoint {
    return originOf(registry, { isInsecure: this.#options.isInsecure ?? false });
  }

  /** Mirrors that were not reachable a moment ago are left out; the registry itself never is. */
  #endpoints({ registry }: Reference): readonly Endpoint[] {
    const { mirrors, isInsecure = false } = this.#options;
    const all = endpointsFor(registry, { ...(mirrors === undefined ? {} : { mirrors }), isInsecure });
    const now = this.#clock.now();
    return all.filter(({ host }, index) => index === all.length - 1 || (this.#unreachableUntil.get(host) ?? 0) <= now);
  }
}

export interface PushBlobOptions extends CallOptions {
  /** Repositories of the same registry that may have the blob, likeliest first. */
  readonly mountFrom?: readonly string[];
  /** This blob's upload to this repository, where one was begun. */
  readonly streamed?: StreamedUpload | undefined;
  /** Bytes on their way; may step back after a break. */
  readonly onProgress?: (current: number) => void;
}

/** Headers that would change what a request means are not the user's to set. */
const OURS =
  /^(authorization|proxy-|host$|content-|transfer-|connection$|user-agent$|accept|range$|expect$|te$|upgrade$)/i;

async function extraHeaders(configured: ConfiguredCredentials): Promise<Readonly<Record<string, string>>> {
  const configs = await configured.configs().catch(() => []);
  const entries = configs.toReversed().flatMap(({ httpHeaders }) => Object.entries(httpHeaders));
  return Object.fromEntries(
    entries.filter(
      ([name, value]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && !OURS.test(name) && !/[\r\n\0]/.test(value),
    ),
  );
}

function parseIndex({ bytes }: ManifestContent, reference: Reference): Index {
  const index = JSON.parse(Buffer.from(bytes).toString("utf8")) as Index;
  if (!Array.isArray(index.manifests))
    throw new BuildError("registry", `the index of ${formatReference(reference)} has no list of manifests`, {
      details: { isTransient: false },
    });
  return index;
}
