// One request to one endpoint with everything that surrounds it: scheme, authorization, pauses, repetition (reference RG02, RG04, RG17). Knows no manifests and blobs.
import { BuildError } from "../diagnostics/build-error.ts";
import { Authenticator, type Authorization, type AuthSubject } from "./auth.ts";
import type { CredentialSource } from "./credentials.ts";
import { repositoryUrl, type Endpoint, type Scheme } from "./endpoints.ts";
import { readStart, redactUrl, responseFailure, transportFailure, type RequestPurpose } from "./errors.ts";
import { FailedAttempt, MAX_RETRY_AFTER_MS, type Backoff, type Failure, type RetryClock } from "./retry.ts";
import type { HttpRequest, HttpResponse, Lane, RequestBody } from "./http-message.ts";
import type { Transport } from "./transport.ts";
import { TransportError } from "./transport-error.ts";

/** Sees every request when its answer starts. `status` is 0 where none came; secrets are taken out of the URL. */
export type RequestObserver = (method: string, url: string, status: number) => void;

export interface RegistryRequest {
  readonly method: HttpRequest["method"];
  readonly endpoint: Endpoint;
  readonly repository: string;
  /** Below the repository: `blobs/<digest>`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Instead of path and query: where the registry sent us (an upload's Location). */
  readonly location?: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Default "data". */
  readonly lane?: Lane;
  readonly scopes: readonly string[];
  /** Answers that are handed back; any other fails. */
  readonly accept: readonly number[];
  readonly purpose: RequestPurpose;
  readonly signal?: AbortSignal | undefined;
}

export interface ExchangeOptions {
  readonly transport: Transport;
  readonly credentials: CredentialSource;
  readonly clock: RetryClock;
  /** Headers that the user wants sent to registries. */
  readonly extraHeaders?: () => Promise<Readonly<Record<string, string>>>;
  readonly onRequest?: RequestObserver;
}

const TLS_HINT = /HTTP request (was sent )?to (an )?HTTPS (server|port)/i;

