// The cache service of GitHub Actions, version 2: three calls that answer JSON, and signed addresses of a blob store behind them. Knows nothing of caches.
// An entry is written once and never changed. Messages name keys, never tokens and never signed addresses.
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { HttpRequest, HttpResponse } from "../registry/http-message.ts";
import { parseRetryAfter, type RetryClock } from "../registry/retry.ts";
import { TransportError } from "../registry/transport-error.ts";
import type { Transport } from "../registry/transport.ts";
import { byteParts, onePart, wholeOf } from "./byte-parts.ts";
import type { GhaLocation } from "./location.ts";

export interface GhaClientOptions {
  readonly location: GhaLocation;
  readonly transport: Transport;
  readonly clock: RetryClock;
  /** Larger blobs go in blocks of this size. Default 32 MiB. */
  readonly blockSize?: number;
}

/** A place that the token may read, and write with bit 1 of `permission`. */
export interface GhaScope {
  readonly scope: string;
  readonly permission: number;
}

export interface GhaEntry {
  readonly key: string;
  readonly url: string;
}

const SERVICE = "twirp/github.actions.results.api.v1.CacheService";
/** All keys share one version, as BuildKit's client has it: sha256 of "|go-actionscache-1.0", so blobs are shared with it. */
const VERSION = "693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2";
const BLOCK_SIZE = 32 << 20;
const TRANSIENT = [408, 429, 500, 502, 503, 504];
const MAX_ATTEMPTS = 5;
const MAX_WAIT_MS = 10_000;

interface Call {
  readonly what: string;
  readonly accept: readonly number[];
  readonly signal: AbortSignal;
}

export class GhaClient {
  readonly #options: GhaClientOptions;

  constructor(options: GhaClientOptions) {
    this.#options = options;
  }

  /** What the token may use: the branch's own scope first, then those it falls back to. */
  scopes(): readonly GhaScope[] {
    const { token = "" } = this.#options.location;
    try {
      const payload = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as {
        ac?: string;
      };
      const claims = JSON.parse(payload.ac ?? "") as readonly { Scope: string; Permission: number }[];
      return claims.map(({ Scope, Permission }) => ({ scope: Scope, permission: Permission }));
    } catch {
      throw new BuildError("registry", "the token of the GitHub Actions cache names no scopes", {
        help: "ACTIONS_RUNTIME_TOKEN is set in steps that are actions: use one that exports it",
      });
    }
  }

  /** The newest entry whose key is or starts with `key`. */
  async find(key: string, signal: AbortSignal): Promise<GhaEntry | undefined> {
    const answer = await this.#call("GetCacheEntryDownloadURL", key, { restore_keys: [key] }, signal);
    const { ok, signed_download_url: url, matched_key: matched } = answer ?? {};
    return ok === true && typeof url === "string" && typeof matched === "string" ? { key: matched, url } : undefined;
  }

  /** Bytes of an entry from `offset`. */
  async *open({ key, url }: GhaEntry, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const call = { what: `download of ${key}`, accept: [offset === 0 ? 200 : 206], signal };
    const response = await this.#send({ method: "GET", url: new URL(url), headers, signal }, call);
    yield* response.body;
  }

  /** Writes an entry; false where there is one of this key. */
  async create(
    key: string,
    size: number,
    open: () => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const created = await this.#call("CreateCacheEntry", key, {}, signal);
    if (created?.["ok"] !== true || typeof created["signed_upload_url"] !== "string") return false;
    await this.#upload(key, new URL(created["signed_upload_url"]), size, open, signal);
    // Protobuf's JSON writes 64-bit numbers as text.
    const done = await this.#call("FinalizeCacheEntryUpload", key, { size_bytes: String(size) }, signal);
    if (done?.["ok"] !== true) throw new BuildError("registry", `the GitHub Actions cache did not take ${key}`);
    return true;
  }

