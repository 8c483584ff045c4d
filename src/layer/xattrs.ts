// Which extended attributes a layer carries, and the ones overlayfs writes for itself (kernel Documentation/filesystems/overlayfs.rst).
// Deviation from BuildKit (T03), which keeps only file capabilities: `user.*` survives too.
import { lgetxattr, llistxattr, lsetxattr } from "../base/libc.ts";
import { isErrno } from "../base/fs-atomic.ts";

/** Where overlayfs keeps its own attributes: "user" for mounts made in a user namespace with `userxattr`, else "trusted". */
export type XattrNamespace = "trusted" | "user";

const CAPABILITY = "security.capability";

/**
 * Whether images carry this attribute. What belongs to this machine (overlay state, SELinux labels, ACLs of local ids, trusted.*) stays here.
 * So does a name with "=", which ends the keyword of a PAX record: readers would find another attribute.
 */
export function isLayerXattr(name: string): boolean {
  if (name === CAPABILITY) return true;
  if (name.includes("=")) return false;
  return name.startsWith("user.") && !name.startsWith("user.overlay.") && !name.startsWith("user.fuseoverlayfs.");
}

/** Values of those of `names` that images carry, sorted by name; undefined where none is. */
export function readLayerXattrs(
  path: string | Buffer,
  names: readonly string[],
): Readonly<Record<string, Uint8Array>> | undefined {
  const kept: Record<string, Uint8Array> = {};
  for (const name of names.filter(isLayerXattr).sort()) {
    const value = lgetxattr(path, name);
    if (value !== undefined) kept[name] = value;
  }
  return Object.keys(kept).length === 0 ? undefined : kept;
}

/** Sets attributes of a new file. A file system or a user namespace that cannot hold one is no failure (T16). */
export function writeLayerXattrs(
  path: string | Buffer,
  xattrs: Readonly<Record<string, Uint8Array>> | undefined,
): void {
  for (const [name, value] of Object.entries(xattrs ?? {})) {
    try {
      lsetxattr(path, name, value);
    } catch (error) {
      if (!isErrno(error, "ENOTSUP") && !isErrno(error, "EPERM")) throw error;
    }
  }
}

/** What overlayfs says about one object of an upper directory. */
export interface OverlayState {
  readonly isOpaque: boolean;
  readonly isWhiteout: boolean;
  /** Name of an attribute that makes the object meaningless without the layers below it. */
  readonly foreign?: string;
}

/** Reads overlayfs's own attributes from the names present at `path`. */
export function readOverlayState(
  path: string | Buffer,
  names: readonly string[],
  namespace: XattrNamespace,
): OverlayState {
  const prefix = `${namespace}.overlay.`;
  let [isOpaque, isWhiteout] = [false, false];
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const key = name.slice(prefix.length);
    if (key === "metacopy" || key === "redirect") return { isOpaque, isWhiteout, foreign: name };
    if (key === "whiteout") isWhiteout = true;
    // "x" means only that the directory may hold whiteouts made of attributes.
    if (key === "opaque") isOpaque = lgetxattr(path, name)?.[0] === "y".charCodeAt(0);
  }
  return { isOpaque, isWhiteout };
}

/** Makes the directory `path` hide what lower layers have in it. */
export function markOpaque(path: string | Buffer, namespace: XattrNamespace): void {
  lsetxattr(path, `${namespace}.overlay.opaque`, Buffer.from("y"));
}

/** Names of all attributes of `path`. */
export const listXattrs: (path: string | Buffer) => readonly string[] = llistxattr;
