// Reading a blob (distribution-spec "Pulling blobs"; reference RG12, RG13, RG17, RG25; pain 5): resumes after breaks, changes to the next endpoint where one fails, verifies at the end.
import { createHash, type Hash } from "node:crypto";
import { assert } from "../base/assert.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestAlgorithm, digestHex } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import { repositoryName, type Reference } from "../oci/reference.ts";
import type { Endpoint } from "./endpoints.ts";
import { contentError, DAMAGED, type RequestPurpose } from "./errors.ts";
import { isEndpointFailure, type Exchange } from "./exchange.ts";
import { pullScopes } from "./manifests.ts";
import { Backoff, FailedAttempt, type RetryClock } from "./retry.ts";
import type { HttpResponse } from "./http-message.ts";

export interface BlobDownload {
  readonly exchange: Exchange;
  readonly clock: RetryClock;
  /** Where to ask, in order. */
  readonly endpoints: readonly Endpoint[];
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  /** First byte that is wanted. */
  readonly offset: number;
  /** State after the bytes before `offset`. Without it a part can be checked for length only. */
  readonly prefix?: Hash;
  readonly signal?: AbortSignal | undefined;
}

/** Less than this in one go is no progress: a server that gives a byte per connection shall not be asked for ever. */
const PROGRESS_BYTES = 64 * 1024;

/** The bytes from `offset` to the end. What was yielded before a failure may be wrong: use nothing until the end is reached. */
export async function* downloadBlob(download: BlobDownload): AsyncGenerator<Uint8Array> {
  const { descriptor, offset, signal } = download;
  const hash = download.prefix?.copy() ?? (offset === 0 ? createHash(digestAlgorithm(descriptor.digest)) : undefined);
  assert(offset <= descriptor.size, "a blob is asked for from beyond its end");
  const source = descriptor.data === undefined ? receive(download) : inline(descriptor, offset);
  for await (const chunk of source) {
    hash?.update(chunk);
    yield chunk;
  }
  signal?.throwIfAborted();
  if (hash !== undefined && hash.digest("hex") !== digestHex(descriptor.digest))
    throw contentError(
      `blob ${descriptor.digest} of ${repositoryName(download.reference)} arrived with another digest`,
      DAMAGED,
    );
}

/** Small blobs may come inside of their descriptor (RG25). */
async function* inline({ data = "", size, digest }: Descriptor, offset: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(data, "base64");
  if (bytes.length !== size)
    throw contentError(
      `the data in the descriptor of ${digest} is ${bytes.length} bytes long, not ${size}`,
      "push the image again",
    );
  yield bytes.subarray(offset);
}

