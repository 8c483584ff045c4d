import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Digest } from "../../../src/oci/digest.ts";
import { fetchHttp, type FetchedFile, type FetchHttpOptions } from "../../../src/source/http.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let cacheDir = "";
let server: Server;
let base = "";
let requests: { method: string; url: string; headers: IncomingMessage["headers"] }[] = [];
let answer: Answer = () => undefined;
let waits: number[] = [];

beforeEach(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), "tsbuild-http-"));
  [requests, waits] = [[], []];
  server = createServer((request, response) => {
    requests.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(cacheDir, { recursive: true, force: true });
});

const sha = (text: string): Digest => `sha256:${createHash("sha256").update(text).digest("hex")}` as Digest;
const methods = (): string => requests.map(({ method }) => method).join(" ");

function get(path: string, options: Partial<FetchHttpOptions> = {}): Promise<FetchedFile> {
  const wait = async (ms: number): Promise<void> => void waits.push(ms);
  return fetchHttp({ url: path.startsWith("http") ? path : base + path, cacheDir, wait, ...options });
}

function send(body: string, headers: Record<string, string> = {}, status = 200): Answer {
  return (request, response) => {
    const isSame = headers["etag"] !== undefined && request.headers["if-none-match"] === headers["etag"];
    response.writeHead(isSame ? 304 : status, headers).end(isSame || request.method === "HEAD" ? undefined : body);
  };
}

test("AD03: body, digest, Last-Modified; an ETag that still holds costs one HEAD", async () => {
  answer = send("hello", {
    etag: '"1"',
    "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT",
    "content-type": "text/plain",
  });
  const first = await get("/a");
  expect(first).toMatchObject({ digest: sha("hello"), size: 5, origin: "fetched", contentType: "text/plain" });
  expect(first.lastModifiedMs).toBe(Date.UTC(2015, 9, 21, 7, 28));
  expect(readFileSync(first.path, "utf8")).toBe("hello");
  expect(await get("/a")).toEqual({ ...first, origin: "revalidated" });
  expect(methods()).toBe("GET HEAD");
  answer = send("changed", { etag: '"2"' });
  expect(await get("/a")).toMatchObject({ digest: sha("changed"), origin: "fetched" });
  expect(await get("/a")).toMatchObject({ digest: sha("changed"), origin: "revalidated" });
});

test("a server that ignores If-None-Match, or refuses HEAD", async () => {
  answer = (request, response) =>
    void response.writeHead(200, { etag: 'W/"1"' }).end(request.method === "GET" ? "x" : "");
  await get("/a");
  expect((await get("/a")).origin).toBe("revalidated");
  answer = (request, response) => {
    if (request.method === "HEAD") response.writeHead(405).end();
    else response.writeHead(request.headers["if-none-match"] === 'W/"1"' ? 304 : 200).end();
  };
  expect((await get("/a")).origin).toBe("revalidated");
});

test("without an ETag Last-Modified is asked about", async () => {
  const time = "Wed, 21 Oct 2015 07:28:00 GMT";
  answer = (request, response) => {
    const isSame = request.headers["if-modified-since"] === time;
    response.writeHead(isSame ? 304 : 200, { "last-modified": time }).end(isSame ? undefined : "x");
  };
  await get("/a");
  expect((await get("/a")).origin).toBe("revalidated");
  expect(methods()).toBe("GET GET");
});

test("pain 31: a 304 with another ETag means fetching again, not an error", async () => {
  answer = send("old", { etag: '"1"' });
  await get("/a");
  answer = (request, response) => {
    if (request.headers["if-none-match"] === undefined) response.writeHead(200, { etag: '"2"' }).end("new");
    else response.writeHead(304, { etag: '"2"' }).end();
  };
  expect(await get("/a")).toMatchObject({ digest: sha("new"), origin: "fetched" });
  expect(methods()).toBe("GET HEAD GET GET");
});

test("pain 31: URLs that differ in path, query or credentials share nothing", async () => {
  answer = (request, response) => void response.writeHead(200, { etag: '"1"' }).end(request.url);
  for (const path of ["/x/f", "/y/f", "/y/f?a=1", "/y/f?a=2"]) expect((await get(path)).digest).toBe(sha(path));
  requests = [];
  expect((await get("/x/f", { authorization: "Bearer t" })).origin).toBe("fetched");
  expect(requests[0]?.headers).toMatchObject({ authorization: "Bearer t" });
});

