// The default filter, rule by rule: reference S30–S36.
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
});

test("S31: five personalities", () => {
  for (const value of [0, 8, 0x20000, 0x20008, 0xffff_ffff]) expect(verdict("personality", value)).toBe("allow");
  expect(verdict("personality", 0x40000)).toBe(1);
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
});

test("S33 S34 S35: by capability, and what nobody may", () => {
  for (const name of ["ptrace", "process_vm_readv", "process_vm_writev", "chroot", "execve", "statx", "openat2"])
    expect(verdict(name)).toBe("allow");
  const gated = {
    CAP_SYS_ADMIN:
      "bpf fanotify_init fsopen fsconfig fsmount fspick lookup_dcookie mount move_mount mount_setattr open_tree perf_event_open quotactl setdomainname sethostname setns syslog umount umount2 unshare",
    CAP_BPF: "bpf",
    CAP_SYSLOG: "syslog",
    CAP_PERFMON: "perf_event_open",
    CAP_SYS_BOOT: "reboot",
    CAP_SYS_MODULE: "delete_module init_module finit_module",
    CAP_SYS_PACCT: "acct",
    CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise",
    CAP_SYS_RAWIO: "iopl ioperm",
    CAP_SYS_TIME: "settimeofday stime clock_settime",
    CAP_SYS_TTY_CONFIG: "vhangup",
    CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    CAP_DAC_READ_SEARCH: "open_by_handle_at",
  };
  const others = Object.keys(gated);
  for (const [capability, names] of Object.entries(gated)) {
    for (const name of names.split(" "))
      expect([name, verdict(name), verdict(name, 0, [capability])]).toEqual([name, 1, "allow"]);
  }
  expect(verdict("chroot", 0, [])).toBe(1);
  const never =
    "keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register userfaultfd kexec_load kexec_file_load swapon swapoff nfsservctl pivot_root";
  for (const name of never.split(" ")) expect([name, verdict(name, 0, others)]).toEqual([name, 1]);
});

test("S36: architectures with what their kernels also run; calls of one architecture only there", () => {
  expect(seccompProfile("x64", [])?.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
  expect(seccompProfile("arm64", [])?.architectures).toEqual(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
  expect(seccompProfile("s390x", [])?.architectures).toEqual(["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]);
  expect(seccompProfile("riscv64", [])?.architectures).toEqual(["SCMP_ARCH_RISCV64"]);
  expect(seccompProfile("loong64", [])?.architectures).toEqual(["SCMP_ARCH_LOONGARCH64"]);
  expect(seccompProfile("mips", [])).toBeUndefined();
  expect([verdict("arch_prctl"), verdict("arch_prctl", 0, [], "arm64"), verdict("cacheflush", 0, [], "arm64")]).toEqual(
    ["allow", 1, "allow"],
  );
  expect(seccompProfile("s390x", [])?.syscalls.find(({ names }) => names.includes("clone"))?.args?.[0]?.index).toBe(1);
});
