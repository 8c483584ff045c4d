// Proxies of docker's config.json, which docker gives to every build as arguments (reference RG09, A20). What else the file says is the registry client's business.
import { existsSync } from "node:fs";
import { join } from "node:path";

const NAMES: readonly (readonly [argument: string, key: string])[] = [
  ["HTTP_PROXY", "httpProxy"],
  ["HTTPS_PROXY", "httpsProxy"],
  ["FTP_PROXY", "ftpProxy"],
  ["NO_PROXY", "noProxy"],
  ["ALL_PROXY", "allProxy"],
];

/** Arguments in both cases, as docker has them; a damaged file has none: whoever needs its credentials tells what is wrong. */
export async function dockerProxies(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<ReadonlyMap<string, string>> {
  const { DOCKER_CONFIG: folder, DOCKER_HOST: host, HOME: home } = environment;
  const path = folder ? join(folder, "config.json") : home ? join(home, ".docker", "config.json") : undefined;
  if (path === undefined || !existsSync(path)) return new Map();
  const { loadDockerConfig } = await import("../registry/docker-config.ts");
  const [config] = await loadDockerConfig([path]).catch(() => []);
  const proxies = config?.proxies.get(host || "unix:///var/run/docker.sock") ?? config?.proxies.get("default") ?? {};
  return new Map(
    NAMES.flatMap(([argument, key]) => {
      const value = proxies[key];
      return value === undefined || value === "" ? [] : [argument, argument.toLowerCase()].map((name) => [name, value]);
    }),
  );
}
