// What a step's container is, as an OCI runtime spec. Pure: the same input gives the same spec; nothing here looks at the machine.
// Reference 6.1 (S01–S17), the insecure variant below it, and 6.5 (S70, S72).
import type { DeviceEdits } from "./cdi.ts";
import { capabilityNames, DEFAULT_CAPABILITIES } from "./capabilities.ts";
import type {
  RuntimeSpec,
  SpecCapabilities,
  SpecDevice,
  SpecDeviceRule,
  SpecMount,
  SpecNamespace,
  SpecResources,
  SpecRlimit,
} from "./runtime-spec.ts";
import { seccompProfile } from "./seccomp.ts";

/** Limits of one step. Sizes are bytes, times are microseconds. */
export interface StepResources {
  readonly memory?: number;
  /** Memory and swap together; -1 = unlimited. */
  readonly memorySwap?: number;
  readonly cpuShares?: number;
  readonly cpuQuota?: number;
  readonly cpuPeriod?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pidsLimit?: number;
}

export interface StepUlimit {
  /** `nofile`, `memlock`, … */
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** A mount that a step asked for, its source already made. */
export interface PreparedMount {
  readonly target: string;
  readonly source: string;
  readonly options: readonly string[];
  /** Undefined = bind. */
  readonly type?: "tmpfs";
}

export interface SpecInput {
  /** Absolute path of the mounted root file system. */
  readonly rootfs: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };
  readonly hostname: string;
  readonly security: "sandbox" | "insecure";
  /** "host", "none" (an empty namespace) or the path of a namespace that is there already. */
  readonly network: { readonly kind: "host" | "none" } | { readonly kind: "path"; readonly path: string };
  /** In the order in which they are mounted. */
  readonly mounts: readonly PreparedMount[];
  /** Undefined = none. */
  readonly devices?: DeviceEdits | undefined;
  readonly shmSize: number;
  readonly ulimits: readonly StepUlimit[];
  readonly resources: StepResources;
  /** Undefined = no cgroup of its own. */
  readonly cgroupsPath: string | undefined;
  readonly cgroups: "v1" | "v2" | "none";
  readonly isRootless: boolean;
  /** Whether the processes of the host stay visible, where a new /proc cannot be mounted (S72). */
  readonly processes: "private" | "host";
  /** What this process has and may give on. */
  readonly host: SpecHost;
}

export interface SpecHost {
  /** As in process.arch. */
  readonly arch: string;
  /** Bounding set, as /proc/self/status shows it. */
  readonly capabilities: string;
  /** Hard limit of open files. */
  readonly nofile: number;
  /** Number of loop devices. */
  readonly loopDevices: number;
}

/** Docker's and BuildKit's size of /dev/shm. */
export const DEFAULT_SHM_SIZE: number = 64 * 1024 * 1024;

const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

const READONLY_PATHS: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const DEFAULT_NOFILE = { type: "RLIMIT_NOFILE", soft: 1024, hard: 524_288 } as const;

const UMASK = 0o022;

/** The config.json of a step. */
export function runtimeSpec(input: SpecInput): RuntimeSpec {
  const { user, security } = input;
  const isInsecure = security === "insecure";
  const bounding = isInsecure ? capabilityNames(input.host.capabilities) : DEFAULT_CAPABILITIES;
  const seccomp = isInsecure ? undefined : seccompProfile(input.host.arch, bounding);
  const resources = resourcesOf(input);
  const isProcShared = input.processes === "host";
  const devices = [
    ...(isInsecure && !input.isRootless ? insecureDevices(input.host.loopDevices) : []),
    ...nodesOf(input),
  ];
  const hooks = hooksOf(input.devices?.hooks ?? []);
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { ...user, umask: UMASK, additionalGids: groupsOf(user, input.devices?.gids) },
      args: input.args,
      env: input.env,
      cwd: input.cwd,
      capabilities: capabilitySets(bounding, isInsecure, user.uid),
      rlimits: rlimitsOf(input),
      noNewPrivileges: false,
    },
    root: { path: input.rootfs, readonly: false },
    hostname: input.hostname,
    mounts: [...systemMounts(input), ...input.mounts.map(mountOf)],
    ...(hooks ? { hooks } : {}),
    linux: {
      namespaces: namespacesOf(input),
      ...(devices.length > 0 ? { devices } : {}),
      ...(resources ? { resources } : {}),
      ...(input.cgroupsPath === undefined ? {} : { cgroupsPath: input.cgroupsPath }),
      ...(seccomp ? { seccomp } : {}),
      maskedPaths: isInsecure || isProcShared ? [] : MASKED_PATHS,
      readonlyPaths: isInsecure || isProcShared ? [] : READONLY_PATHS,
    },
  };
}

/** S01: the bounding set is what setuid programs may reach; a user other than root starts with nothing. */
function capabilitySets(bounding: readonly string[], isInsecure: boolean, uid: number): SpecCapabilities {
  if (isInsecure)
    return { bounding, effective: bounding, inheritable: bounding, permitted: bounding, ambient: bounding };
  const held = uid === 0 ? bounding : [];
  return { bounding, effective: held, inheritable: [], permitted: held, ambient: [] };
}

/** The primary group is listed among the others too, as containerd does, so that giving up group membership gains nothing. */
function groupsOf(user: SpecInput["user"], ofDevices: readonly number[] = []): readonly number[] {
  return [...new Set([user.gid, ...user.additionalGids, ...ofDevices])];
}

