// A layer's entry list as a file: by columns, zstd with a checksum, so that 100,000 entries are read in tens of milliseconds and damage is noticed.
// Where the bytes of files are is not kept: beside a directory face they are at directory/path.
import { isUtf8 } from "node:buffer";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { assert } from "../base/assert.ts";
import { decodeName, encodeName } from "../base/file-name.ts";
import type { Entry, EntryType, LayerEntry } from "../tree/entry.ts";

const MAGIC = Buffer.from("TSBENT1\n");
const TYPES: readonly (EntryType | "whiteout")[] = ["file", "dir", "symlink", "char", "block", "fifo", "whiteout"];
const TYPE_CODES = new Map(TYPES.map((type, code) => [type, code]));

// One byte per entry: the type in the low three bits, then which optional columns have a value for it.
const TYPE_MASK = 7;
const OPAQUE = 8;
const HAS_SHA256 = 16;
const HAS_LINKNAME = 32;
const HAS_HARDLINK = 64;
const HAS_EXTRAS = 128;

const SHA256_HEX = 64;

/** What few entries have: device numbers, attributes. */
interface Extras {
  readonly devMajor?: number;
  readonly devMinor?: number;
  /** Name → base64. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

/** Byte lengths of the columns, in the order in which they follow the header. */
interface Header {
  readonly count: number;
  readonly lengths: readonly number[];
}

/** The file's bytes. */
export function encodeEntries(entries: readonly LayerEntry[]): Uint8Array {
  const count = entries.length;
  const flags = new Uint8Array(count);
  const modes = new Uint16Array(count);
  const owners = new Uint32Array(2 * count);
  const sizes = new Float64Array(count);
  const times = new BigInt64Array(count);
  const paths: string[] = [];
  const links: string[] = [];
  const hashes = new Hashes(count);
  const extras: Extras[] = [];
  for (const [i, entry] of entries.entries()) {
    paths.push(entry.path);
    let flag = TYPE_CODES.get(entry.type) ?? 0;
    if (entry.type !== "whiteout") {
      modes[i] = entry.mode;
      owners[2 * i] = entry.uid;
      owners[2 * i + 1] = entry.gid;
      sizes[i] = entry.size;
      times[i] = entry.mtimeNs;
      flag |= optionalColumns(entry, links, hashes, extras);
    }
    flags[i] = flag;
  }
  const texts = [paths.join("\0"), links.join("\0"), JSON.stringify(extras)].map(encodeName);
  const columns = [...texts, hashes.bytes, flags, ...[modes, owners, sizes, times].map(bytesOf)];
  const header: Header = { count, lengths: columns.map((column) => column.byteLength) };
  const headerBytes = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32LE(headerBytes.length);
  const body = zstdCompressSync(Buffer.concat([prefix, headerBytes, ...columns]), {
    params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  return Buffer.concat([MAGIC, body]);
}

/** The column of digests, as bytes from the start: as text it is the biggest of all. */
class Hashes {
  readonly #bytes: Buffer;
  #used = 0;

  constructor(count: number) {
    this.#bytes = Buffer.allocUnsafe((count * SHA256_HEX) / 2);
  }

  add(hex: string): void {
    this.#used += this.#bytes.write(hex, this.#used, "hex");
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#used);
  }
}

function optionalColumns(
  entry: Exclude<LayerEntry, { type: "whiteout" }>,
  links: string[],
  hashes: Hashes,
  extras: Extras[],
): number {
  let flag = entry.opaque ? OPAQUE : 0;
  if (entry.sha256 !== undefined) {
    assert(entry.sha256.length === SHA256_HEX, "an entry's sha256 has 64 hexadecimal digits");
    hashes.add(entry.sha256);
    flag |= HAS_SHA256;
  }
  if (entry.linkname !== undefined) {
    links.push(entry.linkname);
    flag |= HAS_LINKNAME;
  }
  if (entry.hardlink !== undefined) {
    links.push(entry.hardlink);
    flag |= HAS_HARDLINK;
  }
  if (entry.devMajor === undefined && entry.devMinor === undefined && entry.xattrs === undefined) return flag;
  const { devMajor, devMinor, xattrs } = entry;
  extras.push({
    ...(devMajor === undefined ? {} : { devMajor }),
    ...(devMinor === undefined ? {} : { devMinor }),
    ...(xattrs === undefined ? {} : { xattrs: mapValues(xattrs, (value) => Buffer.from(value).toString("base64")) }),
  });
  return flag | HAS_EXTRAS;
}

/** The entries of a file made by {@link encodeEntries}; undefined where it is damaged or of another version. */
export function decodeEntries(file: Uint8Array): readonly LayerEntry[] | undefined {
  if (!MAGIC.equals(file.subarray(0, MAGIC.length))) return undefined;
  try {
    return decodeBody(zstdDecompressSync(file.subarray(MAGIC.length)));
  } catch {
    // The checksum of the frame, or its form: whatever it is, the list is lost and will be made again.
    return undefined;
  }
}

function decodeBody(body: Buffer): readonly LayerEntry[] {
  const headerEnd = 4 + body.readUInt32LE(0);
  const { count, lengths } = JSON.parse(body.toString("utf8", 4, headerEnd)) as Header;
  let at = headerEnd;
  const columns = lengths.map((length) => body.subarray(at, (at += length)));
  const [paths, links, extras, hashes, flags, modes, owners, sizes, times] = columns as [Buffer, ...Buffer[]];
  return joinColumns(count, {
    paths: namesIn(paths),
    links: namesIn(links!),
    extras: JSON.parse(extras!.toString("utf8")) as Extras[],
    hashes: hashes!.toString("hex"),
    flags: flags!,
    modes: new Uint16Array(aligned(modes!)),
    owners: new Uint32Array(aligned(owners!)),
    sizes: new Float64Array(aligned(sizes!)),
    times: new BigInt64Array(aligned(times!)),
  });
}

function namesIn(column: Buffer): string[] {
  if (isUtf8(column)) return column.toString("utf8").split("\0");
  return column
    .toString("latin1")
    .split("\0")
    .map((bytes) => decodeName(Buffer.from(bytes, "latin1")));
}

interface Columns {
  readonly paths: readonly string[];
  /** Symlink targets and hard link targets, in the order of entries. */
  readonly links: readonly string[];
  readonly extras: readonly Extras[];
  readonly hashes: string;
  readonly flags: Uint8Array;
  readonly modes: Uint16Array;
  readonly owners: Uint32Array;
  readonly sizes: Float64Array;
  readonly times: BigInt64Array;
}

function joinColumns(count: number, columns: Columns): readonly LayerEntry[] {
  const entries: LayerEntry[] = [];
  let [link, hash, extra] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const flag = columns.flags[i]!;
    const type = TYPES[flag & TYPE_MASK]!;
    const path = columns.paths[i]!;
    if (type === "whiteout") {
      entries.push({ path, type });
      continue;
    }
    const entry: { -readonly [Key in keyof Entry]: Entry[Key] } & { opaque?: true } = {
      path,
      type,
      mode: columns.modes[i]!,
      uid: columns.owners[2 * i]!,
      gid: columns.owners[2 * i + 1]!,
      size: columns.sizes[i]!,
      mtimeNs: columns.times[i]!,
    };
    if (flag & HAS_SHA256) entry.sha256 = columns.hashes.slice(SHA256_HEX * hash, SHA256_HEX * ++hash);
    if (flag & HAS_LINKNAME) entry.linkname = columns.links[link++]!;
    if (flag & HAS_HARDLINK) entry.hardlink = columns.links[link++]!;
    if (flag & OPAQUE) entry.opaque = true;
    if (flag & HAS_EXTRAS) {
      const { xattrs, ...device } = columns.extras[extra++]!;
      Object.assign(entry, device);
      if (xattrs) entry.xattrs = mapValues(xattrs, (value) => new Uint8Array(Buffer.from(value, "base64")));
    }
    entries.push(entry);
  }
  return entries;
}

/** A copy whose start suits typed arrays of any element size. */
function aligned(bytes: Buffer): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

function bytesOf(column: ArrayBufferView<ArrayBuffer>): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
