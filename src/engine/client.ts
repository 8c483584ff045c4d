// The registry client with what the environment says of mirrors, certificates, proxies and credentials. Loaded at the first request.
import { readFile } from "node:fs/promises";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { EngineOptions } from "./options.ts";
import type { ClientKind } from "./parts.ts";

/** The longest wait between two attempts of a hasty client. */
const HASTY_MS = 200;

/** A client for one way of checking certificates and one measure of patience. The caller disposes. */
export async function createClient(
  options: EngineOptions,
  { isInsecure = false, isHasty = false }: ClientKind,
): Promise<RegistryClient> {
  const { RegistryClient } = await import("../registry/client.ts");
  const { CERTIFICATE_FOLDERS } = await import("../registry/certificates.ts");
  const { systemClock } = await import("../registry/retry.ts");
  const { parseMirrors } = await import("../registry/endpoints.ts");
  const { environment, registryMirrors, caCert, version, onEvent } = options;
  return new RegistryClient({
    version,
    environment,
    caCerts: caCert === undefined ? [] : [await readCertificate(caCert)],
    certificateFolders: CERTIFICATE_FOLDERS,
    isInsecure,
    ...(isHasty
      ? { clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, HASTY_MS), signal) } }
      : {}),
    ...(registryMirrors === undefined ? {} : { mirrors: parseMirrors(registryMirrors) }),
    onRequest: (method, url) => {
      onEvent({ kind: "counted", name: "registry.request", subject: `${method} ${url}` });
    },
  });
}

/** The PEM text of a file. */
export async function readCertificate(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new BuildError("usage", `cannot read the certificate ${path}: ${messageOf(error)}`, { cause: error });
  }
}
