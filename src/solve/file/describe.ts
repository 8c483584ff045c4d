// Manifests in words: what a layer holds, one part per path, and how two of them differ. For explanations of cache misses, never for keys.
import type { LayerEntry } from "../../tree/entry.ts";
import type { KeyPart } from "../cache-key.ts";

/** Differences told in full; more are counted. */
const MAX_DIFFERENCES = 20;

/** What each path is: `file 0644 0:0 9f86d081884c`, `symlink 0:0 -> target`, `dir 0755 0:0`. */
export function describeManifest(entries: readonly LayerEntry[]): KeyPart[] {
  return entries.map((entry) => ({ name: `/${entry.path}`, value: describe(entry) }));
}

function describe(entry: LayerEntry): string {
  if (entry.type === "whiteout") return "whiteout";
  const owner = `${entry.uid}:${entry.gid}`;
  if (entry.type === "symlink") return `symlink ${owner} -> ${entry.linkname ?? ""}`;
  const base = `${entry.type} ${octal(entry.mode)} ${owner}`;
  if (entry.hardlink !== undefined) return `${base} = /${entry.hardlink}`;
  if (entry.type === "file") return `${base} ${entry.sha256?.slice(0, 12) ?? ""}`;
  return entry.type === "char" || entry.type === "block"
    ? `${base} ${entry.devMajor ?? 0},${entry.devMinor ?? 0}`
    : base;
}

/** What happened to each path, in words, sorted by path: "/a was added", "/b: mode 0644 -> 0755". */
export function diffManifests(before: readonly LayerEntry[], after: readonly LayerEntry[]): string[] {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const now = new Set(after.map((entry) => entry.path));
  const differences = after.flatMap((entry) => {
    const previous = old.get(entry.path);
    if (!previous) return [`/${entry.path} was added`];
    const changes = changesOf(previous, entry);
    return changes.length === 0 ? [] : [`/${entry.path}: ${changes.join(", ")}`];
  });
  for (const { path } of before) if (!now.has(path)) differences.push(`/${path} was removed`);
  if (differences.length <= MAX_DIFFERENCES) return differences;
  return [...differences.slice(0, MAX_DIFFERENCES), `and ${differences.length - MAX_DIFFERENCES} more`];
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
