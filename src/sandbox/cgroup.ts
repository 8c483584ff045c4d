// Control groups of steps: which layout this machine has, what a step's group says when it is over, and its removal. The groups themselves are
// made and limited by the OCI runtime. Reference S12, S13.
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isErrno, readFileIfExists } from "../base/fs-atomic.ts";

export const CGROUP_ROOT = "/sys/fs/cgroup";
const CGROUP2_MAGIC = 0x6367_7270;

/** What steps can be put into. `none`: nothing that can be written. */
export type CgroupLayout = "v1" | "v2" | "none";

export interface CgroupSupport {
  readonly layout: CgroupLayout;
  /** v1 controllers are mounted with a v2 tree beside them, which crun does not accept. */
  readonly isHybrid: boolean;
}

/** Where a step's group is, below the root of each hierarchy. */
export interface StepCgroup {
  /** For `linux.cgroupsPath`; undefined = the runtime is not to make one. */
  readonly specPath: string | undefined;
  /** Directories to remove afterwards, relative to each hierarchy, innermost first. */
  readonly directories: readonly string[];
  /** The group around the container's own: it outlives the container, so that its counters can be read. */
  readonly countedPath: string | undefined;
}

export interface OomVerdict {
  readonly oomKilled: boolean;
  readonly oomLimit?: number;
}

/** What a step took of the machine. */
export interface StepUsage {
  /** Milliseconds of processor time, of all its processes. */
  readonly cpuMs: number;
  /** Bytes; what the kernel keeps of files for it counts as well. Absent where memory is not counted per group. */
  readonly peakMemory?: number;
}

/** Looks at the mounted hierarchies; cheap. A process in a user namespace has no groups to give. */
export function detectCgroups(isRootless: boolean): CgroupSupport {
  const type = fileSystemType(CGROUP_ROOT);
  if (type === undefined) return { layout: "none", isHybrid: false };
  if (type === CGROUP2_MAGIC) return { layout: !isRootless && canWrite(CGROUP_ROOT) ? "v2" : "none", isHybrid: false };
  const isHybrid = fileSystemType(join(CGROUP_ROOT, "unified")) === CGROUP2_MAGIC;
  return { layout: !isRootless && canWrite(join(CGROUP_ROOT, "pids")) ? "v1" : "none", isHybrid };
}

/**
 * The group of step `id` below `parent` (a path, or `slice:prefix` for systemd; undefined = the root). The counters of the container's
 * own group are lost with it, so it gets one more group around it.
 */
export function stepCgroup(layout: CgroupLayout, id: string, parent: string | undefined): StepCgroup {
  if (layout === "none") return { specPath: undefined, directories: [], countedPath: undefined };
  if (parent?.includes(":")) {
    const [slice = "", prefix = ""] = parent.split(":");
    return { specPath: `${slice}:${prefix}:${id}`, directories: [], countedPath: undefined };
  }
  const outer = `${parent === undefined ? "" : `/${parent.replace(/^\/+|\/+$/g, "")}`}/${id}`;
  return { specPath: `${outer}/run`, directories: [`${outer}/run`, outer], countedPath: outer };
}

/** Undefined where groups are not ours to count in. Kernel Documentation/admin-guide: cgroup-v1/cpuacct.rst (ns), cgroup-v1/memory.rst, cgroup-v2.rst (µs). */
export function stepUsage(layout: CgroupLayout, { countedPath }: StepCgroup): StepUsage | undefined {
  if (countedPath === undefined) return undefined;
  const read = (hierarchy: string, name: string): string =>
    readFileIfExists(join(CGROUP_ROOT, hierarchy, countedPath, name))?.toString() ?? "";
  const [cpuMs, memory] =
    layout === "v2"
      ? [Number(/^usage_usec (\d+)$/m.exec(read("", "cpu.stat"))?.[1] ?? 0) / 1e3, read("", "memory.peak")]
      : [Number(read("cpuacct", "cpuacct.usage")) / 1e6, read("memory", "memory.max_usage_in_bytes")];
  return cpuMs > 0 ? { cpuMs: Math.ceil(cpuMs), ...(memory === "" ? {} : { peakMemory: Number(memory) }) } : undefined;
}

