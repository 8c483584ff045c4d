// Look-ups in a sorted list of entries as it is, by halving: slower than a table, and without one's memory, for lists of a hundred thousand and more.
import { comparePaths } from "../base/container-path.ts";
import type { LayerEntry } from "../tree/entry.ts";
import { findSorted, type Sequence } from "../tree/sequence.ts";

export class SortedEntries {
  readonly #list: Sequence<LayerEntry>;
  /** Where the last look-up ended: the next one is mostly for what comes then. */
  #last = 0;

  constructor(list: Sequence<LayerEntry>) {
    this.#list = list;
  }

  get(path: string): LayerEntry | undefined {
    for (let near = this.#last; near <= this.#last + 1; near++) {
      const entry = this.#list.at(near);
      if (entry?.path !== path) continue;
      this.#last = near;
      return entry;
    }
    const found = findSorted(this.#list, (entry) => comparePaths(entry.path, path));
    if (found < 0) return undefined;
    this.#last = found;
    return this.#list.at(found);
  }

  /** Paths directly in `directory` that the list has, or has something below and `isImplied`; in order. */
  pathsIn(directory: string, isImplied: (path: string) => boolean): string[] {
    const paths: string[] = [];
    const found = findSorted(this.#list, (entry) => comparePaths(entry.path, directory));
    for (let index = found < 0 ? -1 - found : found + 1; ;) {
      const path = this.#list.at(index)?.path;
      if (path === undefined || !isBelow(path, directory)) return paths;
      const child = childOf(directory, path);
      if (path === child || (paths.at(-1) !== child && isImplied(child))) paths.push(child);
      index = path === child ? index + 1 : this.#placeAfter(child);
    }
  }

  /** Number of the first entry after `path` and all that is below it. */
  #placeAfter(path: string): number {
    const compare = (entry: LayerEntry): number =>
      isBelow(entry.path, path) || comparePaths(entry.path, path) <= 0 ? -1 : 1;
    return -1 - findSorted(this.#list, compare);
  }
}

function isBelow(path: string, directory: string): boolean {
  if (directory === "") return path !== "";
  return path.length > directory.length && path.startsWith(directory) && path[directory.length] === "/";
}

/** The path directly in `directory` that `path` is or is below. */
function childOf(directory: string, path: string): string {
  const end = path.indexOf("/", directory === "" ? 0 : directory.length + 1);
  return end < 0 ? path : path.slice(0, end);
}
