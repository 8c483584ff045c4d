// What /proc says of a process that is not our child.
import { readFileSync } from "node:fs";

/** When it was started, in the kernel's ticks, while it runs: an id that is used again has another. Undefined where it has ended, reaped or not. */
export function startTimeOf(pid: number | string): string | undefined {
  const stat = readStat(pid);
  // After the name, which may hold anything: proc_pid_stat(5).
  const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return state === "Z" ? undefined : rest[18];
}

function readStat(pid: number | string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // Not there, or gone between opening and reading (ESRCH).
    return "";
  }
}
