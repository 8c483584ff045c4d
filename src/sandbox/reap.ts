// What a killed build leaves: containers, mounts and cgroups below a directory. The start-up sweep calls it for leases whose owner is dead.
import { readdirSync, readFileSync, type Dirent } from "node:fs";
import { join } from "node:path";
import { isErrno, writeFileAtomic } from "../base/fs-atomic.ts";
import { MNT_DETACH, umount, UMOUNT_NOFOLLOW } from "../base/libc.ts";
import { runProcess } from "../base/process.ts";
import { removeCgroups, thawCgroups } from "./cgroup.ts";
import { killStrays, type MountIdentity } from "./strays.ts";

/** What it takes to end a step from outside. */
export interface StepRecord {
  /** Command line that kills and removes the container, whatever state it is in. */
  readonly kill: readonly string[];
  /** As {@link removeCgroups} takes them. */
  readonly cgroups: readonly string[];
  /** Of a step without a process namespace: the root that its processes have. */
  readonly root?: MountIdentity;
}

const RECORD = "step.json";

/** Milliseconds that a runtime has for killing one container. */
const KILL_LIMIT_MS = 5000;

/** A step's scratch directory lies at most so deep below a lease. */
const MAX_DEPTH = 5;

/** Leaves in `scratchDir` what {@link reapLeftovers} needs, before anything is made that it would have to end; replaces what was left before. */
export function writeStepRecord(scratchDir: string, record: StepRecord): void {
  writeFileAtomic(join(scratchDir, RECORD), JSON.stringify(record), 0o600, "unsynced");
}

/**
 * Kills the containers of all steps below `dir`, unmounts everything below it and removes the steps' cgroups. Files stay; removing them is safe afterwards.
 * Must not be called while a living process has steps there.
 */
export async function reapLeftovers(dir: string): Promise<void> {
  const records = findRecords(dir, MAX_DEPTH);
  for (const { kill, cgroups, root } of records) {
    const [command, ...args] = kill;
    thawCgroups(cgroups);
    // A container that never was, or is gone, is an error to the runtime and fine here.
    const signal = AbortSignal.timeout(KILL_LIMIT_MS);
    if (command !== undefined) await runProcess(command, args, { graceMs: 0, signal }).catch(() => undefined);
    if (root !== undefined) await killStrays(root);
    removeCgroups(cgroups);
  }
  unmountBelow(dir);
}

function findRecords(dir: string, depth: number): readonly StepRecord[] {
  const entries = readEntries(dir);
  if (entries.some((entry) => entry.name === RECORD && entry.isFile())) return readRecord(join(dir, RECORD));
  if (depth === 0) return [];
  return entries
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => findRecords(join(dir, entry.name), depth - 1));
}

function readRecord(path: string): readonly StepRecord[] {
  try {
    return [JSON.parse(readFileSync(path, "utf8")) as StepRecord];
  } catch {
    // Killed while writing it: nothing was started yet.
    return [];
  }
}

function readEntries(dir: string): readonly Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Innermost first; a mount on top of another at the same place goes first. */
function unmountBelow(dir: string): void {
  for (const target of mountsBelow(dir).toReversed()) {
    try {
      umount(target, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (error) {
      // Gone with the one that it was on.
      if (!isErrno(error, "EINVAL") && !isErrno(error, "ENOENT")) throw error;
    }
  }
}

/** Mount points at or below `dir`, in the order in which they were mounted. */
export function mountsBelow(dir: string): readonly string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const targets = lines.map((line) => unescapeOctal(line.split(" ")[4] ?? ""));
  return targets.filter((target) => target === dir || target.startsWith(`${dir}/`));
}

/** The kernel writes space, tab, newline and backslash in mountinfo as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
