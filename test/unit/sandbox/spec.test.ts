// The runtime spec row by row (reference 6.1, 6.5), for machines that this one is not: cgroup v2, rootless, arm64.
import { expect, test } from "vitest";
import { capabilityNames, DEFAULT_CAPABILITIES } from "../../../src/sandbox/capabilities.ts";
import type { RuntimeSpec, SpecMount } from "../../../src/sandbox/runtime-spec.ts";
import { runtimeSpec, type SpecInput } from "../../../src/sandbox/spec.ts";

const FULL = "000001ffffffffff";

const INPUT: SpecInput = {
  rootfs: "/scratch/rootfs",
  args: ["/bin/sh", "-c", "make"],
  env: ["PATH=/bin", "A=1"],
  cwd: "/src",
  user: { uid: 0, gid: 0, additionalGids: [10] },
  hostname: "buildkitsandbox",
  security: "sandbox",
  network: { kind: "none" },
  mounts: [],
  shmSize: 64 * 2 ** 20,
  ulimits: [],
  resources: {},
  cgroupsPath: "/tsbuild-1",
  cgroups: "v2",
  isRootless: false,
  processes: "private",
  host: { arch: "x64", capabilities: FULL, nofile: 2 ** 20, loopDevices: 2 },
};

const spec = (changes: Partial<SpecInput> = {}): RuntimeSpec => runtimeSpec({ ...INPUT, ...changes });
const mountAt = (of: RuntimeSpec, destination: string): SpecMount | undefined =>
  of.mounts.find((mount) => mount.destination === destination);
const namespaces = (of: RuntimeSpec): readonly string[] => of.linux.namespaces.map(({ type }) => type);

test("S01: fourteen capabilities are CapEff 00000000a80425fb; a user other than root holds none of them", () => {
  const { capabilities } = spec().process;
  expect(capabilities.effective).toEqual(DEFAULT_CAPABILITIES);
  expect(new Set(capabilityNames("00000000a80425fb"))).toEqual(new Set(DEFAULT_CAPABILITIES));
  expect([capabilities.inheritable, capabilities.ambient]).toEqual([[], []]);
  const user = spec({ user: { uid: 5, gid: 0, additionalGids: [] } }).process.capabilities;
  expect([user.effective, user.permitted, user.bounding]).toEqual([[], [], DEFAULT_CAPABILITIES]);
});

test("S02 R09 T25: setuid works, no terminal, umask 022", () => {
  const { process } = spec();
  expect([process.noNewPrivileges, process.terminal, process.user.umask]).toEqual([false, false, 0o022]);
});

test("S03 S50: namespaces; cgroup only on v2; the host's network is no namespace", () => {
  expect(namespaces(spec())).toEqual(["pid", "ipc", "uts", "mount", "network", "cgroup"]);
  expect(namespaces(spec({ cgroups: "v1", network: { kind: "host" } }))).toEqual(["pid", "ipc", "uts", "mount"]);
  expect(spec({ network: { kind: "path", path: "/n" } }).linux.namespaces).toContainEqual({
    type: "network",
    path: "/n",
  });
});

test("S04 S05: masked and read-only paths", () => {
  const { maskedPaths, readonlyPaths } = spec().linux;
  const below = (folder: string, names: string): string[] => names.split(" ").map((name) => `${folder}/${name}`);
  const proc = "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi";
  expect(maskedPaths).toEqual([...below("/proc", proc), ...below("/sys", "firmware devices/virtual/powercap")]);
  expect(readonlyPaths).toEqual(below("/proc", "bus fs irq sys sysrq-trigger"));
});

