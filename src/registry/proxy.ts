// Which proxy a URL goes through (reference RG23): HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY as Go's httpproxy reads them. The environment comes in from outside.
import { BlockList, isIP } from "node:net";
import { BuildError } from "../diagnostics/build-error.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The proxy for `url`, or undefined for a direct connection. Loopback is always direct. */
export function proxyFor(url: URL, environment: Environment): URL | undefined {
  const read = (name: string): string | undefined => environment[name] || environment[name.toLowerCase()] || undefined;
  const text = read(url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY") ?? read("ALL_PROXY");
  if (text === undefined) return undefined;
  const host = bareHost(url.hostname);
  if (isLoopbackHost(host)) return undefined;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  if (isExempt(host, port, read("NO_PROXY") ?? "")) return undefined;
  return parseProxy(text);
}

function parseProxy(text: string): URL {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || url.hostname === "")
    throw new BuildError("usage", "the proxy variable of the environment is not a URL", {
      help: "write HTTPS_PROXY=http://HOST:PORT",
    });
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new BuildError(
      "unsupported",
      `a proxy of type ${url.protocol.slice(0, -1)} is not supported for registries`,
      {
        help: "use an http:// or https:// proxy",
      },
    );
  return url;
}

/** Whether a NO_PROXY list (`*`, hosts, `.domain`, addresses, CIDR ranges, each with an optional port) covers the host. */
function isExempt(host: string, port: string, list: string): boolean {
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => entry === "*" || coversHost(entry.toLowerCase(), host, port));
}

function coversHost(entry: string, host: string, port: string): boolean {
  const cidr = /^(.+)\/(\d{1,3})$/.exec(entry);
  if (cidr) return inRange(host, bareHost(cidr[1]!), Number(cidr[2]));
  const withPort = /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(entry);
  if (withPort && withPort[2] !== port) return false;
  const name = bareHost(withPort ? withPort[1]! : entry);
  if (isIP(name) !== 0 || isIP(host) !== 0) return name === host;
  const domain = name.replace(/^\*?\./, "");
  // ".example.org" means what is below it, "example.org" also the name itself.
  return host.endsWith(`.${domain}`) || (domain === name && host === domain);
}

function inRange(host: string, network: string, prefix: number): boolean {
  const version = isIP(network);
  if (version === 0 || isIP(host) !== version || prefix > (version === 4 ? 32 : 128)) return false;
  const family = version === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(network, prefix, family);
  return list.check(host, family);
}

/** Host without the brackets of an IPv6 address, lower-case. */
export function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
}

/** Whether a bare host is this machine: localhost and names below it, 127.0.0.0/8, ::1. */
export function isLoopbackHost(host: string): boolean {
  if (host === "localhost" || host.endsWith(".localhost") || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}
