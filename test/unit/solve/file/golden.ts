// Trees and layers as lines of text: `path type mode user:group [@mtime] [-> target | = first name | "content" | major,minor]`. Used by fixtures/copy and by hand.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { baseName, comparePaths, parentPath } from "../../../../src/base/container-path.ts";
import type { CopyAction, MkdirAction } from "../../../../src/graph/op.ts";
import { planCopy, type CopyOptions } from "../../../../src/solve/file/copy.ts";
import type { Entry, EntryType, FileBytes, LayerEntry } from "../../../../src/tree/entry.ts";
import type { Tree } from "../../../../src/tree/tree.ts";

const FOLDER = join(import.meta.dirname, "../../../../fixtures/copy");

export interface GoldenCase {
  readonly name: string;
  readonly rows: readonly string[];
  readonly dockerfile: string;
  readonly below?: readonly string[];
  readonly input?: readonly string[];
  readonly archives?: Readonly<Record<string, readonly string[]>>;
  readonly action: CopyAction | MkdirAction;
  readonly isLinked?: boolean;
  readonly expected?: readonly string[];
  readonly error?: string;
}

export function readGoldenCases(): GoldenCase[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  return names.sort().map((file) => {
    const text = readFileSync(join(FOLDER, file), "utf8");
    return { name: file.slice(0, -".json".length), ...(JSON.parse(text) as Omit<GoldenCase, "name">) };
  });
}

/** Entries of the layer of a COPY or ADD, files with the place of their bytes. */
export async function copyManifest(action: CopyAction, options: CopyOptions): Promise<LayerEntry[]> {
  const { entries, place } = await planCopy(action, options);
  const located = Array.from(entries, async (entry, index): Promise<LayerEntry> => {
    if (entry.type !== "file") return entry;
    return { ...entry, bytes: await place(index) };
  });
  return Promise.all(located);
}

const LINE = /^(\S*) (\w+) (\d+) (\d+):(\d+)(?: @(\d+))?(?: (.*))?$/su;

/** Entries of lines; links repeat what their first name says. */
export function parseEntries(lines: readonly string[]): Entry[] {
  const byPath = new Map<string, Entry>();
  return lines.map((line) => {
    const entry = parseLine(line, byPath);
    byPath.set(entry.path, entry);
    return entry;
  });
}

function parseLine(line: string, byPath: ReadonlyMap<string, Entry>): Entry {
  const match = LINE.exec(line);
  if (!match) throw new Error(`no entry: ${line}`);
  const [, path = "", type, mode = "", uid, gid, mtime = "0", rest = ""] = match;
  const entry: Entry = {
    path,
    type: type as EntryType,
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
    size: 0,
    mtimeNs: BigInt(mtime) * 1_000_000_000n,
  };
  if (type === "symlink") return { ...entry, linkname: rest.slice("-> ".length) };
  if (type === "char" || type === "block") {
    const [devMajor = 0, devMinor = 0] = rest.split(",").map(Number);
    return { ...entry, devMajor, devMinor };
  }
  if (type !== "file") return entry;
  if (rest.startsWith("= ")) {
    const hardlink = rest.slice(2);
    const { size, sha256, bytes } = byPath.get(hardlink)!;
    return { ...entry, hardlink, size, ...(sha256 && { sha256 }), ...(bytes && { bytes }) };
  }
  const data = Buffer.from(JSON.parse(rest) as string);
  const sha256 = createHash("sha256").update(data).digest("hex");
  return { ...entry, size: data.length, sha256, bytes: { kind: "inline", data } };
}

/** A line per entry, without times. */
export function formatEntries(entries: readonly LayerEntry[]): string[] {
  return entries.map((entry) => {
    if (entry.type === "whiteout") return `${entry.path} whiteout`;
    const base = `${entry.path} ${entry.type} ${entry.mode.toString(8).padStart(4, "0")} ${entry.uid}:${entry.gid}`;
    if (entry.type === "symlink") return `${base} -> ${entry.linkname}`;
    if (entry.hardlink !== undefined) return `${base} = ${entry.hardlink}`;
    if (entry.type === "char" || entry.type === "block") return `${base} ${entry.devMajor},${entry.devMinor}`;
    if (entry.type !== "file") return entry.opaque ? `${base} opaque` : base;
    const bytes = entry.bytes;
    return `${base} ${bytes?.kind === "inline" ? JSON.stringify(Buffer.from(bytes.data).toString()) : "?"}`;
  });
}

/** A tree that lives in a map: the plainest thing that keeps Tree's promises. */
export class MemoryTree implements Tree {
  readonly #entries: ReadonlyMap<string, Entry>;

  constructor(entries: readonly Entry[]) {
    const root: Entry = { path: "", type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n };
    this.#entries = new Map([["", root], ...entries.map((entry) => [entry.path, entry] as const)]);
  }

  lstat(path: string): Promise<Entry | undefined> {
    return Promise.resolve(this.#entries.get(path));
  }

  readdir(path: string): Promise<readonly string[]> {
    const inside = [...this.#entries.keys()].filter((other) => other !== "" && parentPath(other) === path);
    return Promise.resolve(inside.map(baseName).sort());
  }

  walk(start: string, keep: Parameters<Tree["walk"]>[1] = () => "keep"): Promise<readonly Entry[]> {
    const all = [...this.#entries.values()].sort((a, b) => comparePaths(a.path, b.path));
    const pruned: string[] = [];
    const kept = all.filter(({ path, type }) => {
      const isInside = start === "" || path === start || path.startsWith(`${start}/`);
      if (!isInside || pruned.some((prefix) => path.startsWith(prefix))) return false;
      const verdict = keep(path, type === "dir");
      if (verdict === "prune") pruned.push(`${path}/`);
      return verdict === "keep";
    });
    return Promise.resolve(kept);
  }

  locate(entry: Entry): Promise<FileBytes> {
    return Promise.resolve(entry.bytes ?? this.#entries.get(entry.path)!.bytes!);
  }
}
