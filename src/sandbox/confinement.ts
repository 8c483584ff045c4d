// What the container around this one forbids, as the kernel shows it.
import { readFileSync } from "node:fs";

/** What lets a container make namespaces and mounts of its own. */
export const UNCONFINED =
  "start the container around this with --security-opt seccomp=unconfined --security-opt apparmor=unconfined (Kubernetes: securityContext seccompProfile and appArmorProfile Unconfined)";

const CAP_SYS_ADMIN = 21n;

/** Who forbids what root may do; undefined where nothing shows. */
export function blocker(): string | undefined {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot && !hasAdministration("CapEff")) return "no CAP_SYS_ADMIN";
  const profile = readProfile();
  if (profile !== undefined) return `by the AppArmor profile ${profile}, or by a seccomp filter`;
  return statusOf("Seccomp") === "2" ? "by a seccomp filter" : undefined;
}

/** Whether a program that becomes root has the right to make mounts and namespaces: not so in most containers. */
export function canRootAdministrate(): boolean {
  return hasAdministration("CapBnd");
}

function hasAdministration(set: "CapEff" | "CapBnd"): boolean {
  return ((BigInt(`0x${statusOf(set)}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
}

function statusOf(field: string): string {
  const status = readFileSync("/proc/self/status", "utf8");
  return new RegExp(`^${field}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "0";
}

function readProfile(): string | undefined {
  try {
    const profile = readFileSync("/proc/self/attr/current", "utf8").replace(/\0|\n/g, "");
    return profile === "" || profile === "unconfined" ? undefined : profile;
  } catch {
    return undefined;
  }
}
