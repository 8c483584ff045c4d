// Entries in columns: about 70 bytes each instead of the 400 of an object with its strings, for lists of a hundred thousand and more. An entry is made when somebody asks
// for it, and is the asker's; what few entries have (links, attributes, devices, places of bytes) is kept as it came.
import { decodeName, encodeName } from "../base/file-name.ts";
import type { EntryType, LayerEntry } from "./entry.ts";
import type { Sequence } from "./sequence.ts";

/** From so many entries on a list is packed: below, objects are faster, and small enough. */
export const PACKED_FROM = 131_072;

/** Columns grow by parts of so many rows, which are never copied. */
const PART_BITS = 13;
const PART_ROWS = 1 << PART_BITS;
const NAME_ROOM = PART_ROWS * 12;
/** Looked through one by one, and rarely more than two. */
const MAX_OWNERS = 256;
const SHA_BYTES = 32;

const TYPES: readonly (EntryType | "whiteout")[] = ["file", "dir", "symlink", "char", "block", "fifo", "whiteout"];
const TYPE_CODES = new Map(TYPES.map((type, code) => [type, code]));
// One byte per row: the type in the low three bits, UNKNOWN = only the path is known so far.
const TYPE_MASK = 7;
const UNKNOWN = 7;
const HAS_SHA256 = 8;
const IS_KEPT = 16;
/** The name's bytes are no UTF-8. */
const IS_ESCAPED = 32;

interface Part {
  readonly directories: Uint32Array;
  readonly nameEnds: Uint32Array;
  names: Buffer;
  readonly kinds: Uint8Array;
  readonly modes: Uint16Array;
  readonly owners: Uint8Array;
  readonly sizes: Float64Array;
  readonly times: BigInt64Array;
  readonly digests: Buffer;
}

/** A growing list of entries, quickest to fill in the order of layers. */
export class PackedEntries<E extends LayerEntry = LayerEntry> implements Sequence<E> {
  readonly #parts: Part[] = [];
  /** Paths that entries are directly in, each once. */
  readonly #directories: string[] = [];
  readonly #directoryNumbers = new Map<string, number>();
  #lastDirectory = -1;
  readonly #owners: { readonly uid: number; readonly gid: number }[] = [{ uid: 0, gid: 0 }];
  readonly #kept = new Map<number, E>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Adds an entry and returns its number. */
  push(entry: E): number {
    const row = this.reserve(entry.path);
    this.set(row, entry);
    return row;
  }

  /** Adds a path of which nothing else is known yet and returns its number. */
  reserve(path: string): number {
    const row = this.#length++;
    const at = row & (PART_ROWS - 1);
    if (at === 0) this.#parts.push(makePart());
    const part = this.#parts.at(-1)!;
    const cut = path.lastIndexOf("/");
    part.directories[at] = this.#directoryOf(path, cut);
    part.kinds[at] = UNKNOWN;
    putName(part, at, cut < 0 ? path : path.slice(cut + 1));
    return row;
  }

  /** Says what is at the path of a row; undefined = it is not known any more. */
  set(row: number, entry: E | undefined): void {
    const part = this.#parts[row >> PART_BITS]!;
    const at = row & (PART_ROWS - 1);
    const escaped = part.kinds[at]! & IS_ESCAPED;
    if ((part.kinds[at]! & IS_KEPT) !== 0) this.#kept.delete(row);
    if (entry === undefined) {
      part.kinds[at] = UNKNOWN | escaped;
      return;
    }
    let kind = TYPE_CODES.get(entry.type)! | escaped;
    if (entry.type !== "whiteout") {
      const owner = this.#ownerOf(entry.uid, entry.gid);
      if (owner < 0 || hasMore(entry)) {
        kind |= IS_KEPT;
        this.#kept.set(row, entry);
      } else {
        part.modes[at] = entry.mode;
        part.owners[at] = owner;
        part.sizes[at] = entry.size;
        part.times[at] = entry.mtimeNs;
        if (entry.sha256 !== undefined) {
          part.digests.write(entry.sha256, at * SHA_BYTES, "hex");
          kind |= HAS_SHA256;
        }
      }
    }
    part.kinds[at] = kind;
  }

