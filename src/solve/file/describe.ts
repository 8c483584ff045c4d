// How two lists of entries differ, in words. For explanations of cache misses, never for keys.
import type { FileChange } from "../../progress/miss.ts";
import type { LayerEntry } from "../../tree/entry.ts";
import { arrayOf, type Sequence } from "../../tree/sequence.ts";

/** What happened to each path, in the order of `after`, then what is gone: `a` added, `b` mode 0644 -> 0755. Times do not count. */
export function diffEntries(before: Sequence<LayerEntry>, after: Sequence<LayerEntry>): FileChange[] {
  const old = new Map(arrayOf(before).map((entry) => [entry.path, entry]));
  const now = new Set(arrayOf(after).map((entry) => entry.path));
  const changes = arrayOf(after).flatMap((entry): FileChange[] => {
    const { path } = entry;
    const previous = old.get(path);
    if (!previous) return [{ path, change: "added" }];
    const found = changesOf(previous, entry);
    return found.length === 0 ? [] : [{ path, change: found.join(", ") }];
  });
  for (const { path } of before) if (!now.has(path)) changes.push({ path, change: "removed" });
  return changes;
}

function changesOf(a: LayerEntry, b: LayerEntry): string[] {
  if (a.type !== b.type || a.type === "whiteout" || b.type === "whiteout") {
    return a.type === b.type ? [] : [`${a.type} -> ${b.type}`];
  }
  const changes: string[] = [];
  const compare = (what: string, was: string, is: string): void => {
    if (was !== is) changes.push(`${what} ${was} -> ${is}`);
  };
  if (a.sha256 !== b.sha256)
    changes.push(a.size === b.size ? "content changed" : `content changed, ${a.size} -> ${b.size} bytes`);
  compare("mode", octal(a.mode), octal(b.mode));
  compare("owner", `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`);
  compare("target", a.linkname ?? "", b.linkname ?? "");
  compare("hard link to", a.hardlink ?? "nothing", b.hardlink ?? "nothing");
  compare("device", `${a.devMajor ?? 0},${a.devMinor ?? 0}`, `${b.devMajor ?? 0},${b.devMinor ?? 0}`);
  if (a.opaque !== b.opaque) changes.push(b.opaque ? "hides what is below" : "no longer hides what is below");
  if (xattrText(a.xattrs) !== xattrText(b.xattrs)) changes.push("extended attributes changed");
  return changes;
}

function xattrText(xattrs: Readonly<Record<string, Uint8Array>> = {}): string {
  const pairs = Object.entries(xattrs).map(([name, value]) => [name, Buffer.from(value).toString("base64")] as const);
  return JSON.stringify(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
