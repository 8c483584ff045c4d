// Stacked layers seen as one tree of files, without mounting or unpacking. Lazy: a look-up asks layers top-down and stops as soon as it is decided, so a
// layer that nobody needs is never listed. Follows image-spec layer.md: a directory on a directory merges, anything else replaces.
import { baseName, parentPath } from "../base/container-path.ts";
import { assert } from "../base/assert.ts";
import type { Entry, FileBytes, LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { EntryCollector } from "../tree/packed-entries.ts";
import type { Tree } from "../tree/tree.ts";
import { LayerIndex } from "./layer-index.ts";

/** A layer as far as a view needs it. */
export interface LayerSource {
  /** What the layer says, each path once. */
  entries(): Promise<Sequence<LayerEntry>>;
  /** Where the bytes of a regular file of this layer are. */
  locate(entry: Entry): Promise<FileBytes>;
}

/** What a directory is that no layer describes. */
const BARE_DIRECTORY = { type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n } as const;

/** Indexes of layers, for as long as somebody holds the layer: views of the same layers share them. */
const indexes = new WeakMap<LayerSource, Promise<LayerIndex>>();

function indexOf(layer: LayerSource): Promise<LayerIndex> {
  const known = indexes.get(layer);
  if (known) return known;
  const made = layer.entries().then((entries) => new LayerIndex(entries));
  indexes.set(layer, made);
  // A layer that could not be listed may be listed later; the caller sees the failure through `made`.
  made.catch(() => indexes.delete(layer));
  return made;
}

/** An object and the number of the layer that it comes from; -1 = from none. */
interface Found {
  readonly entry: Entry;
  readonly layer: number;
}

/** A root file system as a {@link Tree}. An empty stack has only its root directory. */
export class RootfsView implements Tree {
  readonly #layers: readonly LayerSource[];

  /** `layers`: bottom first. */
  constructor(layers: readonly LayerSource[]) {
    this.#layers = layers;
  }

  /** Whether there is no layer at all: the view of `scratch`. */
  get isScratch(): boolean {
    return this.#layers.length === 0;
  }

  async lstat(path: string): Promise<Entry | undefined> {
    const found = await this.#find(path);
    return found && this.#withLink(found);
  }

  async readdir(path: string): Promise<readonly string[]> {
    const isThere = new Map<string, boolean>();
    for (let i = this.#layers.length - 1; i >= 0; i--) {
      const index = await this.#index(i);
      for (const child of index.pathsIn(path)) {
        if (!isThere.has(child)) isThere.set(child, index.get(child)?.type !== "whiteout");
      }
      if (index.hides(path)) break;
    }
    const children = [...isThere.keys()].filter((child) => isThere.get(child));
    return children.map(baseName).sort();
  }

  async walk(
    path: string,
    keep: (path: string, isDirectory: boolean) => "keep" | "skip" | "prune" = () => "keep",
  ): Promise<Sequence<Entry>> {
    const start = await this.#find(path);
    if (!start) return [];
    const all = await Promise.all(this.#layers.map((_, i) => this.#index(i)));
    const walker = new Walker(all, keep);
    walker.visit(start, upToHiding(all.toReversed(), path));
    return walker.entries.list();
  }

  async locate(entry: Entry): Promise<FileBytes> {
    if (entry.bytes) return entry.bytes;
    const found = await this.#find(entry.path);
    assert(found && found.layer >= 0 && found.entry.type === "file", `no file "${entry.path}" to locate`);
    return this.#layers[found.layer]!.locate(found.entry);
  }

  #index(i: number): Promise<LayerIndex> {
    return indexOf(this.#layers[i]!);
  }

  async #find(path: string): Promise<Found | undefined> {
    const parent = parentPath(path);
    let isImplied = path === "";
    for (let i = this.#layers.length - 1; i >= 0; i--) {
      const index = await this.#index(i);
      const entry = index.get(path);
      if (entry?.type === "dir") return { entry: withoutOpaque(entry), layer: i };
      // A directory that a higher layer implies takes the place of what is no directory here.
      if (entry) return entry.type === "whiteout" || isImplied ? bare(path, isImplied) : { entry, layer: i };
      isImplied ||= index.implies(path);
      if (path !== "" && index.hides(parent)) break;
    }
    return bare(path, isImplied);
  }

  /** The same entry with its hard link as it shows here: the first name that is still the same inode. */
  async #withLink({ entry, layer }: Found): Promise<Entry> {
    if (entry.type !== "file" || layer < 0) return entry;
    const index = await this.#index(layer);
    const names = index.namesOf(entry.hardlink ?? entry.path);
    if (names.length === 0) return entry;
    for (const name of names) {
      const other = name === entry.path ? { entry, layer } : await this.#find(name);
      if (other && other.layer >= 0 && (await this.#index(other.layer)) === index) return linkedTo(entry, name);
    }
    return entry;
  }
}

/** What hides in one layer does not hide in a layer made from it. */
function withoutOpaque(entry: Entry & { readonly opaque?: true }): Entry {
  if (!entry.opaque) return entry;
  const { opaque: _opaque, ...rest } = entry;
  return rest;
}

function bare(path: string, isThere: boolean): Found | undefined {
  return isThere ? { entry: { path, ...BARE_DIRECTORY }, layer: -1 } : undefined;
}

/** The layers, top first, down to the first that hides what others have inside `path`. */
function upToHiding(topFirst: readonly LayerIndex[], path: string): readonly LayerIndex[] {
  const last = topFirst.findIndex((index) => index.hides(path));
  return last < 0 ? topFirst : topFirst.slice(0, last + 1);
}

function linkedTo(entry: Entry, first: string): Entry {
  if (first === entry.path) {
    if (entry.hardlink === undefined) return entry;
    const { hardlink: _hardlink, ...rest } = entry;
    return rest;
  }
  return entry.hardlink === first ? entry : { ...entry, hardlink: first };
}

/** Collects entries depth first, without waiting: all indexes are there. */
class Walker {
  readonly entries: EntryCollector<Entry> = new EntryCollector();
  readonly #keep: (path: string, isDirectory: boolean) => "keep" | "skip" | "prune";
  /** Layers may share an index (the same layer twice): then the higher number stands for both, which says the same. */
  readonly #numbers: ReadonlyMap<LayerIndex, number>;
  /** First name seen of each inode that has several, by layer and first name there. */
  readonly #firstNames = new Map<string, string>();
  readonly #all: readonly LayerIndex[];

  constructor(all: readonly LayerIndex[], keep: (path: string, isDirectory: boolean) => "keep" | "skip" | "prune") {
    this.#keep = keep;
    this.#all = all;
    this.#numbers = new Map(all.map((index, i) => [index, i]));
  }

  /** `visible`: the layers, top first, that can show something inside the entry. */
  visit({ entry, layer }: Found, visible: readonly LayerIndex[]): void {
    const isDirectory = entry.type === "dir";
    const verdict = this.#keep(entry.path, isDirectory);
    if (verdict === "keep") this.entries.push(this.#named(entry, layer));
    if (!isDirectory || verdict === "prune") return;
    for (const path of pathsIn(visible, entry.path)) {
      const inside = visible.length === 1 ? visible : upToHiding(visible, path);
      const found = this.#resolve(path, inside);
      if (found) this.visit(found, inside);
    }
  }

  #resolve(path: string, visible: readonly LayerIndex[]): Found | undefined {
    let isImplied = false;
    for (const index of visible) {
      const entry = index.get(path);
      if (entry && entry.type !== "whiteout" && (entry.type === "dir" || !isImplied)) {
        return { entry: entry.type === "dir" ? withoutOpaque(entry) : entry, layer: this.#numbers.get(index)! };
      }
      if (entry) break;
      isImplied ||= index.implies(path);
    }
    return bare(path, isImplied);
  }

  #named(entry: Entry, layer: number): Entry {
    if (entry.type !== "file" || layer < 0) return entry;
    const first = entry.hardlink ?? entry.path;
    if (this.#all[layer]!.namesOf(first).length === 0) return entry;
    const inode = `${layer} ${first}`;
    const firstSeen = this.#firstNames.get(inode);
    if (firstSeen === undefined) this.#firstNames.set(inode, entry.path);
    return linkedTo(entry, firstSeen ?? entry.path);
  }
}

/** What is directly in `directory`, sorted by name. */
function pathsIn(visible: readonly LayerIndex[], directory: string): readonly string[] {
  const lists = visible.map((index) => index.pathsIn(directory)).filter((paths) => paths.length > 0);
  if (lists.length > 1) return [...new Set(lists.flat())].sort();
  return lists.length === 0 ? [] : lists[0]!.toSorted();
}
