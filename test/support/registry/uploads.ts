// Writing side of the test registry: upload sessions, monolithic and chunked, their status, mounts.
import { randomUUID } from "node:crypto";
import type { Blobs, Incoming } from "./blobs.ts";
import { answerBytes, answerError, type Exchange } from "./exchange.ts";
import type { Repositories } from "./repositories.ts";
import type { RegistryOptions } from "./server.ts";

interface Session {
  readonly repository: string;
  readonly incoming: Incoming;
}

/** The sessions of one registry. */
export class Uploads {
  readonly #blobs: Blobs;
  readonly #repositories: Repositories;
  readonly #options: RegistryOptions;
  readonly #origin: () => string;
  readonly #sessions = new Map<string, Session>();

  constructor(blobs: Blobs, repositories: Repositories, options: RegistryOptions, origin: () => string) {
    this.#blobs = blobs;
    this.#repositories = repositories;
    this.#options = options;
    this.#origin = origin;
  }

  async answer(exchange: Exchange, repository: string, id: string): Promise<void> {
    const { method } = exchange.request;
    if (id === "" && method === "POST") return this.#open(exchange, repository);
    const session = this.#sessions.get(id);
    if (!session || session.repository !== repository)
      return answerError(exchange, 404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    if (method === "GET") return this.#report(exchange, id, session, 204);
    if (method === "DELETE") {
      this.#sessions.delete(id);
      await session.incoming.abandon();
      return answerBytes(exchange, 204, {}, Buffer.alloc(0));
    }
    if (method === "PATCH") return this.#append(exchange, id, session);
    if (method === "PUT") return this.#finish(exchange, id, session);
    return answerError(exchange, 405, "UNSUPPORTED", "method not allowed");
  }

  async #open(exchange: Exchange, repository: string): Promise<void> {
    const { searchParams } = exchange.url;
    const mount = searchParams.get("mount");
    const from = searchParams.get("from");
    if (
      mount !== null &&
      from !== null &&
      this.#options.refusesMounts !== true &&
      this.#repositories.isLinked(from, mount)
    ) {
      this.#repositories.link(repository, mount);
      return answerBytes(
        exchange,
        201,
        { location: `/v2/${repository}/blobs/${mount}`, "docker-content-digest": mount },
        Buffer.alloc(0),
      );
    }
    const id = randomUUID();
    const session: Session = { repository, incoming: await this.#blobs.create() };
    this.#sessions.set(id, session);
    if (searchParams.get("digest") !== null) return this.#finish(exchange, id, session);
    this.#report(exchange, id, session, 202);
  }

  #report(exchange: Exchange, id: string, { repository, incoming }: Session, status: number): void {
    const path = `/v2/${repository}/blobs/uploads/${id}?_state=${incoming.size}`;
    const origin = this.#options.locationOrigin?.(this.#origin()) ?? "";
    const range = `0-${Math.max(0, incoming.size - 1)}`;
    answerBytes(exchange, status, { location: `${origin}${path}`, range, "docker-upload-uuid": id }, Buffer.alloc(0));
  }

  async #append(exchange: Exchange, id: string, session: Session): Promise<void> {
    const start = /^(\d+)-\d+$/.exec(exchange.request.headers["content-range"] ?? "")?.[1];
    if (start !== undefined && Number(start) !== session.incoming.size)
      return answerError(exchange, 416, "BLOB_UPLOAD_INVALID", "chunk out of order");
    if (await receive(exchange, session.incoming)) this.#report(exchange, id, session, 202);
  }

  async #finish(exchange: Exchange, id: string, session: Session): Promise<void> {
    const digest = exchange.url.searchParams.get("digest") ?? "";
    if (!(await receive(exchange, session.incoming))) return;
    this.#sessions.delete(id);
    if (exchange.fault?.kind === "corrupt") await session.incoming.append(Buffer.from("x"));
    if (!(await session.incoming.commit(digest)))
      return answerError(exchange, 400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    this.#repositories.link(session.repository, digest);
    const location = `/v2/${session.repository}/blobs/${digest}`;
    answerBytes(exchange, 201, { location, "docker-content-digest": digest }, Buffer.alloc(0));
  }
}

/** Takes the body in; false where the connection ended before it did. */
async function receive({ request, entry, fault }: Exchange, incoming: Incoming): Promise<boolean> {
  const limit = fault?.kind === "drop-upload" ? fault.afterBytes : Infinity;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      const part = chunk.subarray(0, Math.max(0, limit - entry.bytesIn));
      entry.bytesIn += part.length;
      await incoming.append(part);
      if (entry.bytesIn >= limit) {
        request.socket.resetAndDestroy();
        return false;
      }
    }
  } catch {
    return false;
  }
  return request.complete;
}
