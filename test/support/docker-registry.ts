// Debian's docker-registry on a free port of the loopback, over plain http, with its blobs in a directory of its own. Its access log says who asked for what.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface LoggedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly status: number;
}

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Where it keeps its files. */
  readonly dataDir: string;
  /** Everything that was answered since the last call, in order. */
  requests(): Promise<readonly LoggedRequest[]>;
}

/** Bytes that a client wrote: uploads that were opened, filled or closed. A mount that succeeds (201) moves no bytes. */
export function uploads(requests: readonly LoggedRequest[]): LoggedRequest[] {
  return requests.filter(
    ({ method, url, status }) =>
      /\/blobs\/uploads\//.test(url) && ["POST", "PATCH", "PUT"].includes(method) && !isMount({ method, url, status }),
  );
}

/** Cross-repository mounts that succeeded. */
export function mounts(requests: readonly LoggedRequest[]): LoggedRequest[] {
  return requests.filter(isMount);
}

/** Reads of blobs' bytes. */
export function downloads(requests: readonly LoggedRequest[]): LoggedRequest[] {
  return requests.filter(({ method, url }) => method === "GET" && /\/blobs\/sha256:/.test(url));
}

function isMount({ method, url, status }: LoggedRequest): boolean {
  return method === "POST" && url.includes("mount=") && status === 201;
}

export async function openDockerRegistry(): Promise<DockerRegistry> {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-registry-"));
  const dataDir = join(root, "data");
  const config = {
    version: "0.1",
    log: { level: "info", formatter: "json" },
    storage: {
      filesystem: { rootdirectory: dataDir },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: "127.0.0.1:0" },
  };
  writeFileSync(join(root, "config.yml"), JSON.stringify(config));
  const child = spawn("docker-registry", ["serve", join(root, "config.yml")], { stdio: ["ignore", "pipe", "pipe"] });
  try {
    const host = await listening(child);
    return new RunningRegistry({ root, dataDir, host, child });
  } catch (error) {
    child.kill("SIGKILL");
    rmSync(root, { recursive: true, force: true });
    throw error;
  }
}

function listening(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const said: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => {
    said.push(line);
    const host = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (host !== undefined) resolve(host);
  });
  child.on("error", reject);
  child.on("exit", (code) => {
    reject(new Error(`docker-registry exited with ${String(code)}\n${said.join("\n")}`));
  });
  return promise;
}

class RunningRegistry implements DockerRegistry {
  readonly host: string;
  readonly dataDir: string;
  readonly #root: string;
  readonly #child: ChildProcess;
  /** Who ends the process by process.exit, as on a signal, disposes of nothing. */
  readonly #onExit = (): void => {
    this.#child.kill("SIGKILL");
    rmSync(this.#root, { recursive: true, force: true });
  };
  readonly #marks = new Map<string, () => void>();
  #log: LoggedRequest[] = [];
  #markCount = 0;

  constructor(options: { root: string; dataDir: string; host: string; child: ChildProcess }) {
    this.host = options.host;
    this.dataDir = options.dataDir;
    this.#root = options.root;
    this.#child = options.child;
    process.once("exit", this.#onExit);
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      this.#read(line);
    });
  }

  /** A line is written after its answer: a request of our own marks how far the log has come. */
  async requests(): Promise<readonly LoggedRequest[]> {
    const mark = `/v2/?mark=${String(++this.#markCount)}`;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#marks.set(mark, resolve);
    await (await fetch(`http://${this.host}${mark}`)).text();
    await promise;
    const log = this.#log;
    this.#log = [];
    return log;
  }

  #read(line: string): void {
    const found = /"([A-Z]+) (\S+) HTTP\/[\d.]+" (\d+) /.exec(line);
    if (!found) return;
    const [, method = "", url = "", status] = found;
    const mark = this.#marks.get(url);
    if (mark) mark();
    else this.#log.push({ method, url, status: Number(status) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("exit", this.#onExit);
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "exit");
    }
    rmSync(this.#root, { recursive: true, force: true });
  }
}
