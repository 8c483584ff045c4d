// What is in a local directory, looked at when somebody asks and at most once: names, stat fields, links. Ignored paths do not exist here, and below an ignored directory
// nothing is read unless an exception reaches in (reference I04, T36). Contents are local.ts's business, but for digests that the index still knows.
import { constants, lstatSync, readdirSync, readlinkSync, type BigIntStats, type Dirent } from "node:fs";
import { relativePath } from "../base/container-path.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Entry, EntryType, FileBytes } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { FileRows } from "./file-rows.ts";
import type { FileStamp } from "./file-stamp.ts";
import { readXattrs, type Xattrs } from "./hash-file.ts";
import { errnoOf, readError } from "./read-error.ts";
import type { StatIndex } from "./stat-index.ts";

/** Which paths do not exist for the build: tree/patterns has the implementation. */
export interface Ignore {
  excludes(path: string): boolean;
  /** Whether nothing below the excluded directory `dir` can be included again. */
  canPrune(dir: string): boolean;
}

/** A path that is a directory by the listing of the one above it. Other paths are only numbers, because there may be a million of them. */
interface Directory {
  readonly path: string;
  /** Only a directory with something visible below it, or that may have something, can be excluded and have a number. */
  readonly isExcluded: boolean;
  /** Number of the first of all that is in it and not ignored, which follow one another in order of their names; -1 = it was not read yet. */
  first: number;
  count: number;
  /** Those numbers, where some were given out before the directory was read. */
  rows: readonly number[] | undefined;
  /** By name: those that were asked for before it was read. */
  byName: Map<string, number> | undefined;
}

const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EMPTY_BYTES: FileBytes = { kind: "inline", data: new Uint8Array(0) };

export interface LocalFilesOptions {
  /** Real absolute path of the directory. */
  readonly root: string;
  readonly ignore: Ignore | undefined;
  readonly index: StatIndex;
  readonly nowMs: () => number;
  /** Paths from which what is known of them is kept in columns; see tree/packed-entries.ts. */
  readonly packedFrom?: number | undefined;
}

/** The number of the directory itself. */
const TOP = 0;

/** The names of one local directory, by numbers. Everything is synchronous: for a hundred thousand files that takes half the time. */
export class LocalFiles {
  /** Stat fields of files whose digest is not known. */
  readonly stamps: Map<number, FileStamp> = new Map();
  /** Directories read, and lstat calls. */
  readonly counts: { directories: number; entries: number } = { directories: 0, entries: 0 };
  readonly #options: LocalFilesOptions;
  #known: FileRows;
  readonly #directories = new Map<number, Directory>();
  /** Inodes that have several names, by each of them. */
  readonly #links = new Map<number, string>();

  constructor(options: LocalFilesOptions) {
    this.#options = options;
    this.#known = new FileRows(options.packedFrom);
    this.#add("", true, false);
  }

  hostPath(path: string): string {
    const { root } = this.#options;
    return path === "" ? root : `${root}/${path}`;
  }

  pathOf(row: number): string {
    return this.#known.path(row);
  }

  nameOf(row: number): string {
    return this.#known.name(row);
  }

  /** What is there; undefined before the first {@link look}, and where the path is gone. */
  entryOf(row: number): Entry | undefined {
    return this.#known.entry(row);
  }

  /** Says what was read of a file since {@link look}. */
  setEntry(row: number, entry: Entry | undefined): void {
    this.#known.set(row, entry);
  }

  isDirectory(row: number): boolean {
    return this.#directories.has(row);
  }

  isExcluded(row: number): boolean {
    return this.#directories.get(row)?.isExcluded ?? false;
  }

  /** The number of a path that exists for the build, looked at. */
  resolve(path: string): number | undefined {
    let row: number | undefined = TOP;
    if (!this.look(row)) return undefined;
    const clean = relativePath(path);
    for (const name of clean === "" ? [] : clean.split("/")) {
      if (this.entryOf(row)?.type !== "dir") return undefined;
      row = this.#child(this.#directories.get(row)!, name);
      if (row === undefined || !this.look(row)) return undefined;
    }
    return this.isVisible(row) ? row : undefined;
  }

