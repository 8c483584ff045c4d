// Variables that exist without being declared: platform arguments of the global scope and proxies of RUN (reference A20–A23, A27).
import { formatPlatform } from "../oci/platform.ts";
import type { PlanOptions } from "./options.ts";

/** Platform arguments and TARGETSTAGE, overridden by build arguments (A21, A22). `lastStage` is the last stage's name, "" for none. */
export function predefinedArgs(options: PlanOptions, lastStage: string): Map<string, string> {
  const { buildPlatform, platform } = options;
  const target = options.target ?? lastStage.toLowerCase();
  const values: readonly (readonly [string, string])[] = [
    ["BUILDPLATFORM", formatPlatform(buildPlatform)],
    ["BUILDOS", buildPlatform.os],
    ["BUILDOSVERSION", buildPlatform.osVersion ?? ""],
    ["BUILDARCH", buildPlatform.architecture],
    ["BUILDVARIANT", buildPlatform.variant ?? ""],
    ["TARGETPLATFORM", formatPlatform(platform)],
    ["TARGETOS", platform.os],
    ["TARGETOSVERSION", platform.osVersion ?? ""],
    ["TARGETARCH", platform.architecture],
    ["TARGETVARIANT", platform.variant ?? ""],
    ["TARGETSTAGE", target === "" ? "default" : target],
  ];
  return new Map(values.map(([name, value]) => [name, options.buildArgs.get(name) ?? value]));
}

const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"] as const;

/** `NAME=value` of the proxies that build arguments set, in both cases. Matched without case; empty ones are dropped (A20). */
export function proxyEnvironment(buildArgs: ReadonlyMap<string, string>): readonly string[] {
  const found = new Map<string, string>();
  for (const name of [...buildArgs.keys()].sort()) {
    const proxy = PROXIES.find((known) => known === name.toUpperCase());
    if (proxy !== undefined) found.set(proxy, buildArgs.get(name) ?? "");
  }
  return PROXIES.flatMap((name) => {
    const value = found.get(name);
    return value === undefined || value === "" ? [] : [`${name}=${value}`, `${name.toLowerCase()}=${value}`];
  });
}

/** Declared names that never become environment of a RUN (A32). */
export function isBuilderOnlyArg(name: string): boolean {
  return name === "BUILDKIT_SBOM_SCAN_CONTEXT" || name === "BUILDKIT_SBOM_SCAN_STAGE";
}
