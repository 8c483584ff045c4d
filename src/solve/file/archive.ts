// ADD of an archive: its entries laid over the destination as `tar -x` does, with the destination as the root that no symlink leads out of (reference AD01, AD02).
import { baseName, joinRelative, parentPath } from "../../base/container-path.ts";
import { resolvePath, type PathLookup } from "../../rootfs/resolve.ts";
import type { Entry } from "../../tree/entry.ts";
import type { Tree } from "../../tree/tree.ts";
import { notADirectory, type Draft, type Inode, type Owner } from "./draft.ts";

/**
 * What an archive holds. `walk("")` gives its entries in the archive's order: a path may come again (the last wins), parents may be missing, the root's own entry
 * counts for nothing, and `hardlink` names an earlier path.
 */
export type ArchiveTree = Pick<Tree, "walk" | "locate">;

export interface UnpackOptions {
  readonly draft: Draft;
  /** Absolute path in the rootfs; becomes a directory. */
  readonly dest: string;
  /** --chown: owner of everything but directories that the archive does not name. */
  readonly owner: Owner | undefined;
  readonly signal: AbortSignal;
}

/** Lays the archive over `dest`. Fails with `source` where a file is in the way of a directory on the path to it. */
export async function unpackArchive(
  archive: ArchiveTree,
  { draft, dest, owner, signal }: UnpackOptions,
): Promise<void> {
  const root = (await resolvePath(draft, dest)).path;
  await draft.makeDirectories(root, owner, 0o755);
  const inside: PathLookup = { lstat: (path) => draft.lstat(joinRelative(root, path)) };
  const inodes = new Map<string, Inode>();
  for (const entry of await archive.walk("")) {
    signal.throwIfAborted();
    if (entry.path === "") continue;
    const parent = joinRelative(root, await makeParent(draft, inside, root, entry.path));
    const owned = { ...entry, ...owner };
    if (entry.type === "dir") {
      await layDirectory(draft, inside, root, owned);
      continue;
    }
    const path = joinRelative(parent, baseName(entry.path));
    const existing = await draft.lstat(path);
    if (existing?.type === "dir") await draft.clear(path);
    const inode = inodeOf(archive, entry, inodes);
    draft.put({ ...owned, path }, inode, existing?.type === "dir" ? undefined : existing);
  }
}

/** Path inside the destination of the directory that holds `path`; what is missing is made, root's but for the group in a setgid directory. */
async function makeParent(draft: Draft, inside: PathLookup, root: string, path: string): Promise<string> {
  const parent = await resolvePath(inside, parentPath(path));
  if (parent.blockedBy !== undefined) throw notADirectory("mkdir", joinRelative(root, parent.blockedBy));
  await draft.makeDirectories(joinRelative(root, parent.path), undefined, 0o755, "exact");
  return parent.path;
}

/** A directory keeps what is in the one that is there, also behind a symlink (T28), and replaces a file. */
async function layDirectory(draft: Draft, inside: PathLookup, root: string, entry: Entry): Promise<void> {
  const found = await resolvePath(inside, entry.path);
  const path = joinRelative(root, found.path);
  if (found.blockedBy !== undefined) throw notADirectory("mkdir", joinRelative(root, found.blockedBy));
  const existing = await draft.lstat(path);
  if (existing?.type !== "dir") {
    if (!existing) await draft.makeDirectories(parentPath(path), undefined, 0o755, "exact");
    draft.put({ ...entry, path }, undefined);
    return;
  }
  const { mode, uid, gid, mtimeNs } = entry;
  draft.setDirectory(existing, { mode, uid, gid, mtimeNs, xattrs: { ...existing.xattrs, ...entry.xattrs } });
}

function inodeOf(archive: ArchiveTree, entry: Entry, inodes: Map<string, Inode>): Inode {
  const linked = entry.hardlink === undefined ? undefined : inodes.get(entry.hardlink);
  const inode = linked ?? { entry, tree: archive };
  inodes.set(entry.path, inode);
  return inode;
}
