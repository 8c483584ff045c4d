// What is in a local directory, looked at when somebody asks and at most once: names, stat fields, links. Ignored paths do not exist here, and below an ignored directory
// nothing is read unless an exception reaches in (reference I04, T36). Contents are local.ts's business, but for digests that the index still knows.
import { constants, lstatSync, readdirSync, readlinkSync, type BigIntStats, type Dirent } from "node:fs";
import { baseName, relativePath } from "../base/container-path.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Entry, EntryType, FileBytes } from "../tree/entry.ts";
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

/** What is known of one path so far. Small, because there may be a million. */
export interface Node {
  readonly path: string;
  /** Only a directory with something visible below it, or that may have something, can be excluded and a node. */
  readonly isExcluded: boolean;
  /** Absent before the first look, and for good where the path is gone. */
  entry: Entry | undefined;
  /** Present where the directory listing said that it is one. */
  readonly directory: Directory | undefined;
}

export interface Directory {
  /** All that is not ignored, in order of their names, once it was read. */
  listed: readonly Node[] | undefined;
  /** By name: those that were asked for before. */
  byName: Map<string, Node> | undefined;
}

const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EMPTY_BYTES: FileBytes = { kind: "inline", data: new Uint8Array(0) };

export interface LocalFilesOptions {
  /** Real absolute path of the directory. */
  readonly root: string;
  readonly ignore: Ignore | undefined;
  readonly index: StatIndex;
  readonly nowMs: () => number;
}

/** The names of one local directory. Everything is synchronous: for a hundred thousand files that takes half the time. */
export class LocalFiles {
  /** Stat fields of files whose digest is not known. */
  readonly stamps: Map<Node, FileStamp> = new Map();
  /** Directories read, and lstat calls. */
  readonly counts: { directories: number; entries: number } = { directories: 0, entries: 0 };
  readonly #options: LocalFilesOptions;
  #top: Node = makeNode("", true, false);
  /** Names of inodes that have several names. */
  readonly #links = new Map<Node, string>();

  constructor(options: LocalFilesOptions) {
    this.#options = options;
  }

  hostPath(path: string): string {
    const { root } = this.#options;
    return path === "" ? root : `${root}/${path}`;
  }

  /** The node of a path that exists for the build, looked at. */
  resolve(path: string): Node | undefined {
    let node: Node | undefined = this.#top;
    if (!this.look(node)) return undefined;
    const clean = relativePath(path);
    for (const name of clean === "" ? [] : clean.split("/")) {
      if (node.entry?.type !== "dir") return undefined;
      node = this.#child(node, name);
      if (node === undefined || !this.look(node)) return undefined;
    }
    return this.isVisible(node) ? node : undefined;
  }

  #child(parent: Node, name: string): Node | undefined {
    const directory = parent.directory!;
    if (directory.byName === undefined) {
      const listed = directory.listed ?? [];
      directory.byName = new Map(listed.map((node) => [baseName(node.path), node]));
    }
    const known = directory.byName.get(name);
    if (known !== undefined || directory.listed !== undefined) return known;
    const path = parent.path === "" ? name : `${parent.path}/${name}`;
    const stat = this.#stat(path);
    const node = stat && this.#adopt(path, stat.isDirectory());
    if (node) directory.byName.set(name, node);
    return node;
  }

  /** Makes the node of an existing path, unless it is ignored with all that is below it. */
  #adopt(path: string, isDirectory: boolean): Node | undefined {
    const { ignore } = this.#options;
    const isExcluded = ignore?.excludes(path) ?? false;
    if (isExcluded && (!isDirectory || ignore?.canPrune(path))) return undefined;
    return makeNode(path, isDirectory, isExcluded);
  }

  /** Children of a directory that are not ignored, in order of their names. */
  list(node: Node): readonly Node[] {
    const directory = node.directory;
    if (directory === undefined) return [];
    if (directory.listed !== undefined) return directory.listed;
    const prefix = node.path === "" ? "" : `${node.path}/`;
    const children: Node[] = [];
    for (const listed of this.#readdir(node.path)) {
      const child = directory.byName?.get(listed.name) ?? this.#adopt(prefix + listed.name, listed.isDirectory());
      if (child) children.push(child);
    }
    directory.byName = undefined;
    directory.listed = children;
    return children;
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

  isVisible(node: Node): boolean {
    return !node.isExcluded || this.list(node).some((child) => this.isVisible(child));
  }

  /** Fills the node's entry; false where the path is gone. */
  look(node: Node): boolean {
    if (node.entry !== undefined) return true;
    const stat = this.#stat(node.path);
    if (stat !== undefined) node.entry = this.#describe(node, stat);
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

  #describe(node: Node, stat: BigIntStats): Entry {
    const type = typeOf(stat);
    if (type === "file") return this.#describeFile(node, stat);
    const { path } = node;
    const mode = Number(stat.mode) & 0o7777;
    const entry = { path, type, mode, uid: 0, gid: 0, size: 0, mtimeNs: stat.mtimeNs };
    if (type === "dir") return withXattrs(entry, this.#directoryXattrs(path, stat));
    if (type === "symlink") return { ...entry, mode: 0o777, linkname: this.#readlink(path) };
    return type === "fifo" ? entry : { ...entry, ...deviceOf(stat.rdev) };
  }

  #describeFile(node: Node, stat: BigIntStats): Entry {
    const { path } = node;
    const { mtimeNs } = stat;
    const mode = Number(stat.mode) & 0o7777;
    const owner = { uid: 0, gid: 0 };
    if (!stat.isFile())
      return { path, type: "file", mode, ...owner, size: 0, mtimeNs, sha256: EMPTY_SHA256, bytes: EMPTY_BYTES };
    const size = Number(stat.size);
    if (stat.nlink > 1n) this.#links.set(node, `${stat.dev}:${stat.ino}`);
    const known = this.#options.index.find(path, stat);
    if (known !== undefined) {
      const entry: Entry = { path, type: "file", mode, uid: 0, gid: 0, size, mtimeNs, sha256: known.sha256 };
      return withXattrs(entry, known.xattrs);
    }
    const { ctimeNs, ino, dev } = stat;
    this.stamps.set(node, { size: stat.size, mtimeNs, ctimeNs, ino, dev, mode: stat.mode });
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
    this.#top = makeNode("", true, false);
    this.#links.clear();
    this.stamps.clear();
  }

  /** Entries of the nodes that are still there; further names of an inode point to its first one. */
  entries(nodes: readonly Node[]): readonly Entry[] {
    const first = new Map<string, string>();
    const entries: Entry[] = [];
    for (const node of nodes) {
      if (node.entry === undefined) continue;
      const link = this.#links.size === 0 ? undefined : this.#links.get(node);
      const hardlink = link === undefined ? undefined : first.get(link);
      if (link !== undefined && hardlink === undefined) first.set(link, node.path);
      entries.push(hardlink === undefined ? node.entry : { ...node.entry, hardlink });
    }
    return entries;
  }
}

function makeNode(path: string, isDirectory: boolean, isExcluded: boolean): Node {
  const directory = isDirectory ? { listed: undefined, byName: undefined } : undefined;
  return { path, isExcluded, entry: undefined, directory };
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
