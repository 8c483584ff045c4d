// One layer's entries, arranged for look-ups: path → entry, directory → names, and which directories of lower layers it hides.
// Not responsible for stacking: view.ts. Follows image-spec layer.md, "Whiteouts" and "Opaque Whiteout".
import { baseName, parentPath } from "../base/container-path.ts";
import type { LayerEntry } from "../tree/entry.ts";

/** What a view needs of a layer: its entries, each path once, and where a regular file's bytes are. */
export class LayerIndex {
  readonly #entries = new Map<string, LayerEntry>();
  /** Directories that the layer writes into without naming them. */
  readonly #implied = new Set<string>();
  readonly #hides = new Map<string, boolean>([["", false]]);
  #children: ReadonlyMap<string, readonly string[]> | undefined;
  #links: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(entries: readonly LayerEntry[]) {
    for (const entry of entries) this.#entries.set(entry.path, entry);
    for (const { path, type } of entries) if (type !== "whiteout") this.#imply(parentPath(path));
    const root = this.#entries.get("");
    if (root && root.type !== "whiteout" && root.opaque) this.#hides.set("", true);
  }

  #imply(directory: string): void {
    for (let path = directory; path !== "" && !this.#entries.has(path); path = parentPath(path)) {
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

  /** Names that the layer mentions in `directory`, whiteouts included, in no order. */
  namesIn(directory: string): readonly string[] {
    this.#children ??= this.#listChildren();
    return this.#children.get(directory) ?? [];
  }

  /** All names of the inode that `path` is the first name of, in the layer's order. */
  namesOf(path: string): readonly string[] {
    this.#links ??= this.#listLinks();
    return this.#links.get(path) ?? [path];
  }

  #listChildren(): Map<string, string[]> {
    const children = new Map<string, string[]>();
    const add = (path: string): void => {
      const directory = parentPath(path);
      const names = children.get(directory);
      if (names) names.push(baseName(path));
      else children.set(directory, [baseName(path)]);
    };
    for (const path of this.#entries.keys()) if (path !== "") add(path);
    for (const path of this.#implied) add(path);
    return children;
  }

  #listLinks(): Map<string, string[]> {
    const links = new Map<string, string[]>();
    for (const entry of this.#entries.values()) {
      if (entry.type === "whiteout" || entry.hardlink === undefined) continue;
      const names = links.get(entry.hardlink);
      if (names) names.push(entry.path);
      else links.set(entry.hardlink, [entry.hardlink, entry.path]);
    }
    return links;
  }
}

/** Path of `name` in `directory`. */
export function pathIn(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}
