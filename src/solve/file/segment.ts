// Many entries of a source that are copied as they follow one another: kept as a part of the source's list rather than one by one, because there may be a million of them.
// And the list of a layer that is made of such parts.
import { comparePaths } from "../../base/container-path.ts";
import type { Entry, LayerEntry } from "../../tree/entry.ts";
import { findSorted, type Sequence } from "../../tree/sequence.ts";
import type { Tree } from "../../tree/tree.ts";

export interface SegmentOptions {
  /** The source's list, sorted, and which part of it; no entry of that is a hard link or has one. */
  readonly source: Sequence<Entry>;
  readonly from: number;
  readonly to: number;
  readonly tree: Pick<Tree, "locate">;
  /** The entry as the layer says it. Keeps the order. */
  readonly relocate: (entry: Entry) => Entry;
}

/** A part of a source at its destination, sorted. */
export class Segment implements Sequence<Entry> {
  readonly length: number;
  readonly tree: Pick<Tree, "locate">;
  readonly firstPath: string;
  readonly #lastPath: string;
  readonly #options: SegmentOptions;

  constructor(options: SegmentOptions) {
    this.#options = options;
    this.length = options.to - options.from;
    this.tree = options.tree;
    this.firstPath = this.at(0)!.path;
    this.#lastPath = this.at(this.length - 1)!.path;
  }

  at(index: number): Entry | undefined {
    return index < 0 || index >= this.length ? undefined : this.#options.relocate(this.original(index));
  }

  /** The entry as the source says it. */
  original(index: number): Entry {
    return this.#options.source.at(this.#options.from + index)!;
  }

  /** Number of the entry with this path at the destination; negative = there is none. */
  find(path: string): number {
    if (comparePaths(path, this.firstPath) < 0 || comparePaths(path, this.#lastPath) > 0) return -1;
    return findSorted(this, (entry) => comparePaths(entry.path, path));
  }

  *[Symbol.iterator](): Generator<Entry> {
    for (let index = 0; index < this.length; index++) yield this.at(index)!;
  }
}

/** Sorted lists as one: where several have the same path, the first of them says what is there. */
export class MergedEntries implements Sequence<LayerEntry> {
  readonly length: number;
  readonly #lists: readonly Sequence<LayerEntry>[];
  // Pieces: where each starts here, which list it is of, and where it starts there.
  readonly #starts: number[] = [];
  readonly #listNumbers: number[] = [];
  readonly #froms: number[] = [];

  constructor(lists: readonly Sequence<LayerEntry>[]) {
    this.#lists = lists;
    this.length = this.#merge();
  }

  /** Number of the list that an entry is of, and its number there. */
  originOf(index: number): { readonly list: number; readonly index: number } {
    const piece = this.#pieceOf(index);
    return { list: this.#listNumbers[piece]!, index: this.#froms[piece]! + index - this.#starts[piece]! };
  }

  at(index: number): LayerEntry | undefined {
    if (index < 0 || index >= this.length) return undefined;
    const origin = this.originOf(index);
    return this.#lists[origin.list]!.at(origin.index);
  }

  *[Symbol.iterator](): Generator<LayerEntry> {
    for (const [piece, start] of this.#starts.entries()) {
      const list = this.#lists[this.#listNumbers[piece]!]!;
      const offset = this.#froms[piece]! - start;
      const end = this.#starts[piece + 1] ?? this.length;
      for (let index = start; index < end; index++) yield list.at(index + offset)!;
    }
  }

  /** The last piece that starts at or before `index`. */
  #pieceOf(index: number): number {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #merge(): number {
    const heads = this.#lists.map(() => 0);
    const paths = this.#lists.map((list) => list.at(0)?.path);
    const moveTo = (list: number, index: number): void => {
      heads[list] = index;
      paths[list] = this.#lists[list]!.at(index)?.path;
    };
    let length = 0;
    for (let first = smallest(paths); first >= 0; first = smallest(paths)) {
      const from = heads[first]!;
      const path = paths[first]!;
      for (let other = first + 1; other < paths.length; other++)
        if (paths[other] === path) moveTo(other, heads[other]! + 1);
      const bound = smallest(paths.map((one, list) => (list === first ? undefined : one)));
      const to = bound < 0 ? this.#lists[first]!.length : placeOf(this.#lists[first]!, paths[bound]!);
      this.#starts.push(length);
      this.#listNumbers.push(first);
      this.#froms.push(from);
      length += to - from;
      moveTo(first, to);
    }
    return length;
  }
}

/** The list that goes on with the smallest path, the first of several; -1 = none goes on. */
function smallest(paths: readonly (string | undefined)[]): number {
  let found = -1;
  for (const [list, path] of paths.entries())
    if (path !== undefined && (found < 0 || comparePaths(path, paths[found]!) < 0)) found = list;
  return found;
}

/** Number of the first entry whose path is `path` or comes after it. */
function placeOf(list: Sequence<LayerEntry>, path: string): number {
  const found = findSorted(list, (entry) => comparePaths(entry.path, path));
  return found < 0 ? -1 - found : found;
}
