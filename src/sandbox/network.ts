// Networks of steps (reference S50, S53, S55): `default` is a private network namespace with user-mode networking by pasta, else slirp4netns.
// A namespace serves one step at a time; the next step gets it when that one has ended (its processes are dead and it could not
// configure the network), so a chain of steps pays for one. Steps at the same time never share one. Services on the host's loopback are out of reach.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { randomName } from "../base/clock.ts";
import { readFileIfExists } from "../base/fs-atomic.ts";
import { CLONE_NEWNET, MNT_DETACH, mount, MS_BIND, setns, umount, UMOUNT_NOFOLLOW, unshare } from "../base/libc.ts";
import { isSystemdStubOnly, resolvConfForNamespace } from "./resolv-conf.ts";
import { findProgram } from "./runtime.ts";

/** What a step with network `default` runs in, until released. */
export interface StepNetwork {
  /** Path of the namespace; undefined = the host's, because no helper is there. */
  readonly path: string | undefined;
  /** Whether there is a way out of the namespace. */
  readonly isConnected: boolean;
  /** Address in the namespace that leads to the machine's resolver. */
  readonly forwarder: string | undefined;
}

export interface NetworkPoolOptions {
  readonly searchPath: string;
  /** For the namespaces' files. */
  readonly stateDir: string;
  readonly onNotice: (text: string) => void;
}

interface Helper {
  readonly name: "pasta" | "slirp4netns";
  readonly path: string;
}

type Watchdog = ChildProcessByStdio<Writable, Readable, Readable>;

interface Namespace extends StepNetwork {
  readonly path: string;
  readonly watchdog: Watchdog;
}

const HOST: StepNetwork = { path: undefined, isConnected: true, forwarder: undefined };
const UNCONNECTED: StepNetwork = { path: undefined, isConnected: false, forwarder: undefined };

/** No machine is there (RFC 3927), so the address hides nothing. */
const PASTA_FORWARDER = "169.254.1.1";
const SLIRP_FORWARDER = "10.0.2.3";

// Both scripts say "1" when the network is up, and end their helper when our end of their standard input closes: also when this process is killed.
// The namespace is a file ($0) that has to be unmounted: pasta has given up the right to look into /proc/PID before it opens its namespace.
const PASTA_SCRIPT =
  '"$@" 1>&2 </dev/null || exit 1; echo 1; read -r _; read -r p <"$0.pid" && kill "$p"; umount -l "$0"; rm -f "$0" "$0.pid"';
const SLIRP_SCRIPT = '"$@" 3>&1 1>&2 </dev/null & p=$!; exec 1>&2; read -r _; kill "$p"; umount -l "$0"; rm -f "$0"';

export class NetworkPool implements AsyncDisposable {
  readonly #options: NetworkPoolOptions;
  readonly #idle: Namespace[] = [];
  readonly #all = new Set<Namespace>();
  /** Undefined = not looked for yet. */
  #helper: Helper | "none" | undefined;
  #warming: Promise<void> | undefined;

  constructor(options: NetworkPoolOptions) {
    this.#options = options;
  }

  /** Starts making a first namespace, for the step that is about to ask for it. */
  warm(): void {
    this.#warming ??= this.#createIdle();
    // Whoever acquires meets the failure again.
    this.#warming.catch(() => undefined);
  }