  /** Whether it is known what is at the path of a row. */
  isSet(row: number): boolean {
    return (this.#parts[row >> PART_BITS]!.kinds[row & (PART_ROWS - 1)]! & TYPE_MASK) !== UNKNOWN;
  }

  at(row: number): E | undefined {
    if (row < 0 || row >= this.#length) return undefined;
    const part = this.#parts[row >> PART_BITS]!;
    const at = row & (PART_ROWS - 1);
    const kind = part.kinds[at]!;
    const code = kind & TYPE_MASK;
    if (code === UNKNOWN) return undefined;
    if ((kind & IS_KEPT) !== 0) return this.#kept.get(row);
    const path = this.pathOf(row);
    const type = TYPES[code]!;
    if (type === "whiteout") return { path, type } as E;
    const { uid, gid } = this.#owners[part.owners[at]!]!;
    const [mode, size, mtimeNs] = [part.modes[at]!, part.sizes[at]!, part.times[at]!];
    if ((kind & HAS_SHA256) === 0) return { path, type, mode, uid, gid, size, mtimeNs } as LayerEntry as E;
    const sha256 = part.digests.toString("hex", at * SHA_BYTES, (at + 1) * SHA_BYTES);
    return { path, type, mode, uid, gid, size, mtimeNs, sha256 } as LayerEntry as E;
  }

  /** The path of a row, whether more is known of it or not. */
  pathOf(row: number): string {
    const directory = this.#directories[this.#parts[row >> PART_BITS]!.directories[row & (PART_ROWS - 1)]!]!;
    const name = this.nameOf(row);
    return directory === "" ? name : `${directory}/${name}`;
  }

  /** The last part of the path of a row. */
  nameOf(row: number): string {
    const part = this.#parts[row >> PART_BITS]!;
    const at = row & (PART_ROWS - 1);
    const start = at === 0 ? 0 : part.nameEnds[at - 1]!;
    const end = part.nameEnds[at]!;
    if ((part.kinds[at]! & IS_ESCAPED) !== 0) return decodeName(part.names.subarray(start, end));
    return part.names.toString("utf8", start, end);
  }

  *[Symbol.iterator](): Generator<E> {
    for (let row = 0; row < this.#length; row++) yield this.at(row)!;
  }

  /** Neighbours mostly share their directory. */
  #directoryOf(path: string, cut: number): number {
    const last = this.#lastDirectory < 0 ? undefined : this.#directories[this.#lastDirectory];
    if (last !== undefined && (cut < 0 ? last === "" : last.length === cut && path.startsWith(last)))
      return this.#lastDirectory;
    const directory = cut < 0 ? "" : path.slice(0, cut);
    let number = this.#directoryNumbers.get(directory);
    if (number === undefined) {
      number = this.#directories.push(directory) - 1;
      this.#directoryNumbers.set(directory, number);
    }
    this.#lastDirectory = number;
    return number;
  }

  /** -1 = there are too many. Owners are few, and mostly the one before. */
  #ownerOf(uid: number, gid: number): number {
    const found = this.#owners.findLastIndex((owner) => owner.uid === uid && owner.gid === gid);
    if (found >= 0) return found;
    return this.#owners.length === MAX_OWNERS ? -1 : this.#owners.push({ uid, gid }) - 1;
  }
}

function makePart(): Part {
  return {
    directories: new Uint32Array(PART_ROWS),
    nameEnds: new Uint32Array(PART_ROWS),
    names: Buffer.allocUnsafeSlow(NAME_ROOM),
    kinds: new Uint8Array(PART_ROWS),
    modes: new Uint16Array(PART_ROWS),
    owners: new Uint8Array(PART_ROWS),
    sizes: new Float64Array(PART_ROWS),
    times: new BigInt64Array(PART_ROWS),
    digests: Buffer.allocUnsafeSlow(PART_ROWS * SHA_BYTES),
  };
}

function putName(part: Part, at: number, name: string): void {
  const start = at === 0 ? 0 : part.nameEnds[at - 1]!;
  // Three bytes at most for a UTF-16 unit.
  const longest = start + name.length * 3;
  if (longest > part.names.length) {
    const larger = Buffer.allocUnsafeSlow(Math.max(longest, part.names.length * 2));
    part.names.copy(larger, 0, 0, start);
    part.names = larger;
  }
  if (name.isWellFormed()) {
    part.nameEnds[at] = start + part.names.write(name, start, "utf8");
    return;
  }
  part.kinds[at] = part.kinds[at]! | IS_ESCAPED;
  part.nameEnds[at] = start + encodeName(name).copy(part.names, start);
}

/** Whether it has something that there is no column for. */
function hasMore(entry: Exclude<LayerEntry, { type: "whiteout" }>): boolean {
  return (
    entry.linkname !== undefined ||
    entry.hardlink !== undefined ||
    entry.xattrs !== undefined ||
    entry.bytes !== undefined ||
    entry.opaque !== undefined ||
    entry.devMajor !== undefined ||
    entry.devMinor !== undefined ||
    (entry.sha256 !== undefined && entry.sha256.length !== SHA_BYTES * 2)
  );
}

/** A growing list that is packed once it is long. */
export class EntryCollector<E extends LayerEntry> {
  #short: E[] = [];
  #packed: PackedEntries<E> | undefined;
  readonly #packedFrom: number;

  constructor(packedFrom: number = PACKED_FROM) {
    this.#packedFrom = packedFrom;
  }

  push(entry: E): void {
    if (this.#packed) return void this.#packed.push(entry);
    if (this.#short.push(entry) < this.#packedFrom) return;
    this.#packed = new PackedEntries();
    for (const one of this.#short) this.#packed.push(one);
    this.#short = [];
  }

  list(): Sequence<E> {
    return this.#packed ?? this.#short;
  }
}