/** Number of processes that the kernel has killed for want of memory, on the whole machine. */
export function oomKillCount(): number {
  const line = /^oom_kill (\d+)$/m.exec(readFileIfExists("/proc/vmstat")?.toString() ?? "");
  return Number(line?.[1] ?? 0);
}

/** Whether the kernel killed something of a step that failed with `exitCode`. `killsBefore` is {@link oomKillCount} of when it began. */
export function oomVerdict(options: {
  readonly layout: CgroupLayout;
  readonly cgroup: StepCgroup;
  readonly exitCode: number;
  readonly limit: number | undefined;
  readonly killsBefore: number;
}): OomVerdict {
  const { layout, cgroup, exitCode, limit, killsBefore } = options;
  const killed = limit === undefined ? { oomKilled: true } : { oomKilled: true, oomLimit: limit };
  if (exitCode === 0 || oomKillCount() === killsBefore) return { oomKilled: false };
  if (layout === "v2" && cgroup.countedPath !== undefined) {
    const events = readFileIfExists(join(CGROUP_ROOT, cgroup.countedPath, "memory.events"))?.toString() ?? "";
    return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0) > 0 ? killed : { oomKilled: false };
  }
  // v1 counts kills in the container's own group, which is gone. What is left is the mark of the highest use, in the group around it.
  if (limit !== undefined && cgroup.countedPath !== undefined) {
    const highest = readFileIfExists(join(CGROUP_ROOT, "memory", cgroup.countedPath, "memory.max_usage_in_bytes"));
    return Number(highest?.toString() ?? 0) >= limit * 0.95 ? killed : { oomKilled: false };
  }
  return { oomKilled: exitCode === 128 + 9 };
}

/** Lets groups go on that a killed build was holding still (brake.ts): in a frozen v1 group not even SIGKILL works. */
export function thawCgroups(directories: readonly string[]): void {
  if (directories.length === 0) return;
  for (const hierarchy of hierarchies())
    for (const directory of directories) {
      const path = join(hierarchy, directory);
      if (existsSync(join(path, "freezer.state"))) writeFileSync(join(path, "freezer.state"), "THAWED");
      if (existsSync(join(path, "cgroup.freeze"))) writeFileSync(join(path, "cgroup.freeze"), "0");
    }
}

/** Kills what is left in a step's groups and removes them. */
export function removeCgroups(directories: readonly string[]): void {
  if (directories.length === 0) return;
  for (const hierarchy of hierarchies()) {
    for (const directory of directories) removeCgroup(join(hierarchy, directory));
  }
}

function removeCgroup(path: string): void {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      if (!isErrno(error, "EBUSY")) return;
      for (const pid of processesOf(path)) killQuietly(pid);
      // The kernel needs a moment to bury them.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4);
    }
  }
}

/** Process ids in a group, as seen from here. */
export function processesOf(path: string): readonly number[] {
  const text = readFileIfExists(join(path, "cgroup.procs"))?.toString() ?? "";
  return text.split("\n").filter(Boolean).map(Number);
}

export function killQuietly(pid: number): void {
  try {
    if (pid > 1) process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}

/** Mount points of the hierarchies. */
function hierarchies(): readonly string[] {
  const type = fileSystemType(CGROUP_ROOT);
  if (type === undefined) return [];
  if (type === CGROUP2_MAGIC) return [CGROUP_ROOT];
  return readdirSync(CGROUP_ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(CGROUP_ROOT, entry.name));
}

function fileSystemType(path: string): number | undefined {
  try {
    return statfsSync(path).type;
  } catch {
    return undefined;
  }
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    // Root passes the check above also on a read-only mount.
    return !/\bro\b/.test(mountOptionsOf(path));
  } catch {
    return false;
  }
}

function mountOptionsOf(path: string): string {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const fields = lines.map((line) => line.split(" ")).findLast((line) => line[4] === path);
  return fields?.[5] ?? "";
}
