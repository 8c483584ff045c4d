// One layer's entries, arranged for look-ups: path → entry, directory → what is in it, and which directories of lower layers it hides.
// Not responsible for stacking: view.ts. Follows image-spec layer.md, "Whiteouts" and "Opaque Whiteout".
import { parentPath } from "../base/container-path.ts";
import type { LayerEntry } from "../tree/entry.ts";
import { PACKED_FROM } from "../tree/packed-entries.ts";
import type { Sequence } from "../tree/sequence.ts";
import { SortedEntries } from "./sorted-entries.ts";

const NONE: readonly string[] = [];

/** What one layer says, each path once. Built in one pass; what only some look-ups need is built at the first of them. */
export class LayerIndex {
  readonly #list: Sequence<LayerEntry>;
  readonly #entries: Pick<SortedEntries, "get">;
  /** Directories that the layer writes into without naming them. */
  readonly #implied = new Set<string>();
  readonly #hides = new Map<string, boolean>([["", false]]);
  #children: ReadonlyMap<string, readonly string[]> | undefined;
  #links: ReadonlyMap<string, readonly string[]> | undefined;

  /** `entries`: sorted. From `sortedFrom` on no table of them is made. */
  constructor(entries: Sequence<LayerEntry>, sortedFrom: number = PACKED_FROM) {
    this.#list = entries;
    this.#entries = entries.length < sortedFrom ? tableOf(entries) : new SortedEntries(entries);
    let known = "";
    for (const { path, type } of entries) {
      // Neighbours mostly share their directory, and asking for it once is enough.
      if (type === "whiteout" || isDirectlyIn(path, known)) continue;
      known = parentPath(path);
      this.#imply(known);
    }
    const root = this.#entries.get("");
    if (root && root.type !== "whiteout" && root.opaque) this.#hides.set("", true);
  }

  #imply(directory: string): void {
    for (let path = directory; path !== "" && this.#entries.get(path) === undefined; path = parentPath(path)) {
      if (this.#implied.has(path)) return;
      this.#implied.add(path);
    }
  }

  /** What the layer says about `path` itself. */
  get(path: string): LayerEntry | undefined {
    return this.#entries.get(path);
  }

  /** Whether the layer has something below `path` without saying what `path` is. */
  implies(path: string): boolean {
    return this.#implied.has(path);
  }

  /** Whether nothing that lower layers have inside `directory` shows through this one. */
  hides(directory: string): boolean {
    const known = this.#hides.get(directory);
    if (known !== undefined) return known;
    const entry = this.#entries.get(directory);
    if (entry && entry.type !== "dir") return true;
    const hides = entry?.opaque === true || this.hides(parentPath(directory));
    // Remembering directories that the layer does not have would grow with every look-up.
    if (entry) this.#hides.set(directory, hides);
    return hides;
  }

  /** Paths that the layer mentions directly in `directory`, whiteouts included, in the layer's order. */
  pathsIn(directory: string): readonly string[] {
    if (this.#entries instanceof SortedEntries)
      return this.#entries.pathsIn(directory, (path) => this.#implied.has(path));
    this.#children ??= this.#listChildren();
    return this.#children.get(directory) ?? NONE;
  }

  /** All names of the inode that `path` is the first name of, in the layer's order; empty where it is the only one. */
  namesOf(path: string): readonly string[] {
    this.#links ??= this.#listLinks();
    return this.#links.size === 0 ? NONE : (this.#links.get(path) ?? NONE);
  }

  #listChildren(): Map<string, string[]> {
    const children = new Map<string, string[]>();
    let [directory, paths]: [string, string[] | undefined] = ["", undefined];
    for (const source of [pathsOf(this.#list), this.#implied]) {
      for (const path of source) {
        if (path === "") continue;
        if (!paths || !isDirectlyIn(path, directory)) {
          directory = parentPath(path);
          paths = children.get(directory);
          if (!paths) children.set(directory, (paths = []));
        }
        paths.push(path);
      }
    }
    return children;
  }

  #listLinks(): Map<string, string[]> {
    const links = new Map<string, string[]>();
    for (const entry of this.#list) {
      if (entry.type === "whiteout" || entry.hardlink === undefined) continue;
      const names = links.get(entry.hardlink);
      if (names) names.push(entry.path);
      else links.set(entry.hardlink, [entry.hardlink, entry.path]);
    }
    return links;
  }
}

function tableOf(entries: Sequence<LayerEntry>): Map<string, LayerEntry> {
  const table = new Map<string, LayerEntry>();
  for (const entry of entries) table.set(entry.path, entry);
  return table;
}

function* pathsOf(entries: Iterable<LayerEntry>): Generator<string> {
  for (const { path } of entries) yield path;
}

/** Whether `directory` is the parent of `path`, without making a string. */
function isDirectlyIn(path: string, directory: string): boolean {
  const cut = path.lastIndexOf("/");
  return directory === "" ? cut < 0 : cut === directory.length && path.startsWith(directory);
}