test("S06: file systems and their options; nothing on /run", () => {
  const made = spec({ shmSize: 4096 });
  expect(made.mounts.map((mount) => mount.destination)).toEqual([
    "/proc",
    "/dev",
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/sys",
    "/sys/fs/cgroup",
  ]);
  expect(mountAt(made, "/proc")?.options).toEqual(["nosuid", "noexec", "nodev"]);
  expect(mountAt(made, "/dev")?.options).toEqual(["nosuid", "strictatime", "mode=755", "size=65536k"]);
  expect(mountAt(made, "/dev/pts")?.options).toEqual(
    "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5".split(" "),
  );
  expect(mountAt(made, "/dev/shm")?.options).toEqual(["nosuid", "noexec", "nodev", "mode=1777", "size=4096"]);
  expect(mountAt(made, "/dev/mqueue")?.options).toEqual(["nosuid", "noexec", "nodev"]);
  expect([mountAt(made, "/sys")?.options, mountAt(made, "/sys/fs/cgroup")?.options]).toEqual([
    ["nosuid", "noexec", "nodev", "ro"],
    ["nosuid", "noexec", "nodev", "relatime", "ro"],
  ]);
  expect(made.mounts.map(({ type }) => type)).toEqual([
    "proc",
    "tmpfs",
    "devpts",
    "tmpfs",
    "mqueue",
    "sysfs",
    "cgroup",
  ]);
});

test("S07 S12: devices are denied, limits are passed on; without a cgroup of its own neither", () => {
  const limited = spec({
    resources: {
      memory: 100,
      memorySwap: -1,
      cpuShares: 2,
      cpuQuota: 3,
      cpuPeriod: 4,
      cpusetCpus: "0",
      cpusetMems: "0",
      pidsLimit: 9,
    },
  });
  expect(limited.linux.resources).toEqual({
    devices: [{ allow: false, access: "rwm" }],
    memory: { limit: 100, swap: -1 },
    cpu: { shares: 2, quota: 3, period: 4, cpus: "0", mems: "0" },
    pids: { limit: 9 },
  });
  expect(limited.linux.cgroupsPath).toBe("/tsbuild-1");
  const none = spec({ cgroupsPath: undefined, cgroups: "none" }).linux;
  expect([none.resources, none.cgroupsPath]).toEqual([undefined, undefined]);
});

test("S08, pain 28: open files are 1024:524288 unless asked for, never above what can be given", () => {
  const nofile = (changes: Partial<SpecInput>): unknown =>
    spec(changes).process.rlimits.find(({ type }) => type === "RLIMIT_NOFILE");
  const limit = (soft: number, hard: number) => ({ type: "RLIMIT_NOFILE", soft, hard });
  expect(spec().process.rlimits).toEqual([limit(1024, 524_288)]);
  expect(nofile({ host: { ...INPUT.host, nofile: 5 } })).toEqual(limit(1024, 524_288));
  expect(nofile({ isRootless: true, host: { ...INPUT.host, nofile: 4096 } })).toEqual(limit(1024, 4096));
  // Root without CAP_SYS_RESOURCE.
  expect(nofile({ host: { ...INPUT.host, capabilities: "000001fffeffffff", nofile: 500 } })).toEqual(limit(500, 500));
  expect(
    spec({
      ulimits: [
        { name: "nofile", soft: 1, hard: 2 },
        { name: "core", soft: 0, hard: 0 },
      ],
    }).process.rlimits,
  ).toEqual([limit(1, 2), { type: "RLIMIT_CORE", soft: 0, hard: 0 }]);
});

test("S09 S10 S11 O06: host name, environment, directory and groups as given; the primary group is one of them", () => {
  const { process, hostname } = spec();
  expect([hostname, process.env, process.cwd, process.args]).toEqual([
    "buildkitsandbox",
    INPUT.env,
    "/src",
    INPUT.args,
  ]);
  expect(process.user).toMatchObject({ uid: 0, gid: 0, additionalGids: [0, 10] });
});

