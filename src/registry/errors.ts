// What went wrong at a registry, in words (reference RG22; distribution-spec "Error Codes"). No secret and no signed URL gets into a message.
import { BuildError } from "../diagnostics/build-error.ts";
import type { FoundCredentials } from "./credentials.ts";
import type { Failure, RetryClock } from "./retry.ts";
import { parseRetryAfter } from "./retry.ts";
import type { HttpResponse } from "./http-message.ts";
import type { TransportError } from "./transport-error.ts";

/** What a request is for. */
export interface RequestPurpose {
  readonly verb: "pull" | "push";
  /** The reference, or the blob and its repository, as the user may know it. */
  readonly subject: string;
  /** As in references. */
  readonly registry: string;
  /** What the user calls the image that the subject is a part of. */
  readonly name?: string;
}

/** Turns "no answer" into a failure with its remedy. */
export function transportFailure(error: TransportError, { registry, verb }: RequestPurpose): Failure {
  const named = `the registry ${JSON.stringify(registry)}`;
  const where = error.host === registry ? named : `${error.host} for ${named}`;
  const make = (message: string, help: string, isTransient: boolean): BuildError =>
    new BuildError("registry", message, { cause: error, help, details: { isTransient } });
  switch (error.kind) {
    case "unreachable": {
      // A wrong name stays wrong; a refused port may be a registry that starts up just now.
      const isTransient = error.code !== "ENOTFOUND";
      const isRefused = error.code === "ECONNREFUSED";
      const first = isRefused ? `is ${error.host === registry ? "it" : error.host} running? ` : "";
      const help = `${first}check the registry's name and port, the network, and HTTPS_PROXY/NO_PROXY`;
      const message = `cannot reach ${where}: ${error.message}`;
      return { error: make(message, help, isTransient), isTransient, isConnection: true, cost: 2 };
    }
    case "certificate":
      return {
        error: make(
          `cannot trust ${where}: ${error.message}`,
          "give its certificate authority with --ca-cert FILE, or allow the registry as insecure",
          false,
        ),
        isTransient: false,
      };
    case "protocol":
      return {
        error: make(
          `cannot talk to ${where}: ${error.message}`,
          "check that this is a registry, and whether it speaks http or https",
          false,
        ),
        isTransient: false,
      };
    case "proxy":
      return {
        error: make(`cannot reach ${named}: ${error.message}`, "check HTTPS_PROXY and NO_PROXY", true),
        isTransient: true,
        cost: 2,
      };
    case "timeout":
    case "reset": {
      const message = `${verb} failed: ${where}: ${error.message}`;
      return {
        error: make(message, "try again; nothing that was transferred is lost", true),
        isTransient: true,
        isConnection: true,
      };
    }
  }
}

