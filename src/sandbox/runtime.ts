// Which OCI runtime runs the steps, and its command lines (architecture §6): crun where it works, else runc, or what the user names.
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import { runProcess } from "../base/process.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { CgroupLayout } from "./cgroup.ts";

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
  /** Absolute path of util-linux' unshare, where the runtime must not see the v2 tree beside v1. */
  readonly unshare: string | undefined;
}

const INSTALL_HELP =
  "install crun (apt-get install crun, dnf install crun, apk add crun) or runc, or name another runtime with --runtime";

/** Finds and identifies the runtime. Throws BuildError `runtime` where there is none that works here. */
export async function chooseRuntime(
  wanted: string | undefined,
  searchPath: string,
  layout: CgroupLayout,
  isRootless: boolean,
): Promise<Runtime> {
  if (wanted !== undefined) {
    const path = wanted.includes("/") ? (isExecutable(wanted) ? wanted : undefined) : findProgram(wanted, searchPath);
    if (path === undefined) {
      const message = `there is no OCI runtime "${wanted}" in ${wanted.includes("/") ? "that place" : searchPath}`;
      throw new BuildError("runtime", message, { help: INSTALL_HELP });
    }
    return identify(path);
  }
  const crun = findProgram("crun", searchPath);
  const runc = findProgram("runc", searchPath);
  // A hybrid tree can be hidden from crun, but only by who may unmount a part of it.
  const isCrunUsable =
    crun !== undefined && (layout !== "hybrid" || (!isRootless && findProgram("unshare", searchPath) !== undefined));
  if (isCrunUsable) return identify(crun);
  if (runc !== undefined) return identify(runc);
  if (crun === undefined)
    throw new BuildError("runtime", "RUN needs an OCI runtime, and neither crun nor runc is installed", {
      help: INSTALL_HELP,
    });
  throw new BuildError(
    "runtime",
    "crun does not work with the hybrid cgroup layout of this machine, and runc is not installed",
    {
      help: "install runc, or boot with systemd.unified_cgroup_hierarchy=1",
    },
  );
}

/** Command and arguments of a runtime call, global options included. */
export function runtimeCommand(invocation: RuntimeInvocation, args: readonly string[]): readonly string[] {
  const { runtime, root, layout, isSystemdCgroup, unshare } = invocation;
  const isCrun = runtime.name === "crun";
  const cgroupOptions = [
    ...(isSystemdCgroup ? ["--systemd-cgroup"] : []),
    ...(isCrun && layout === "none" ? ["--cgroup-manager=disabled"] : []),
  ];
  const command = [runtime.path, "--root", root, ...cgroupOptions, ...args];
  if (unshare === undefined) return command;
  const script = 'umount /sys/fs/cgroup/unified; exec "$@"';
  return [unshare, "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", ...command];
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
