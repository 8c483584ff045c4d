// What builds reach over the network: a web server and an ssh agent, both on this machine and both the same on every day.
import { createHash } from "node:crypto";
import { createServer as createWebServer } from "node:http";
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

export function remoteDigest(path: string): string {
  return `sha256:${createHash("sha256")
    .update(REMOTE_FILES[path] ?? "")
    .digest("hex")}`;
}

/** Starts to serve; the answer is the address. Keeps no process alive. */
export async function serveFiles(): Promise<string> {
  const server = createWebServer(({ url = "", method }, response) => {
    const bytes = REMOTE_FILES[url];
    if (bytes === undefined) return response.writeHead(404).end();
    const headers = {
      etag: `"${remoteDigest(url)}"`,
      "last-modified": new Date(CONTEXT_TIME * 1000).toUTCString(),
      "content-length": bytes.length,
    };
    return response.writeHead(200, headers).end(method === "HEAD" ? undefined : bytes);
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
