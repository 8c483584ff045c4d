// What is known of the paths of a directory tree, by numbers: paths and entries as they are while there are few, in columns once there are many.
import { baseName } from "../base/container-path.ts";
import type { Entry } from "../tree/entry.ts";
import { PACKED_FROM, PackedEntries } from "../tree/packed-entries.ts";
import type { Sequence } from "../tree/sequence.ts";

export class FileRows {
  readonly #packedFrom: number;
  #paths: string[] = [];
  #entries: (Entry | undefined)[] = [];
  #packed: PackedEntries<Entry> | undefined;

  /** `packedFrom`: the number of rows from which they are in columns. */
  constructor(packedFrom: number = PACKED_FROM) {
    this.#packedFrom = packedFrom;
  }

  /** Adds a path and returns its number. */
  add(path: string): number {
    if (this.#packed) return this.#packed.reserve(path);
    const row = this.#paths.push(path) - 1;
    this.#entries.push(undefined);
    if (row + 1 >= this.#packedFrom) this.#pack();
    return row;
  }

  path(row: number): string {
    return this.#packed?.pathOf(row) ?? this.#paths[row]!;
  }

  name(row: number): string {
    return this.#packed?.nameOf(row) ?? baseName(this.#paths[row]!);
  }

  /** Undefined before somebody has looked, and where the path is gone. */
  entry(row: number): Entry | undefined {
    return this.#packed ? this.#packed.at(row) : this.#entries[row];
  }

  /** Whether {@link entry} is known, without making it. */
  isSet(row: number): boolean {
    return this.#packed ? this.#packed.isSet(row) : this.#entries[row] !== undefined;
  }

  set(row: number, entry: Entry | undefined): void {
    if (this.#packed) this.#packed.set(row, entry);
    else this.#entries[row] = entry;
  }

  /** The entries of these rows, all known; `hardlinks`: what the entry with that place in the list is a further name of. */
  select(rows: Uint32Array, hardlinks: ReadonlyMap<number, string>): Sequence<Entry> {
    if (this.#packed) return new Selected(this.#packed, rows, hardlinks);
    const entries: Entry[] = [];
    for (let index = 0; index < rows.length; index++)
      entries.push(linked(this.#entries[rows[index]!]!, hardlinks.size === 0 ? undefined : hardlinks.get(index)));
    return entries;
  }

  #pack(): void {
    const packed = new PackedEntries<Entry>();
    for (const [row, path] of this.#paths.entries()) {
      packed.reserve(path);
      packed.set(row, this.#entries[row]);
    }
    this.#packed = packed;
    this.#paths = [];
    this.#entries = [];
  }
}

class Selected implements Sequence<Entry> {
  readonly length: number;
  readonly #packed: PackedEntries<Entry>;
  readonly #rows: Uint32Array;
  readonly #hardlinks: ReadonlyMap<number, string>;

  constructor(packed: PackedEntries<Entry>, rows: Uint32Array, hardlinks: ReadonlyMap<number, string>) {
    this.length = rows.length;
    this.#packed = packed;
    this.#rows = rows;
    this.#hardlinks = hardlinks;
  }

  at(index: number): Entry | undefined {
    const row = this.#rows[index];
    if (row === undefined) return undefined;
    const entry = this.#packed.at(row)!;
    return this.#hardlinks.size === 0 ? entry : linked(entry, this.#hardlinks.get(index));
  }

  *[Symbol.iterator](): Generator<Entry> {
    for (let index = 0; index < this.length; index++) yield this.at(index)!;
  }
}

function linked(entry: Entry, hardlink: string | undefined): Entry {
  return hardlink === undefined ? entry : { ...entry, hardlink };
}

/** Numbers of rows in the order in which they were added. */
export class RowList {
  #rows = new Uint32Array(1024);
  #length = 0;

  push(row: number): void {
    if (this.#length === this.#rows.length) {
      const larger = new Uint32Array(this.#length * 2);
      larger.set(this.#rows);
      this.#rows = larger;
    }
    this.#rows[this.#length++] = row;
  }

  rows(): Uint32Array {
    return this.#rows.subarray(0, this.#length);
  }
}
