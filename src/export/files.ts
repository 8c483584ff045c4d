// Outputs without an image: the root file system as a tar or in a directory of the user (reference E05, E06).
import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { joinRelative } from "../base/container-path.ts";
import { decodeName, hostPath } from "../base/file-name.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { makeDirectories } from "../base/make-directories.ts";
import { mkfifo, mknod, S_IFBLK, S_IFCHR, utimensNoFollow } from "../base/libc.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { Pace } from "../layer/pace.ts";
import { packLayer } from "../layer/pack.ts";
import { writeLayerXattrs } from "../layer/xattrs.ts";
import type { Entry } from "../tree/entry.ts";
import { arrayOf } from "../tree/sequence.ts";
import type { Tree } from "../tree/tree.ts";
import { exportFailure } from "./failure.ts";

export interface FilesOptions {
  /** SOURCE_DATE_EPOCH, seconds: every file gets this time. */
  readonly epoch?: number | undefined;
  /** The directory shall have nothing but the tree. */
  readonly isMirror?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** All entries of the tree but its root. */
async function allEntries(tree: Tree, epoch: number | undefined): Promise<readonly Entry[]> {
  const entries = arrayOf(await tree.walk("")).filter(({ path }) => path !== "");
  return epoch === undefined
    ? entries
    : entries.map((entry) => ({ ...entry, mtimeNs: BigInt(epoch) * 1_000_000_000n }));
}

/** The tree as one tar. */
export async function* treeTar(tree: Tree, { epoch, signal }: FilesOptions): AsyncGenerator<Uint8Array> {
  yield* packLayer(await allEntries(tree, epoch), { locate: (entry) => tree.locate(entry), signal });
}

/**
 * Copies the tree into `dest`, owned by who runs the build. Files that are there are replaced, others stay unless it is a mirror; a symlink that is there is never followed.
 * Devices and file capabilities need root and are left out without it. Fails with "export".
 */
export async function writeTree(
  tree: Tree,
  dest: string,
  { epoch, isMirror = false, signal }: FilesOptions,
): Promise<void> {
  const pace = new Pace({ signal });
  try {
    makeDirectories(dest);
    const folders: Entry[] = [];
    const entries = await allEntries(tree, epoch);
    for (const entry of entries) {
      if (pace.isDue()) await pace.rest();
      if (isMirror && entry.type !== "dir") removeDirectory(hostPath(`${dest}/${entry.path}`));
      await writeEntry(tree, entry, dest);
      if (entry.type === "dir") folders.push(entry);
    }
    // Last, so that whatever fails before has removed nothing.
    if (isMirror) removeOthers(dest, entries);
    // Deepest first: writing into a directory changes its time, and its mode may forbid it.
    for (const entry of folders.reverse()) describe(entry, hostPath(`${dest}/${entry.path}`));
  } catch (error) {
    throw exportFailure(error, `cannot write to ${dest}`);
  }
}

function removeDirectory(path: string | Buffer): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) rmSync(path, { recursive: true });
}

/** Removes what is in `dest` and not among `entries`. Directories that stay are writable at this time. */
function removeOthers(dest: string, entries: readonly Entry[]): void {
  const kept = new Set(entries.map(({ path }) => path));
  for (const folder of ["", ...entries.flatMap(({ path, type }) => (type === "dir" ? path : []))]) {
    for (const name of readdirSync(hostPath(`${dest}/${folder}`), { encoding: "buffer" })) {
      const path = joinRelative(folder, decodeName(name));
      if (!kept.has(path)) rmSync(hostPath(`${dest}/${path}`), { recursive: true });
    }
  }
}

async function writeEntry(tree: Tree, entry: Entry, dest: string): Promise<void> {
  const path = hostPath(`${dest}/${entry.path}`);
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (entry.type === "dir") {
    if (there && !there.isDirectory()) rmSync(path);
    if (!there?.isDirectory()) mkdirSync(path, { mode: 0o700 });
    else chmodSync(path, there.mode | 0o700);
    return;
  }
  if (there?.isDirectory())
    throw new BuildError("export", `cannot overwrite directory ${dest}/${entry.path} with a file`, {
      help: "remove the directory, or choose an empty destination",
    });
  if (there) rmSync(path);
  if (entry.hardlink !== undefined) return linkSync(hostPath(`${dest}/${entry.hardlink}`), path);
  if (await makeObject(tree, entry, path)) describe(entry, path);
}

/** Makes what is no directory; false where this user may not. */
async function makeObject(tree: Tree, entry: Entry, path: string | Buffer): Promise<boolean> {
  switch (entry.type) {
    case "file": {
      const bytes = await tree.locate(entry);
      if (bytes.kind === "inline") writeFileSync(path, bytes.data, { flag: "wx" });
      else copyFileSync(hostPath(bytes.path), path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      // The copy has its source's owner.
      chownSync(path, process.geteuid!(), process.getegid!());
      return true;
    }
    case "symlink":
      symlinkSync(hostPath(entry.linkname ?? ""), path);
      return true;
    case "fifo":
      mkfifo(path, 0o600);
      return true;
    case "char":
    case "block":
      return makeDevice(entry, path);
    case "dir":
      return false;
  }
}

function makeDevice(entry: Entry, path: string | Buffer): boolean {
  try {
    mknod(path, (entry.type === "char" ? S_IFCHR : S_IFBLK) | 0o600, entry.devMajor ?? 0, entry.devMinor ?? 0);
    return true;
  } catch (error) {
    if (isErrno(error, "EPERM")) return false;
    throw error;
  }
}

/** Mode (whatever the umask), attributes and time. */
function describe(entry: Entry, path: string | Buffer): void {
  if (entry.type !== "symlink") chmodSync(path, entry.mode);
  writeLayerXattrs(path, entry.xattrs);
  utimensNoFollow(path, { mtimeNs: entry.mtimeNs });
}
