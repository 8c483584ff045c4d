// Certificates of single registries as docker and BuildKit keep them (`/etc/docker/certs.d/<host:port>/`; reference RG03): `*.crt` is trusted, `x.cert` with `x.key` is shown.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { HostCertificates } from "./http-message.ts";

/** Folders that docker and podman look into. */
export const CERTIFICATE_FOLDERS: readonly string[] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/** What the folders hold for a host; undefined where nothing. Synchronous: three small reads per host, once. Fails with `usage`. */
export function readCertificates(folders: readonly string[], host: string): HostCertificates | undefined {
  for (const folder of folders) {
    const path = join(folder, host);
    const names = list(path);
    if (names.length === 0) continue;
    const ca = names.filter((name) => name.endsWith(".crt")).map((name) => read(join(path, name)));
    const pair = names.find((name) => name.endsWith(".cert"));
    if (pair === undefined) return { ca };
    const keyName = pair.replace(/\.cert$/, ".key");
    if (!names.includes(keyName))
      throw new BuildError("usage", `certificate ${join(path, pair)} has no key beside it`, { help: `add ${keyName}` });
    return { ca, cert: read(join(path, pair)), key: read(join(path, keyName)) };
  }
  return undefined;
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path).toSorted();
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new BuildError("usage", `cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}
