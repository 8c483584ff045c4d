// What the store takes on the disk, in allocated bytes as du counts them: hard links once, mounts not followed. Layers never change and are measured
// once; cache mounts are measured again when they were used since. Pain 3: the sum has to agree with du, so directories and the database count too.
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { isErrno } from "../base/fs-atomic.ts";
import { nowMs } from "../base/clock.ts";
import { TMP_DAMAGED, TMP_RESUME, type ContentStore } from "./content.ts";
import type { Database } from "./database.ts";
import type { StorePaths } from "./layout.ts";

/**
 * "record" = what builds were like and which files their steps saw, for `why`: of use, though nothing breaks without it.
 * "stray" = left over and of no use: what a lost database knew of, what was damaged, downloads that broke off. "temporary" = what live builds are at work on.
 * "other" = what else lies in the store's directory: settings, what the sandbox has compiled.
 */
export type UsageKind =
  "layer" | "blob" | "mount" | "context" | "source" | "log" | "record" | "stray" | "temporary" | "database" | "other";

/** Folders of sources that hold one thing per name. */
const SOURCE_FOLDERS = ["http", "git/repositories", "git/checkouts"] as const;

export interface UsageItem {
  readonly kind: UsageKind;
  /** Layer id, digest, name of the cache mount or of the file. */
  readonly id: string;
  /** What a person calls it: the instruction, the id of the cache mount. */
  readonly description: string;
  /** Allocated bytes. */
  readonly size: number;
  readonly createdMs: number;
  readonly lastUsedMs: number;
  readonly uses: number;
}

export interface DiskUsage {
  /** Allocated bytes of everything below the root. */
  readonly total: number;
  readonly items: readonly UsageItem[];
}

export interface UsageContext {
  readonly paths: StorePaths;
  readonly database: Database;
  readonly content: ContentStore;
}

const BATCH = 512;
const SLASH = Buffer.from("/");

/** Measures everything. Safe while builds run; what they write meanwhile may or may not be in the sum. */
export async function measureUsage(context: UsageContext): Promise<DiskUsage> {
  const { paths, content } = context;
  const items: UsageItem[] = [
    ...(await layerItems(context)),
    ...content.list().map((blob) => ({
      kind: "blob" as const,
      id: blob.digest,
      description: "",
      size: blob.diskSize,
      createdMs: blob.modifiedMs,
      lastUsedMs: blob.modifiedMs,
      uses: 0,
    })),
    ...(await mountItems(context)),
    ...(await fileItems("context", paths.contexts)),
    ...(await Promise.all(SOURCE_FOLDERS.map((name) => fileItems("source", join(paths.sources, name))))).flat(),
    ...(await fileItems("log", paths.logs)),
    ...(await fileItems("record", paths.builds)),
    ...(await fileItems("record", paths.fileLists)),
    ...(await fileItems("stray", paths.tmp, isLeftover)),
    ...(await fileItems("temporary", paths.tmp, (name) => !isLeftover(name))),
    ...(await fileItems("temporary", paths.leases)),
    ...(await fileItems("temporary", paths.locks)),
    ...databaseItems(paths),
    ...(await otherItems(paths)),
  ];
  const total = items.reduce((sum, item) => sum + item.size, folderSizes(paths));
  return { total, items };
}

/** Allocated bytes of a tree, itself included; 0 where it is absent. Stays in its file system. */
export async function measureTree(path: string): Promise<number> {
  const root = lstatIfExists(path);
  if (!root) return 0;
  const seen = new Set<string>();
  let total = 0;
  let count = 0;
  const add = async (stat: Stats, at: Buffer): Promise<void> => {
    if (stat.dev !== root.dev) return;
    if (stat.nlink > 1 && !stat.isDirectory()) {
      if (seen.has(`${stat.ino}`)) return;
      seen.add(`${stat.ino}`);
    }
    total += allocated(stat);
    if (++count % BATCH === 0) await setImmediate();
    if (!stat.isDirectory()) return;
    for (const name of namesIn(at)) {
      const child = Buffer.concat([at, SLASH, name]);
      const below = lstatIfExists(child);
      if (below) await add(below, child);
    }
  };
  await add(root, Buffer.from(path));
  return total;
}

async function layerItems(context: UsageContext): Promise<readonly UsageItem[]> {
  const { database, paths } = context;
  const rows = database.all<LayerRow>(
    "SELECT id, disk_size, has_dir, created_at, created_by, last_used_ms, uses FROM layers",
  );
  const items: UsageItem[] = [];
  const known = new Set<string>();
  for (const row of rows) {
    const folder = join(paths.layers, row.id);
    known.add(row.id);
    let size = row.has_dir === 1 ? row.disk_size : 0;
    if (size === null) {
      size = await measureTree(join(folder, "diff"));
      if (database.isWritable) database.run("UPDATE layers SET disk_size = ? WHERE id = ?", size, row.id);
    }
    items.push({
      kind: "layer",
      id: row.id,
      description: row.created_by,
      size: size + sizeOf(folder) + sizeOf(join(folder, "entries")),
      createdMs: row.last_used_ms,
      lastUsedMs: row.last_used_ms,
      uses: row.uses,
    });
  }
  // Directories that no row knows are of a database that was damaged: a new layer has its row before its directory.
  const strays = await fileItems("stray", paths.layers, (name) => !known.has(name));
  return [...items, ...strays];
}

