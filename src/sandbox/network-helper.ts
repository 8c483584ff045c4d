// One network namespace and the helper that connects it (pasta, else slirp4netns). A shell watches over both: it takes them down when our end of its standard
// input closes, also when this process is killed.
import { closeSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { isErrno, readFileIfExists } from "../base/fs-atomic.ts";
import { makeNetworkNamespace, makePipe, MNT_DETACH, umount } from "../base/libc.ts";
import { startTimeOf } from "../base/process-state.ts";
import { Session } from "../base/session.ts";
import { messageOf } from "../diagnostics/build-error.ts";
import { DEFAULT_SEARCH_PATH } from "./runtime.ts";

/** In order of preference. */
export const HELPERS = ["pasta", "slirp4netns"] as const;

export interface HelperProgram {
  readonly name: (typeof HELPERS)[number];
  readonly path: string;
}

export interface HelperPlace {
  /** File that the namespace is attached to; made here. */
  readonly path: string;
  /** Address in the namespace that leads to the machine's resolver. */
  readonly forwarder: string | undefined;
  readonly searchPath: string;
}

/** Milliseconds that a helper has for setting a network up. */
const READY_LIMIT_MS = 10_000;

/** Milliseconds that a helper has for ending. */
const END_LIMIT_MS = 2000;

// Both scripts start the helper "$@" on the namespace that is attached to the file $0, say "1" when the network is up, and end the helper when a line or the end of
// standard input comes. A line says that the caller removes the rest. The namespace needs a file because pasta has given up the right to look into /proc/PID before it opens it.
const REMOVE_UNLESS_TOLD = '[ -n "$told" ] || { umount -l "$0"; rm -f "$0" "$0.pid"; }';

const PASTA_SCRIPT = `
if "$@" 1>&2 </dev/null; then echo 1; read -r told; read -r p <"$0.pid"; kill "$p"; fi
${REMOVE_UNLESS_TOLD}`;

const SLIRP_SCRIPT = `
"$@" 3>&1 1>&2 </dev/null & p=$!
exec 1>&2; read -r told; kill "$p" 2>/dev/null; wait "$p"
${REMOVE_UNLESS_TOLD}`;

/** For who has no right to come back out of a new namespace: a child makes it. */
const MAKE_NAMESPACE = `unshare -n /bin/sh -c 'mount --bind /proc/self/ns/net "$0"' "$0" || exit 1`;

export class NetworkHelper {
  readonly #child: Session;
  readonly #path: string;
  /** Writing end of the shell's standard input. */
  readonly #control: number;
  readonly #stdout: Socket;
  readonly #stderr: Socket;
  #log = "";
  #ending: Promise<void> | undefined;

  private constructor(path: string, command: readonly string[], searchPath: string) {
    const [[stdin, control], [outReader, stdout], [errReader, stderr]] = [makePipe(), makePipe(), makePipe()];
    const env = { PATH: `${searchPath}:${DEFAULT_SEARCH_PATH}` };
    this.#path = path;
    this.#control = control;
    this.#stdout = new Socket({ fd: outReader, readable: true, writable: false });
    this.#stderr = new Socket({ fd: errReader, readable: true, writable: false });
    try {
      this.#child = new Session("/bin/sh", command, { env, stdin, stdout, stderr });
    } catch (error) {
      this.#letGo();
      throw error;
    } finally {
      for (const fd of [stdin, stdout, stderr]) closeSync(fd);
    }
    this.#stderr.on("data", (chunk: Buffer) => (this.#log = (this.#log + chunk.toString()).slice(-4096)));
  }

  /** A namespace that is connected, or why there is none. */
  static async start(
    program: HelperProgram,
    { path, forwarder, searchPath }: HelperPlace,
  ): Promise<NetworkHelper | string> {
    writeFileSync(path, "", { flag: "wx", mode: 0o600 });
    try {
      const [script, command] =
        program.name === "pasta"
          ? [PASTA_SCRIPT, pastaCommand(program.path, path, forwarder)]
          : [SLIRP_SCRIPT, slirpCommand(program.path, path)];
      const make = makeNetworkNamespace(path) ? "" : MAKE_NAMESPACE;
      const helper = new NetworkHelper(path, ["-c", `${make}${script}`, path, ...command], searchPath);
      const failure = await helper.#readiness();
      if (failure === undefined) return helper;
      helper.#letGo();
      return failure;
    } catch (error) {
      remove(path);
      return messageOf(error);
    }
  }

  get isRunning(): boolean {
    return this.#child.isRunning;
  }

  /** Ends the helper and removes the namespace. */
  end(): Promise<void> {
    return (this.#ending ??= this.#end());
  }

  async #end(): Promise<void> {
    this.#child.isAwaited = true;
    const pid = readFileIfExists(`${this.#path}.pid`)?.toString().trim();
    const daemon = pid === undefined ? undefined : { pid, started: startTimeOf(pid) };
    this.#tell("1\n");
    await this.#child.ended;
    if (daemon) await untilGone(daemon);
    this.#letGo();
    remove(this.#path);
  }

  #tell(line: string): void {
    try {
      writeSync(this.#control, line);
    } catch (error) {
      if (!isErrno(error, "EPIPE")) throw error;
    }
  }

  #letGo(): void {
    closeSync(this.#control);
    this.#stdout.destroy();
    this.#stderr.destroy();
  }

  /** Undefined once the helper says that the network is up; else the last line of why not. */
  async #readiness(): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<"up" | "ended" | "late">();
    this.#stdout.once("data", () => resolve("up"));
    this.#stdout.once("close", () => resolve("ended"));
    const timer = setTimeout(() => resolve("late"), READY_LIMIT_MS);
    const state = await promise;
    clearTimeout(timer);
    if (state === "late") return `it was not ready after ${READY_LIMIT_MS} ms`;
    if (state === "up") {
      // A caller that never disposes is not kept alive by idle helpers, and reading on keeps them from blocking on a full pipe.
      this.#child.isAwaited = false;
      this.#stdout.unref();
      this.#stderr.unref();
      return undefined;
    }
    this.#tell("\n");
    await this.#child.ended;
    return lastWords(this.#log);
  }
}

/** A daemon is nobody's child, so nobody is told when the signal has ended it. */
async function untilGone(daemon: { readonly pid: string; readonly started: string | undefined }): Promise<void> {
  const deadline = performance.now() + END_LIMIT_MS;
  while (performance.now() < deadline) {
    const started = startTimeOf(daemon.pid);
    if (started === undefined || started !== daemon.started) return;
    await sleep(1);
  }
}

function remove(path: string): void {
  try {
    umount(path, MNT_DETACH);
  } catch (error) {
    // Never attached, or a shell that was ended by somebody else has done it.
    if (!isErrno(error, "EINVAL") && !isErrno(error, "ENOENT")) throw error;
  }
  for (const file of [path, `${path}.pid`]) rmSync(file, { force: true });
}

function pastaCommand(path: string, namespace: string, forwarder: string | undefined): readonly string[] {
  const noPorts = ["-t", "none", "-u", "none", "-T", "none", "-U", "none"];
  // Started by root it would become nobody, who may not enter the namespace. It gives up its rights by itself once it is in.
  const identity = ["--runas", "0", "--netns-only"];
  const address = ["--config-net", "--no-map-gw", ...(forwarder === undefined ? [] : ["--dns-forward", forwarder])];
  return [path, "--quiet", "--pid", `${namespace}.pid`, ...identity, ...address, ...noPorts, "--netns", namespace];
}

function slirpCommand(path: string, namespace: string): readonly string[] {
  const net = ["--mtu=65520", "--disable-host-loopback", "--netns-type=path", "--ready-fd=3", namespace, "tap0"];
  return [path, "--configure", ...net];
}

function lastWords(log: string): string {
  const lines = log.split("\n").filter((line) => line !== "" && !line.includes("syslog"));
  return lines.at(-1)?.trim() ?? "it ended without a word";
}
