// Which OCI runtime runs the steps, and its command lines (architecture §6): crun where it works, else runc, or what the user names.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { runProcess } from "../base/process.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { CgroupLayout, CgroupSupport } from "./cgroup.ts";
import type { KnownRuntimes } from "./known-runtimes.ts";

/** Where runtimes and network programs are looked for unless the caller says otherwise. */
export const DEFAULT_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface Runtime {
  /** `crun`, `runc`, or the base name of what the user named. */
  readonly name: string;
  readonly path: string;
  readonly version: string;
}

export interface RuntimeInvocation {
  readonly runtime: Runtime;
  /** Where the runtime keeps its state of running containers. */
  readonly root: string;
  readonly layout: CgroupLayout;
  readonly isSystemdCgroup: boolean;
  /** Command to put before the runtime's, so that it does not see the v2 tree beside v1; mostly empty. */
  readonly disguise: readonly string[];
}

const CAP_SYS_RESOURCE = 24n;

const INSTALL_HELP =
  "install crun (apt-get install crun, dnf install crun, apk add crun) or runc, or name another runtime with --runtime";

/** Finds and identifies the runtime. Throws BuildError `runtime` where there is none that works here. */
export async function chooseRuntime(
  wanted: string | undefined,
  searchPath: string,
  cgroups: CgroupSupport,
  known: KnownRuntimes,
): Promise<Runtime> {
  const path = wanted === undefined ? findUsable(searchPath, cgroups) : findWanted(wanted, searchPath);
  const identity = known.find(path);
  if (identity) return { ...identity, path };
  const runtime = await identify(path);
  known.keep(path, runtime);
  return runtime;
}

function findUsable(searchPath: string, cgroups: CgroupSupport): string {
  const crun = findProgram("crun", searchPath);
  const runc = findProgram("runc", searchPath);
  const canHide = !cgroups.isHybrid || findProgram("unshare", searchPath) !== undefined;
  const isCrunUsable = canHide && (cgroups.layout !== "v2" || mayLockMemory());
  if (crun !== undefined && (isCrunUsable || runc === undefined)) return crun;
  if (runc !== undefined) return runc;
  throw new BuildError("runtime", "RUN needs an OCI runtime, and neither crun nor runc is installed", {
    help: INSTALL_HELP,
  });
}

/** crun lifts the limit of locked memory for the device filter of a v2 group, and fails where it may not: in containers with few capabilities. */
function mayLockMemory(): boolean {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const effective = /^CapEff:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const mayRaise = ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
  return mayRaise || /^Max locked memory\s+\S+\s+unlimited/m.test(limits);
}

function findWanted(wanted: string, searchPath: string): string {
  const path = wanted.includes("/") && isExecutable(wanted) ? wanted : findProgram(wanted, searchPath);
  if (path !== undefined && wanted !== "") return path;
  const where = wanted.includes("/") ? "" : ` in ${searchPath}`;
  throw new BuildError("runtime", `there is no OCI runtime "${wanted}"${where}`, { help: INSTALL_HELP });
}

/**
 * For {@link RuntimeInvocation}: crun does not start where v1 and v2 are both mounted, so it gets a mount namespace that shows less of them. Root takes the
 * v2 tree away; a user namespace may not, and has no use for any of it, so it covers them all. Throws BuildError `runtime` without unshare.
 */
export function disguiseFor(runtime: Runtime, cgroups: CgroupSupport, searchPath: string): readonly string[] {
  if (runtime.name !== "crun" || !cgroups.isHybrid) return [];
  const unshare = findProgram("unshare", searchPath);
  if (unshare === undefined) {
    const message =
      "crun does not work with the hybrid cgroup layout of this machine, and there is no unshare to hide it with";
    throw new BuildError("runtime", message, { help: "install util-linux, or runc" });
  }
  const hide = cgroups.layout === "none" ? "mount -t tmpfs none /sys/fs/cgroup" : "umount /sys/fs/cgroup/unified";
  return [unshare, "--mount", "--propagation", "private", "/bin/sh", "-c", `${hide} && exec "$@"`, "sh"];
}

/** Command and arguments of a runtime call, global options included. */
export function runtimeCommand(invocation: RuntimeInvocation, args: readonly string[]): readonly string[] {
  const { runtime, root, layout, isSystemdCgroup, disguise } = invocation;
  const cgroupOptions = [
    ...(isSystemdCgroup ? ["--systemd-cgroup"] : []),
    ...(runtime.name === "crun" && layout === "none" ? ["--cgroup-manager=disabled"] : []),
  ];
  return [...disguise, runtime.path, "--root", root, ...cgroupOptions, ...args];
}

/** Absolute path of a program; undefined where the search path has none. */
export function findProgram(name: string, searchPath: string): string | undefined {
  return searchPath
    .split(":")
    .filter((folder) => folder.startsWith("/"))
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

async function identify(path: string): Promise<Runtime> {
  const { exitCode, stdout, stderr } = await runProcess(path, ["--version"]).catch((error: unknown) => {
    throw new BuildError("runtime", `cannot start the OCI runtime ${path}`, { cause: error });
  });
  const [line = ""] = stdout.split("\n");
  if (exitCode !== 0)
    throw new BuildError("runtime", `${path} --version failed: ${stderr.trim().split("\n").at(-1) ?? ""}`);
  const [, name = "", version = line.trim()] = /^(\S+) version:? (\S+)/.exec(line) ?? [];
  return { name: name === "" ? path.slice(path.lastIndexOf("/") + 1) : name, path, version };
}
