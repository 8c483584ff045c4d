// Which hosts answer for a registry, in which order and by which scheme (reference RG01–RG03; pain 22). Pure.
import { BuildError } from "../diagnostics/build-error.ts";
import type { Reference } from "../oci/reference.ts";
import { bareHost, isLoopbackHost } from "./proxy.ts";

export type Scheme = "https" | "http";

/** A place that speaks the distribution protocol. */
export interface Endpoint {
  /** Host with optional port, as in URLs. */
  readonly host: string;
  /** In the order of trying; several only where it is not known what the host speaks. */
  readonly schemes: readonly Scheme[];
  /** Path between `/v2/` and the repository: empty or `some/path/`. */
  readonly prefix: string;
  /** The registry that a mirror stands in for, sent as `?ns=`. */
  readonly namespace?: string;
  /** Name under which its credentials are kept. */
  readonly credentialHost: string;
  /** Its certificate is not verified. */
  readonly isInsecure: boolean;
}

/** One mirror of a registry. */
export interface Mirror {
  readonly host: string;
  readonly path: string;
  /** Undefined = as for any host of that name. */
  readonly scheme?: Scheme;
}

/** Registry → its mirrors in the order of trying. */
export type Mirrors = ReadonlyMap<string, readonly Mirror[]>;

export interface EndpointOptions {
  readonly mirrors?: Mirrors;
  /** Do not verify certificates, and fall back from https to http. */
  readonly isInsecure?: boolean;
}

/** The registry's own endpoint: the only one that is pushed to. */
export function originOf(registry: string, options: EndpointOptions = {}): Endpoint {
  const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
  const isInsecure = options.isInsecure ?? false;
  return { host, schemes: schemesOf(host, isInsecure), prefix: "", credentialHost: registry, isInsecure };
}

/** Endpoints to read from: the mirrors in order, then the registry itself. */
export function endpointsFor(registry: string, options: EndpointOptions = {}): readonly Endpoint[] {
  const isInsecure = options.isInsecure ?? false;
  const mirrors = (options.mirrors?.get(registry) ?? []).map((mirror): Endpoint => ({
    host: mirror.host,
    schemes: mirror.scheme === undefined ? schemesOf(mirror.host, isInsecure) : [mirror.scheme],
    prefix: mirror.path === "" ? "" : `${mirror.path}/`,
    namespace: registry,
    credentialHost: mirror.host,
    isInsecure,
  }));
  return [...mirrors, originOf(registry, options)];
}

/**
 * Of repositories that are known to hold a blob, those of `registry`, by their names there: a push can mount it from them. What was read of another
 * registry through a mirror on this one lies below the mirror's path. Only probable, as the mirror need not have been the one that answered.
 */
export function repositoriesAt(
  registry: string,
  sources: readonly Pick<Reference, "registry" | "repository">[],
  mirrors: Mirrors = new Map(),
): readonly string[] {
  const names = sources.flatMap((source) => [
    ...(source.registry === registry ? [source.repository] : []),
    ...(mirrors.get(source.registry) ?? [])
      .filter(({ host }) => host === registry)
      .map(({ path }) => (path === "" ? source.repository : `${path}/${source.repository}`)),
  ]);
  return [...new Set(names)];
}

/** This machine speaks http until it shows otherwise; an insecure registry https until it shows otherwise; any other https. */
function schemesOf(host: string, isInsecure: boolean): readonly Scheme[] {
  if (isLoopbackHost(bareHost(host.replace(/:\d+$/, "")))) return ["http", "https"];
  return isInsecure ? ["https", "http"] : ["https"];
}

/** Reads `registry=url,registry=url2`; a url is `[http[s]://]host[:port][/path]`. Fails with `usage`. */
export function parseMirrors(text: string): Mirrors {
  const mirrors = new Map<string, Mirror[]>();
  for (const entry of text.split(",").map((part) => part.trim())) {
    if (entry === "") continue;
    const equals = entry.indexOf("=");
    const registry = entry.slice(0, Math.max(0, equals)).trim();
    const name = registry === "index.docker.io" || registry === "registry-1.docker.io" ? "docker.io" : registry;
    const mirror = parseMirror(entry.slice(equals + 1).trim());
    if (!HOST.test(name) || mirror === undefined)
      // Not the entry itself: people put passwords into URLs.
      throw new BuildError("usage", `mirror number ${count(mirrors) + 1} of the list cannot be read`, {
        help: "write REGISTRY=URL,REGISTRY=URL, for example docker.io=https://mirror.example.org; credentials belong in docker's config.json",
      });
    mirrors.set(name, [...(mirrors.get(name) ?? []), mirror]);
  }
  return mirrors;
}

const HOST = /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d+)?$/;

function count(mirrors: Mirrors): number {
  return [...mirrors.values()].reduce((sum, list) => sum + list.length, 0);
}

function parseMirror(text: string): Mirror | undefined {
  const match = /^(?:(https?):\/\/)?([^/?#@\s]+)(\/[^?#@\s]*)?$/.exec(text);
  if (!match || !HOST.test(match[2]!)) return undefined;
  const path = (match[3] ?? "").replace(/^\/+|\/+$/g, "").replace(/^v2(?:\/|$)/, "");
  const scheme = match[1] as Scheme | undefined;
  return { host: match[2]!, path, ...(scheme === undefined ? {} : { scheme }) };
}

/** URL of something in a repository: `manifests/latest`, `blobs/uploads/`. */
export function repositoryUrl(
  endpoint: Endpoint,
  scheme: Scheme,
  { repository }: Pick<Reference, "repository">,
  path: string,
  query: Readonly<Record<string, string>> = {},
): URL {
  const url = new URL(`${scheme}://${endpoint.host}/v2/${endpoint.prefix}${repository}/${path}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  if (endpoint.namespace !== undefined) url.searchParams.set("ns", endpoint.namespace);
  return url;
}
