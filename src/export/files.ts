// Outputs without an image: the root file system as a tar or in a directory of the user (reference E05, E06).
import { chmodSync, copyFileSync, linkSync, lstatSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { mkfifo, mknod, S_IFBLK, S_IFCHR, utimensNoFollow } from "../base/libc.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { packLayer } from "../layer/pack.ts";
import type { Entry } from "../tree/entry.ts";
import type { Tree } from "../tree/tree.ts";

/** All entries of the tree but its root. */
export async function allEntries(tree: Tree): Promise<readonly Entry[]> {
  return (await tree.walk("")).filter((entry) => entry.path !== "");
}

/** The tree as one tar. `clampToEpoch` in seconds. */
export async function* treeTar(
  tree: Tree,
  clampToEpoch: number | undefined,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  yield* packLayer(await allEntries(tree), {
    locate: (entry) => tree.locate(entry),
    ...(clampToEpoch === undefined ? {} : { clampMtime: clampToEpoch }),
    ...(signal ? { signal } : {}),
  });
}

/**
 * Copies the tree into `dest`, owned by who runs the build. Files that are there are replaced, others stay; a symlink that is there is never followed.
 * Devices need root and are left out without it.
 */
export async function writeTree(tree: Tree, dest: string, signal?: AbortSignal): Promise<void> {
  try {
    mkdirSync(dest, { recursive: true });
    const folders: Entry[] = [];
    for (const entry of await allEntries(tree)) {
      signal?.throwIfAborted();
      const path = join(dest, entry.path);
      await writeEntry(tree, entry, path, dest);
      if (entry.type === "dir") folders.push(entry);
      else if (entry.hardlink === undefined) utimensNoFollow(path, { mtimeNs: entry.mtimeNs });
    }
    for (const entry of folders.reverse()) {
      chmodSync(join(dest, entry.path), entry.mode);
      utimensNoFollow(join(dest, entry.path), { mtimeNs: entry.mtimeNs });
    }
  } catch (error) {
    if (error instanceof BuildError || signal?.aborted) throw error;
    throw new BuildError("export", `cannot write to ${dest}: ${messageOf(error)}`, { cause: error });
  }
}

async function writeEntry(tree: Tree, entry: Entry, path: string, dest: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (entry.type === "dir") {
    if (there && !there.isDirectory()) rmSync(path);
    if (!there?.isDirectory()) mkdirSync(path, { mode: 0o700 });
    else chmodSync(path, there.mode | 0o700);
    return;
  }
  if (there?.isDirectory())
    throw new BuildError("export", `cannot overwrite directory ${path} with a file`, {
      help: "choose an empty directory",
    });
  if (there) rmSync(path);
  if (entry.hardlink !== undefined) return linkSync(join(dest, entry.hardlink), path);
  switch (entry.type) {
    case "file": {
      const bytes = await tree.locate(entry);
      mkdirSync(dirname(path), { recursive: true });
      if (bytes.kind === "inline") writeFileSync(path, bytes.data);
      else copyFileSync(bytes.path, path);
      return chmodSync(path, entry.mode);
    }
    case "symlink":
      return symlinkSync(entry.linkname ?? "", path);
    case "fifo":
      return mkfifo(path, entry.mode);
    case "char":
    case "block":
      return makeDevice(entry, path);
  }
}

function makeDevice(entry: Entry, path: string): void {
  const type = entry.type === "char" ? S_IFCHR : S_IFBLK;
  try {
    mknod(path, type | entry.mode, entry.devMajor ?? 0, entry.devMinor ?? 0);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
  }
}