/** Exactly the bytes that are missing, from whoever has them. */
async function* receive(download: BlobDownload): AsyncGenerator<Uint8Array> {
  const { endpoints, descriptor } = download;
  let position = download.offset;
  let last: unknown;
  for (const [index, endpoint] of endpoints.entries()) {
    // A mirror is left at its first failure; patience is for the last one.
    const isLast = index === endpoints.length - 1;
    try {
      for await (const chunk of receiveFrom(download, endpoint, position, isLast)) {
        position += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      if (!isEndpointFailure(error)) throw error;
      last = error;
    }
  }
  if (hasUrls(descriptor) && (last as BuildError).details.status === 404) {
    yield* receiveForeign(download, position);
    return;
  }
  throw last;
}

function hasUrls({ urls = [] }: Descriptor): boolean {
  return urls.length > 0;
}

async function* receiveFrom(
  download: BlobDownload,
  endpoint: Endpoint,
  start: number,
  isLast: boolean,
): AsyncGenerator<Uint8Array> {
  const { exchange, descriptor, clock, signal } = download;
  const purpose = purposeOf(download);
  const backoff = new Backoff({ clock, signal, ...(isLast ? {} : { attempts: 1 }) });
  let position = start;
  let safe = start;
  while (position < descriptor.size || descriptor.size === 0) {
    try {
      const response = await exchange.attempt(requestOf(download, endpoint, position));
      for await (const chunk of bodyFrom(response, position, descriptor, endpoint.host)) {
        position += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const failed = exchange.asFailedAttempt(error, purpose);
      if (!(failed instanceof FailedAttempt)) throw failed;
      if (position - safe >= PROGRESS_BYTES) backoff.progressed();
      safe = position;
      await backoff.failed(failed.failure);
    }
  }
}

/** Checks that the answer starts where it was asked to and neither ends early nor late. */
async function* bodyFrom(
  response: HttpResponse,
  position: number,
  { size, digest }: Descriptor,
  host: string,
): AsyncGenerator<Uint8Array> {
  const start = response.status === 206 ? rangeStart(response) : 0;
  if (start === undefined || start > position) {
    await response.discard();
    throw contentError(
      `${host} sent another part of blob ${digest} than it was asked for`,
      "try without mirror or proxy",
    );
  }
  let at = start;
  for await (const chunk of response.body) {
    const skip = Math.max(0, position - at);
    at += chunk.length;
    if (at > size)
      throw contentError(`blob ${digest} from ${host} is longer than its ${size} bytes`, "push the image again");
    if (skip < chunk.length) yield skip === 0 ? chunk : chunk.subarray(skip);
  }
  if (at < size)
    throw contentError(`blob ${digest} is truncated at ${host}: ${at} of ${size} bytes`, "push the image again");
}

function rangeStart({ headers }: HttpResponse): number | undefined {
  const match = /^bytes (\d+)-/.exec(headers["content-range"] ?? "");
  return match ? Number(match[1]) : undefined;
}

function requestOf(download: BlobDownload, endpoint: Endpoint, position: number): Parameters<Exchange["attempt"]>[0] {
  const { reference, descriptor, signal } = download;
  return {
    method: "GET",
    endpoint,
    repository: reference.repository,
    path: `blobs/${descriptor.digest}`,
    headers: rangeHeader(position),
    scopes: pullScopes(`${endpoint.prefix}${reference.repository}`),
    accept: [200, 206],
    purpose: purposeOf(download),
    signal,
  };
}

/** Foreign layers (RG13): public addresses of somebody else; no credentials go there. */
async function* receiveForeign(download: BlobDownload, start: number): AsyncGenerator<Uint8Array> {
  const { exchange, descriptor, clock, signal } = download;
  const purpose = purposeOf(download);
  let position = start;
  let last: unknown;
  for (const text of descriptor.urls ?? []) {
    const location = URL.parse(text);
    if (location === null || !/^https?:$/.test(location.protocol)) continue;
    const endpoint: Endpoint = { host: "", schemes: ["https"], prefix: "", credentialHost: "", isInsecure: false };
    try {
      const request = { ...requestOf(download, endpoint, position), location };
      const response = await exchange.send(request, new Backoff({ clock, signal }));
      for await (const chunk of bodyFrom(response, position, descriptor, location.host)) {
        position += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const failed = exchange.asFailedAttempt(error, purpose);
      last = failed instanceof FailedAttempt ? failed.failure.error : failed;
      if (!isEndpointFailure(last)) throw last;
    }
  }
  if (last instanceof BuildError) throw last;
  throw new BuildError("registry", `blob ${descriptor.digest} has no usable address`, {
    details: { isTransient: false },
  });
}

function rangeHeader(position: number): Readonly<Record<string, string>> {
  // Compression on the way would change the offsets.
  return position === 0
    ? { "accept-encoding": "identity" }
    : { "accept-encoding": "identity", range: `bytes=${position}-` };
}

function purposeOf({ reference, descriptor }: BlobDownload): RequestPurpose {
  return { verb: "pull", subject: `${repositoryName(reference)}@${descriptor.digest}`, registry: reference.registry };
}
