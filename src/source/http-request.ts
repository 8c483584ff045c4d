// One HTTP request of a source: proxies, certificates, credentials, redirects, an idle limit. Returns whatever the server answered; what that means is http.ts's business.
import type { IncomingMessage, RequestOptions } from "node:http";
import type { SecureContext } from "node:tls";
import { BuildError } from "../diagnostics/build-error.ts";
import { errnoOf } from "./read-error.ts";
import { redactUrls } from "../base/url-text.ts";

/** How servers are reached. */
export interface HttpAccess {
  /** Value of the Authorization header, for the URL's own host only. */
  readonly authorization?: string;
  readonly headers?: Readonly<{ [name: string]: string }>;
  /** Its proxy variables are obeyed. */
  readonly environment?: Readonly<{ [name: string]: string | undefined }>;
  /** PEM certificates to trust in addition to the system's. */
  readonly caCert?: string;
  readonly signal?: AbortSignal;
}

export interface HttpRequest extends HttpAccess {
  readonly method: "GET" | "HEAD";
  /** Validators and the like. */
  readonly extraHeaders: Readonly<{ [name: string]: string }>;
}

const MAX_REDIRECTS = 10;
/** A connection on which nothing moves for so long is given up. */
const IDLE_MS = 60_000;
const REDIRECTS: ReadonlySet<number | undefined> = new Set([301, 302, 303, 307, 308]);
const TRANSIENT: ReadonlySet<string> = new Set([
  "ECONNRESET",
  "ECONNREFUSED",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "ERR_STREAM_PREMATURE_CLOSE",
  "UND_ERR_SOCKET",
  "HPE_INVALID_EOF_STATE",
  "Z_BUF_ERROR",
]);

/** Whether trying again may help. */
export function isTransient(error: unknown): boolean {
  if (error instanceof BuildError) return error.details.isTransient === true;
  return TRANSIENT.has(errnoOf(error));
}

/** The answer at the end of the redirects; the caller reads or drops its body. Throws the system's or Node's error. */
export async function openResponse(text: string, request: HttpRequest): Promise<IncomingMessage> {
  const first = parse(text);
  let url = first;
  for (let count = 0; ; count++) {
    // Credentials do not follow to another host, nor from https to http.
    const isTrusted = url.host === first.host && url.protocol === first.protocol;
    const user = basicAuthorization(url) ?? (isTrusted ? basicAuthorization(first) : undefined);
    const response = await send(url, (isTrusted ? request.authorization : undefined) ?? user, request);
    const { location } = response.headers;
    if (!REDIRECTS.has(response.statusCode) || location === undefined) return response;
    response.resume();
    if (count === MAX_REDIRECTS)
      throw new BuildError("source", `stopped after ${MAX_REDIRECTS} redirects of ${redactUrls(text)}`);
    url = parse(location, url);
  }
}

function parse(text: string, base?: URL): URL {
  const url = URL.canParse(text, base?.href) ? new URL(text, base) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw new BuildError("source", `"${redactUrls(text)}" is no HTTP URL`, { help: "write http://… or https://…" });
}

async function send(url: URL, authorization: string | undefined, request: HttpRequest): Promise<IncomingMessage> {
  const { environment = {}, caCert, signal } = request;
  // Loaded on use: most builds fetch nothing.
  const client = url.protocol === "https:" ? await import("node:https") : await import("node:http");
  const headers: { [name: string]: string } = {
    "user-agent": "tsbuild",
    accept: "*/*",
    // As Go's client, which undoes it: the bytes and ETags that BuildKit would see.
    "accept-encoding": "gzip",
    ...request.headers,
    ...request.extraHeaders,
  };
  if (authorization !== undefined) headers["authorization"] = authorization;
  const options: RequestOptions = { method: request.method, headers, ...(signal === undefined ? {} : { signal }) };
  const agent = new client.Agent({
    proxyEnv: { ...environment },
    ...(caCert === undefined ? {} : await trust(caCert)),
  });
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = client.request(withoutUser(url), { ...options, agent }, resolve);
  sent.setTimeout(IDLE_MS, () => {
    sent.destroy(Object.assign(new Error("the server does not answer"), { code: "ETIMEDOUT" }));
  });
  sent.on("error", reject);
  sent.end();
  return promise;
}

/** Made once per certificate: it costs hundreds of milliseconds. */
const contexts = new Map<string, SecureContext>();

async function trust(caCert: string): Promise<{ readonly secureContext: SecureContext }> {
  const { createSecureContext, getCACertificates } = await import("node:tls");
  const secureContext = contexts.get(caCert) ?? createSecureContext({ ca: [...getCACertificates("default"), caCert] });
  contexts.set(caCert, secureContext);
  return { secureContext };
}

function basicAuthorization({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return undefined;
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(pair).toString("base64")}`;
}

function withoutUser(url: URL): URL {
  const copy = new URL(url);
  copy.username = "";
  copy.password = "";
  return copy;
}
