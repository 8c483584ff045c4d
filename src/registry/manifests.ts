// Manifests: what a name means, its bytes, and putting them there (distribution-spec "Pulling/Pushing manifests"; reference RG11, RG13, RG20, RG21, RG25).
import { createHash } from "node:crypto";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestAlgorithm, digestOf, parseDigest, type Digest } from "../oci/digest.ts";
import {
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  OCI_INDEX,
  OCI_MANIFEST,
  isIndexType,
  isManifestType,
} from "../oci/media-type.ts";
import type { Descriptor } from "../oci/image.ts";
import { formatReference, withDefaultTag, type Reference } from "../oci/reference.ts";
import type { Endpoint } from "./endpoints.ts";
import { contentError, DAMAGED, type RequestPurpose } from "./errors.ts";
import type { Exchange, RegistryRequest } from "./exchange.ts";
import { FailedAttempt, type Backoff } from "./retry.ts";
import type { HttpResponse } from "./http-message.ts";

/** The largest manifest that is read, bytes (RG25). */
export const MAX_MANIFEST_SIZE: number = 8 * 1024 * 1024;

export interface ManifestContent {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** What a name means now. `bytes` are there where they had to be fetched to know. */
export interface NamedManifest {
  readonly descriptor: Descriptor;
  readonly bytes?: Uint8Array;
}

/** One conversation with one endpoint about manifests. */
export interface ManifestCall {
  readonly exchange: Exchange;
  readonly endpoint: Endpoint;
  readonly reference: Reference;
  readonly backoff: Backoff;
  readonly signal?: AbortSignal | undefined;
}

const ACCEPT = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX, "*/*"].join(", ");
const SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/;

/** Asks with HEAD; with GET where HEAD is not supported, forbidden (its answer has no text) or says too little. */
export async function headManifest(call: ManifestCall): Promise<NamedManifest> {
  const reference = withDefaultTag(call.reference);
  const response = await call.exchange.send(
    { ...requestOf(call, reference, "HEAD"), accept: [200, 400, 403, 405, 500, 501] },
    call.backoff,
  );
  await response.discard();
  const digest = parseDigest(response.headers["docker-content-digest"] ?? "");
  const size = Number(response.headers["content-length"] ?? Number.NaN);
  const mediaType = bareType(response);
  const isEnough = digest !== undefined && size > 0 && (isIndexType(mediaType) || isManifestType(mediaType));
  if (response.status !== 200 || !isEnough) {
    const { bytes, ...content } = await getManifest(call, reference);
    return { descriptor: { mediaType: content.mediaType, digest: content.digest, size: bytes.length }, bytes };
  }
  if (reference.digest !== undefined && digest !== reference.digest) throw otherDigest(call, reference.digest, digest);
  return { descriptor: { mediaType, digest, size } };
}

/** Gets and verifies: against the digest of the reference, else against the one that the registry names. */
export async function getManifest(call: ManifestCall, named: Reference): Promise<ManifestContent> {
  const reference = withDefaultTag(named);
  const request = { ...requestOf(call, reference, "GET"), accept: [200] };
  for (;;) {
    try {
      const response = await call.exchange.attempt(request);
      const bytes = await readManifest(response, call, request.purpose);
      return verifyManifest(bytes, response, call, reference);
    } catch (error) {
      call.signal?.throwIfAborted();
      const failed = call.exchange.asFailedAttempt(error, request.purpose);
      if (!(failed instanceof FailedAttempt)) throw failed;
      await call.backoff.failed(failed.failure);
    }
  }
}

async function readManifest(
  response: HttpResponse,
  call: ManifestCall,
  { subject }: RequestPurpose,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > MAX_MANIFEST_SIZE)
      throw new BuildError("registry", `the manifest of ${subject} is larger than ${MAX_MANIFEST_SIZE} bytes`, {
        details: { status: response.status, isTransient: false },
      });
    chunks.push(chunk);
  }
  call.signal?.throwIfAborted();
  return Buffer.concat(chunks);
}

function verifyManifest(
  bytes: Uint8Array,
  response: HttpResponse,
  call: ManifestCall,
  reference: Reference,
): ManifestContent {
  const named = parseDigest(response.headers["docker-content-digest"] ?? "");
  const expected = reference.digest ?? named;
  const digest = expected === undefined ? digestOf(bytes) : digestWith(digestAlgorithm(expected), bytes);
  if (expected !== undefined && expected !== digest) throw otherDigest(call, expected, digest);
  const mediaType = mediaTypeOf(bytes, bareType(response), formatReference(reference));
  return { bytes, mediaType, digest };
}

