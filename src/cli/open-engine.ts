// How commands reach the engine: its options from the process's environment.
import { BuildError, Engine, storeRoot, type BuildEvent } from "../index.ts";
import { booleanAttribute } from "./csv.ts";
import type { Terminal } from "./terminal.ts";
import { parseCeiling } from "./values.ts";
import { VERSION } from "./version.ts";

export interface OpenOptions {
  readonly caCert?: string | undefined;
  readonly runtime?: string | undefined;
  readonly isOffline?: boolean | undefined;
  readonly hasNoProcessSandbox?: boolean | undefined;
  /** Bytes. */
  readonly cacheMaxSize?: number | undefined;
  readonly onEvent?: (event: BuildEvent) => void;
}

export function openEngine(terminal: Terminal, options: OpenOptions = {}): Promise<Engine> {
  const { environment, cwd } = terminal;
  const runtime = options.runtime ?? environment["TSBUILD_OCI_RUNTIME"];
  const cacheMaxSize = options.cacheMaxSize ?? sizeOf(environment["TSBUILD_CACHE_MAX_SIZE"]);
  const mirrors = environment["TSBUILD_REGISTRY_MIRRORS"];
  return Engine.open({
    version: VERSION,
    root: storeRoot(environment, terminal.uid),
    isRootless: terminal.isRootless,
    ownsProcess: true,
    cwd,
    environment,
    ...(runtime === undefined || runtime === "" ? {} : { runtime }),
    ...(options.isOffline === true ? { isOffline: true } : {}),
    ...processesOf(terminal, options.hasNoProcessSandbox),
    ...(mirrors === undefined || mirrors === "" ? {} : { registryMirrors: mirrors }),
    ...(cacheMaxSize === undefined ? {} : { cacheMaxSize }),
    ...(options.caCert === undefined ? {} : { caCert: options.caCert }),
    onEvent: options.onEvent ?? (() => {}),
  });
}

/** Which processes RUN sees (S72). Root can give every RUN its own: the variable is for who cannot, and the flag an error. */
export function processesOf(
  { environment, isRootless }: Pick<Terminal, "environment" | "isRootless">,
  isAsked = false,
): { readonly processes?: "host" } {
  if (isAsked && !isRootless)
    throw new BuildError("usage", "--no-process-sandbox is for builds without root", {
      help: "leave it out: root can give every RUN processes of its own",
    });
  const variable = environment["TSBUILD_NO_PROCESS_SANDBOX"] ?? "";
  const isSet = variable !== "" && booleanAttribute("TSBUILD_NO_PROCESS_SANDBOX", variable);
  return isRootless && (isAsked || isSet) ? { processes: "host" } : {};
}

function sizeOf(text: string | undefined): number | undefined {
  return text === undefined || text === "" ? undefined : parseCeiling("TSBUILD_CACHE_MAX_SIZE", text);
}