  /** Removes the entries of a key, through the REST API. */
  async remove(key: string, signal: AbortSignal): Promise<void> {
    const { repository, ghToken, apiUrl } = this.#options.location;
    const url = new URL(`${apiUrl.replace(/\/$/, "")}/repos/${repository}/actions/caches`);
    url.search = `key=${encodeURIComponent(key)}`;
    const privateHeaders = { authorization: `Bearer ${ghToken}`, accept: "application/vnd.github+json" };
    const call = { what: `removal of ${key}`, accept: [200, 204, 404], signal };
    await (await this.#send({ method: "DELETE", url, privateHeaders, signal }, call)).discard();
  }

  async #upload(
    key: string,
    url: URL,
    size: number,
    open: () => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const { blockSize = BLOCK_SIZE } = this.#options;
    const call = { what: `upload of ${key}`, accept: [200, 201], signal };
    const put = async (query: string, bytes: Uint8Array, headers: Record<string, string>): Promise<void> => {
      const target = new URL(url);
      target.search += query;
      const body = { size: bytes.length, open: () => onePart(bytes) };
      await (await this.#send({ method: "PUT", url: target, headers, body, signal }, call)).discard();
    };
    if (size <= blockSize) return put("", await wholeOf(open()), { "x-ms-blob-type": "BlockBlob" });
    const ids: string[] = [];
    for await (const block of byteParts(open(), blockSize)) {
      const id = Buffer.from(String(ids.length).padStart(8, "0")).toString("base64");
      await put(`&comp=block&blockid=${encodeURIComponent(id)}`, block, {});
      ids.push(id);
    }
    const list = `<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join("")}</BlockList>`;
    await put("&comp=blocklist", Buffer.from(list), { "content-type": "application/xml" });
  }

  /** One call of the service; undefined where the entry is taken or not there. */
  async #call(
    method: string,
    key: string,
    more: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { url, token } = this.#options.location;
    if (url === undefined || token === undefined)
      throw new BuildError(
        "registry",
        "ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are not set: this is no job of GitHub Actions",
      );
    const bytes = Buffer.from(JSON.stringify({ key, version: VERSION, ...more }));
    const request: HttpRequest = {
      method: "POST",
      url: new URL(`${url.replace(/\/$/, "")}/${SERVICE}/${method}`),
      headers: { "content-type": "application/json" },
      privateHeaders: { authorization: `Bearer ${token}` },
      body: { size: bytes.length, open: () => onePart(bytes) },
      signal,
    };
    const response = await this.#send(request, { what: `${method} of ${key}`, accept: [200, 404, 409], signal });
    const text = (await wholeOf(response.body)).toString("utf8");
    if (response.status !== 200) return undefined;
    try {
      return JSON.parse(text) as Readonly<Record<string, unknown>>;
    } catch {
      throw new BuildError("registry", `the GitHub Actions cache answered ${method} with something that is not JSON`);
    }
  }

  /** Repeats while the service asks for patience, as long as the location allows. */
  async #send(request: HttpRequest, { what, accept, signal }: Call): Promise<HttpResponse> {
    const { transport, clock, location } = this.#options;
    const startedMs = clock.now();
    for (let attempt = 1; ; attempt++) {
      let failure: BuildError;
      let retryAfterMs: number | undefined;
      let isPatient = false;
      try {
        const response = await transport.request(request);
        const { status, headers } = response;
        if (accept.includes(status)) return response;
        await response.discard();
        failure = new BuildError("registry", `github actions cache, ${what}: answered ${status}`, {
          details: { status },
        });
        if (!TRANSIENT.includes(status)) throw failure;
        isPatient = status === 429;
        retryAfterMs = parseRetryAfter(headers["retry-after"], clock.now());
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof TransportError)) throw error;
        failure = new BuildError("registry", `github actions cache, ${what}: ${messageOf(error)}`, { cause: error });
      }
      const waitMs = retryAfterMs ?? Math.min(MAX_WAIT_MS, 500 * 2 ** (attempt - 1) * (1 - clock.random() / 2));
      const isOver = clock.now() + waitMs - startedMs > location.timeoutMs;
      if (isOver || (!isPatient && attempt >= MAX_ATTEMPTS)) throw failure;
      await clock.sleep(waitMs, signal);
    }
  }
}
