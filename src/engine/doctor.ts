// What works on this machine and what to do about the rest: each thing that a build needs is tried, not guessed.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mount, MNT_DETACH, umount } from "../base/libc.ts";
import { messageOf } from "../diagnostics/build-error.ts";

export interface Finding {
  readonly name: string;
  /** "degraded": builds run, with less. */
  readonly state: "good" | "degraded" | "bad";
  readonly detail: string;
  readonly remedy?: string;
}

export interface DoctorOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Looks at the machine; never fails, changes nothing that stays. */
export async function diagnoseMachine({ environment }: DoctorOptions): Promise<readonly Finding[]> {
  return [
    { name: "node", state: "good", detail: process.version },
    user(environment),
    overlay(),
    await runtime(environment),
    await network(environment),
    cgroups(),
  ];
}

function user(environment: DoctorOptions["environment"]): Finding {
  if (process.geteuid?.() === 0) return { name: "user", state: "good", detail: "root, or root of a user namespace" };
  const name = environment["USER"] ?? environment["LOGNAME"] ?? String(process.getuid?.());
  const ranges = ["/etc/subuid", "/etc/subgid"].map((path) => (existsSync(path) ? readFileSync(path, "utf8") : ""));
  const hasRanges = ranges.every((text) => text.split("\n").some((line) => line.startsWith(`${name}:`)));
  if (hasRanges) return { name: "user", state: "good", detail: `${name}, with subordinate ids for a user namespace` };
  const remedy = `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${name}`;
  return { name: "user", state: "bad", detail: `${name} has no ranges in /etc/subuid and /etc/subgid`, remedy };
}

function overlay(): Finding {
  if (process.geteuid?.() !== 0)
    return { name: "overlayfs", state: "good", detail: "tried inside the user namespace when a build starts" };
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-doctor-"));
  try {
    // An overlay cannot lie on every file system, so it is tried on one that is surely fit.
    mount("tmpfs", folder, "tmpfs", 0, "");
    for (const name of ["l", "u", "w", "m"]) mkdirSync(join(folder, name));
    mount("overlay", join(folder, "m"), "overlay", 0, `lowerdir=${folder}/l,upperdir=${folder}/u,workdir=${folder}/w`);
    umount(join(folder, "m"), MNT_DETACH);
    return { name: "overlayfs", state: "good", detail: "mounts" };
  } catch (error) {
    return {
      name: "overlayfs",
      state: "bad",
      detail: messageOf(error),
      remedy:
        "run with the right to mount (CAP_SYS_ADMIN, seccomp and AppArmor unconfined), and load the module: modprobe overlay",
    };
  } finally {
    try {
      umount(folder, MNT_DETACH);
    } catch {
      // It was not mounted.
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runtime(environment: DoctorOptions["environment"]): Promise<Finding> {
  const found = await firstThatRuns([environment["TSBUILD_OCI_RUNTIME"] ?? "", "crun", "runc"], environment);
  if (found) return { name: "OCI runtime", state: "good", detail: found };
  return {
    name: "OCI runtime",
    state: "bad",
    detail: "neither crun nor runc is installed",
    remedy: "apt-get install crun runc (or the same by another package manager)",
  };
}

async function network(environment: DoctorOptions["environment"]): Promise<Finding> {
  const found = await firstThatRuns(["pasta", "slirp4netns"], environment);
  if (found) return { name: "private network", state: "good", detail: found };
  return {
    name: "private network",
    state: "degraded",
    detail: "neither pasta nor slirp4netns is installed: RUN uses the host's network",
    remedy: "apt-get install passt",
  };
}

function cgroups(): Finding {
  const hasV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
  if (hasV2) return { name: "cgroups", state: "good", detail: "v2" };
  const hasV1 = existsSync("/sys/fs/cgroup/memory");
  return hasV1
    ? { name: "cgroups", state: "good", detail: "v1" }
    : {
        name: "cgroups",
        state: "degraded",
        detail: "not mounted: limits do not work and an out-of-memory kill cannot be named",
      };
}

async function firstThatRuns(
  names: readonly string[],
  environment: DoctorOptions["environment"],
): Promise<string | undefined> {
  for (const name of names.filter((candidate) => candidate !== "")) {
    try {
      const { runProcess } = await import("../base/process.ts");
      const { exitCode, stdout } = await runProcess(name, ["--version"], { env: environment });
      if (exitCode === 0) return stdout.split("\n")[0]!.trim();
    } catch {
      // Not installed.
    }
  }
  return undefined;
}
