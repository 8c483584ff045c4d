// Random numbers that a seed fixes for ever: of this file alone, so that seed N means the same Dockerfile whatever packages are installed.

/** A stream of choices. */
export class Random {
  #state: number;

  constructor(seed: number | string) {
    this.#state = fnv(String(seed));
  }

  /** A stream of its own: what is drawn from it does not change what is drawn here. */
  fork(name: string): Random {
    return new Random(`${this.#state}/${name}`);
  }

  /** At least 0, less than 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.between(0, items.length - 1)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** One of `choices`, by weight. */
  weighted<T>(choices: readonly (readonly [weight: number, item: T])[]): T {
    let left = this.next() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of choices) {
      left -= weight;
      if (left < 0) return item;
    }
    return choices.at(-1)![1];
  }

  /** What `make` gives, `low` to `high` times. */
  list<T>(low: number, high: number, make: (at: number) => T): T[] {
    return Array.from({ length: this.between(low, high) }, (_, at) => make(at));
  }

  /** Each item with the same probability, in the given order. */
  some<T>(items: readonly T[], probability: number): T[] {
    return items.filter(() => this.chance(probability));
  }
}

function fnv(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash | 0;
}
