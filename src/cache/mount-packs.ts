// How a cache mount is cut into parts that travel one by one: neighbours in the tree together, and cut where the names say so, so that a changed file moves its own part only. Pure.
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { LayerEntry } from "../tree/entry.ts";

/** Some paths of a mount, each with everything that a layer tar needs: no link leads to another part. */
export interface MountPart {
  /** Equal parts of any machine have equal ids; times count, because build tools look at them. */
  readonly id: Digest;
  readonly entries: readonly LayerEntry[];
}

const MIN_SIZE = 1 << 20;
const MAX_SIZE = 32 << 20;
/** One name in so many ends a part that is large enough. */
const CUT_EVERY = 16;
/** What an entry takes beside its bytes. */
const HEADER_SIZE = 1024;

/** Cuts sorted entries into parts. */
export function mountParts(entries: readonly LayerEntry[]): MountPart[] {
  const parts: MountPart[] = [];
  let part: LayerEntry[] = [];
  let names = new Set<string>();
  let size = 0;
  const close = (): void => {
    if (part.length > 0) parts.push({ id: partId(part), entries: part });
    [part, names, size] = [[], new Set(), 0];
  };
  for (const entry of entries) {
    const bytes = entry.type === "file" ? entry.size : 0;
    if (size > 0 && size + bytes > MAX_SIZE) close();
    part.push(unlinked(entry, names));
    names.add(entry.path);
    size += bytes + HEADER_SIZE;
    if (size >= MIN_SIZE && hashOf(entry.path) % CUT_EVERY === 0) close();
  }
  close();
  return parts;
}

/** A further name of a file in another part is a file of its own here. */
function unlinked(entry: LayerEntry, names: ReadonlySet<string>): LayerEntry {
  if (entry.type === "whiteout" || entry.hardlink === undefined || names.has(entry.hardlink)) return entry;
  const { hardlink: _, ...own } = entry;
  return own;
}

function partId(entries: readonly LayerEntry[]): Digest {
  return digestOfJson(
    entries.map((entry) => {
      if (entry.type === "whiteout") return [entry.path];
      const { path, type, mode, uid, gid, size, mtimeNs, sha256, linkname, hardlink, devMajor, devMinor } = entry;
      const xattrs = Object.entries(entry.xattrs ?? {}).map(([name, value]) => [
        name,
        Buffer.from(value).toString("hex"),
      ]);
      const fields = [sha256, linkname, hardlink, devMajor, devMinor].map((field) => field ?? null);
      return [path, type, mode, uid, gid, size, String(mtimeNs), ...fields, xattrs];
    }),
  );
}

/** FNV-1a: only has to be the same everywhere. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}
