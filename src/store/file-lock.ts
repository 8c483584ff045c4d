// One attempt at a flock(2) on a file that others may remove: the lock counts only while the name still means the file that was locked.
// Freed by closing the descriptor, so also when the process dies. Waiting is the business of locks.ts.
import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { isErrno } from "../base/fs-atomic.ts";
import { tryFlock } from "../base/libc.ts";

export type LockMode = "shared" | "exclusive";

/** The descriptor that holds the lock, or undefined where another holder is in the way. The file is created if it is missing; the caller closes. */
export function tryLock(path: string, mode: LockMode): number | undefined {
  for (;;) {
    const outcome = attempt(path, mode, constants.O_CREAT);
    if (outcome !== "stale") return outcome;
  }
}

/** As {@link tryLock}, for a file that exists; undefined also where it does not. */
export function tryLockExisting(path: string, mode: LockMode): number | undefined {
  try {
    const outcome = attempt(path, mode, 0);
    return outcome === "stale" ? undefined : outcome;
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

function attempt(path: string, mode: LockMode, flags: number): number | "stale" | undefined {
  const fd = openSync(path, constants.O_RDWR | flags, 0o600);
  let isHeld = false;
  try {
    if (!tryFlock(fd, mode)) return undefined;
    // The last holder may have removed the file between our open and our flock; then the next comer locks another file of this name.
    isHeld = statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
    return isHeld ? fd : "stale";
  } finally {
    if (!isHeld) closeSync(fd);
  }
}
