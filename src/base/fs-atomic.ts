// Files appear whole or not at all: temp in the same folder, fsync, rename, fsync of the folder. And the small questions that go with files that may not be there.
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { nowMs, randomName } from "./clock.ts";

/**
 * Replaces `path` by `data` so that every reader sees the old or the new bytes, also after a crash. With "unsynced" a crash may leave an empty or partial file:
 * for what carries its own checksum and can be made again.
 */
export function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  mode = 0o644,
  durability: "synced" | "unsynced" = "synced",
): void {
  replaceFile(path, mode, (fd) => {
    writeFileSync(fd, data);
    if (durability === "synced") fsyncSync(fd);
  });
  if (durability === "synced") syncFolder(dirname(path));
}

/** As {@link writeFileAtomic}, for a file of the user's: mode and owner stay as they are, and a link goes on being one. Fails where there is no file. */
export function rewriteFile(path: string, data: string | Uint8Array): void {
  const target = realpathSync(path);
  const { mode, uid, gid } = statSync(target);
  replaceFile(target, 0o600, (fd) => {
    const made = fstatSync(fd);
    if (made.uid !== uid || made.gid !== gid) fchownSync(fd, uid, gid);
    writeFileSync(fd, data);
    // last, because writing may take the set-user-id bits away
    fchmodSync(fd, mode & 0o7777);
    fsyncSync(fd);
  });
  syncFolder(dirname(target));
}

/** Replaces `path`, whose mode becomes `mode`, by what `fill` writes; readers see the old or the new bytes. Nothing is synced. */
export function replaceFile(path: string, mode: number, fill: (fd: number) => void): void {
  const temp = `${path}.${randomName(6)}.tmp`;
  try {
    const fd = openSync(temp, "wx", mode);
    try {
      fill(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temp, path);
  } catch (error) {
    rmSync(temp, { force: true });
    throw error;
  }
}

/** Makes renames into `folder` durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The file's bytes, or undefined where there is no such file. */
export function readFileIfExists(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Whether `error` is a system error with this code ("ENOENT", …). */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

/** Gives a directory the present time, so that it counts as used now; false where there is none. */
export function touchFolder(path: string): boolean {
  const seconds = nowMs() / 1000;
  try {
    utimesSync(path, seconds, seconds);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}