test("AD04: a checksum that the kept copy has needs no request, but only for its own URL", async () => {
  answer = send("hello");
  const checksum = sha("hello");
  expect((await get("/a", { checksum })).origin).toBe("fetched");
  expect((await get("/a", { checksum })).origin).toBe("kept");
  expect(methods()).toBe("GET");
  answer = send("other");
  await expect(get("/b", { checksum })).rejects.toMatchObject({
    code: "content",
    message: `digest mismatch for ${base}/b: ${sha("other")} (expected: ${checksum})`,
  });
  expect((await get("/a", { checksum })).origin).toBe("kept");
  const sha512 = `sha512:${createHash("sha512").update("other").digest("hex")}` as Digest;
  expect(await get("/c", { checksum: sha512 })).toMatchObject({ digest: sha("other"), origin: "fetched" });
});

test("a damaged copy or record is fetched again", async () => {
  answer = send("hello", { etag: '"1"' });
  const { path } = await get("/a");
  writeFileSync(path, "hellO");
  expect((await get("/a")).origin).toBe("fetched");
  expect(readFileSync(path, "utf8")).toBe("hello");
  writeFileSync(join(path, "..", "record.json"), "{");
  expect((await get("/a")).origin).toBe("fetched");
});

test.each([
  [404, "check the URL, for example with curl -I"],
  [403, "pass credentials by --secret id=HTTP_AUTH_TOKEN_127.0.0.1,env=…"],
])("AD03: status %i is told with a remedy, and not tried again", async (status, help) => {
  answer = send("no", {}, status);
  const url = base.replace("http://", "http://user:hunter2@");
  const failure = await get(`${url}/a`).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "source", help, details: { status } });
  expect(failure).toHaveProperty("message", expect.stringContaining(`invalid response status ${status}`));
  expect(JSON.stringify(failure) + String(failure)).not.toContain("hunter2");
  expect(requests).toHaveLength(1);
  expect(requests[0]?.headers.authorization).toBe(`Basic ${btoa("user:hunter2")}`);
});

test("transient statuses, resets and truncated bodies are tried again, then told", async () => {
  const troubles: Answer[] = [
    send("busy", {}, 503),
    (request) => void request.socket.destroy(),
    (_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("only a part", () => response.destroy());
    },
    send("at last"),
  ];
  answer = (request, response) => troubles[requests.length - 1]!(request, response);
  expect((await get("/a")).digest).toBe(sha("at last"));
  expect(waits).toEqual([250, 1_000, 3_000]);
  answer = troubles[2]!;
  await expect(get("/b")).rejects.toMatchObject({ code: "registry", details: { isTransient: true } });
  const left = readdirSync(cacheDir).flatMap((folder) => readdirSync(join(cacheDir, folder)));
  expect(left.filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("redirects are followed; credentials stay with their host", async () => {
  const other = createServer((request, response) => void response.end(String(request.headers.authorization)));
  other.listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  try {
    answer = (request, response) => {
      const isLast = request.url === "/b";
      const port = (other.address() as AddressInfo).port;
      const location = isLast ? `http://127.0.0.1:${port}/c` : "/b";
      response.writeHead(isLast ? 302 : 301, { location }).end();
    };
    expect((await get("/a", { authorization: "Bearer t" })).digest).toBe(sha("undefined"));
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer t", "Bearer t"]);
  } finally {
    other.close();
  }
  answer = (_request, response) => void response.writeHead(302, { location: "/loop" }).end();
  await expect(get("/loop")).rejects.toMatchObject({ message: `stopped after 10 redirects of ${base}/loop` });
  answer = (_request, response) => void response.writeHead(302, { location: "file:///etc/passwd" }).end();
  await expect(get("/file")).rejects.toMatchObject({ message: '"file:///etc/passwd" is no HTTP URL' });
});

test("a compressed transfer is undone, as BuildKit's client does; a size limit holds for what comes out", async () => {
  const body = "x".repeat(100_000);
  answer = (_request, response) => void response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(body));
  expect(await get("/a")).toMatchObject({ size: body.length, digest: sha(body) });
  await expect(get("/b", { maxSize: 99_999 })).rejects.toMatchObject({
    message: `${base}/b is larger than 99999 bytes`,
  });
});

test("proxies of the environment are used", async () => {
  answer = send("through the proxy");
  const environment = { http_proxy: base };
  expect((await get("http://nowhere.invalid/f", { environment })).digest).toBe(sha("through the proxy"));
  expect(requests[0]?.url).toBe("http://nowhere.invalid/f");
});

test("aborting stops the transfer and leaves nothing", async () => {
  const controller = new AbortController();
  const reason = new Error("stop");
  answer = (_request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("part", () => controller.abort(reason));
  };
  await expect(get("/a", { signal: controller.signal })).rejects.toBe(reason);
  const [folder] = readdirSync(cacheDir);
  expect(readdirSync(join(cacheDir, folder!))).toEqual([]);
  expect(existsSync(join(cacheDir, folder!))).toBe(true);
});
