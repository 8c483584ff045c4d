// Whether two entries are one object, as far as a layer tells of it: what is equal below is no change (reference T07, trap T20).
import type { Entry } from "./entry.ts";

/** Everything but the name, the hard link, the place of the bytes, and the time of a directory, which is that of what it holds. Files that nobody has hashed are never the same. */
export function isSameObject(a: Entry, b: Entry): boolean {
  if (a.type !== b.type || a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false;
  if (a.type !== "dir" && a.mtimeNs !== b.mtimeNs) return false;
  if (a.type === "file" && (a.sha256 === undefined || a.size !== b.size || a.sha256 !== b.sha256)) return false;
  if (a.linkname !== b.linkname || a.devMajor !== b.devMajor || a.devMinor !== b.devMinor) return false;
  return isSameXattrs(a.xattrs ?? {}, b.xattrs ?? {});
}

function isSameXattrs(a: Readonly<Record<string, Uint8Array>>, b: Readonly<Record<string, Uint8Array>>): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => b[name] !== undefined && Buffer.compare(a[name]!, b[name]) === 0);
}