/** The type that the manifest itself states counts: proxies are known to change the header. */
function mediaTypeOf(bytes: Uint8Array, headerType: string, subject: string): string {
  let value: { mediaType?: unknown; schemaVersion?: unknown; manifests?: unknown; config?: unknown } | null;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8")) as typeof value;
  } catch {
    value = null;
  }
  if (typeof value !== "object" || value === null)
    throw new BuildError("registry", `the manifest of ${subject} is not JSON`, {
      help: "check that this is a registry and not a log-in page before it",
      details: { isTransient: false },
    });
  if (SCHEMA1.test(headerType) || value.schemaVersion === 1)
    throw new BuildError(
      "registry",
      `cannot use ${subject}: support Docker Image manifest version 2, schema 1 has been removed`,
      { help: "pull it with an older docker and push it again to convert it", details: { isTransient: false } },
    );
  if (typeof value.mediaType === "string" && value.mediaType !== "") return value.mediaType;
  if (isIndexType(headerType) || isManifestType(headerType)) return headerType;
  return value.manifests === undefined ? OCI_MANIFEST : OCI_INDEX;
}

export interface PushedManifest {
  readonly digest: Digest;
  /** The subject that the registry lists it under; undefined where it keeps no such lists. */
  readonly subject?: Digest;
}

/** Puts a manifest under the reference's tag, else under its own digest. Putting twice is harmless, so it is repeated after a lost answer. */
export async function putManifest(call: ManifestCall, bytes: Uint8Array, mediaType: string): Promise<PushedManifest> {
  const { reference, endpoint, exchange } = call;
  const algorithm = reference.digest === undefined ? "sha256" : digestAlgorithm(reference.digest);
  const digest = digestWith(algorithm, bytes);
  if (reference.digest !== undefined && reference.digest !== digest)
    throw contentError(
      `the manifest for ${formatReference(reference)} has the digest ${digest}`,
      "build the image again",
    );
  const named = withDefaultTag(reference);
  const response = await exchange.send(
    {
      method: "PUT",
      endpoint,
      repository: reference.repository,
      path: `manifests/${named.tag ?? digest}`,
      headers: { "content-type": mediaType },
      body: { size: bytes.length, open: () => once(bytes) },
      lane: "json",
      scopes: pushScopes(reference.repository),
      accept: [200, 201, 202],
      purpose: { verb: "push", subject: formatReference(named), registry: reference.registry },
      signal: call.signal,
    },
    call.backoff,
  );
  await response.discard();
  const stored = parseDigest(response.headers["docker-content-digest"] ?? "");
  if (stored !== undefined && digestAlgorithm(stored) === algorithm && stored !== digest)
    throw otherDigest(call, digest, stored);
  const subject = parseDigest(response.headers["oci-subject"] ?? "");
  return { digest, ...(subject === undefined ? {} : { subject }) };
}

/** Removes a manifest and with it every tag of it, where the registry allows that; whether it is gone. */
export async function removeManifest(call: ManifestCall, digest: Digest): Promise<boolean> {
  const { reference, endpoint, exchange, signal } = call;
  const { repository, registry } = reference;
  const response = await exchange.send(
    {
      method: "DELETE",
      endpoint,
      repository,
      path: `manifests/${digest}`,
      lane: "json",
      scopes: [`repository:${repository}:delete`],
      accept: [200, 202, 204, 400, 401, 403, 404, 405, 501],
      purpose: { verb: "push", subject: formatReference({ registry, repository, digest }), registry },
      signal,
    },
    call.backoff,
  );
  await response.discard();
  return [200, 202, 204, 404].includes(response.status);
}

/** Scopes for reading a repository (RG08). */
export function pullScopes(repository: string): readonly string[] {
  return [`repository:${repository}:pull`];
}

/** Scopes for writing to a repository and mounting from others (RG08). */
export function pushScopes(repository: string, mountFrom: readonly string[] = []): readonly string[] {
  return [`repository:${repository}:pull,push`, ...mountFrom.map((from) => `repository:${from}:pull`)];
}

function requestOf(call: ManifestCall, reference: Reference, method: "GET" | "HEAD"): Omit<RegistryRequest, "accept"> {
  return {
    method,
    endpoint: call.endpoint,
    repository: reference.repository,
    path: `manifests/${reference.digest ?? reference.tag ?? "latest"}`,
    headers: { accept: ACCEPT },
    lane: "json",
    scopes: pullScopes(`${call.endpoint.prefix}${reference.repository}`),
    purpose: { verb: "pull", subject: formatReference(reference), registry: reference.registry },
    signal: call.signal,
  };
}

function bareType(response: HttpResponse): string {
  return (response.headers["content-type"] ?? "").split(";", 1)[0]!.trim();
}

function digestWith(algorithm: string, bytes: Uint8Array): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

function otherDigest({ reference, endpoint }: ManifestCall, expected: Digest, actual: Digest): BuildError {
  const { registry, repository, tag } = reference;
  const name = tag === undefined ? formatReference(reference) : formatReference({ registry, repository, tag });
  return contentError(
    `${endpoint.host} sent a damaged manifest for ${name}: it says ${expected}, its bytes are ${actual}`,
    DAMAGED,
  );
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
