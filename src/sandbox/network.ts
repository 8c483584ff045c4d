// Networks of steps (reference S50, S53, S55): `default` is a private network namespace with user-mode networking by pasta, else slirp4netns.
// A namespace serves one step at a time; the next step gets it when that one has ended (its processes are dead and it could not
// configure the network), so a chain of steps pays for one. Steps at the same time never share one. Services on the host's loopback are out of reach.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { randomName } from "../base/clock.ts";
import { readFileIfExists } from "../base/fs-atomic.ts";
import { hasOnlyLoopback, isSystemdStubOnly, resolvConfForNamespace } from "./resolv-conf.ts";
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
  readonly name: (typeof HELPERS)[number];
  readonly path: string;
}

type Watchdog = ChildProcessByStdio<Writable, Readable, Readable>;

interface Namespace extends StepNetwork {
  readonly path: string;
  readonly watchdog: Watchdog;
}

/** Milliseconds that a helper has for setting a network up. */
const READY_LIMIT_MS = 10_000;

/** In order of preference. */
const HELPERS = ["pasta", "slirp4netns"] as const;

const NO_HELPER = "neither pasta (package passt) nor slirp4netns is installed";

const HOST: StepNetwork = { path: undefined, isConnected: true, forwarder: undefined };
const UNCONNECTED: StepNetwork = { path: undefined, isConnected: false, forwarder: undefined };

/** No machine is there (RFC 3927), so the address hides nothing. */
const PASTA_FORWARDER = "169.254.1.1";
const SLIRP_FORWARDER = "10.0.2.3";

// Both scripts make a namespace, hold it by a mount on the file $0, start the helper "$@" on it, say "1" when the network is up, and take all of it down when
// our end of their standard input closes: also when this process is killed. The namespace needs a file because pasta has given up the
// right to look into /proc/PID before it opens it, and it is made by a child because nobody but root could come back out of one.
const MAKE_NAMESPACE = `unshare -n /bin/sh -c 'mount --bind /proc/self/ns/net "$0"' "$0" || exit 1`;
const REMOVE_NAMESPACE = 'umount -l "$0"; rm -f "$0" "$0.pid"';

const PASTA_SCRIPT = `${MAKE_NAMESPACE}
if "$@" 1>&2 </dev/null; then echo 1; read -r _; read -r p <"$0.pid"; kill "$p"; fi
${REMOVE_NAMESPACE}`;

const SLIRP_SCRIPT = `${MAKE_NAMESPACE}
"$@" 3>&1 1>&2 </dev/null & p=$!
exec 1>&2; read -r _; kill "$p" 2>/dev/null
${REMOVE_NAMESPACE}`;

export class NetworkPool implements AsyncDisposable {
  readonly #options: NetworkPoolOptions;
  readonly #idle: Namespace[] = [];
  readonly #all = new Set<Namespace>();
  readonly #broken = new Set<Helper["name"]>();
  /** Whether it is known that no helper works here. */
  #isHelpless = false;
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
    if (this.#isHelpless) return HOST;
    if (!hasDefaultRoute()) return UNCONNECTED;
    const failures: string[] = [];
    for (const name of HELPERS) {
      const path = findProgram(name, this.#options.searchPath);
      if (path === undefined || this.#broken.has(name)) continue;
      const opened = await this.#open({ name, path });
      if (typeof opened !== "string") return opened;
      this.#broken.add(name);
      failures.push(`${name} does not work here (${opened})`);
    }
    // Steps that start at the same time all come here; one of them says it.
    if (!this.#isHelpless)
      this.#options.onNotice(`${failures.join(", ") || NO_HELPER}: RUN uses the network of this machine`);
    this.#isHelpless = true;
    return HOST;
  }

  /** A namespace with that helper, or why there is none. */
  async #open(helper: Helper): Promise<Namespace | string> {
    const path = join(this.#options.stateDir, `netns-${randomName(6)}`);
    writeFileSync(path, "", { flag: "wx", mode: 0o600 });
    const forwarder = forwarderOf(helper);
    const watchdog = startHelper(helper, path, forwarder);
    const failure = await readiness(watchdog);
    if (failure !== undefined) {
      watchdog.stdin.end();
      return failure;
    }
    const network = { path, isConnected: true, forwarder, watchdog };
    this.#all.add(network);
    // A caller that never disposes is not kept alive by idle helpers.
    watchdog.unref();
    return network;
  }
}

/** pasta answers in the name of its forwarder also who asked the server itself, so it forwards only where nothing else leads to a server. */
function forwarderOf(helper: Helper): string | undefined {
  if (helper.name === "slirp4netns") return SLIRP_FORWARDER;
  return hasOnlyLoopback(upstreamResolvConf()) ? PASTA_FORWARDER : undefined;
}

function startHelper(helper: Helper, namespace: string, forwarder: string | undefined): Watchdog {
  const [script, command] =
    helper.name === "pasta"
      ? [PASTA_SCRIPT, pastaCommand(helper.path, namespace, forwarder)]
      : [SLIRP_SCRIPT, slirpCommand(helper.path, namespace)];
  // Away from the terminal: Ctrl-C is for this process, which ends the helper when the last step has ended.
  return spawn("/bin/sh", ["-c", script, namespace, ...command], { stdio: ["pipe", "pipe", "pipe"], detached: true });
}

function pastaCommand(path: string, namespace: string, forwarder: string | undefined): readonly string[] {
  const noPorts = ["-t", "none", "-u", "none", "-T", "none", "-U", "none"];
  // Started by root it would become nobody, who may not enter the namespace. It gives up its rights by itself once it is in.
  const identity = ["--runas", "0", "--netns-only"];
  const address = ["--config-net", "--no-map-gw", ...(forwarder === undefined ? [] : ["--dns-forward", forwarder])];
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

/** Undefined once the helper says that the network is up; else the last line of why not. */
async function readiness(watchdog: Watchdog): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let log = "";
  watchdog.stderr.on("data", (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4096)));
  let isUp = false;
  watchdog.stdout.once("data", () => {
    isUp = true;
    resolve(undefined);
  });
  // A helper that dies closes its end before it said anything: its watchdog is let go, and its end tells why.
  watchdog.stdout.once("end", () => isUp || watchdog.stdin.end());
  // Its standard input breaks where it ends early; that is told by its end.
  watchdog.stdin.on("error", () => undefined);
  watchdog.once("error", (error) => resolve(error.message));
  watchdog.once("close", () => resolve(lastWords(log)));
  const timer = setTimeout(() => resolve(`it was not ready after ${READY_LIMIT_MS} ms`), READY_LIMIT_MS);
  const failure = await promise;
  clearTimeout(timer);
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
  // In the host's own network its resolvers are reachable as they are, loopback stubs included.
  if (network === undefined) return hostResolvConf();
  return resolvConfForNamespace(upstreamResolvConf(), network.forwarder);
}

function hostResolvConf(): string {
  return readFileIfExists("/etc/resolv.conf")?.toString() ?? "";
}

/** The host's, past systemd-resolved's stub where that is all it says. */
function upstreamResolvConf(): string {
  const text = hostResolvConf();
  const upstream = isSystemdStubOnly(text)
    ? readFileIfExists("/run/systemd/resolve/resolv.conf")?.toString()
    : undefined;
  return upstream ?? text;
}
