// Lists that may have a million members: read in order or by number, perhaps made member by member when asked. Arrays are such lists.

export interface Sequence<T> extends Iterable<T> {
  readonly length: number;
  /** The member `index`, counted from 0; undefined where there is none. */
  at(index: number): T | undefined;
}

/** Where `path` is in entries sorted by `compare`, or as -1 - n the place n where it would be. */
export function findSorted<T>(list: Sequence<T>, compare: (member: T) => number): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = compare(list.at(middle)!);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return -1 - low;
}

/** The members as an array, for lists that are known to be short; an array is its own. */
export function arrayOf<T>(list: Sequence<T>): readonly T[] {
  return Array.isArray(list) ? (list as readonly T[]) : [...list];
}

/** `list` with each member seen through `map`, which is asked anew for each look; an array becomes an array. */
export function mapped<A, B>(list: Sequence<A>, map: (member: A) => B): Sequence<B> {
  return Array.isArray(list) ? (list as readonly A[]).map((member) => map(member)) : new Mapped(list, map);
}

class Mapped<A, B> implements Sequence<B> {
  readonly length: number;
  readonly #list: Sequence<A>;
  readonly #map: (member: A) => B;

  constructor(list: Sequence<A>, map: (member: A) => B) {
    this.length = list.length;
    this.#list = list;
    this.#map = map;
  }

  at(index: number): B | undefined {
    const member = this.#list.at(index);
    return member === undefined ? undefined : this.#map(member);
  }

  *[Symbol.iterator](): Generator<B> {
    for (const member of this.#list) yield this.#map(member);
  }
}
