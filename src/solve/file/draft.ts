// A layer while it is being drawn: what the operation has made so far, on top of what it sees below. Knows only the rules of a file system, not those of COPY.
// When it is finished it is a list of entries: what was made, and the directories on the way to it as they are below (reference T01).
import { comparePaths, parentPath } from "../../base/container-path.ts";
import { assert } from "../../base/assert.ts";
import { BuildError } from "../../diagnostics/build-error.ts";
import { assertNotReserved } from "../../layer/names.ts";
import type { PathLookup } from "../../rootfs/resolve.ts";
import type { Entry, FileBytes, LayerEntry } from "../../tree/entry.ts";
import { mapped, type Sequence } from "../../tree/sequence.ts";
import { isSameObject } from "../../tree/same.ts";
import type { Tree } from "../../tree/tree.ts";
import { MergedEntries, Segment, type SegmentOptions } from "./segment.ts";

/** The source of a file's bytes. Names that share one are hard links of one another; names of what is no file may have one only to say that. */
export interface Inode {
  readonly entry: Entry;
  /** Asked for the place of the bytes where the entry does not say it, and only when the layer is really made: it may mean fetching a layer. */
  readonly tree: Pick<Tree, "locate"> | undefined;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

interface Node {
  entry: Entry;
  readonly inode: Inode | undefined;
  /** What is at this path below: the directory that this one is, or what a file or link takes the place of. Undefined = nothing, or a directory made here, so that nothing below shows in it. */
  readonly original: Entry | undefined;
}

const SETGID = 0o2000;

const ROOT: Entry = { path: "", type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n };

/** The entries of a layer, and where the bytes of its files are once somebody asks. */
export interface Manifest {
  /** Sorted by `comparePaths`; every regular file has its sha256. */
  readonly entries: Sequence<LayerEntry>;
  /** Where the bytes of the regular file `entries[index]` are. */
  place(index: number): FileBytes | Promise<FileBytes>;
}

export class Draft implements PathLookup {
  readonly #below: PathLookup | undefined;
  readonly #createdMtimeNs: bigint;
  readonly #nodes = new Map<string, Node>();
  /** What was put by many at a time. A node with the same path is newer. */
  #segments: Segment[] = [];
  /** Where a directory below was removed: another one put there must not show what was in it (T11). */
  readonly #cleared = new Set<string>();

  /** `below` undefined: nothing is below, or must not matter (--link). */
  constructor({ below, createdMtimeNs }: { readonly below: PathLookup | undefined; readonly createdMtimeNs: bigint }) {
    this.#below = below;
    this.#createdMtimeNs = createdMtimeNs;
  }

  async lstat(path: string): Promise<Entry | undefined> {
    const node = this.#nodes.get(path);
    if (node) return node.entry;
    const inSegment = this.#inSegments(path);
    if (inSegment) return inSegment.segment.at(inSegment.index);
    // The root is never said in a layer, so its attributes do not matter; to ask for them would list every layer.
    if (path === "") return ROOT;
    return this.#isHidden(path) ? undefined : this.#below?.lstat(path);
  }

  /** Whether what is below cannot show at `path`, because a directory above it was made here or is none any more. */
  #isHidden(path: string): boolean {
    for (let at = path; at !== "";) {
      at = parentPath(at);
      const node = this.#nodes.get(at);
      if (node) return node.original === undefined;
      if (this.#inSegments(at)) return true;
    }
    return false;
  }

  #inSegments(path: string): { readonly segment: Segment; readonly index: number } | undefined {
    for (const segment of this.#segments) {
      const index = segment.find(path);
      if (index >= 0) return { segment, index };
    }
    return undefined;
  }

