// Building without root (reference S70, S71): the process becomes root of a user namespace of its own by starting itself again under `unshare`; from there on everything
// is done as by root. This file says how, and what is missing where it cannot work.
import { readFileSync } from "node:fs";
import { runProcess } from "../base/process.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { blocker, canRootAdministrate, UNCONFINED } from "./confinement.ts";
import { findProgram } from "./runtime.ts";

export interface RootlessOptions {
  /** The command to run again as root of the namespace. */
  readonly argv: readonly string[];
  readonly uid: number;
  /** Login name, for /etc/subuid. */
  readonly userName: string;
  readonly searchPath: string;
}

/** A container needs ids up to "nobody" and a few more. */
const WANTED_IDS = 65_536;

/**
 * The command line that runs `argv` as root of a new user and mount namespace, with the user's subordinate ids behind it. Replace this process by it.
 * Throws BuildError `runtime` that says what is missing.
 */
export async function rootlessCommand(options: RootlessOptions): Promise<readonly string[]> {
  const { argv, searchPath, userName, uid } = options;
  const unshare = findProgram("unshare", searchPath);
  if (unshare === undefined) throw missing("building without root needs unshare", "install util-linux");
  for (const program of ["newuidmap", "newgidmap"]) {
    if (findProgram(program, searchPath) !== undefined) continue;
    throw missing(
      `building without root needs ${program}`,
      "install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora, RHEL)",
    );
  }
  for (const file of ["/etc/subuid", "/etc/subgid"]) checkSubordinateIds(file, readText(file), userName, uid);
  checkKernel();
  if (!canRootAdministrate()) await tryNamespace(unshare);
  return [unshare, "--user", "--map-auto", "--map-root-user", "--mount", "--propagation", "private", "--", ...argv];
}

/** Makes such a namespace for nothing. Throws BuildError `runtime` that says why there can be none. */
export async function tryNamespace(unshare: string): Promise<void> {
  const { exitCode, stderr } = await runProcess(unshare, ["--user", "--map-auto", "--map-root-user", "true"]);
  if (exitCode === 0) return;
  const said = stderr.trim().split("\n").at(-1) ?? "";
  if (!/^new[ug]idmap: write to [ug]id_map failed/.test(said))
    throw missing(`unshare(CLONE_NEWUSER) is refused: ${blocker() ?? said}`, UNCONFINED);
  throw missing(
    `the subordinate ids cannot be used here: ${said}`,
    "where root lacks CAP_SYS_ADMIN some newuidmap work by file capabilities only; in the container's image, with libcap2-bin: " +
      "chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap && setcap cap_setuid+ep /usr/bin/newuidmap && setcap cap_setgid+ep /usr/bin/newgidmap",
  );
}

/** Throws unless `text` (of /etc/subuid or /etc/subgid) gives the user enough ids. */
export function checkSubordinateIds(file: string, text: string, userName: string, uid: number): void {
  const counts = text
    .split("\n")
    .map((line) => line.trim().split(":"))
    .filter(([who]) => who === userName || who === `${uid}`)
    .map(([, , count = "0"]) => Number(count));
  // unshare --map-auto takes the first range only.
  if ((counts[0] ?? 0) >= WANTED_IDS) return;
  const found = counts.length === 0 ? "no" : `only ${counts[0]}`;
  const flag = file.endsWith("subgid") ? "--add-subgids" : "--add-subuids";
  throw missing(
    `${userName} has ${found} subordinate ids in ${file}, and building without root needs ${WANTED_IDS}`,
    `usermod ${flag} 100000-165535 ${userName}`,
  );
}

function checkKernel(): void {
  const release = readText("/proc/sys/kernel/osrelease");
  const [major = 0, minor = 0] = release.split(".").map(Number);
  if (major < 5 || (major === 5 && minor < 11)) {
    throw missing(
      `building without root needs Linux 5.11 or newer, and this is ${release.trim()}`,
      "build as root, or use a newer kernel",
    );
  }
  const switches: readonly (readonly [string, string])[] = [
    ["/proc/sys/user/max_user_namespaces", "sysctl -w user.max_user_namespaces=15000"],
    ["/proc/sys/kernel/unprivileged_userns_clone", "sysctl -w kernel.unprivileged_userns_clone=1"],
  ];
  for (const [path, help] of switches) {
    if (readText(path).trim() === "0") throw missing(`user namespaces are switched off (${path} is 0)`, help);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function missing(message: string, help: string): BuildError {
  return new BuildError("runtime", message, { help });
}