interface LayerRow {
  readonly id: string;
  readonly disk_size: number | null;
  readonly has_dir: number;
  readonly created_by: string;
  readonly last_used_ms: number;
  readonly uses: number;
}

async function mountItems(context: UsageContext): Promise<readonly UsageItem[]> {
  const { database, paths } = context;
  const items: UsageItem[] = [];
  const known = new Set<string>();
  for (const row of database.all<MountRow>("SELECT * FROM mounts")) {
    known.add(row.name);
    let size = row.disk_size;
    if (size === null || row.measured_ms <= row.last_used_ms) {
      // The time before the walk: what is used during the walk is measured again.
      const measuredMs = nowMs();
      size = await measureTree(join(paths.mounts, row.name));
      const sql = "UPDATE mounts SET disk_size = ?, measured_ms = ? WHERE name = ?";
      if (database.isWritable) database.run(sql, size, measuredMs, row.name);
    }
    items.push({
      kind: "mount",
      id: row.name,
      description: row.cache_id,
      size,
      createdMs: row.created_ms,
      lastUsedMs: row.last_used_ms,
      uses: row.uses,
    });
  }
  return [...items, ...(await fileItems("stray", paths.mounts, (name) => !known.has(name)))];
}

interface MountRow {
  readonly name: string;
  readonly cache_id: string;
  readonly created_ms: number;
  readonly last_used_ms: number;
  readonly uses: number;
  readonly disk_size: number | null;
  readonly measured_ms: number;
}

/** One item for each name in `folder`. */
async function fileItems(
  kind: UsageKind,
  folder: string,
  isWanted: (name: string) => boolean = () => true,
): Promise<readonly UsageItem[]> {
  const items: UsageItem[] = [];
  for (const name of namesIn(Buffer.from(folder)).map((bytes) => bytes.toString())) {
    const path = join(folder, name);
    const stat = isWanted(name) ? lstatIfExists(path) : undefined;
    if (!stat) continue;
    const times = { createdMs: stat.birthtimeMs, lastUsedMs: stat.mtimeMs };
    items.push({ kind, id: path, description: name, size: await measureTree(path), uses: 0, ...times });
  }
  return items;
}

function isLeftover(name: string): boolean {
  return name.startsWith(TMP_RESUME) || name.startsWith(TMP_DAMAGED);
}

/** The database, its log and index, and damaged ones that were set aside. */
function databaseItems(paths: StorePaths): readonly UsageItem[] {
  return namesIn(Buffer.from(paths.root))
    .map((name) => name.toString())
    .filter((name) => name.startsWith("tsbuild.db"))
    .flatMap((name) => {
      const stat = lstatIfExists(join(paths.root, name));
      if (!stat) return [];
      const times = { createdMs: stat.birthtimeMs, lastUsedMs: stat.mtimeMs };
      const id = join(paths.root, name);
      const kind: UsageKind = name.includes(".damaged-") ? "stray" : "database";
      return [{ kind, id, description: name, size: allocated(stat), uses: 0, ...times }];
    });
}

/** What no other function here has counted. */
async function otherItems(paths: StorePaths): Promise<readonly UsageItem[]> {
  const { root, content, layers, contexts, sources, mounts, logs, builds, fileLists, tmp, locks, leases } = paths;
  const counted = new Set([content, layers, contexts, sources, mounts, logs, builds, fileLists, tmp, locks, leases]);
  const isOther = (name: string): boolean => !counted.has(join(root, name)) && !name.startsWith("tsbuild.db");
  return fileItems("other", root, isOther);
}

/** The store's own directories and the two files of the layout. */
function folderSizes(paths: StorePaths): number {
  const { root, content, layers, contexts, sources, mounts, logs, builds, fileLists, tmp, locks, leases } = paths;
  const blobs = join(content, "blobs");
  const kept = [sources, join(sources, "git"), ...SOURCE_FOLDERS.map((name) => join(sources, name))];
  const fixed = [root, content, layers, contexts, ...kept, mounts, logs, builds, fileLists, tmp, locks, leases, blobs];
  const algorithms = namesIn(Buffer.from(blobs)).map((name) => join(blobs, name.toString()));
  const files = [join(content, "index.json"), join(content, "oci-layout")];
  return [...fixed, ...algorithms, ...files].reduce((sum, path) => sum + sizeOf(path), 0);
}

function sizeOf(path: string): number {
  const stat = lstatIfExists(path);
  return stat ? allocated(stat) : 0;
}

function allocated(stat: Stats): number {
  return stat.blocks * 512;
}

function lstatIfExists(path: string | Buffer): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function namesIn(folder: Buffer): readonly Buffer[] {
  try {
    return readdirSync(folder, { encoding: "buffer" });
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return [];
    throw error;
  }
}