  async #createIdle(): Promise<void> {
    const network = await this.#create();
    if (isNamespace(network)) this.#idle.push(network);
  }

  /** A network for one step; {@link release} it. */
  async acquire(): Promise<StepNetwork> {
    await this.#warming?.catch(() => undefined);
    const idle = this.#idle.pop();
    // A helper that died (killed by somebody, or by a bug of its own) leaves a namespace without a way out.
    if (idle && idle.watchdog.exitCode === null && idle.watchdog.signalCode === null) return idle;
    return this.#create();
  }

  /** Takes a network back. `isTainted`: its step could have changed the configuration, so nobody else gets it. */
  release(network: StepNetwork, isTainted: boolean): void {
    if (!isNamespace(network)) return;
    if (isTainted) this.#end(network);
    else this.#idle.push(network);
  }

  /** Ends all helpers. No step may be running. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#warming?.catch(() => undefined);
    const watchdogs = [...this.#all].map((network) => network.watchdog);
    for (const network of this.#all) this.#end(network);
    this.#idle.length = 0;
    await Promise.all(watchdogs.map(exitOf));
  }

  #end(network: Namespace): void {
    this.#all.delete(network);
    network.watchdog.stdin.end();
  }

  async #create(): Promise<StepNetwork> {
    const helper = this.#findHelper();
    if (helper === "none") return HOST;
    if (!hasDefaultRoute()) return UNCONNECTED;
    const path = join(this.#options.stateDir, `netns-${randomName(6)}`);
    makeNamespace(path);
    const watchdog = startHelper(helper, path);
    const failure = await readiness(watchdog);
    if (failure !== undefined) {
      removeNamespace(path);
      this.#helper = "none";
      this.#options.onNotice(`${helper.name} does not work here (${failure}): RUN uses the network of this machine`);
      return HOST;
    }
    const forwarder = helper.name === "pasta" ? PASTA_FORWARDER : SLIRP_FORWARDER;
    const network = { path, isConnected: true, forwarder, watchdog };
    this.#all.add(network);
    // A caller that never disposes is not kept alive by idle helpers.
    watchdog.unref();
    return network;
  }

  #findHelper(): Helper | "none" {
    if (this.#helper !== undefined) return this.#helper;
    for (const name of ["pasta", "slirp4netns"] as const) {
      const path = findProgram(name, this.#options.searchPath);
      if (path !== undefined) return (this.#helper = { name, path });
    }
    this.#options.onNotice(
      "neither pasta (package passt) nor slirp4netns is installed: RUN uses the network of this machine",
    );
    return (this.#helper = "none");
  }
}

function startHelper(helper: Helper, namespace: string): Watchdog {
  const [script, command] =
    helper.name === "pasta"
      ? [PASTA_SCRIPT, pastaCommand(helper.path, namespace)]
      : [SLIRP_SCRIPT, slirpCommand(helper.path, namespace)];
  // Away from the terminal: Ctrl-C is for this process, which ends the helper when the last step has ended.
  return spawn("/bin/sh", ["-c", script, namespace, ...command], { stdio: ["pipe", "pipe", "pipe"], detached: true });
}

function pastaCommand(path: string, namespace: string): readonly string[] {
  const noPorts = ["-t", "none", "-u", "none", "-T", "none", "-U", "none"];
  // Started by root it would become nobody, who may not enter the namespace. It gives up its rights by itself once it is in.
  const identity = ["--runas", "0", "--netns-only"];
  const address = ["--config-net", "--no-map-gw", "--dns-forward", PASTA_FORWARDER];
  return [path, "--quiet", "--pid", `${namespace}.pid`, ...identity, ...address, ...noPorts, "--netns", namespace];
}

function slirpCommand(path: string, namespace: string): readonly string[] {
  return [
    path,
    "--configure",
    "--mtu=65520",
    "--disable-host-loopback",
    "--netns-type=path",
    "--ready-fd=3",
    namespace,
    "tap0",
  ];
}

/** A new network namespace, held by a mount at `path`. */
function makeNamespace(path: string): void {
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    writeFileSync(path, "", { flag: "wx", mode: 0o600 });
    unshare(CLONE_NEWNET);
    try {
      mount("/proc/thread-self/ns/net", path, undefined, MS_BIND);
    } finally {
      setns(own, CLONE_NEWNET);
    }
  } finally {
    closeSync(own);
  }
}

function removeNamespace(path: string): void {
  umount(path, MNT_DETACH | UMOUNT_NOFOLLOW);
  rmSync(path, { force: true });
}

/** Undefined once the helper says that the network is up; else the last line of why not. */
async function readiness(watchdog: Watchdog): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let log = "";
  watchdog.stderr.on("data", (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4096)));
  watchdog.stdout.once("data", () => resolve(undefined));
  // Its standard input breaks where it ends early; that is told by its end.
  watchdog.stdin.on("error", () => undefined);
  watchdog.once("error", (error) => resolve(error.message));
  watchdog.once("close", () => resolve(lastWords(log)));
  const failure = await promise;
  // Unref'd sockets do not keep the process alive, and reading on keeps the helper from blocking on a full pipe.
  for (const stream of [watchdog.stdin, watchdog.stdout, watchdog.stderr])
    (stream as Partial<{ unref(): void }>).unref?.();
  return failure;
}

function lastWords(log: string): string {
  const lines = log.split("\n").filter((line) => line !== "" && !line.includes("syslog"));
  return lines.at(-1)?.trim() ?? "it ended without a word";
}

async function exitOf(child: Watchdog): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once("exit", () => resolve());
  await promise;
}

function isNamespace(network: StepNetwork): network is Namespace {
  return network.path !== undefined;
}

/** Whether this machine has a way out, by either protocol. */
function hasDefaultRoute(): boolean {
  const v4 = readFileSync("/proc/net/route", "utf8").split("\n").slice(1);
  if (v4.some((line) => line.split("\t")[1] === "00000000")) return true;
  const v6 = readFileIfExists("/proc/net/ipv6_route")?.toString().split("\n") ?? [];
  return v6
    .map((line) => line.split(/\s+/))
    .some(([to, length, , , , , , , , device]) => {
      return to === "0".repeat(32) && length === "00" && device !== "lo";
    });
}

/** Text of a step's /etc/resolv.conf. `network` undefined = the host's own. */
export function resolvConfOf(network: StepNetwork | undefined): string {
  const text = readFileIfExists("/etc/resolv.conf")?.toString() ?? "";
  // In the host's own network its resolvers are reachable as they are, loopback stubs included.
  if (network === undefined) return text;
  const upstream = isSystemdStubOnly(text)
    ? readFileIfExists("/run/systemd/resolve/resolv.conf")?.toString()
    : undefined;
  return resolvConfForNamespace(upstream ?? text, network.forwarder);
}
