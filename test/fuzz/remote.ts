// What builds reach over the network: a web server and an ssh agent, both on this machine and both the same on every day.
import { createHash } from "node:crypto";
import { createServer as createWebServer, type OutgoingHttpHeaders } from "node:http";
import { createServer, type AddressInfo, type Server } from "node:net";
import { once } from "node:events";
import { CONTEXT_TIME } from "../compare/image-facts.ts";
import { archive, member } from "../unit/layer/raw-tar.ts";

/** Stands in a Dockerfile, and in what comes of it, for the server's address, which is another one every time. */
export const ORIGIN = "{http}";

const TIME = { mtimeNs: BigInt(CONTEXT_TIME) * 10n ** 9n };

/** Path → what is there. */
export const REMOTE_FILES: Readonly<Record<string, Buffer>> = {
  "/file.txt": Buffer.from("from afar\n"),
  "/deep/run.sh": Buffer.from("#!/bin/sh\necho afar\n"),
  "/archive.tar": archive(
    member({ name: "in/", type: "5", mode: 0o755, ...TIME }),
    member({ name: "in/file", mode: 0o640, uid: 5, gid: 6, data: "in a remote archive\n", ...TIME }),
  ),
};

/** More of it, for seeds that other seeds do not know of: what is there, and headers. */
const ODD_REMOTE_FILES: Readonly<Record<string, { readonly bytes: Buffer; readonly headers: OutgoingHttpHeaders }>> = {
  "/odd/query?name=x.txt": { bytes: Buffer.from("asked for\n"), headers: {} },
  "/odd/en%20coded%2Fname": { bytes: Buffer.from("encoded\n"), headers: {} },
  "/odd/folder/": { bytes: Buffer.from("a folder's\n"), headers: {} },
  "/odd/disposed": {
    bytes: Buffer.from("disposed\n"),
    headers: { "content-disposition": 'attachment; filename="named.txt"' },
  },
  "/odd/disposed-above": {
    bytes: Buffer.from("above\n"),
    headers: { "content-disposition": 'attachment; filename="../../up.txt"' },
  },
  "/odd/moved": { bytes: Buffer.from(""), headers: { location: "/file.txt" } },
  "/odd/moved-far": { bytes: Buffer.from(""), headers: { location: "/odd/disposed" } },
  "/odd/timeless": { bytes: Buffer.from("timeless\n"), headers: { "last-modified": "never" } },
  "/odd/empty": { bytes: Buffer.from(""), headers: {} },
  "/odd/.wh.deleted": { bytes: Buffer.from("x"), headers: {} },
};

export const ODD_REMOTE_PATHS: readonly string[] = [...Object.keys(ODD_REMOTE_FILES), "/odd/none", "/archive.tar", ""];

export function remoteDigest(path: string): string {
  return `sha256:${createHash("sha256")
    .update(REMOTE_FILES[path] ?? "")
    .digest("hex")}`;
}

/** Starts to serve; the answer is the address. Keeps no process alive. */
export async function serveFiles(): Promise<string> {
  const server = createWebServer(({ url = "", method }, response) => {
    const odd = ODD_REMOTE_FILES[url];
    const bytes = odd?.bytes ?? REMOTE_FILES[url];
    if (bytes === undefined) return response.writeHead(404).end();
    const headers = {
      etag: `"${remoteDigest(url)}"`,
      "last-modified": new Date(CONTEXT_TIME * 1000).toUTCString(),
      "content-length": bytes.length,
      ...odd?.headers,
    };
    return response.writeHead("location" in headers ? 302 : 200, headers).end(method === "HEAD" ? undefined : bytes);
  });
  await listening(server, 0);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An agent that has no keys, at the path of a socket. Keeps no process alive. */
export async function serveAgent(path: string): Promise<void> {
  const noKeys = Buffer.from([0, 0, 0, 5, 12, 0, 0, 0, 0]);
  await listening(
    createServer((socket) => {
      socket.unref();
      socket.on("error", () => socket.destroy());
      socket.on("data", () => socket.write(noKeys));
    }),
    path,
  );
}

async function listening(server: Server, at: number | string): Promise<void> {
  server.unref();
  if (typeof at === "number") server.listen(at, "127.0.0.1");
  else server.listen(at);
  await once(server, "listening");
}
