// Networks of steps (reference S50, S53, S55): `default` is a private network namespace with user-mode networking by pasta, else slirp4netns.
// A namespace serves one step at a time; the next step gets it when that one has ended (its processes are dead and it could not
// configure the network), so a chain of steps pays for one. Steps at the same time never share one. Services on the host's loopback are out of reach.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { randomName } from "../base/clock.ts";
import { readFileIfExists } from "../base/fs-atomic.ts";
import { HELPERS, NetworkHelper, type HelperProgram } from "./network-helper.ts";
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

interface Namespace extends StepNetwork {
  readonly path: string;
  readonly helper: NetworkHelper;
}

const NO_HELPER = "neither pasta (package passt) nor slirp4netns is installed";

const HOST: StepNetwork = { path: undefined, isConnected: true, forwarder: undefined };
const UNCONNECTED: StepNetwork = { path: undefined, isConnected: false, forwarder: undefined };

/** No machine is there (RFC 3927), so the address hides nothing. */
const PASTA_FORWARDER = "169.254.1.1";
const SLIRP_FORWARDER = "10.0.2.3";

export class NetworkPool implements AsyncDisposable {
  readonly #options: NetworkPoolOptions;
  readonly #idle: Namespace[] = [];
  readonly #all = new Set<Namespace>();
  readonly #broken = new Set<HelperProgram["name"]>();
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
    if (idle?.helper.isRunning) return idle;
    return this.#create();
  }

  /** Takes a network back. `isTainted`: its step could have changed the configuration, so nobody else gets it. */
  release(network: StepNetwork, isTainted: boolean): void {
    if (!isNamespace(network)) return;
    // Who disposes waits for it, and meets its failure.
    if (isTainted) network.helper.end().catch(() => undefined);
    else this.#idle.push(network);
  }

  /** Ends all helpers. No step may be running. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#warming?.catch(() => undefined);
    this.#idle.length = 0;
    await Promise.all([...this.#all].map(({ helper }) => helper.end()));
    this.#all.clear();
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
  async #open(program: HelperProgram): Promise<Namespace | string> {
    const { stateDir, searchPath } = this.#options;
    const place = { path: join(stateDir, `netns-${randomName(6)}`), forwarder: forwarderOf(program), searchPath };
    const helper = await NetworkHelper.start(program, place);
    if (typeof helper === "string") return helper;
    const network = { path: place.path, isConnected: true, forwarder: place.forwarder, helper };
    this.#all.add(network);
    return network;
  }
}

/** pasta answers in the name of its forwarder also who asked the server itself, so it forwards only where nothing else leads to a server. */
function forwarderOf(helper: HelperProgram): string | undefined {
  if (helper.name === "slirp4netns") return SLIRP_FORWARDER;
  return hasOnlyLoopback(upstreamResolvConf()) ? PASTA_FORWARDER : undefined;
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
