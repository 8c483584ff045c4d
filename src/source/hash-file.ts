// Reads one file of a context: its sha256 and the extended attributes that images carry. Synchronous; used by the worker and, for a few files, inline.
// Which attributes: those of users and file capabilities. BuildKit's client sends all it can read and drops security.* and system.* from its digests; labels of the host (SELinux, ACLs, overlayfs) are no business of an image.
import { createHash, hash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { lgetxattr, llistxattr } from "../base/libc.ts";
import { isSameStamp, type FileStamp } from "./file-stamp.ts";

export type Xattrs = Readonly<Record<string, Uint8Array>>;

export interface HashedFile {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly xattrs?: Xattrs;
}

/** Bytes read at once. */
export const READ_SIZE: number = 256 * 1024;

/** Never follows a link, never waits for the other end of a pipe that has taken the file's place. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Hashes the regular file at `path` through `buffer` ({@link READ_SIZE} bytes). Undefined where it is, after the last byte was read, not in the state of `expected` any more:
 * then the bytes may be of two states. Throws the system's error.
 */
export function hashFile(path: string, expected: FileStamp, buffer: Buffer): HashedFile | undefined {
  const fd = openSync(path, OPEN_FLAGS);
  try {
    const sha256 = hashOpen(fd, buffer);
    if (!isSameStamp(fstatSync(fd, { bigint: true }), expected)) return undefined;
    const xattrs = readXattrs(path);
    return xattrs === undefined ? { sha256 } : { sha256, xattrs };
  } finally {
    closeSync(fd);
  }
}

function hashOpen(fd: number, buffer: Buffer): string {
  let length = readSync(fd, buffer, 0, buffer.length, -1);
  // One call for what fits: most files are small, and a hash object costs as much as hashing a kilobyte.
  if (length < buffer.length) return hash("sha256", buffer.subarray(0, length), "hex");
  const sha256 = createHash("sha256");
  for (; length > 0; length = readSync(fd, buffer, 0, buffer.length, -1)) sha256.update(buffer.subarray(0, length));
  return sha256.digest("hex");
}

/** The attributes of `path` that images carry; undefined where it has none. */
export function readXattrs(path: string): Xattrs | undefined {
  let found: Record<string, Uint8Array> | undefined;
  for (const name of llistxattr(path)) {
    if (!isCarried(name)) continue;
    const value = lgetxattr(path, name);
    if (value !== undefined) (found ??= {})[name] = value;
  }
  return found;
}

function isCarried(name: string): boolean {
  return name === "security.capability" || (name.startsWith("user.") && !name.startsWith("user.overlay."));
}
