// Sending a blob (distribution-spec "Pushing blobs"; reference RG14–RG17; pains 5, 38): not if it is there, not if it can be mounted, and not twice what has arrived.
//
//   HEAD ── there ──► exists
//    └─► POST ?mount=&from= ── 201 ──► mounted
//         └─ 202 (or POST) ──► PUT ?digest= ── 201 ──► uploaded
//                               └─ broken ──► GET session ── has N bytes ──► PATCH the rest ──► PUT
//                                              └─ is gone ──► HEAD ── there: only the answer was lost ──► uploaded
//                                                              └─► POST …
import type { Descriptor } from "../oci/image.ts";
import { formatReference, repositoryName, type Reference } from "../oci/reference.ts";
import { isEndpointFailure } from "./exchange.ts";
import type { HttpResponse } from "./http-message.ts";
import { pullScopes, pushScopes } from "./manifests.ts";
import { FailedAttempt } from "./retry.ts";
import type { StreamedUpload } from "./streamed-upload.ts";
import {
  cancelSession,
  finishSession,
  locationOf,
  patience,
  requestOf,
  startSession,
  type UploadTarget,
} from "./upload-session.ts";

/** What became of a blob. */
export type BlobOutcome = "exists" | "mounted" | "uploaded";

/** Opens the blob's bytes from `offset` to the end. Called again for each attempt. */
export type OpenBytes = (offset: number) => AsyncIterable<Uint8Array>;

/** A blob and where it is to go. */
export interface BlobPush extends Omit<UploadTarget, "subject"> {
  readonly descriptor: Descriptor;
  readonly open: OpenBytes;
  /** Repositories of the same registry that may have it, likeliest first. */
  readonly mountFrom: readonly string[];
  /** An upload of this blob to this repository that was begun before its digest was known. */
  readonly streamed?: StreamedUpload | undefined;
  /** Bytes of the blob that are on their way or there. May step back after a break. */
  readonly onProgress?: (current: number) => void;
}

type BlobUpload = BlobPush & UploadTarget;

/** More candidates than this cost more round trips than they save. */
const MAX_MOUNT_CANDIDATES = 3;
/** Answers to a mount that mean "not that way" and not "not at all". */
const MOUNT_REFUSED = [400, 401, 403, 404, 405, 409, 415, 416, 422];

/** Makes sure that the repository has the blob. */
export async function uploadBlob(push: BlobPush): Promise<BlobOutcome> {
  const upload: BlobUpload = { ...push, subject: subjectOf(push.reference, push.descriptor) };
  if (push.streamed?.isSent && (await push.streamed.finish(push.descriptor))) return "uploaded";
  if (await hasBlob(upload)) {
    await push.streamed?.cancel();
    return "exists";
  }
  if (await push.streamed?.finish(push.descriptor)) return "uploaded";
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

/** Whether the repository has the blob, at the right size. */
export async function hasBlob(
  { exchange, clock, endpoint, reference, descriptor, signal }: Omit<BlobPush, "open" | "mountFrom">,
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
      purpose: {
        verb,
        subject: subjectOf(reference, descriptor),
        registry: reference.registry,
        name: formatReference(reference),
      },
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

/** The common way: all bytes in one request. */
async function putWhole(upload: BlobUpload, session: URL, isFresh: boolean): Promise<void> {
  const { descriptor } = upload;
  const body = { size: descriptor.size, open: () => counted(upload, 0) };
  await finishSession(upload, session, { digest: descriptor.digest, body, isFresh });
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
  const body = { size: 0, open: nothing };
  await finishSession(upload, location, { digest: descriptor.digest, body, isFresh: false });
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

function subjectOf(reference: Reference, { digest }: Descriptor): string {
  return `${repositoryName(reference)}@${digest}`;
}
