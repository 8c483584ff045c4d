// An OCI distribution registry (distribution-spec 1.1) in this process, for tests and benchmarks: loopback only, every request logged, faults on demand.
// Pull, push (monolithic, POST with digest, chunked with status), mount, delete, tags, referrers, Range.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Access, type AccessOptions } from "./access.ts";
import { folderBlobs, memoryBlobs, type Blobs } from "./blobs.ts";
import type { FaultChoice, SeenRequest } from "./faults.ts";
import { Repositories } from "./repositories.ts";
import { Uploads } from "./uploads.ts";
import { answerBytes, answerError, answerJson, type Exchange } from "./exchange.ts";

export interface RegistryOptions {
  readonly auth?: AccessOptions;
  /** Keep blobs in files of this folder instead of memory. */
  readonly folder?: string;
  /** Serve TLS, PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly fault?: FaultChoice;
  /** Answer HEAD of manifests with 405. */
  readonly refusesHead?: boolean;
  /** Answer mounts with an upload session. */
  readonly refusesMounts?: boolean;
  /** Have no referrers API. */
  readonly hidesReferrers?: boolean;
  /** Leave Docker-Content-Digest out. */
  readonly hidesDigest?: boolean;
  /** Send whole blobs whatever Range says. */
  readonly ignoresRange?: boolean;
  /** Send readers of blobs elsewhere, as registries with object storage do. */
  readonly redirectBlob?: (digest: string) => string;
  /** Absolute instead of relative Locations, with this origin. */
  readonly locationOrigin?: (own: string) => string;
}

/** One request and what became of it. Bytes are of bodies. */
export interface LogEntry extends SeenRequest {
  status: number;
  bytesIn: number;
  bytesOut: number;
  readonly authorization: string | undefined;
}

/** A running registry. Change `fault` at any time. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly origin: string;
  readonly log: readonly LogEntry[];
  fault: FaultChoice | undefined;
  readonly access: Access | undefined;
  /** Puts a blob there without any request; returns its digest. */
  addBlob(repository: string, bytes: Uint8Array): Promise<string>;
  addManifest(repository: string, tag: string | undefined, bytes: Uint8Array, mediaType: string): string;
  hasBlob(repository: string, digest: string): boolean;
  manifest(
    repository: string,
    reference: string,
  ): { readonly bytes: Uint8Array; readonly mediaType: string } | undefined;
  clearLog(): void;
}

/** Starts on a free port of 127.0.0.1. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const registry = new Registry(options);
  await registry.listen();
  return registry;
}

class Registry implements TestRegistry {
  readonly log: LogEntry[] = [];
  readonly access: Access | undefined;
  fault: FaultChoice | undefined;
  readonly #options: RegistryOptions;
  readonly #blobs: Blobs;
  readonly #repositories: Repositories;
  readonly #uploads: Uploads;
  readonly #server: Server;
  #count = 0;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.fault = options.fault;
    this.access = options.auth && new Access(options.auth);
    this.#blobs = options.folder === undefined ? memoryBlobs() : folderBlobs(options.folder);
    this.#repositories = new Repositories(this.#blobs, options);
    this.#uploads = new Uploads(this.#blobs, this.#repositories, options, () => this.origin);
    const serve = (request: IncomingMessage, response: ServerResponse): void => void this.#serve(request, response);
    this.#server = options.tls ? createTlsServer(options.tls, serve) : createServer(serve);
  }

  get origin(): string {
    return `${this.#options.tls ? "https" : "http"}://${this.host}`;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen(0, "127.0.0.1", resolve);
    await promise;
  }

  async addBlob(repository: string, bytes: Uint8Array): Promise<string> {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const incoming = await this.#blobs.create();
    await incoming.append(bytes);
    await incoming.commit(digest);
    this.#repositories.link(repository, digest);
    return digest;
  }

  addManifest(repository: string, tag: string | undefined, bytes: Uint8Array, mediaType: string): string {
    return this.#repositories.put(repository, tag, bytes, mediaType);
  }

  hasBlob(repository: string, digest: string): boolean {
    return this.#repositories.isLinked(repository, digest);
  }

  manifest(
    repository: string,
    reference: string,
  ): { readonly bytes: Uint8Array; readonly mediaType: string } | undefined {
    return this.#repositories.manifest(repository, reference);
  }

  clearLog(): void {
    this.log.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    await promise;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/", headers } = request;
    const authorization = headers.authorization;
    const entry: LogEntry = {
      number: ++this.#count,
      method,
      url,
      headers,
      status: 0,
      bytesIn: 0,
      bytesOut: 0,
      authorization,
    };
    this.log.push(entry);
    // A client that hangs up is its own business.
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    try {
      const fault = await this.fault?.(entry);
      if (fault?.kind === "silence") return;
      if (fault?.kind === "reset") return reset(request);
      await this.#answer({ request, response, entry, fault, url: new URL(url, this.origin) });
    } catch (error) {
      if (request.destroyed || response.headersSent) reset(request);
      else
        answerError(
          { response, entry, request, fault: undefined, url: new URL(this.origin) },
          500,
          "UNKNOWN",
          String(error),
        );
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { fault, url, request } = exchange;
    if (fault?.kind === "answer")
      return answerBytes(
        exchange,
        fault.status,
        { "content-type": "application/json", ...fault.headers },
        Buffer.from(fault.body ?? ""),
      );
    if (this.access && url.pathname === "/token") return this.#issueToken(exchange, this.access);
    const route = /^\/v2\/(?:(.+)\/(manifests|blobs|referrers|tags)\/(.*))?$/.exec(url.pathname);
    if (!route) return answerError(exchange, 404, "UNSUPPORTED", "no such path");
    const [, repository = "", kind = "", rest = ""] = route;
    const verdict = this.access?.check(request.headers.authorization, scopesOf(exchange, repository), this.origin);
    if (verdict) return answerJson(exchange, verdict.status, verdict.body, verdict.headers);
    if (kind === "") return answerJson(exchange, 200, {});
    if (kind === "blobs" && rest.startsWith("uploads/"))
      return this.#uploads.answer(exchange, repository, rest.slice(8));
    if (kind === "blobs") return this.#repositories.answerBlob(exchange, repository, rest);
    if (kind === "manifests") return this.#repositories.answerManifest(exchange, repository, rest);
    if (kind === "tags") return this.#repositories.answerTags(exchange, repository);
    return this.#repositories.answerReferrers(exchange, repository, rest);
  }

  async #issueToken(exchange: Exchange, access: Access): Promise<void> {
    const { request, url } = exchange;
    let form: URLSearchParams | undefined;
    if (request.method === "POST") {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      form = new URLSearchParams(Buffer.concat(chunks).toString("utf8"));
    }
    const { status, body, headers } = access.issue(request, url, form);
    answerJson(exchange, status, body, headers);
  }
}

function scopesOf({ request, url }: Exchange, repository: string): readonly string[] {
  if (repository === "") return [];
  const isRead = request.method === "GET" || request.method === "HEAD";
  const from = url.searchParams.get("from");
  return [
    `repository:${repository}:${isRead ? "pull" : "pull,push"}`,
    ...(from !== null && url.searchParams.has("mount") ? [`repository:${from}:pull`] : []),
  ];
}

/** RST instead of FIN: what a crashed or overloaded server's peer sees. */
function reset(request: IncomingMessage): void {
  request.socket.resetAndDestroy();
}