/** Nodes of the step's devices: its user's, where their files say nothing else. */
function nodesOf({ devices, user }: SpecInput): readonly SpecDevice[] {
  return (devices?.nodes ?? []).map(({ access: _access, uid = user.uid, gid = user.gid, ...node }) => {
    return { ...node, uid, gid };
  });
}

function hooksOf(hooks: DeviceEdits["hooks"]): RuntimeSpec["hooks"] {
  if (hooks.length === 0) return undefined;
  const byName = Object.groupBy(hooks, ({ hookName }) => hookName);
  return Object.fromEntries(
    Object.entries(byName).map(([name, list]) => [name, (list ?? []).map(({ hookName: _name, ...hook }) => hook)]),
  );
}

/** Without CAP_SYS_RESOURCE over the machine a hard limit can only go down, so steps get what there is. */
function rlimitsOf(input: SpecInput): readonly SpecRlimit[] {
  const asked = input.ulimits.map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard }));
  if (asked.some(({ type }) => type === DEFAULT_NOFILE.type)) return asked;
  const canRaise = !input.isRootless && capabilityNames(input.host.capabilities).includes("CAP_SYS_RESOURCE");
  const hard = canRaise ? DEFAULT_NOFILE.hard : Math.min(DEFAULT_NOFILE.hard, input.host.nofile);
  return [...asked, { ...DEFAULT_NOFILE, soft: Math.min(DEFAULT_NOFILE.soft, hard), hard }];
}

/** S03. */
function namespacesOf(input: SpecInput): readonly SpecNamespace[] {
  const { network } = input;
  return [
    ...(input.processes === "private" ? [{ type: "pid" as const }] : []),
    { type: "ipc" },
    { type: "uts" },
    { type: "mount" },
    ...(network.kind === "none" ? [{ type: "network" as const }] : []),
    ...(network.kind === "path" ? [{ type: "network" as const, path: network.path }] : []),
    ...(input.cgroups === "v2" ? [{ type: "cgroup" as const }] : []),
  ];
}

/** S06. Rootless (S70): a new sysfs or cgroup file system needs rights over the machine, so /sys stays empty. */
function systemMounts(input: SpecInput): readonly SpecMount[] {
  const access = input.security === "insecure" ? "rw" : "ro";
  const proc: SpecMount =
    input.processes === "host"
      ? { destination: "/proc", type: "bind", source: "/proc", options: ["rbind"] }
      : { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] };
  const hidden = ["nosuid", "noexec", "nodev"];
  const shmOptions = [...hidden, "mode=1777", `size=${input.shmSize}`];
  const ptsOptions = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
  const sys: readonly SpecMount[] = [
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...hidden, access] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...hidden, "relatime", access] },
  ];
  return [
    proc,
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: ptsOptions },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: shmOptions },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: hidden },
    ...(input.isRootless ? [] : sys.slice(0, input.cgroups === "none" ? 1 : 2)),
  ];
}

function mountOf({ target, source, options, type }: PreparedMount): SpecMount {
  if (type !== undefined) return { destination: target, type, source, options };
  return { destination: target, type: "bind", source, options: ["rbind", "rprivate", ...options] };
}

function resourcesOf(input: SpecInput): SpecResources | undefined {
  if (input.cgroupsPath === undefined) return undefined;
  const { memory, memorySwap, cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems, pidsLimit } = input.resources;
  const cpu = {
    ...(cpuShares === undefined ? {} : { shares: cpuShares }),
    ...(cpuQuota === undefined ? {} : { quota: cpuQuota }),
    ...(cpuPeriod === undefined ? {} : { period: cpuPeriod }),
    ...(cpusetCpus === undefined ? {} : { cpus: cpusetCpus }),
    ...(cpusetMems === undefined ? {} : { mems: cpusetMems }),
  };
  const memoryLimits = {
    ...(memory === undefined ? {} : { limit: memory }),
    ...(memorySwap === undefined ? {} : { swap: memorySwap }),
  };
  return {
    devices: [...deviceRules(input.security), ...nodeRules(input)],
    ...(Object.keys(memoryLimits).length > 0 ? { memory: memoryLimits } : {}),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
    ...(pidsLimit === undefined ? {} : { pids: { limit: pidsLimit } }),
  };
}

/** S07: nothing but what every runtime allows by itself; insecure: everything. */
function deviceRules(security: SpecInput["security"]): readonly SpecDeviceRule[] {
  if (security === "insecure") return [{ allow: true, type: "a", access: "rwm" }];
  return [{ allow: false, access: "rwm" }];
}

/** The nodes of the step's devices may be opened as their files say. */
function nodeRules({ devices }: SpecInput): readonly SpecDeviceRule[] {
  return (devices?.nodes ?? []).flatMap(({ type, major, minor, access }): SpecDeviceRule[] =>
    type === "b" || type === "c" ? [{ allow: true, type, major, minor, access }] : [],
  );
}

function insecureDevices(loopDevices: number): readonly SpecDevice[] {
  const device = (path: string, type: "b" | "c", major: number, minor: number): SpecDevice => {
    return { path, type, major, minor, fileMode: 0o666, uid: 0, gid: 0 };
  };
  return [
    device("/dev/kmsg", "c", 1, 11),
    device("/dev/cuse", "c", 10, 203),
    device("/dev/fuse", "c", 10, 229),
    device("/dev/kvm", "c", 10, 232),
    device("/dev/net/tun", "c", 10, 200),
    device("/dev/loop-control", "c", 10, 237),
    // A few more than there are: `losetup -f` makes the kernel add one, but no node appears here for it.
    ...Array.from({ length: loopDevices + 7 }, (_none, index) => device(`/dev/loop${index}`, "b", 7, index)),
  ];
}
