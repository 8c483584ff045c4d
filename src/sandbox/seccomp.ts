// The default seccomp profile as a section of the runtime spec (reference S30–S36). Which names: seccomp-syscalls.ts.
import type { SeccompRule, SpecSeccomp } from "./runtime-spec.ts";
import { allowedSyscalls } from "./seccomp-syscalls.ts";

const EPERM = 1;
const ENOSYS = 38;

/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}. */
const NAMESPACE_FLAGS = 0x7e02_0000;

const PERSONALITIES: readonly number[] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/** Address families are allowed below AF_ALG (kernel crypto), and by name above it; AF_VSOCK (40, the hypervisor) is not among them. */
const AF_ALG = 38;
const FAMILIES_ABOVE_ALG: readonly number[] = [39, 41, 42, 43, 44, 45];

/** Node's name of the architecture → the runtime's, with those that its kernels also run. */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  ppc64: ["SCMP_ARCH_PPC64LE"],
  s390x: ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
  riscv64: ["SCMP_ARCH_RISCV64"],
  loong64: ["SCMP_ARCH_LOONGARCH64"],
};

/** The profile for a process with these capabilities in its bounding set; undefined where the architecture has none. `arch` as in process.arch. */
export function seccompProfile(arch: string, capabilities: readonly string[]): SpecSeccomp | undefined {
  const architectures = ARCHITECTURES[arch];
  if (!architectures) return undefined;
  const allow = (names: readonly string[]): SeccompRule => ({ names, action: "SCMP_ACT_ALLOW" });
  const syscalls = [
    allow(allowedSyscalls(arch, capabilities)),
    ...socketRules(),
    ...PERSONALITIES.map((value) => ({
      ...allow(["personality"]),
      args: [{ index: 0, value, op: "SCMP_CMP_EQ" as const }],
    })),
    ...(capabilities.includes("CAP_SYS_ADMIN") ? [] : cloneRules(arch)),
  ];
  return { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: EPERM, architectures, syscalls };
}

/**
 * One comparison per rule: runtimes read several comparisons of one argument as alternatives. None is "greater than": the filter sees
 * 64 bits where the kernel looks at 32, so 2^32 + AF_ALG would pass it.
 */
function socketRules(): readonly SeccompRule[] {
  const rule = (value: number, op: "SCMP_CMP_LT" | "SCMP_CMP_EQ"): SeccompRule => ({
    names: ["socket"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value, op }],
  });
  return [rule(AF_ALG, "SCMP_CMP_LT"), ...FAMILIES_ABOVE_ALG.map((family) => rule(family, "SCMP_CMP_EQ"))];
}

function cloneRules(arch: string): readonly SeccompRule[] {
  // s390 takes the flags as its second argument.
  const index = arch === "s390x" ? 1 : 0;
  const args = [{ index, value: NAMESPACE_FLAGS, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" as const }];
  return [
    { names: ["clone"], action: "SCMP_ACT_ALLOW", args },
    // The flags of clone3 are behind a pointer: libcs take ENOSYS as "use clone".
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
  ];
}
