// How two lists of entries differ, in words. For explanations of cache misses, never for keys.
import { comparePaths } from "../../base/container-path.ts";
import type { FileChange } from "../../progress/miss.ts";
import type { LayerEntry } from "../../tree/entry.ts";
import { arrayOf, type Sequence } from "../../tree/sequence.ts";

/** What happened to each path, in the order of `after`, then what is gone: `a` added, `b` mode 0644 -> 0755. Times do not count. */
export function diffEntries(before: Sequence<LayerEntry>, after: Sequence<LayerEntry>): FileChange[] {
  return diffSorted(before, after) ?? diffByPath(before, after);
}

/** Both lists side by side, so that of long ones nothing is kept; undefined where one is not in the order of layers. */
function diffSorted(before: Iterable<LayerEntry>, after: Iterable<LayerEntry>): FileChange[] | undefined {
  const changes: FileChange[] = [];
  const removed: FileChange[] = [];
  const [olds, news] = [inOrder(before), inOrder(after)];
  let [was, is]: Next[] = [olds.next(), news.next()];
  while (was !== undefined || is !== undefined) {
    if (was === OUT_OF_ORDER || is === OUT_OF_ORDER) return undefined;
    const order = was && is ? comparePaths(was.path, is.path) : was ? -1 : 1;
    if (was && is && order === 0) pushChanges(changes, was, is);
    else if (was && order < 0) removed.push({ path: was.path, change: "removed" });
    else if (is) changes.push({ path: is.path, change: "added" });
    if (order <= 0) was = olds.next();
    if (order >= 0) is = news.next();
  }
  return [...changes, ...removed];
}

const OUT_OF_ORDER: unique symbol = Symbol("out of order");
type Next = LayerEntry | typeof OUT_OF_ORDER | undefined;

/** The entries one by one, as long as each path comes after the one before. */
function inOrder(entries: Iterable<LayerEntry>): { next(): Next } {
  const iterator = entries[Symbol.iterator]();
  let last: string | undefined;
  return {
    next() {
      const next = iterator.next();
      if (next.done === true) return undefined;
      const { path } = next.value;
      if (last !== undefined && comparePaths(last, path) >= 0) return OUT_OF_ORDER;
      last = path;
      return next.value;
    },
  };
}

function diffByPath(before: Sequence<LayerEntry>, after: Sequence<LayerEntry>): FileChange[] {
  const old = new Map(arrayOf(before).map((entry) => [entry.path, entry]));
  const now = new Set(arrayOf(after).map((entry) => entry.path));
  const changes: FileChange[] = [];
  for (const entry of after) {
    const previous = old.get(entry.path);
    if (previous) pushChanges(changes, previous, entry);
    else changes.push({ path: entry.path, change: "added" });
  }
  for (const { path } of before) if (!now.has(path)) changes.push({ path, change: "removed" });
  return changes;
}

function pushChanges(changes: FileChange[], previous: LayerEntry, entry: LayerEntry): void {
  const found = changesOf(previous, entry);
  if (found.length > 0) changes.push({ path: entry.path, change: found.join(", ") });
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
