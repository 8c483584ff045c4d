// Objects of one S3 bucket: get, head, put, copy, list, delete, and uploads in parts. Repeats what may be repeated; knows nothing of caches.
// Messages name keys and hosts, never credentials.
import { createHash } from "node:crypto";
import { nowIso } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { HttpResponse, RequestBody } from "../registry/http-message.ts";
import type { RetryClock } from "../registry/retry.ts";
import { TransportError } from "../registry/transport-error.ts";
import type { Transport } from "../registry/transport.ts";
import { onePart, wholeOf } from "./byte-parts.ts";
import { EMPTY_PAYLOAD, encodePath, encodeQuery, signedHeaders, type S3Credentials } from "./sigv4.ts";

export interface S3ClientOptions {
  readonly bucket: string;
  readonly region: string;
  /** Undefined = AWS. */
  readonly endpointUrl?: string;
  readonly usesPathStyle: boolean;
  readonly credentials: S3Credentials;
  /** "adaptive" slows everything down while the server asks for less. */
  readonly retryMode: "standard" | "adaptive";
  readonly maxAttempts: number;
  readonly transport: Transport;
  readonly clock: RetryClock;
}

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** sha256 hex of the body. */
  readonly payloadHash?: string;
  /** Statuses that are answers; others are failures. */
  readonly accept: readonly number[];
  readonly signal: AbortSignal;
}

export interface S3Object {
  readonly key: string;
  readonly lastModifiedMs: number;
}

const TRANSIENT = [408, 429, 500, 502, 503, 504];
const THROTTLED = [429, 503];
const MAX_DELAY_MS = 20_000;
const MAX_ERROR_SIZE = 64 * 1024;

export class S3Client {
  readonly #options: S3ClientOptions;
  /** What "adaptive" waits before each request. */
  #paceMs = 0;

  constructor(options: S3ClientOptions) {
    this.#options = options;
  }

  /** Sends until there is an answer. The caller reads or discards its body. Fails with "registry". */
  async send(request: S3Request): Promise<HttpResponse> {
    const { maxAttempts, clock } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt >= maxAttempts;
      try {
        if (this.#paceMs > 0) await clock.sleep(this.#paceMs, request.signal);
        const response = await this.#onePart(request);
        this.#adapt(response.status);
        if (request.accept.includes(response.status)) return response;
        const failure = await this.#failure(request, response);
        if (isLast || !TRANSIENT.includes(response.status)) throw failure;
      } catch (error) {
        request.signal.throwIfAborted();
        if (!(error instanceof TransportError)) throw error;
        if (isLast) throw new BuildError("registry", `${this.#nameOf(request)}: ${messageOf(error)}`, { cause: error });
      }
      await clock.sleep(Math.min(MAX_DELAY_MS, clock.random() * 1000 * 2 ** (attempt - 1)), request.signal);
    }
  }

  /** The whole of a small object; undefined where there is none. */
  async read(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const response = await this.send({ method: "GET", key, accept: [200, 404], signal });
    if (response.status === 404) {
      await response.discard();
      return undefined;
    }
    return wholeOf(response.body);
  }

  async write(key: string, bytes: Uint8Array, contentType: string, signal: AbortSignal): Promise<void> {
    const response = await this.send({
      method: "PUT",
      key,
      headers: { "content-type": contentType },
      body: { size: bytes.length, open: () => onePart(bytes) },
      payloadHash: createHash("sha256").update(bytes).digest("hex"),
      accept: [200],
      signal,
    });
    await response.discard();
  }

  /** All objects whose keys start with `prefix`. */
  async list(prefix: string, signal: AbortSignal): Promise<S3Object[]> {
    const objects: S3Object[] = [];
    for (let token: string | undefined; ;) {
      const query = { "list-type": "2", prefix, ...(token === undefined ? {} : { "continuation-token": token }) };
      const response = await this.send({ method: "GET", key: "", query, accept: [200], signal });
      const text = await textOf(response);
      for (const [, content = ""] of text.matchAll(/<Contents>(.*?)<\/Contents>/gs))
        objects.push({
          key: member(content, "Key") ?? "",
          lastModifiedMs: Date.parse(member(content, "LastModified") ?? ""),
        });
      token = member(text, "IsTruncated") === "true" ? member(text, "NextContinuationToken") : undefined;
      if (token === undefined) return objects;
    }
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    await (await this.send({ method: "DELETE", key, accept: [200, 204, 404], signal })).discard();
  }

  /** Gives an object the present time. */
  async touch(key: string, signal: AbortSignal): Promise<void> {
    const source = `/${this.#options.bucket}/${encodePath(key)}`;
    const headers = { "x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE" };
    await (await this.send({ method: "PUT", key, headers, accept: [200], signal })).discard();
  }

  #onePart({
    method,
    key,
    query = {},
    headers = {},
    body,
    payloadHash = EMPTY_PAYLOAD,
    signal,
  }: S3Request): Promise<HttpResponse> {
    const { credentials, region, transport } = this.#options;
    const url = this.#urlOf(key);
    url.search = encodeQuery(query);
    const scope = { credentials, region, nowIso: nowIso() };
    const privateHeaders = signedHeaders({ method, url, headers, payloadHash }, scope);
    return transport.request({ method, url, privateHeaders, ...(body ? { body } : {}), signal });
  }

  #urlOf(key: string): URL {
    const { bucket, region, endpointUrl = `https://s3.${region}.amazonaws.com`, usesPathStyle } = this.#options;
    const url = new URL(endpointUrl);
    if (!usesPathStyle) url.hostname = `${bucket}.${url.hostname}`;
    const folder = url.pathname.replace(/\/$/, "") + (usesPathStyle ? `/${bucket}` : "");
    url.pathname = `${folder}/${encodePath(key)}`;
    return url;
  }

  #adapt(status: number): void {
    if (this.#options.retryMode === "standard") return;
    if (THROTTLED.includes(status)) this.#paceMs = Math.min(5_000, Math.max(50, this.#paceMs * 2));
    else this.#paceMs = this.#paceMs < 10 ? 0 : this.#paceMs * 0.8;
  }

  #nameOf({ method, key }: S3Request): string {
    return `s3 ${method} ${this.#options.bucket}/${key}`;
  }

  async #failure(request: S3Request, response: HttpResponse): Promise<BuildError> {
    const text = await textOf(response);
    const said = [member(text, "Code"), member(text, "Message")].filter((part) => part !== undefined).join(": ");
    const { status } = response;
    const help = status === 403 ? "check the key, its policy, and the region" : undefined;
    return new BuildError(
      "registry",
      `${this.#nameOf(request)} was answered ${status}${said === "" ? "" : ` (${said})`}`,
      {
        details: { status },
        ...(help === undefined ? {} : { help }),
      },
    );
  }
}

/** The text of a member of an XML answer, which S3 writes without attributes in those that matter here. */
function member(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>(.*?)</${name}>`, "s").exec(xml)?.[1];
  return text
    ?.replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}

async function textOf(response: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    size += chunk.length;
    if (response.status >= 300 && size > MAX_ERROR_SIZE) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}