  /**
   * Makes `path` and what is missing above it, as mkdir(2) does for root: in a setgid directory a new one is setgid, too, and its group's unless `owner` says otherwise.
   * `bits` "exact": nothing is added to `mode`. Fails with `source` where something on the way is no directory.
   */
  async makeDirectories(
    path: string,
    owner: Owner | undefined,
    mode: number,
    bits: "inherited" | "exact" = "inherited",
  ): Promise<void> {
    const existing = await this.lstat(path);
    if (existing?.type === "dir") return;
    if (existing) throw notADirectory("mkdir", path);
    await this.makeDirectories(parentPath(path), owner, mode, bits);
    assertNotReserved(path);
    const parent = (await this.lstat(parentPath(path))) ?? ROOT;
    const setgid = parent.mode & SETGID;
    const { uid, gid } = owner ?? { uid: 0, gid: setgid === 0 ? 0 : parent.gid };
    const own = bits === "exact" ? mode : mode | setgid;
    this.#nodes.set(path, {
      entry: { path, type: "dir", mode: own, uid, gid, size: 0, mtimeNs: this.#createdMtimeNs },
      inode: undefined,
      original: undefined,
    });
  }

  /**
   * Puts an object where no directory is. Its parent exists. A directory is new here: nothing below shows in it.
   * `existing`: what {@link lstat} says of its path. Fails with `unsupported` for names that layers reserve.
   */
  put(entry: Entry, inode: Inode | undefined, existing?: Entry): void {
    assertNotReserved(entry.path);
    assert(entry.type !== "file" || inode !== undefined, `the file "${entry.path}" has an inode`);
    const original = entry.type === "dir" ? undefined : this.#originalOf(entry.path, existing);
    this.#nodes.set(entry.path, { entry, inode, original });
  }

  /** What is below where the draft has `existing`. */
  #originalOf(path: string, existing: Entry | undefined): Entry | undefined {
    const node = this.#nodes.get(path);
    if (node) return node.original;
    return this.#inSegments(path) ? undefined : existing;
  }

  /** {@link put} for many, where nothing is; their paths are allowed and their files hashed. */
  putSegment(options: SegmentOptions): void {
    this.#segments.push(new Segment(options));
  }

  /** Changes the attributes of an existing directory. */
  setDirectory(existing: Entry, changes: Partial<Pick<Entry, "mode" | "uid" | "gid" | "mtimeNs" | "xattrs">>): void {
    assert(existing.type === "dir", `"${existing.path}" is no directory`);
    const node = this.#nodes.get(existing.path);
    const entry = { ...existing, ...changes };
    if (node) node.entry = entry;
    else {
      const original = this.#originalOf(existing.path, existing);
      this.#nodes.set(existing.path, { entry, inode: undefined, original });
    }
  }

  /** Removes the directory at `path` with everything in it; something else is put there next. */
  async clear(path: string): Promise<void> {
    this.#dissolveSegments();
    const original = this.#originalOf(path, await this.lstat(path));
    if (original) this.#cleared.add(path);
    this.#nodes.delete(path);
    for (const other of this.#nodes.keys()) if (other.startsWith(`${path}/`)) this.#nodes.delete(other);
  }

  /** Makes nodes of what was put by many. */
  #dissolveSegments(): void {
    for (const segment of this.#segments) {
      for (let index = 0; index < segment.length; index++) {
        const entry = segment.at(index)!;
        const inode = entry.type === "file" ? { entry: segment.original(index), tree: segment.tree } : undefined;
        if (!this.#nodes.has(entry.path)) this.#nodes.set(entry.path, { entry, inode, original: undefined });
      }
    }
    this.#segments = [];
  }

  /** The layer. The draft must not be changed afterwards. */
  async finish(): Promise<Manifest> {
    const said: Node[] = [];
    const parents = new Map<string, Node>();
    const changed = changedInodes([...this.#nodes.values()]);
    let known = "";
    for (const [path, node] of this.#nodes) {
      if (path === "" || !(isChanged(node) || (node.inode && changed.has(node.inode)))) continue;
      said.push(node);
      const parent = parentPath(path);
      if (parent === known) continue;
      known = parent;
      await this.#addParents(parent, parents);
    }
    // Parents come before their children, so that of a segment only those of the first entry can be elsewhere.
    for (const { firstPath } of this.#segments) await this.#addParents(parentPath(firstPath), parents);
    const nodes = [...said, ...parents.values()].sort((a, b) => comparePaths(a.entry.path, b.entry.path));
    return withSegments(manifestOf(nodes, this.#cleared), this.#segments, this.#cleared);
  }

  /** Adds `path` and what is above it, up to a directory that the layer says anyway. */
  async #addParents(path: string, parents: Map<string, Node>): Promise<void> {
    for (let at = path; at !== "" && !parents.has(at); at = parentPath(at)) {
      const node = this.#nodes.get(at);
      if (node ? isChanged(node) : this.#inSegments(at)) return;
      const entry = await this.lstat(at);
      assert(entry?.type === "dir", `the parent "${at}" is no directory`);
      parents.set(at, node ?? { entry, inode: undefined, original: entry });
    }
  }
}

/** Whether the layer must say it. What is as it was below, a directory with nothing new in it among them, is no change: BuildKit's differ leaves it out, too. */
function isChanged({ entry, original }: Node): boolean {
  return original === undefined || !isSameObject(entry, original);
}

/** Inodes with several names of which the layer says all: where one name has changed, the others link to it, and where they were not links of one another below, they are now. */
function changedInodes(nodes: readonly Node[]): ReadonlySet<Inode> {
  const [seen, changed] = [new Set<Inode>(), new Set<Inode>()];
  const groups = new Map<Inode, Node[]>();
  for (const { inode } of nodes) {
    if (inode && seen.has(inode)) groups.set(inode, []);
    else if (inode) seen.add(inode);
  }
  if (groups.size === 0) return changed;
  for (const node of nodes) if (node.inode) groups.get(node.inode)?.push(node);
  for (const [inode, names] of groups) {
    const [first, ...others] = names.sort((a, b) => comparePaths(a.entry.path, b.entry.path));
    const areLinks = others.every(({ original }) => original?.hardlink === first!.entry.path);
    if (!areLinks || names.some(isChanged)) changed.add(inode);
  }
  return changed;
}

function manifestOf(nodes: readonly Node[], cleared: ReadonlySet<string>): Manifest {
  const firstNames = new Map<Inode, string>();
  const entries = nodes.map(({ entry, inode }): LayerEntry => {
    assert(entry.type !== "file" || entry.sha256 !== undefined, `nobody has hashed "${entry.path}"`);
    if (entry.type === "dir") return cleared.has(entry.path) ? { ...entry, opaque: true } : entry;
    const first = inode && firstNames.get(inode);
    if (inode && first === undefined) firstNames.set(inode, entry.path);
    if (first === entry.hardlink) return entry;
    const { hardlink: _hardlink, ...rest } = entry;
    return first === undefined ? rest : { ...rest, hardlink: first };
  });
  // The nodes are not kept: a layer's list lives as long as the build.
  const inodes = nodes.map(({ inode }) => inode);
  return { entries, place: (index) => placeOf(entries[index]!, inodes[index]) };
}

/** The nodes' manifest and the segments as one. */
function withSegments(nodes: Manifest, segments: readonly Segment[], cleared: ReadonlySet<string>): Manifest {
  if (segments.length === 0) return nodes;
  const opaque = (entry: Entry): LayerEntry =>
    entry.type === "dir" && cleared.has(entry.path) ? { ...entry, opaque: true } : entry;
  const said = cleared.size === 0 ? segments : segments.map((segment) => mapped(segment, opaque));
  const entries = new MergedEntries([nodes.entries, ...said]);
  const place = (index: number): FileBytes | Promise<FileBytes> => {
    const origin = entries.originOf(index);
    if (origin.list === 0) return nodes.place(origin.index);
    const segment = segments[origin.list - 1]!;
    const entry = segment.original(origin.index);
    return entry.bytes ?? segment.tree.locate(entry);
  };
  return { entries, place };
}

function placeOf(entry: LayerEntry, inode: Inode | undefined): FileBytes | Promise<FileBytes> {
  if (entry.type !== "whiteout" && entry.bytes) return entry.bytes;
  assert(inode?.tree, `nobody knows where the bytes of "${entry.path}" are`);
  return inode.tree.locate(inode.entry);
}

/** What is at `path` is no directory: BuildKit's system call on it, or on `named` below it, fails. */
export function notADirectory(call: string, path: string, named: string = path): BuildError {
  return new BuildError("source", `${call} /${named}: not a directory`, {
    summary: `/${path} is not a directory in this stage, and one is needed there`,
    help: "choose another path",
    details: { word: `/${path}` },
  });
}
