// A web server on the loopback for sources: pages with validators and passwords, git repositories by the real git, and a note of every request.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";

export interface Page {
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status?: number;
  /** Value that the Authorization header must have. */
  readonly authorization?: string;
}

export interface Site extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly base: string;
  readonly host: string;
  /** By path. */
  readonly pages: Map<string, Page>;
  /** `GET /path`, since the last {@link takeRequests}. */
  takeRequests(): readonly string[];
  /** Value that the Authorization header must have for repositories. */
  gitAuthorization: string | undefined;
}

/** Serves `pages`, and the bare repositories below `repositories`. */
export async function openSite(
  repositories: string,
  tls?: { readonly key: string; readonly cert: string },
): Promise<Site> {
  let requests: string[] = [];
  const pages = new Map<string, Page>();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = (request.url ?? "").split("?")[0]!;
    requests.push(`${request.method} ${path}`);
    const page = pages.get(path);
    if (page) show(page, request, response);
    else if (site.gitAuthorization !== undefined && request.headers.authorization !== site.gitAuthorization)
      response.writeHead(401, { "www-authenticate": "Basic" }).end();
    else if (path.includes(".git/")) serveGit(repositories, request, response);
    else response.writeHead(404).end("not here");
  };
  const server: Server = tls ? createTlsServer(tls, answer) : createServer(answer);
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const site: Site = {
    base: `${tls ? "https" : "http"}://${host}`,
    host,
    pages,
    gitAuthorization: undefined,
    takeRequests: () => {
      const taken = requests;
      requests = [];
      return taken;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return site;
}

function show(page: Page, request: IncomingMessage, response: ServerResponse): void {
  const { body, headers = {}, status = 200, authorization } = page;
  if (authorization !== undefined && request.headers.authorization !== authorization) {
    response.writeHead(401).end();
    return;
  }
  const etag = headers["etag"];
  const isSame = etag !== undefined && request.headers["if-none-match"] === etag;
  response.writeHead(isSame ? 304 : status, headers).end(isSame || request.method === "HEAD" ? undefined : body);
}

/** The CGI program that comes with git. */
function serveGit(root: string, request: IncomingMessage, response: ServerResponse): void {
  const [path = "", query = ""] = (request.url ?? "").split("?");
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
      REQUEST_METHOD: request.method,
      PATH_INFO: path,
      QUERY_STRING: query,
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
    },
  });
  request.pipe(child.stdin);
  child.stdin.on("error", () => {});
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.on("close", () => {
    const output = Buffer.concat(chunks);
    const cut = output.indexOf("\r\n\r\n");
    const headers = output.subarray(0, Math.max(cut, 0)).toString().split("\r\n");
    const pairs = headers.map((line) => line.split(": ") as [string, string]);
    const status = Number(pairs.find(([name]) => name === "Status")?.[1].split(" ")[0] ?? 200);
    response.writeHead(status, Object.fromEntries(pairs.filter(([name]) => name !== "Status" && name !== "")));
    response.end(output.subarray(cut + 4));
  });
}

export interface Repository {
  /** Commits exactly these files (a mode of 0755 for names that end in .sh, `-> target` is a link); returns the hash. */
  commit(files: Readonly<Record<string, string>>, seconds?: number): string;
  git(...args: readonly string[]): string;
}

/** A repository whose bare form is served as `<name>.git` by a site over `repositories`. */
export function makeRepository(repositories: string, name: string): Repository {
  const bare = join(repositories, `${name}.git`);
  const work = join(repositories, `${name}.work`);
  const run = (seconds: number, args: readonly string[]): string => {
    const date = `${seconds} +0000`;
    const who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-C", work];
    const env = { PATH: process.env["PATH"], GIT_COMMITTER_DATE: date, GIT_AUTHOR_DATE: "1000000000 +0000" };
    return execFileSync("git", [...who, ...args], { env, encoding: "utf8", stdio: "pipe" }).trim();
  };
  mkdirSync(work, { recursive: true });
  execFileSync("git", ["init", "-q", "--bare", "-b", "main", bare]);
  run(0, ["init", "-q", "-b", "main"]);
  run(0, ["remote", "add", "origin", bare]);
  return {
    git: (...args) => run(1_600_000_000, args),
    commit: (files, seconds = 1_600_000_000) => {
      run(seconds, ["rm", "-rqf", "--ignore-unmatch", "."]);
      for (const [path, text] of Object.entries(files)) {
        const full = join(work, path);
        mkdirSync(dirname(full), { recursive: true });
        rmSync(full, { force: true });
        const link = /^-> (.*)$/s.exec(text)?.[1];
        if (link === undefined) writeFileSync(full, text, { mode: path.endsWith(".sh") ? 0o755 : 0o644 });
        else symlinkSync(link, full);
      }
      run(seconds, ["add", "-A"]);
      run(seconds, ["commit", "-q", "--allow-empty", "-m", "c"]);
      run(seconds, ["push", "-q", "origin", "HEAD"]);
      return run(seconds, ["rev-parse", "HEAD"]);
    },
  };
}

/** A tar of `files`, packed by GNU tar, compressed by the program named. */
export function makeTar(
  folder: string,
  program: "none" | "gzip" | "bzip2" | "xz" | "zstd",
  options: readonly string[] = [],
): Uint8Array {
  const tar = join(dirname(folder), "tar.tmp");
  execFileSync("tar", ["-C", folder, "--sort=name", ...options, "-cf", tar, "."], { stdio: "pipe" });
  return program === "none" ? readFileSync(tar) : execFileSync(program, ["-c", tar], { stdio: "pipe" });
}

/** A key and a certificate for 127.0.0.1 that nobody trusts. Needs openssl. */
export function makeCertificate(folder: string): {
  readonly key: string;
  readonly cert: string;
  readonly path: string;
} {
  const [key, path] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat([
      "-subj",
      "/CN=tsbuild-test",
      "-addext",
      "subjectAltName=IP:127.0.0.1",
      "-keyout",
      key,
      "-out",
      path,
    ]),
    { stdio: "pipe" },
  );
  return { key: readFileSync(key, "utf8"), cert: readFileSync(path, "utf8"), path };
}