/** The way of one client to its registries. */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #auth: Authenticator;
  readonly #schemes = new Map<string, Scheme>();
  readonly #pausedUntil = new Map<string, number>();

  constructor(options: ExchangeOptions) {
    this.#options = options;
    const { credentials, clock } = options;
    this.#auth = new Authenticator({ credentials, clock, send: (request) => this.#observed(request) });
  }

  /** Sends until there is an accepted answer. Fails with BuildError `registry` when `backoff` has no patience left. */
  async send(request: RegistryRequest, backoff: Backoff): Promise<HttpResponse> {
    for (;;) {
      try {
        return await this.attempt(request);
      } catch (error) {
        if (!(error instanceof FailedAttempt)) throw error;
        await backoff.failed(error.failure);
      }
    }
  }

  /** Sends once, authorized. Fails with {@link FailedAttempt} where a repetition may be considered. */
  async attempt(request: RegistryRequest): Promise<HttpResponse> {
    const { purpose, accept, signal, endpoint } = request;
    try {
      await this.#waitForPause(endpoint.host, signal);
      signal?.throwIfAborted();
      const { response, authorization } = await this.#authorized(request);
      if (accept.includes(response.status)) return response;
      const failure = await responseFailure(response, purpose, authorization?.found, this.#options.clock);
      this.#notePause(endpoint.host, failure);
      throw new FailedAttempt(failure);
    } catch (error) {
      signal?.throwIfAborted();
      throw this.asFailedAttempt(error, purpose);
    }
  }

  /** Wraps what the transport threw; anything else passes. */
  asFailedAttempt(error: unknown, purpose: RequestPurpose): unknown {
    return error instanceof TransportError ? new FailedAttempt(transportFailure(error, purpose)) : error;
  }

  /** At most three sendings: unasked, after the first challenge, and once more after dropping what was refused. */
  async #authorized(
    request: RegistryRequest,
  ): Promise<{ response: HttpResponse; authorization: Authorization | undefined }> {
    const subject = this.#subjectOf(request);
    if (request.location !== undefined && request.location.host !== request.endpoint.host)
      return { response: await this.#schemed(request, undefined), authorization: undefined };
    let authorization = await this.#waitFor(this.#auth.current(subject), request.signal);
    let hasDropped = false;
    for (;;) {
      let response = await this.#schemed(request, authorization);
      if (response.status !== 401 || hasDropped) return { response, authorization };
      // The token server may be the same host: an unread answer would hold the one connection that it is asked over.
      response = { ...response, body: once(await readStart(response)) };
      if (authorization !== undefined) {
        this.#auth.drop(authorization);
        hasDropped = true;
      }
      const next = await this.#waitFor(
        this.#auth.answer(response.headers["www-authenticate"], subject, authorization),
        request.signal,
      );
      if (next === undefined) return { response, authorization: authorization ?? (await this.#nobody(subject)) };
      authorization = next;
    }
  }

  /** For the message: why there were no credentials. */
  async #nobody({ credentialHost, repository }: AuthSubject): Promise<Authorization> {
    const found = await this.#options.credentials.get(credentialHost, repository);
    return { header: "", found: found.problem === undefined ? {} : { problem: found.problem }, key: "" };
  }

  #subjectOf({ endpoint, repository, scopes, purpose }: RegistryRequest): AuthSubject {
    const { host, credentialHost, isInsecure, schemes } = endpoint;
    const allowsPlain = isInsecure || schemes[0] === "http";
    return { host, credentialHost, repository, scopes, allowsPlain, isInsecure, purpose };
  }

  async #schemed(request: RegistryRequest, authorization: Authorization | undefined): Promise<HttpResponse> {
    const { endpoint, location } = request;
    if (location !== undefined) return this.#plain(request, location, authorization);
    const settled = this.#schemes.get(endpoint.host);
    const candidates = settled === undefined ? endpoint.schemes : [settled];
    let first: unknown;
    for (const [index, scheme] of candidates.entries()) {
      const isLast = index === candidates.length - 1;
      const url = repositoryUrl(endpoint, scheme, request, request.path, request.query);
      try {
        const response = await this.#plain(request, url, authorization);
        if (scheme === "http" && !isLast && response.status === 400) {
          const text = await readStart(response);
          if (TLS_HINT.test(text)) continue;
          return { ...response, body: once(text) };
        }
        this.#schemes.set(endpoint.host, scheme);
        return response;
      } catch (error) {
        first ??= error;
        if (isLast || !suggestsOtherScheme(error, scheme)) throw first;
      }
    }
    throw first;
  }

  async #plain(request: RegistryRequest, url: URL, authorization: Authorization | undefined): Promise<HttpResponse> {
    const { method, headers, body, lane, signal, endpoint } = request;
    const isForeign = url.host !== endpoint.host;
    const extra = isForeign ? {} : ((await this.#options.extraHeaders?.()) ?? {});
    return this.#observed({
      method,
      url,
      signal,
      isInsecure: endpoint.isInsecure && !isForeign,
      ...(headers === undefined ? {} : { headers }),
      ...(body === undefined ? {} : { body }),
      ...(lane === undefined ? {} : { lane }),
      privateHeaders: {
        ...extra,
        ...(authorization === undefined || isForeign ? {} : { authorization: authorization.header }),
      },
    });
  }

  async #observed(request: HttpRequest): Promise<HttpResponse> {
    const { onRequest, transport } = this.#options;
    try {
      const response = await transport.request(request);
      onRequest?.(request.method, redactUrl(request.url), response.status);
      return response;
    } catch (error) {
      onRequest?.(request.method, redactUrl(request.url), 0);
      throw error;
    }
  }

  /** A host that asked for quiet is left in peace by all requests, not only by the one that was told. */
  async #waitForPause(host: string, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#options;
    const ms = (this.#pausedUntil.get(host) ?? 0) - clock.now();
    if (ms > 0) await clock.sleep(ms, signal);
  }

  #notePause(host: string, { retryAfterMs = 0, isTransient }: Failure): void {
    if (!isTransient || retryAfterMs === 0 || retryAfterMs > MAX_RETRY_AFTER_MS) return;
    this.#pausedUntil.set(host, this.#options.clock.now() + retryAfterMs);
  }

  /** Token requests are shared between callers: one that is cancelled leaves the others theirs. */
  async #waitFor<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    if (signal === undefined) return shared;
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      return await Promise.race([shared, promise]);
    } finally {
      signal.removeEventListener("abort", abort);
      shared.catch(() => undefined);
    }
  }
}

function suggestsOtherScheme(error: unknown, scheme: Scheme): boolean {
  if (!(error instanceof TransportError)) return false;
  if (error.kind === "protocol") return true;
  // A TLS server that gets plain text hangs up; a port that refuses TLS may be the plain one's neighbour.
  return scheme === "http" ? error.kind === "reset" : error.code === "ECONNREFUSED";
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** Whether another endpoint may have what this one failed to give: everything but our own mistakes and cancellation. */
export function isEndpointFailure(error: unknown): error is BuildError {
  return error instanceof BuildError && (error.code === "registry" || error.code === "content");
}
