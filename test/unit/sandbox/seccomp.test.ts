// The default filter, rule by rule: reference S30–S36.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { DEFAULT_CAPABILITIES } from "../../../src/sandbox/capabilities.ts";
import type { SeccompArg } from "../../../src/sandbox/runtime-spec.ts";
import { seccompProfile } from "../../../src/sandbox/seccomp.ts";

const matches = ({ op, value, valueTwo = 0 }: SeccompArg, argument: number): boolean => {
  if (op === "SCMP_CMP_LT") return argument < value;
  if (op === "SCMP_CMP_EQ") return argument === value;
  return (BigInt(argument) & BigInt(value)) === BigInt(valueTwo);
};

/** What the filter does with a call: "allow", or the error number. */
function verdict(
  name: string,
  argument = 0,
  capabilities: readonly string[] = DEFAULT_CAPABILITIES,
  arch = "x64",
): number | "allow" {
  const profile = seccompProfile(arch, capabilities)!;
  const rules = profile.syscalls.filter((rule) => rule.names.includes(name));
  const hit = rules.find(({ args = [] }) => args.every((arg) => matches(arg, argument)));
  if (!hit) return profile.defaultErrnoRet;
  return hit.action === "SCMP_ACT_ALLOW" ? "allow" : (hit.errnoRet ?? profile.defaultErrnoRet);
}

test("S30: every address family but AF_ALG and AF_VSOCK, also when the upper half of the register says otherwise", () => {
  const denied = Array.from({ length: 46 }, (_none, family) => family).filter(
    (family) => verdict("socket", family) !== "allow",
  );
  expect(denied).toEqual([38, 40]);
  expect(verdict("socket", 2 ** 32 + 38)).toBe(1);
  expect(verdict("socket", 46)).toBe(1);
});

test("S31: five personalities", () => {
  const rules = seccompProfile("x64", DEFAULT_CAPABILITIES)!.syscalls.filter(({ names }) =>
    names.includes("personality"),
  );
  const allowed = [0, 8, 0x20000, 0x20008, 0xffff_ffff];
  expect(rules).toEqual(
    allowed.map((value) => ({
      names: ["personality"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
    })),
  );
});

test("S32: clone without new namespaces, clone3 is not there; with CAP_SYS_ADMIN both", () => {
  expect([
    verdict("clone", 0x11),
    verdict("clone", 0x10000000),
    verdict("clone", 0x2000000),
    verdict("clone3"),
  ]).toEqual(["allow", 1, 1, 38]);
  // CLONE_NEWNS, UTS, IPC, USER, PID, NET, CGROUP: each by itself.
  const flags = [0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x2000000];
  expect(flags.map((flag) => verdict("clone", flag))).toEqual(flags.map(() => 1));
  const admin = [...DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"];
  expect([verdict("clone", 0x10000000, admin), verdict("clone3", 0, admin)]).toEqual(["allow", "allow"]);
  // One rule each: runtimes refuse a filter that says two things of one call.
  const rules = seccompProfile("x64", admin)!.syscalls.flatMap(({ names }) => names);
  expect(rules.filter((name) => name === "clone" || name === "clone3")).toEqual(["clone", "clone3"]);
});

/** Names that are allowed whatever their arguments. */
const allowedFor = (capabilities: readonly string[], arch = "x64"): string[] =>
  seccompProfile(arch, capabilities)!
    .syscalls.filter(({ action, args = [] }) => action === "SCMP_ACT_ALLOW" && args.length === 0)
    .flatMap(({ names }) => names)
    .toSorted();

test("S33 S34 S35: what docker's filter allows is allowed, and nothing else", () => {
  const { defaultAction, defaultErrnoRet } = seccompProfile("x64", DEFAULT_CAPABILITIES)!;
  expect([defaultAction, defaultErrnoRet]).toEqual(["SCMP_ACT_ERRNO", 1]);
  // The names in the filter of a RUN of docker 28 on x86-64, as its runtime got them.
  const recorded = readFileSync(join(import.meta.dirname, "../../../fixtures/sandbox/seccomp-allowed.txt"), "utf8");
  // A call of another architecture, which docker names everywhere.
  expect(allowedFor(DEFAULT_CAPABILITIES)).toEqual(
    recorded
      .trim()
      .split(/\s+/)
      .filter((name) => name !== "riscv_hwprobe"),
  );
});

test("S33 S34 S35: by capability, and what nobody may", () => {
  for (const name of ["ptrace", "process_vm_readv", "process_vm_writev", "chroot", "execve", "statx", "openat2"])
    expect(verdict(name)).toBe("allow");
  const gated = {
    CAP_SYS_ADMIN:
      "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    CAP_BPF: "bpf",
    CAP_SYSLOG: "syslog",
    CAP_PERFMON: "perf_event_open",
    CAP_SYS_BOOT: "reboot",
    CAP_SYS_CHROOT: "chroot",
    CAP_SYS_MODULE: "delete_module finit_module init_module",
    CAP_SYS_PACCT: "acct",
    CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise",
    CAP_SYS_RAWIO: "ioperm iopl",
    CAP_SYS_TIME: "clock_settime clock_settime64 settimeofday stime",
    CAP_SYS_TTY_CONFIG: "vhangup",
    CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    CAP_DAC_READ_SEARCH: "open_by_handle_at",
  };
  const always = new Set(allowedFor([]));
  for (const [capability, names] of Object.entries(gated)) {
    const added = allowedFor([capability]).filter((name) => !always.has(name));
    expect([capability, added.join(" ")]).toEqual([capability, names]);
  }
  const others = Object.keys(gated);
  const never =
    "keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register userfaultfd kexec_load kexec_file_load swapon swapoff nfsservctl pivot_root";
  for (const name of never.split(" ")) expect([name, verdict(name, 0, others)]).toEqual([name, 1]);
});

test("S36: architectures with what their kernels also run; calls of one architecture only there", () => {
  expect(seccompProfile("x64", [])?.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
  expect(seccompProfile("arm64", [])?.architectures).toEqual(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
  expect(seccompProfile("s390x", [])?.architectures).toEqual(["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]);
  expect(seccompProfile("ppc64", [])?.architectures).toEqual(["SCMP_ARCH_PPC64LE"]);
  expect(seccompProfile("riscv64", [])?.architectures).toEqual(["SCMP_ARCH_RISCV64"]);
  expect(seccompProfile("loong64", [])?.architectures).toEqual(["SCMP_ARCH_LOONGARCH64"]);
  expect(seccompProfile("mips", [])).toBeUndefined();
  expect([verdict("arch_prctl"), verdict("arch_prctl", 0, [], "arm64"), verdict("cacheflush", 0, [], "arm64")]).toEqual(
    ["allow", 1, "allow"],
  );
  expect(seccompProfile("s390x", [])?.syscalls.find(({ names }) => names.includes("clone"))?.args?.[0]?.index).toBe(1);
});
