// One more certificate authority for a step (pain 19): a bundle of what the image trusts plus the user's, mounted read-only on /dev, and the variables by
// which programs find it. Nothing of it is in the image.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import { resolveInRoot } from "./root-path.ts";

/** On the step's own /dev, so never in a layer. */
export const CA_BUNDLE_TARGET = "/dev/tsbuild-ca-bundle.pem";

/** Debian, Alpine, Arch · Fedora, RHEL · openSUSE · RHEL 7+ · Alpine, BSD ports of OpenSSL. */
const SYSTEM_BUNDLES: readonly string[] = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

const VARIABLES: readonly string[] = [
  "SSL_CERT_FILE",
  "NODE_EXTRA_CA_CERTS",
  "PIP_CERT",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "AWS_CA_BUNDLE",
  "CARGO_HTTP_CAINFO",
  "DENO_CERT",
  "NIX_SSL_CERT_FILE",
];

/**
 * Text of the bundle: what the image at `rootfs` trusts, else (an image without certificates that installs them in this very step) what this machine trusts,
 * and then `caCert`.
 */
export function caBundle(rootfs: string, caCert: string): string {
  const system = firstBundle(rootfs) ?? firstBundle("/") ?? "";
  return `${system.trimEnd()}\n${readCaCert(caCert).trim()}\n`.trimStart();
}

/** `env` with the variables that it does not set itself. */
export function withCaVariables(env: readonly string[]): readonly string[] {
  const isSet = (name: string): boolean => env.some((variable) => variable.startsWith(`${name}=`));
  return [...env, ...VARIABLES.filter((name) => !isSet(name)).map((name) => `${name}=${CA_BUNDLE_TARGET}`)];
}

function readCaCert(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new BuildError("usage", `cannot read the CA certificates in ${path}`, { cause: error });
  }
}

function firstBundle(rootfs: string): string | undefined {
  for (const path of SYSTEM_BUNDLES) {
    try {
      const { existing, missing, stats } = resolveInRoot(rootfs, path);
      if (missing.length === 0 && stats.isFile()) return readFileSync(join(rootfs, existing), "utf8");
    } catch {
      continue;
    }
  }
  return undefined;
}
