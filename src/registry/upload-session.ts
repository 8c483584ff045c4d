// The parts of an upload that do not care whether the blob's digest is known yet (distribution-spec "Pushing blobs"): a session is opened, found again, freed and ended.
import { parseDigest, type Digest } from "../oci/digest.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import type { Endpoint } from "./endpoints.ts";
import { contentError, readStart, serverMessage, type RequestPurpose } from "./errors.ts";
import type { Exchange, RegistryRequest } from "./exchange.ts";
import type { HttpResponse, RequestBody } from "./http-message.ts";
import { pushScopes } from "./manifests.ts";
import { bareHost } from "./proxy.ts";
import { Backoff, FailedAttempt, type RetryClock } from "./retry.ts";
import { BuildError } from "../diagnostics/build-error.ts";

/** Where an upload goes. */
export interface UploadTarget {
  readonly exchange: Exchange;
  readonly clock: RetryClock;
  readonly endpoint: Endpoint;
  readonly reference: Reference;
  /** The blob, in messages. */
  readonly subject: string;
  readonly signal?: AbortSignal | undefined;
}

type RequestParts = Partial<Pick<RegistryRequest, "query" | "location" | "headers" | "body" | "scopes" | "lane">> &
  Pick<RegistryRequest, "accept">;

/** A request of the upload. */
export function requestOf(
  target: UploadTarget,
  method: RegistryRequest["method"],
  path: string,
  parts: RequestParts,
): RegistryRequest {
  const { endpoint, reference, subject, signal } = target;
  const name = formatReference(reference);
  const purpose: RequestPurpose = { verb: "push", subject, registry: reference.registry, name };
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

/** For transfers alone: the small requests between them have patience of their own. */
export function patience({ clock, signal }: Pick<UploadTarget, "clock" | "signal">): Backoff {
  return new Backoff({ clock, signal });
}

/** Opens a session. */
export async function startSession(target: UploadTarget): Promise<URL> {
  const response = await target.exchange.send(
    requestOf(target, "POST", "blobs/uploads/", { accept: [202] }),
    patience(target),
  );
  await response.discard();
  return locationOf(response, target);
}

/** Where the upload goes on. Relative to where the answer came from; a TLS-terminating proxy's registry is known to name itself with http. */
export function locationOf({ headers, url }: HttpResponse, { endpoint, reference }: UploadTarget): URL {
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

/** Ends a session with the last bytes: the registry has the blob under `digest` afterwards. `isFresh`: nothing was ever broken off in it. */
export async function finishSession(
  target: UploadTarget,
  session: URL,
  { digest, body, isFresh }: { readonly digest: Digest; readonly body: RequestBody; readonly isFresh: boolean },
): Promise<void> {
  const location = new URL(session);
  location.searchParams.set("digest", digest);
  const response = await target.exchange.attempt(
    requestOf(target, "PUT", "", {
      location,
      headers: { "content-type": "application/octet-stream" },
      body,
      accept: [200, 201, 204, 400],
    }),
  );
  if (response.status === 400) await refused(response, target, digest, isFresh);
  await response.discard();
  const stored = parseDigest(response.headers["docker-content-digest"] ?? "");
  if (stored !== undefined && stored !== digest)
    throw contentError(`${target.endpoint.host} stored ${digest} as ${stored}`, "push again");
}

/** 400 says either that the bytes do not have the digest, or that the session is not where we think it is. */
async function refused(
  response: HttpResponse,
  { endpoint, reference, subject }: UploadTarget,
  digest: Digest,
  isFresh: boolean,
): Promise<never> {
  const text = await readStart(response);
  const said = serverMessage(text);
  const tail = said === "" ? "" : `: ${said}`;
  // In a session that had a broken transfer the registry may have kept more than it said.
  if (isFresh && /DIGEST_INVALID/.test(text))
    throw contentError(
      `${endpoint.host} refuses blob ${digest}${tail}`,
      "the bytes that were sent do not match their digest: the store or the connection is damaged",
    );
  throw new FailedAttempt({
    error: new BuildError("registry", `registry ${reference.registry} broke off the upload of ${subject}${tail}`, {
      details: { status: 400, isTransient: false },
    }),
    isTransient: false,
  });
}

/** Frees what the registry keeps for a session that is not needed; its failure is nobody's concern. */
export async function cancelSession(target: UploadTarget, session: URL): Promise<void> {
  try {
    const accept = [200, 202, 204, 400, 401, 403, 404, 405, 415, 501];
    const response = await target.exchange.attempt(requestOf(target, "DELETE", "", { location: session, accept }));
    await response.discard();
  } catch (error) {
    if (!(error instanceof FailedAttempt)) throw error;
  }
}
