// Sending a blob (distribution-spec "Pushing blobs"; reference RG14–RG17; pains 5, 38): not if it is there, not if it can be mounted, and not twice what has arrived.
//
//   HEAD ── there ──► exists
//    └─► POST ?mount=&from= ── 201 ──► mounted
//         └─ 202 (or POST) ──► PUT ?digest= ── 201 ──► uploaded
//                               └─ broken ──► GET session ── has N bytes ──► PATCH the rest ──► PUT
//                                              └─ is gone ──► HEAD ── there: only the answer was lost ──► uploaded
//                                                              └─► POST …
import { BuildError } from "../diagnostics/build-error.ts";
import { parseDigest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/image.ts";
import { repositoryName, type Reference } from "../oci/reference.ts";
import { bareHost } from "./proxy.ts";
import type { Endpoint } from "./endpoints.ts";
import { contentError, readStart, serverMessage, type RequestPurpose } from "./errors.ts";
import { isEndpointFailure, type Exchange, type RegistryRequest } from "./exchange.ts";
import { pullScopes, pushScopes } from "./manifests.ts";
import { Backoff, FailedAttempt, type RetryClock } from "./retry.ts";
import type { HttpResponse } from "./http-message.ts";

/** What became of a blob. */
export type BlobOutcome = "exists" | "mounted" | "uploaded";

/** Opens the blob's bytes from `offset` to the end. Called again for each attempt. */
export type OpenBytes = (offset: number) => AsyncIterable<Uint8Array>;

export interface BlobUpload {
  readonly exchange: Exchange;
  readonly clock: RetryClock;
  readonly endpoint: Endpoint;
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  readonly open: OpenBytes;
  /** Repositories of the same registry that may have it, likeliest first. */
  readonly mountFrom: readonly string[];
  /** Bytes of the blob that are on their way or there. May step back after a break. */
  readonly onProgress?: (current: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** More candidates than this cost more round trips than they save. */
const MAX_MOUNT_CANDIDATES = 3;
/** Answers to a mount that mean "not that way" and not "not at all". */
const MOUNT_REFUSED = [400, 401, 403, 404, 405, 409, 415, 416, 422];

/** Makes sure that the repository has the blob. */
export async function uploadBlob(upload: BlobUpload): Promise<BlobOutcome> {
  if (await hasBlob(upload)) return "exists";
  let session = await mount(upload);
  if (session === "mounted") return "mounted";
  // For transfers alone: the small requests between them have patience of their own.
  const backoff = patience(upload);
  let received = 0;
  let isFresh = true;
  for (;;) {
    session ??= await startSession(upload);
    try {
      await (received === 0 ? putWhole(upload, session, isFresh) : sendRest(upload, session, received));
      return "uploaded";
    } catch (error) {
      upload.signal?.throwIfAborted();
      if (!(error instanceof FailedAttempt)) throw error;
      const isSessionLost = [400, 404, 416].includes(error.failure.error.details.status ?? 0);
      await backoff.failed(isSessionLost ? { ...error.failure, isTransient: true, isConnection: true } : error.failure);
      // 1. The session knows what arrived. 2. It is gone because all arrived and only the answer was lost. 3. Everything again.
      const before = received;
      const state: SessionState | undefined = isSessionLost ? undefined : await askSession(upload, session);
      if (state === undefined && (await hasBlob(upload))) return "uploaded";
      session = state?.location;
      isFresh = state === undefined;
      received = state?.received ?? 0;
      if (received > before) backoff.progressed();
    }
  }
}

function patience({ clock, signal }: Pick<BlobUpload, "clock" | "signal">): Backoff {
  return new Backoff({ clock, signal });
}

/** Whether the repository has the blob, at the right size. */
export async function hasBlob(
  { exchange, clock, endpoint, reference, descriptor, signal }: Omit<BlobUpload, "open" | "mountFrom">,
  verb: "pull" | "push" = "push",
): Promise<boolean> {
  const { repository } = reference;
  const scoped = `${endpoint.prefix}${repository}`;
  const response = await exchange.send(
    {
      method: "HEAD",
      endpoint,
      repository,
      path: `blobs/${descriptor.digest}`,
      scopes: verb === "push" ? pushScopes(scoped) : pullScopes(scoped),
      accept: [200, 404, 405, 501],
      purpose: { verb, subject: subjectOf(reference, descriptor), registry: reference.registry },
      signal,
    },
    patience({ clock, signal }),
  );
  await response.discard();
  const size = response.headers["content-length"];
  return response.status === 200 && (size === undefined || Number(size) === descriptor.size);
}

/** Tries the candidates. The session that a refused mount opens is used for the upload, so that refusal costs nothing. */
async function mount(upload: BlobUpload): Promise<"mounted" | URL | undefined> {
  const { reference, descriptor, mountFrom } = upload;
  const candidates = [...new Set(mountFrom)]
    .filter((from) => from !== reference.repository)
    .slice(0, MAX_MOUNT_CANDIDATES);
  let session: URL | undefined;
  for (const from of candidates) {
    const request = requestOf(upload, "POST", "blobs/uploads/", {
      query: { mount: descriptor.digest, from },
      scopes: pushScopes(reference.repository, [from]),
      accept: [201, 202, ...MOUNT_REFUSED],
    });
    let response: HttpResponse;
    try {
      response = await upload.exchange.send(request, patience(upload));
    } catch (error) {
      // The token server may refuse the other repository: that is no reason not to push.
      if (isAccessRefusal(error)) continue;
      throw error;
    }
    await response.discard();
    if (response.status === 201) {
      if (session !== undefined) await cancelSession(upload, session);
      return "mounted";
    }
    if (response.status !== 202) continue;
    if (session !== undefined) await cancelSession(upload, session);
    session = locationOf(response, upload);
  }
  return session;
}

function isAccessRefusal(error: unknown): boolean {
  const status =
    error instanceof Error && "details" in error ? (error.details as { status?: number }).status : undefined;
  return status === 401 || status === 403;
}

async function startSession(upload: BlobUpload): Promise<URL> {
  const response = await upload.exchange.send(
    requestOf(upload, "POST", "blobs/uploads/", { accept: [202] }),
    patience(upload),
  );
  await response.discard();
  return locationOf(response, upload);
}

/** The common way: all bytes in one request. */
async function putWhole(upload: BlobUpload, session: URL, isFresh: boolean): Promise<void> {
  const { descriptor } = upload;
  await finish(upload, session, { size: descriptor.size, open: () => counted(upload, 0) }, isFresh);
}

/** After a break: what is missing, then an empty end. */
async function sendRest(upload: BlobUpload, session: URL, received: number): Promise<void> {
  const { descriptor } = upload;
  let location = session;
  if (received < descriptor.size) {
    const response = await upload.exchange.attempt(
      requestOf(upload, "PATCH", "", {
        location: session,
        headers: {
          "content-type": "application/octet-stream",
          "content-range": `${received}-${descriptor.size - 1}`,
        },
        body: { size: descriptor.size - received, open: () => counted(upload, received) },
        accept: [202],
      }),
    );
    await response.discard();
    location = locationOf(response, upload);
  }
  await finish(upload, location, { size: 0, open: nothing }, false);
}

async function finish(
  upload: BlobUpload,
  session: URL,
  body: NonNullable<RegistryRequest["body"]>,
  isFresh: boolean,
): Promise<void> {
  const { descriptor } = upload;
  const location = new URL(session);
  location.searchParams.set("digest", descriptor.digest);
  const response = await upload.exchange.attempt(
    requestOf(upload, "PUT", "", {
      location,
      headers: { "content-type": "application/octet-stream" },
      body,
      accept: [200, 201, 204, 400],
    }),
  );
  if (response.status === 400) await refused(response, upload, isFresh);
  await response.discard();
  const stored = parseDigest(response.headers["docker-content-digest"] ?? "");
  if (stored !== undefined && stored !== descriptor.digest)
    throw contentError(`${upload.endpoint.host} stored ${descriptor.digest} as ${stored}`, "push again");
}

/** 400 says either that the bytes do not have the digest, or that the session is not where we think it is. */
async function refused(
  response: HttpResponse,
  { endpoint, descriptor, reference }: BlobUpload,
  isFresh: boolean,
): Promise<never> {
  const text = await readStart(response);
  const said = serverMessage(text);
  const tail = said === "" ? "" : `: ${said}`;
  // In a session that had a broken transfer the registry may have kept more than it said.
  if (isFresh && /DIGEST_INVALID/.test(text))
    throw contentError(
      `${endpoint.host} refuses blob ${descriptor.digest}${tail}`,
      "the bytes that were sent do not match their digest: the store or the connection is damaged",
    );
  const message = `registry ${reference.registry} broke off the upload of ${subjectOf(reference, descriptor)}${tail}`;
  throw new FailedAttempt({
    error: new BuildError("registry", message, { details: { status: 400, isTransient: false } }),
    isTransient: false,
  });
}

interface SessionState {
  readonly location: URL;
  readonly received: number;
}

/** What the session has; undefined where it is gone or does not say: then the upload starts again. */
async function askSession(upload: BlobUpload, session: URL): Promise<SessionState | undefined> {
  let response: HttpResponse;
  try {
    const request = requestOf(upload, "GET", "", { location: session, accept: [204, 202, 200] });
    response = await upload.exchange.send(request, patience(upload));
  } catch (error) {
    if (isEndpointFailure(error)) return undefined;
    throw error;
  }
  await response.discard();
  // "0-0" means nothing as well as one byte: nothing is the likelier one, and being wrong costs only another session.
  const end = Number(/^(?:bytes=)?0-(\d+)$/.exec(response.headers["range"] ?? "")?.[1] ?? 0);
  const received = end === 0 ? 0 : end + 1;
  if (received > upload.descriptor.size) {
    await cancelSession(upload, session);
    return undefined;
  }
  return { location: response.headers["location"] === undefined ? session : locationOf(response, upload), received };
}

/** Frees what the registry keeps for a session that is not needed; its failure is nobody's concern. */
async function cancelSession(upload: BlobUpload, session: URL): Promise<void> {
  try {
    const accept = [200, 202, 204, 400, 401, 403, 404, 405, 415, 501];
    const response = await upload.exchange.attempt(requestOf(upload, "DELETE", "", { location: session, accept }));
    await response.discard();
  } catch (error) {
    if (!(error instanceof FailedAttempt)) throw error;
  }
}

async function* counted({ open, onProgress }: BlobUpload, offset: number): AsyncGenerator<Uint8Array> {
  let current = offset;
  onProgress?.(current);
  for await (const chunk of open(offset)) {
    yield chunk;
    current += chunk.length;
    onProgress?.(current);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Where the upload goes on. Relative to where the answer came from; a TLS-terminating proxy's registry is known to name itself with http. */
function locationOf({ headers, url }: HttpResponse, { endpoint, reference }: BlobUpload): URL {
  const location = URL.parse(headers["location"] ?? "", url.href);
  if (headers["location"] === undefined || location === null || !/^https?:$/.test(location.protocol))
    throw new FailedAttempt({
      error: contentError(
        `registry ${reference.registry} opened an upload without a usable Location`,
        "check the registry's configuration",
      ),
      isTransient: false,
    });
  const isDowngrade = url.protocol === "https:" && location.protocol === "http:";
  const host = bareHost(new URL(`${url.protocol}//${endpoint.host}`).hostname);
  if (!isDowngrade || bareHost(location.hostname) !== host) return location;
  return new URL(location.pathname + location.search, url.origin);
}

type RequestParts = Partial<Pick<RegistryRequest, "query" | "location" | "headers" | "body" | "scopes">> &
  Pick<RegistryRequest, "accept">;

function requestOf(
  upload: BlobUpload,
  method: RegistryRequest["method"],
  path: string,
  parts: RequestParts,
): RegistryRequest {
  const { endpoint, reference, descriptor, signal } = upload;
  const purpose: RequestPurpose = {
    verb: "push",
    subject: subjectOf(reference, descriptor),
    registry: reference.registry,
  };
  return {
    method,
    endpoint,
    repository: reference.repository,
    path,
    scopes: pushScopes(reference.repository),
    purpose,
    signal,
    ...parts,
  };
}

function subjectOf(reference: Reference, { digest }: Descriptor): string {
  return `${repositoryName(reference)}@${digest}`;
}