test("insecure: everything this process may have, no filter, nothing hidden, devices; rootless without nodes", () => {
  const made = spec({ security: "insecure", host: { ...INPUT.host, capabilities: "0000000000000003" } });
  const all = ["CAP_CHOWN", "CAP_DAC_OVERRIDE"];
  expect(made.process.capabilities).toEqual({
    bounding: all,
    effective: all,
    inheritable: all,
    permitted: all,
    ambient: all,
  });
  expect([made.linux.seccomp, made.linux.maskedPaths, made.linux.readonlyPaths]).toEqual([undefined, [], []]);
  for (const path of ["/sys", "/sys/fs/cgroup"]) expect(mountAt(made, path)?.options).toContain("rw");
  expect(made.linux.resources?.devices).toEqual([{ allow: true, type: "a", access: "rwm" }]);
  expect(made.linux.devices?.map(({ path, type, major, minor }) => `${path} ${type} ${major}:${minor}`)).toEqual(
    [
      "kmsg c 1:11",
      "cuse c 10:203",
      "fuse c 10:229",
      "kvm c 10:232",
      "net/tun c 10:200",
      "loop-control c 10:237",
      ...Array.from({ length: 9 }, (_none, index) => `loop${index} b 7:${index}`),
    ].map((text) => `/dev/${text}`),
  );
  expect(new Set(made.linux.devices?.map(({ fileMode }) => fileMode))).toEqual(new Set([0o666]));
  expect(spec({ security: "insecure", isRootless: true }).linux.devices).toBeUndefined();
});

test("S70: rootless has no /sys mounts and no cgroup", () => {
  const made = spec({ isRootless: true, cgroups: "none", cgroupsPath: undefined });
  expect(made.mounts.some(({ destination }) => destination.startsWith("/sys"))).toBe(false);
  expect(namespaces(made)).not.toContain("cgroup");
});

test("S72: with the host's processes /proc is bound, and there is no pid namespace", () => {
  const made = spec({ processes: "host" });
  expect(mountAt(made, "/proc")).toEqual({ destination: "/proc", type: "bind", source: "/proc", options: ["rbind"] });
  expect(namespaces(made)).not.toContain("pid");
  expect([made.linux.maskedPaths, made.linux.readonlyPaths]).toEqual([[], []]);
});

test("mounts of the step come after the system's, in their order", () => {
  const made = spec({
    mounts: [
      { target: "/a", source: "/host/a", options: ["ro"] },
      { target: "/b", source: "tmpfs", type: "tmpfs", options: ["size=1"] },
    ],
  });
  expect(made.mounts.slice(-2)).toEqual([
    { destination: "/a", type: "bind", source: "/host/a", options: ["rbind", "rprivate", "ro"] },
    { destination: "/b", type: "tmpfs", source: "tmpfs", options: ["size=1"] },
  ]);
});

test("S14: no AppArmor profile and no SELinux label: a step is confined as tsbuild itself is", () => {
  for (const security of ["sandbox", "insecure"] as const) {
    const { process, linux } = spec({ security });
    expect(Object.keys(process)).not.toEqual(expect.arrayContaining(["apparmorProfile"]));
    expect([...Object.keys(process), ...Object.keys(linux)].filter((key) => /label|profile/i.test(key))).toEqual([]);
  }
});

test("R06: a device has its node, the right to open it, its groups and hooks; the node is the user's unless said otherwise", () => {
  const node = { path: "/dev/x", type: "c", major: 10, minor: 7, fileMode: 0o660, access: "rw" } as const;
  const devices = {
    env: [],
    nodes: [
      { ...node, uid: undefined, gid: undefined },
      { ...node, path: "/dev/p", type: "p", major: 0, minor: 0, uid: 1, gid: 2 },
    ],
    mounts: [],
    hooks: [{ hookName: "createContainer", path: "/bin/hook", args: ["hook", "a"] }],
    gids: [44],
  } as const;
  const made = spec({ devices, user: { uid: 5, gid: 6, additionalGids: [] } });
  expect(made.linux.devices?.map(({ path, uid, gid }) => [path, uid, gid])).toEqual([
    ["/dev/x", 5, 6],
    ["/dev/p", 1, 2],
  ]);
  expect(made.linux.resources?.devices).toEqual([
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 10, minor: 7, access: "rw" },
  ]);
  expect(made.process.user.additionalGids).toEqual([6, 44]);
  expect(made.hooks).toEqual({ createContainer: [{ path: "/bin/hook", args: ["hook", "a"] }] });
  expect([spec().hooks, spec().linux.devices]).toEqual([undefined, undefined]);
});
