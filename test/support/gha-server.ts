// The cache service of GitHub Actions, version 2, as it is seen from a job: the three calls, the blob store behind signed addresses, and the removal of the REST API.
// Written from what actions/toolkit and BuildKit's client expect of it. Entries cannot be changed; a key matches what starts with it, the newest first.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface GhaServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT/`. */
  readonly url: string;
  /** A token for a branch that falls back to the main one. */
  readonly token: string;
  readonly entries: ReadonlyMap<string, Uint8Array>;
  /** Answers so many requests with 429 first. */
  throttle(count: number): void;
  /** Requests since the last call: `PUT /blob/…`. */
  requests(): readonly string[];
  forget(key: string): void;
}

interface Upload {
  readonly key: string;
  readonly blocks: Map<string, Buffer>;
  bytes: Buffer | undefined;
}

const SERVICE = "/twirp/github.actions.results.api.v1.CacheService/";
export const GH_TOKEN = "gh-rest-token";

export async function openGhaServer(): Promise<GhaServer> {
  const state = new State();
  const server = createServer((request, response) => void state.answer(request, response));
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", () => listening.resolve());
  await listening.promise;
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url,
    token: state.token,
    entries: state.entries,
    throttle: (count) => (state.throttled = count),
    requests: () => state.log.splice(0),
    forget: (key) => state.entries.delete(key),
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

class State {
  readonly entries = new Map<string, Buffer>();
  readonly log: string[] = [];
  readonly token: string;
  throttled = 0;
  readonly #uploads = new Map<string, Upload>();

  constructor() {
    const scopes = [
      { Scope: "refs/heads/topic", Permission: 3 },
      { Scope: "refs/heads/main", Permission: 1 },
    ];
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    this.token = `${part({ alg: "none" })}.${part({ ac: JSON.stringify(scopes) })}.signature`;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", `http://${request.headers.host}`);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    this.log.push(`${request.method} ${url.pathname}`);
    const send = (status: number, value?: object | Uint8Array): void => {
      response.writeHead(status, status === 429 ? { "retry-after": "0" } : {});
      response.end(value === undefined || value instanceof Uint8Array ? value : JSON.stringify(value));
    };
    if (this.throttled > 0) {
      this.throttled--;
      return send(429);
    }
    if (url.pathname.startsWith("/blob/")) return this.#blob(request, url, body, send);
    if (url.pathname === "/repos/o/r/actions/caches") {
      if (request.headers.authorization !== `Bearer ${GH_TOKEN}`) return send(401);
      return send(this.entries.delete(url.searchParams.get("key") ?? "") ? 200 : 404, {});
    }
    if (request.headers.authorization !== `Bearer ${this.token}`) return send(401, { msg: "bad token" });
    const { pathname } = url;
    if (!pathname.startsWith(SERVICE)) return send(404);
    const call = JSON.parse(body.toString()) as { key: string; size_bytes?: string; restore_keys?: string[] };
    return this.#call(pathname.slice(SERVICE.length), call, url, send);
  }

  #call(
    method: string,
    { key, size_bytes: size, restore_keys: keys = [] }: { key: string; size_bytes?: string; restore_keys?: string[] },
    url: URL,
    send: (status: number, value?: object) => void,
  ): void {
    const signed = (path: string) => new URL(`/blob/${encodeURIComponent(path)}?sig=signed-secret`, url).href;
    if (method === "CreateCacheEntry") {
      if (this.entries.has(key)) return send(409, { code: "already_exists" });
      this.#uploads.set(key, { key, blocks: new Map(), bytes: undefined });
      return send(200, { ok: true, signed_upload_url: signed(key) });
    }
    if (method === "FinalizeCacheEntryUpload") {
      const bytes = this.#uploads.get(key)?.bytes;
      if (!bytes || bytes.length !== Number(size)) return send(400, { code: "invalid_argument" });
      this.entries.set(key, bytes);
      return send(200, { ok: true, entry_id: "1" });
    }
    const newest = [...this.entries.keys()].reverse();
    const matched = this.entries.has(key)
      ? key
      : newest.find((known) => keys.some((prefix) => known.startsWith(prefix)));
    if (matched === undefined) return send(200, { ok: false });
    return send(200, { ok: true, signed_download_url: signed(matched), matched_key: matched });
  }

  #blob(request: IncomingMessage, url: URL, body: Buffer, send: (status: number, value?: Uint8Array) => void): void {
    const key = decodeURIComponent(url.pathname.slice("/blob/".length));
    if (url.searchParams.get("sig") !== "signed-secret" || request.headers.authorization !== undefined)
      return send(403);
    if (request.method === "GET") {
      const offset = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const bytes = this.entries.get(key);
      return bytes ? send(offset === 0 ? 200 : 206, bytes.subarray(offset)) : send(404);
    }
    const upload = this.#uploads.get(key);
    if (!upload) return send(404);
    const part = url.searchParams.get("comp");
    if (part === "block") upload.blocks.set(url.searchParams.get("blockid") ?? "", body);
    else if (part === "blocklist") {
      const ids = [...body.toString().matchAll(/<Latest>(.*?)<\/Latest>/g)].map(([, id]) => id!);
      upload.bytes = Buffer.concat(ids.map((id) => upload.blocks.get(id)!));
    } else if (request.headers["x-ms-blob-type"] === "BlockBlob") upload.bytes = body;
    else return send(400);
    return send(201);
  }
}
