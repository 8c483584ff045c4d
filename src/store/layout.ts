// Where the store keeps things, and what to say when the place is not usable. Design: architecture.md §4.
// Everything below the root is 0700: directory faces hold other people's setuid programs.
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { spreadChildren } from "../base/libc.ts";
import { makeDirectories } from "../base/make-directories.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";

export interface StorePaths {
  readonly root: string;
  /** An OCI image layout that any tool can read. */
  readonly content: string;
  /** `<id>/diff` and `<id>/entries`. */
  readonly layers: string;
  /** Indexes of local contexts; their format is the business of `source`. */
  readonly contexts: string;
  /** Downloads and git repositories that ADD and contexts read: `http/<id>`, `git/repositories/<id>`, `git/checkouts/<id>`; their format is the business of `source`. */
  readonly sources: string;
  /** Cache mounts: `<name>/data`, `<name>/lock`. */
  readonly mounts: string;
  /** `<build>/<step>.log`. */
  readonly logs: string;
  /** Half-written and half-removed things; the sweep empties it. */
  readonly tmp: string;
  readonly locks: string;
  /** `<id>/lock` and `<id>/tmp` of live builds. */
  readonly leases: string;
  /** Records of builds; made when one is written. */
  readonly builds: string;
  /** Lists of the files that steps saw, to explain their misses; made when one is written. */
  readonly fileLists: string;
  readonly database: string;
}

/** The paths of a store at `root` (absolute). Does no I/O. */
export function storePaths(root: string): StorePaths {
  return {
    root,
    content: join(root, "content"),
    layers: join(root, "layers"),
    contexts: join(root, "contexts"),
    sources: join(root, "sources"),
    mounts: join(root, "mounts"),
    logs: join(root, "logs"),
    tmp: join(root, "tmp"),
    locks: join(root, "locks"),
    leases: join(root, "leases"),
    builds: join(root, "builds"),
    fileLists: join(root, "file-lists"),
    database: join(root, "tsbuild.db"),
  };
}

/** `TSBUILD_ROOT`, else `/var/lib/tsbuild` for uid 0, else the XDG data directory; undefined where the environment names no home. */
export function defaultStoreRoot(
  environment: Readonly<Record<string, string | undefined>>,
  uid: number,
): string | undefined {
  const named = environment["TSBUILD_ROOT"];
  if (named !== undefined && named !== "") return named;
  if (uid === 0) return "/var/lib/tsbuild";
  const data = environment["XDG_DATA_HOME"];
  if (data !== undefined && data.startsWith("/")) return join(data, "tsbuild");
  const home = environment["HOME"];
  return home === undefined || home === "" ? undefined : join(home, ".local/share/tsbuild");
}

/** Makes what is missing of the store's directories. Fails with code "store". */
export function makeLayout(paths: StorePaths): void {
  try {
    makeDirectories(paths.root, 0o700);
    checkOwner(paths.root);
    const { content, layers, contexts, sources, mounts, logs, tmp, locks, leases } = paths;
    for (const folder of [content, layers, contexts, sources, mounts, logs, tmp, locks]) makeFolder(folder);
    if (makeFolder(leases)) spreadBuilds(leases);
    mkdirSync(join(content, "blobs", "sha256"), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw storeError(error, paths.root);
  }
}

/** False where it is there already. */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/**
 * Layers are born below a lease. ext4 does not use the inodes of removed files again for half a minute, and looks at each of them for every file that it makes nearby:
 * after a layer was removed, making the next one beside it takes four times as long as somewhere else.
 */
function spreadBuilds(leases: string): void {
  const fd = openSync(leases, "r");
  try {
    spreadChildren(fd);
  } finally {
    closeSync(fd);
  }
}

function checkOwner(root: string): void {
  const uid = process.geteuid?.() ?? 0;
  const owner = statSync(root).uid;
  if (uid === 0 || owner === uid) return;
  throw new BuildError("store", `the store at ${root} belongs to uid ${owner}, and this is uid ${uid}`, {
    help: "set TSBUILD_ROOT to a directory of your own",
  });
}

const REMEDIES: Readonly<Record<string, readonly [reason: string, help: string]>> = {
  ENOSPC: ["the disk is full", "free some space, with `tsbuild prune` for example"],
  EDQUOT: ["the disk quota is used up", "free some space, with `tsbuild prune` for example"],
  EACCES: ["permission denied", "set TSBUILD_ROOT to a directory that you can write to"],
  EPERM: ["operation not permitted", "set TSBUILD_ROOT to a directory that you can write to"],
  EROFS: ["the file system is read-only", "set TSBUILD_ROOT to a directory that you can write to"],
  ENOTDIR: ["a part of the path is not a directory", "set TSBUILD_ROOT to a directory"],
  EMFILE: ["too many open files", "raise the limit with `ulimit -n`"],
};

/** `error` as a failure of the store; errors that say more already stay as they are. */
export function storeError(error: unknown, root: string): unknown {
  if (error instanceof BuildError || !(error instanceof Error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) return error;
  const [reason, help] = REMEDIES[code] ?? [
    messageOf(error),
    "check the directory, or set TSBUILD_ROOT to another one",
  ];
  return new BuildError("store", `cannot write to the store at ${root}: ${reason}`, { cause: error, help });
}
