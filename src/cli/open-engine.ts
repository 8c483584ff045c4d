// How commands reach the engine: its options from the process's environment.
import { Engine, storeRoot, type BuildEvent } from "../index.ts";
import type { Terminal } from "./terminal.ts";
import { VERSION } from "./version.ts";

export interface OpenOptions {
  readonly caCert?: string | undefined;
  readonly runtime?: string | undefined;
  readonly onEvent?: (event: BuildEvent) => void;
}

export function openEngine(terminal: Terminal, options: OpenOptions = {}): Promise<Engine> {
  const { environment, cwd } = terminal;
  const runtime = options.runtime ?? environment["TSBUILD_OCI_RUNTIME"];
  const mirrors = environment["TSBUILD_REGISTRY_MIRRORS"];
  return Engine.open({
    version: VERSION,
    root: storeRoot(environment, terminal.uid),
    isRootless: terminal.isRootless,
    ownsProcess: true,
    cwd,
    environment,
    ...(runtime === undefined || runtime === "" ? {} : { runtime }),
    ...(mirrors === undefined || mirrors === "" ? {} : { registryMirrors: mirrors }),
    ...(options.caCert === undefined ? {} : { caCert: options.caCert }),
    onEvent: options.onEvent ?? (() => {}),
  });
}
