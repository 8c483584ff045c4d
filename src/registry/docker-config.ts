// The files that `docker login` and `podman login` write (reference RG09), as data: no helper is run here (credential-helper.ts does).
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { Credentials } from "./credentials.ts";
import type { Environment } from "./proxy.ts";

/** One file, normalised: hosts without scheme and API path, Docker Hub as `docker.io`. */
export interface DockerConfig {
  readonly path: string;
  /** By `host` or, as podman writes, by `host/path`. */
  readonly auths: ReadonlyMap<string, Credentials>;
  /** Host → helper's short name. */
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly credsStore?: string;
  readonly httpHeaders: Readonly<Record<string, string>>;
  /** `default` or a daemon's address → names as in the file: httpProxy, httpsProxy, noProxy, ftpProxy, allProxy. */
  readonly proxies: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/** Name of Docker Hub in config.json and towards credential helpers. */
export const HUB_KEY = "https://index.docker.io/v1/";

/** Files in the order in which they are asked: what a variable names, then docker's, then podman's. */
export function dockerConfigPaths(
  environment: Environment,
  home: string = environment["HOME"] || homedir(),
): readonly string[] {
  const {
    DOCKER_CONFIG: folder,
    REGISTRY_AUTH_FILE: authFile,
    XDG_RUNTIME_DIR: runtime,
    XDG_CONFIG_HOME: config,
  } = environment;
  return [
    ...(authFile ? [authFile] : []),
    join(folder || join(home, ".docker"), "config.json"),
    ...(runtime ? [join(runtime, "containers/auth.json")] : []),
    join(config || join(home, ".config"), "containers/auth.json"),
  ];
}

/** Reads the files that exist, in order. Fails with `usage` where one is damaged or not readable. */
export async function loadDockerConfig(paths: readonly string[]): Promise<readonly DockerConfig[]> {
  const configs = await Promise.all(paths.map(readConfig));
  return configs.filter((config) => config !== undefined);
}

async function readConfig(path: string): Promise<DockerConfig | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw new BuildError("usage", `cannot read the registry credentials in ${path}: ${messageOf(error)}`, {
      cause: error,
      help: "make the file readable, or name another folder with DOCKER_CONFIG",
    });
  }
  return parseDockerConfig(text, path);
}

/** Reads one file's text. Fails with `usage` where it is not the JSON object that it should be; says nothing of its contents. */
export function parseDockerConfig(text: string, path: string): DockerConfig {
  let value: unknown;
  try {
    value = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    value = undefined;
  }
  // The parser's own message quotes the text, and the text is made of secrets.
  if (!isRecord(value))
    throw new BuildError("usage", `${path} is not a JSON object`, { help: "repair the file, or log in again" });
  const credsStore = stringOf(value["credsStore"]);
  return {
    path,
    auths: new Map(
      entriesOf(value["auths"]).flatMap(([key, entry]) => {
        const credentials = credentialsOf(entry, path);
        return credentials === undefined ? [] : [[normalizeRegistryKey(key), credentials] as const];
      }),
    ),
    credHelpers: new Map(
      entriesOf(value["credHelpers"]).flatMap(([key, helper]) =>
        typeof helper === "string" && helper !== "" ? [[normalizeRegistryKey(key), helper] as const] : [],
      ),
    ),
    ...(credsStore === undefined ? {} : { credsStore }),
    httpHeaders: stringsOf(value["HttpHeaders"]),
    proxies: new Map(entriesOf(value["proxies"]).map(([key, entry]) => [key, stringsOf(entry)])),
  };
}

/** `https://index.docker.io/v1/` → `docker.io`, `https://host:5000/v2/` → `host:5000`, `host/path` stays. */
function normalizeRegistryKey(key: string): string {
  const bare = key
    .replace(/^https?:\/\//i, "")
    .replace(/\/+$/, "")
    .replace(/\/v[12]$/, "");
  const [host = "", ...path] = bare.split("/");
  return [hubName(host.toLowerCase()), ...path].join("/");
}

/** All names of Docker Hub are one. */
export function hubName(host: string): string {
  return ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"].includes(host) ? "docker.io" : host;
}

/** What a file says of a repository: the longest path that it has an entry for. */
export function lookUpAuth(config: DockerConfig, host: string, repository: string): Credentials | undefined {
  const parts = [hubName(host.toLowerCase()), ...repository.split("/")];
  for (let length = parts.length; length > 0; length--) {
    const found = config.auths.get(parts.slice(0, length).join("/"));
    if (found !== undefined) return found;
  }
  return undefined;
}

function credentialsOf(entry: unknown, source: string): Credentials | undefined {
  if (!isRecord(entry)) return undefined;
  const registryToken = stringOf(entry["registrytoken"]);
  if (registryToken !== undefined) return { kind: "registry-token", token: registryToken, source };
  const identityToken = stringOf(entry["identitytoken"]);
  if (identityToken !== undefined) return { kind: "identity-token", token: identityToken, source };
  const pair = decodePair(stringOf(entry["auth"]));
  const username = pair?.username ?? stringOf(entry["username"]);
  const password = pair?.password ?? stringOf(entry["password"]);
  if (username === undefined || password === undefined) return undefined;
  return fromPair(username, password, source);
}

/** The user name `<token>` marks an identity token, in files as from helpers (RG10). */
export function fromPair(username: string, password: string, source: string): Credentials {
  if (username === "<token>") return { kind: "identity-token", token: password, source };
  return { kind: "password", username, password, source };
}

function decodePair(auth: string | undefined): { readonly username: string; readonly password: string } | undefined {
  if (auth === undefined) return undefined;
  const text = Buffer.from(auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  // Docker pads with NUL bytes on some platforms.
  return colon <= 0
    ? undefined
    : { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  return isRecord(value) ? Object.entries(value) : [];
}

function stringOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function stringsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    entriesOf(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