  #child(parent: Directory, name: string): number | undefined {
    if (parent.first >= 0) return this.#findChild(parent, name);
    const known = parent.byName?.get(name);
    if (known !== undefined) return known;
    const path = parent.path === "" ? name : `${parent.path}/${name}`;
    const stat = this.#stat(path);
    const row = stat && this.#adopt(path, stat.isDirectory());
    if (row !== undefined) (parent.byName ??= new Map()).set(name, row);
    return row;
  }

  #findChild({ first, count, rows }: Directory, name: string): number | undefined {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const row = rows ? rows[middle]! : first + middle;
      const found = this.nameOf(row);
      if (found === name) return row;
      if (found < name) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  /** Gives an existing path a number, unless it is ignored with all that is below it. */
  #adopt(path: string, isDirectory: boolean): number | undefined {
    const { ignore } = this.#options;
    const isExcluded = ignore?.excludes(path) ?? false;
    if (isExcluded && (!isDirectory || ignore?.canPrune(path))) return undefined;
    return this.#add(path, isDirectory, isExcluded);
  }

  #add(path: string, isDirectory: boolean, isExcluded: boolean): number {
    const row = this.#known.add(path);
    if (isDirectory)
      this.#directories.set(row, { path, isExcluded, first: -1, count: 0, rows: undefined, byName: undefined });
    return row;
  }

  /** What is in a directory and not ignored, in order of the names. */
  list(row: number): readonly number[] {
    const directory = this.#directories.get(row);
    if (directory === undefined) return [];
    if (directory.first < 0) this.#read(directory);
    if (directory.rows) return directory.rows;
    const rows: number[] = [];
    for (let child = directory.first; child < directory.first + directory.count; child++) rows.push(child);
    return rows;
  }

  #read(directory: Directory): void {
    const { path, byName } = directory;
    const prefix = path === "" ? "" : `${path}/`;
    const rows: number[] = [];
    for (const listed of this.#readdir(path)) {
      const row = byName?.get(listed.name) ?? this.#adopt(prefix + listed.name, listed.isDirectory());
      if (row !== undefined) rows.push(row);
    }
    directory.first = rows[0] ?? 0;
    directory.count = rows.length;
    if (byName) directory.rows = rows;
    directory.byName = undefined;
  }

  #readdir(path: string): readonly Dirent[] {
    this.counts.directories++;
    try {
      const listed = readdirSync(this.hostPath(path), { withFileTypes: true });
      return listed.sort((a, b) => (a.name < b.name ? -1 : 1));
    } catch (error) {
      // Removed or replaced between its look-up and now: as if it had been so before.
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
      throw readError("read directory", path === "" ? this.#options.root : path, error);
    }
  }

  isVisible(row: number): boolean {
    return !this.isExcluded(row) || this.list(row).some((child) => this.isVisible(child));
  }

  /** Learns what is at a path; false where it is gone. */
  look(row: number): boolean {
    if (this.#known.isSet(row)) return true;
    const path = this.pathOf(row);
    const stat = this.#stat(path);
    if (stat !== undefined) this.#known.set(row, this.#describe(row, path, stat));
    return stat !== undefined;
  }

  #stat(path: string): BigIntStats | undefined {
    this.counts.entries++;
    try {
      return lstatSync(this.hostPath(path), { bigint: true });
    } catch (error) {
      const code = errnoOf(error);
      if (code !== "ENOENT" && code !== "ENOTDIR")
        throw readError("read", path === "" ? this.#options.root : path, error);
      if (!path.includes("\uFFFD")) return undefined;
      throw new BuildError("source", `file name "${path}" is not valid UTF-8`, {
        cause: error,
        help: "rename it, or name its directory in .dockerignore",
      });
    }
  }

  #describe(row: number, path: string, stat: BigIntStats): Entry {
    const type = typeOf(stat);
    if (type === "file") return this.#describeFile(row, path, stat);
    const mode = Number(stat.mode) & 0o7777;
    const entry = { path, type, mode, uid: 0, gid: 0, size: 0, mtimeNs: stat.mtimeNs };
    if (type === "dir") return withXattrs(entry, this.#directoryXattrs(path, stat));
    if (type === "symlink") return { ...entry, mode: 0o777, linkname: this.#readlink(path) };
    return type === "fifo" ? entry : { ...entry, ...deviceOf(stat.rdev) };
  }

  #describeFile(row: number, path: string, stat: BigIntStats): Entry {
    const { mtimeNs } = stat;
    const mode = Number(stat.mode) & 0o7777;
    const owner = { uid: 0, gid: 0 };
    if (!stat.isFile())
      return { path, type: "file", mode, ...owner, size: 0, mtimeNs, sha256: EMPTY_SHA256, bytes: EMPTY_BYTES };
    const size = Number(stat.size);
    if (stat.nlink > 1n) this.#links.set(row, `${stat.dev}:${stat.ino}`);
    const known = this.#options.index.find(path, stat);
    if (known !== undefined) {
      const entry: Entry = { path, type: "file", mode, uid: 0, gid: 0, size, mtimeNs, sha256: known.sha256 };
      return withXattrs(entry, known.xattrs);
    }
    const { ctimeNs, ino, dev } = stat;
    this.stamps.set(row, { size: stat.size, mtimeNs, ctimeNs, ino, dev, mode: stat.mode });
    return { path, type: "file", mode, ...owner, size, mtimeNs };
  }

  #directoryXattrs(path: string, stat: BigIntStats): Xattrs | undefined {
    const known = this.#options.index.find(path, stat);
    if (known) return known.xattrs;
    const readAtMs = this.#options.nowMs();
    const xattrs = readXattrs(this.hostPath(path));
    this.#options.index.record(path, stat, xattrs === undefined ? { sha256: "" } : { sha256: "", xattrs }, readAtMs);
    return xattrs;
  }

  #readlink(path: string): string {
    try {
      return readlinkSync(this.hostPath(path));
    } catch (error) {
      throw readError("read link", path, error);
    }
  }

  /** Drops what was read: entries that were given out are their receivers'. */
  forget(): void {
    this.#known = new FileRows(this.#options.packedFrom);
    this.#directories.clear();
    this.#links.clear();
    this.stamps.clear();
    this.#add("", true, false);
  }

  /** Entries of the paths that are still there; further names of an inode point to its first one. */
  entries(found: Uint32Array): Sequence<Entry> {
    // Some may have gone between the walk's look and the hashing.
    const rows = found.every((row) => this.#known.isSet(row)) ? found : found.filter((row) => this.#known.isSet(row));
    const hardlinks = new Map<number, string>();
    if (this.#links.size > 0) {
      const first = new Map<string, string>();
      for (const [index, row] of rows.entries()) {
        const link = this.#links.get(row);
        if (link === undefined) continue;
        const name = first.get(link);
        if (name === undefined) first.set(link, this.pathOf(row));
        else hardlinks.set(index, name);
      }
    }
    return this.#known.select(rows, hardlinks);
  }
}

function typeOf(stat: BigIntStats): EntryType {
  switch (Number(stat.mode) & constants.S_IFMT) {
    case constants.S_IFDIR:
      return "dir";
    case constants.S_IFLNK:
      return "symlink";
    case constants.S_IFCHR:
      return "char";
    case constants.S_IFBLK:
      return "block";
    case constants.S_IFIFO:
      return "fifo";
    default:
      // Regular files and sockets: the latter arrive as empty files.
      return "file";
  }
}

/** Linux's dev_t: 12 + 20 bits of major, 8 + 12 of minor, interleaved. */
function deviceOf(rdev: bigint): Pick<Entry, "devMajor" | "devMinor"> {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return { devMajor: Number(major), devMinor: Number(minor) };
}

/** A file's entry with its digest. Written out, which takes half the memory of a spread. */
export function hashedFile({ path, mode, size, mtimeNs }: Entry, sha256: string): Entry {
  return { path, type: "file", mode, uid: 0, gid: 0, size, mtimeNs, sha256 };
}

/** `entry` with these attributes. */
export function withXattrs(entry: Entry, xattrs: Xattrs | undefined): Entry {
  return xattrs === undefined ? entry : { ...entry, xattrs };
}
