// The options of a cache in GitHub Actions (reference G05); what is not given comes from the job's environment.
import { BuildError, type CacheLocation } from "../index.ts";
import type { CacheAttributes } from "./cache-attributes.ts";
import type { Environment } from "./values.ts";

export const GHA_KEYS: readonly string[] = [
  "scope",
  "url",
  "url_v2",
  "token",
  "timeout",
  "version",
  "repository",
  "ghtoken",
];

export function ghaLocation(
  given: CacheAttributes,
  environment: Environment,
): CacheLocation & { readonly kind: "gha" } {
  const version = given.text("version");
  if (
    (version !== undefined && version !== "2") ||
    (given.text("url") !== undefined && given.text("url_v2") === undefined)
  )
    throw new BuildError("unsupported", `${given.flag} type=gha: only version 2 of the cache service is built`, {
      help: "leave out version and url, or give url_v2: version 1 was switched off on github.com",
    });
  const url = given.text("url_v2") ?? environment["ACTIONS_RESULTS_URL"];
  if (url !== undefined && !/^https?:\/\//.test(url))
    throw new BuildError("usage", `invalid url_v2 ${JSON.stringify(url)}`, { help: "it starts with https://" });
  const token = given.text("token") ?? environment["ACTIONS_RUNTIME_TOKEN"];
  const repository = given.text("repository");
  const ghToken = given.text("ghtoken");
  return {
    kind: "gha",
    scope: given.text("scope") ?? "buildkit",
    ...(url === undefined || url === "" ? {} : { url }),
    ...(token === undefined || token === "" ? {} : { token }),
    timeoutMs: given.duration("timeout", "10m"),
    ...(repository === undefined ? {} : { repository }),
    ...(ghToken === undefined ? {} : { ghToken }),
    apiUrl: environment["GITHUB_API_URL"] ?? "https://api.github.com",
  };
}
