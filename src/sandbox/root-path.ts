// Paths inside a root file system that is mounted or lies in a directory: symbolic links are followed as if the root were "/", so nothing
// leads out of it. Only safe while nothing else changes the tree: before a step starts, after it has ended.
import { lstatSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../base/fs-atomic.ts";

/** Where a path leads. */
export interface RootPath {
  /** Existing part, relative to the root, free of links and dots; "" = the root itself. */
  readonly existing: string;
  /** Names below it that do not exist, in order. */
  readonly missing: readonly string[];
  /** What `existing` is. */
  readonly stats: Stats;
}

/** As the Linux kernel has for one path. */
const MAX_LINKS = 40;

/** Resolves `path` below `root`; the last element is followed too. Throws ENOTDIR where a file is in the way and ELOOP where links run in circles. */
export function resolveInRoot(root: string, path: string): RootPath {
  const pending = path.split("/").reverse();
  const existing: string[] = [];
  const missing: string[] = [];
  let stats = lstatSync(root);
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (missing.pop() === undefined) existing.pop();
      stats = lstatSync(join(root, ...existing));
      continue;
    }
    const found = missing.length > 0 ? undefined : lstatIfExists(join(root, ...existing, name));
    if (!found) {
      if (!stats.isDirectory()) throw pathError("ENOTDIR", `/${existing.join("/")}: not a directory`);
      missing.push(name);
    } else if (found.isSymbolicLink()) {
      if (++links > MAX_LINKS) throw pathError("ELOOP", `${path}: too many levels of symbolic links`);
      const target = readlinkSync(join(root, ...existing, name));
      if (target.startsWith("/")) {
        existing.length = 0;
        stats = lstatSync(root);
      }
      pending.push(...target.split("/").reverse());
    } else {
      existing.push(name);
      stats = found;
    }
  }
  return { existing: existing.join("/"), missing, stats };
}

function lstatIfExists(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

function pathError(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code });
}
