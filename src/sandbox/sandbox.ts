// The contract of running one step in a container, and what all steps of a process share. How one step goes: step.ts. What its container sees: spec.ts.
// It knows nothing of layers, caches or Dockerfiles: directories in, a changed directory out. Reference 6.1–6.5.
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { detectCgroups } from "./cgroup.ts";
import { KnownRuntimes } from "./known-runtimes.ts";
import { enterMountNamespace, hideHybrid } from "./mount-namespace.ts";
import { NetworkPool } from "./network.ts";
import { chooseRuntime, DEFAULT_SEARCH_PATH, disguiseFor, type Runtime } from "./runtime.ts";
import { FilterCache } from "./seccomp-cache.ts";
import type { SpecHost } from "./spec.ts";
import type { StepRequest, StepResult } from "./step-request.ts";
import { runStep, type StepWorld } from "./step.ts";

export { reapLeftovers } from "./reap.ts";
export type { SandboxMount, StepRequest, StepResult } from "./step-request.ts";
export type { Runtime } from "./runtime.ts";
export type { StepResources, StepUlimit } from "./spec.ts";

export interface Sandbox {
  readonly runtime: Runtime;
  /**
   * Runs a step to its end and resolves with how it ended; steps may run at the same time. When it settles, no process, mount or cgroup of the step
   * is left and the scratch directory is empty. `upperDir` is not synced to disk: who records it must do that.
   * Rejects with the signal's reason when cancelled, with BuildError `command` where the step cannot be run as it is written (unknown user, bad mount
   * target), and with BuildError `runtime` where the machine is at fault.
   */
  run(request: StepRequest): Promise<StepResult>;
}

export interface SandboxOptions {
  /** Name or path; undefined = crun where it works, else runc. */
  readonly runtime?: string;
  /** Directory for the state of runtime and network helpers; made if missing. */
  readonly stateDir: string;
  /** Directory for what is worth keeping from build to build (compiled filters, versions), writable by this user only; default `stateDir`. */
  readonly cacheDir?: string;
  /** Whether this process is root of a user namespace only; see rootless.ts. */
  readonly isRootless: boolean;
  /** Where programs are looked for, as in PATH. */
  readonly searchPath?: string;
  /** `host`: leave the host's processes visible, where the kernel forbids a new /proc (S72). */
  readonly processes?: "private" | "host";
  /** The process is there for this sandbox alone, so that it may move into a mount namespace of its own: see mount-namespace.ts. */
  readonly ownsProcess?: boolean;
  readonly onNotice: (text: string) => void;
}

/** Chooses the runtime. Dispose after the last step, which ends the network helpers. Throws BuildError `runtime` where nothing can run here. */
export async function createSandbox(options: SandboxOptions): Promise<Sandbox & AsyncDisposable> {
  const { stateDir, isRootless, onNotice, searchPath = DEFAULT_SEARCH_PATH } = options;
  const runtimeRoot = join(stateDir, "runtime");
  mkdirSync(runtimeRoot, { recursive: true, mode: 0o700 });
  // First: what is started before is in another namespace.
  const canHide = options.ownsProcess === true && enterMountNamespace(isRootless);
  const networks = new NetworkPool({ searchPath, stateDir, onNotice });
  networks.warm();
  try {
    const cacheDir = options.cacheDir ?? stateDir;
    const found = detectCgroups(isRootless);
    const seen = { ...found, isHybrid: found.isHybrid && !canHide };
    const runtime = await chooseRuntime(options.runtime, searchPath, seen, new KnownRuntimes(cacheDir));
    const cgroups = canHide && runtime.name === "crun" ? hideHybrid(found, isRootless) : found;
    const disguise = disguiseFor(runtime, cgroups, searchPath);
    const plain = { runtime, root: runtimeRoot, layout: cgroups.layout, isSystemdCgroup: false, disguise };
    const world: StepWorld = {
      plain,
      layout: cgroups.layout,
      isRootless,
      processes: options.processes ?? "private",
      networks,
      searchPath,
      filters: new FilterCache(runtime, cacheDir),
      host: readHost(),
    };
    return {
      runtime,
      run: (request) => runStep(world, request),
      [Symbol.asyncDispose]: () => networks[Symbol.asyncDispose](),
    };
  } catch (error) {
    await networks[Symbol.asyncDispose]();
    throw error;
  }
}

function readHost(): SpecHost {
  const status = readFileSync("/proc/self/status", "utf8");
  const limits = readFileSync("/proc/self/limits", "utf8");
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? "unlimited";
  return {
    arch: process.arch,
    capabilities: /^CapBnd:\s*(\S+)/m.exec(status)?.[1] ?? "0",
    nofile: hard === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(hard),
    loopDevices: readdirSync("/dev").filter((name) => /^loop\d+$/.test(name)).length,
  };
}
