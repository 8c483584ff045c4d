// Directories of paths that people gave.
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno } from "./fs-atomic.ts";

/** Makes `path` and what is missing above it. Unlike node:fs with `recursive`, it ends where a directory takes no entries, as /proc. */
export function makeDirectories(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isErrno(error, "EEXIST") && statSync(path).isDirectory()) return;
    const parent = dirname(path);
    if (!isErrno(error, "ENOENT") || parent === path || isDirectory(parent)) throw error;
    makeDirectories(parent, mode);
    mkdirSync(path, { mode });
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