/** Turns an answer that says no into a failure. Reads the answer's body. */
export async function responseFailure(
  response: HttpResponse,
  purpose: RequestPurpose,
  found: FoundCredentials | undefined,
  clock: RetryClock,
): Promise<Failure> {
  const { status } = response;
  const said = serverMessage(await readStart(response));
  if (status === 401 || status === 403) return accessFailure(status, said, purpose, found);
  const isTransient =
    status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
  const retryAfterMs = parseRetryAfter(response.headers["retry-after"], clock.now());
  const tail = said === "" ? "" : `: ${said}`;
  const details = { status, isTransient };
  const failure = (message: string, help?: string, summary?: string): Failure => ({
    error: new BuildError("registry", message, { details, ...(help && { help }), ...(summary && { summary }) }),
    isTransient,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
  if (status === 404)
    return failure(
      `${purpose.subject}: not found${tail}`,
      purpose.subject.includes("@")
        ? "check the digest for typing errors; if that image was deleted, use the digest that its tag has now"
        : "check the name and the tag for typing errors",
      `${purpose.subject} is not in the registry`,
    );
  if (status === 429) {
    const wait = retryAfterMs === undefined ? "try again later" : `try again in ${Math.ceil(retryAfterMs / 1000)} s`;
    return failure(
      `registry ${purpose.registry} refuses more requests for now (HTTP 429)${tail}`,
      `log in for a higher limit, or ${wait}`,
    );
  }
  if (status === 413)
    return failure(
      `registry ${purpose.registry} refuses something so big: ${purpose.subject} (HTTP 413)${tail}`,
      "raise the body size limit of the registry or of the proxy before it",
    );
  const help = isTransient ? "try again; the registry or something before it has a problem" : undefined;
  return failure(
    `registry ${purpose.registry} answered HTTP ${status} to ${purpose.verb} ${purpose.subject}${tail}`,
    help,
  );
}

/** 401 and 403: who we were and where that came from, never with what. */
export function accessFailure(
  status: number,
  said: string,
  { verb, subject, registry, name = subject }: RequestPurpose,
  found: FoundCredentials | undefined,
): Failure {
  const { credentials, problem } = found ?? {};
  const who =
    credentials !== undefined
      ? `credentials from ${credentials.source} were sent`
      : `no credentials were sent${problem === undefined ? "" : `: ${problem}`}`;
  const tail = said === "" ? "" : `: server message: ${said}`;
  const text = `${verb} access denied, repository does not exist or may require authorization${tail}`;
  const help =
    credentials === undefined
      ? `${verb === "push" ? "" : "check the name, or "}log in with: docker login ${registry}`
      : `check the name and the rights of this account, or log in again with: docker login ${registry}`;
  const details = { status, isTransient: false };
  const isAnonymous = status === 401 && credentials === undefined && problem === undefined;
  // A pull is also refused where there is nothing; a push without a name and password is refused for want of them.
  const plain =
    verb === "push"
      ? `cannot push ${name}: you are not logged in (HTTP 401)`
      : `cannot pull ${name}: it does not exist, or it needs a login (you are not logged in, HTTP 401)`;
  const summary = isAnonymous ? { summary: plain } : {};
  return {
    error: new BuildError("registry", `${subject}: ${text} (HTTP ${status}, ${who})`, { help, details, ...summary }),
    isTransient: false,
  };
}

/** For bytes that came otherwise than they are named. */
export const DAMAGED = "try again; if it repeats, bypass any mirror or proxy, or ask the owner to push the image again";

/** Bytes do not match what they should be. */
export function contentError(message: string, help: string): BuildError {
  return new BuildError("content", message, { help, details: { isTransient: false } });
}

const MESSAGE_LIMIT = 64 * 1024;

/** The beginning of a body as text; empty where it does not come. */
export async function readStart(response: HttpResponse, limit: number = MESSAGE_LIMIT): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body) {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= limit) break;
    }
  } catch {
    // The status says enough.
  }
  return Buffer.concat(chunks).subarray(0, limit).toString("utf8");
}

/** The registry's own words out of `{"errors":[{code,message,detail}]}` or an OAuth error: one line, bounded, without anything that looks like a secret. */
export function serverMessage(text: string): string {
  let value: { errors?: unknown; details?: unknown; error?: unknown; error_description?: unknown };
  try {
    value = (JSON.parse(text) ?? {}) as typeof value;
  } catch {
    return "";
  }
  const parts: string[] = [];
  if (Array.isArray(value.errors))
    for (const entry of value.errors.slice(0, 3) as readonly ({ code?: unknown; message?: unknown } | null)[])
      parts.push([entry?.code, entry?.message].filter((part) => typeof part === "string" && part !== "").join(": "));
  else
    for (const part of [value.error, value.error_description, value.details])
      if (typeof part === "string") parts.push(part);
  return redactSecrets(
    parts
      .filter((part) => part !== "")
      .join("; ")
      .replace(/[^\x20-\x7e\u00a0-\uffff]+/g, " "),
  ).slice(0, 400);
}

/** Takes tokens and the queries and user parts of URLs out of foreign text. */
function redactSecrets(text: string): string {
  return text
    .replace(/\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi, "$1 ***")
    .replace(/\beyJ[\w-]+\.[\w.-]+/g, "***")
    .replace(/\b(https?:\/\/)[^\s/@"]+@/gi, "$1***@")
    .replace(/\b(https?:\/\/[^\s?"]+)\?[^\s"]*/gi, "$1?***");
}

/** A URL for logs and hooks: no user part, and of the query only what names content. */
export function redactUrl(url: URL): string {
  const shown = new URL(url.origin + url.pathname);
  for (const name of ["digest", "mount", "from", "ns", "artifactType", "scope", "service"])
    for (const value of url.searchParams.getAll(name)) shown.searchParams.append(name, value);
  return shown.href;
}
