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

/** The file's bytes. Looks at the entries twice and writes each column in its place: their copies would be as big as a list of many entries is. */
export function encodeEntries(entries: readonly LayerEntry[]): Uint8Array {
  const few = fewOf(entries);
  const count = entries.length;
  const lengths = [few.pathBytes, few.links.length, few.extras.length, (few.hashes * SHA256_HEX) / 2];
  lengths.push(count, 2 * count, 8 * count, 8 * count, 8 * count);
  const header = Buffer.from(JSON.stringify({ count, lengths } satisfies Header));
  const body = Buffer.allocUnsafeSlow(lengths.reduce((sum, length) => sum + length, 4 + header.length));
  body.writeUInt32LE(header.length);
  body.set(header, 4);
  let at = 4 + header.length;
  const starts = lengths.map((length) => (at += length) - length);
  body.set(few.links, starts[1]);
  body.set(few.extras, starts[2]);
  fillColumns(body, starts, entries);
  const packed = zstdCompressSync(body, {
    params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  return Buffer.concat([MAGIC, packed]);
}

/** What has to be known of all entries before the first is written, and the columns that few entries have a value in. */
interface Few {
  readonly pathBytes: number;
  readonly hashes: number;
  readonly links: Buffer;
  readonly extras: Buffer;
}

function fewOf(entries: readonly LayerEntry[]): Few {
  const links: string[] = [];
  const extras: Extras[] = [];
  let hashes = 0;
  // One byte between two paths.
  let pathBytes = Math.max(0, entries.length - 1);
  for (const entry of entries) {
    pathBytes += entry.path.isWellFormed() ? Buffer.byteLength(entry.path) : encodeName(entry.path).length;
    if (entry.type === "whiteout") continue;
    if (entry.sha256 !== undefined) hashes++;
    if (entry.linkname !== undefined) links.push(entry.linkname);
    if (entry.hardlink !== undefined) links.push(entry.hardlink);
    if (hasExtras(entry)) extras.push(extrasOf(entry));
  }
  return { pathBytes, hashes, links: encodeName(links.join("\0")), extras: encodeName(JSON.stringify(extras)) };
}

function fillColumns(body: Buffer, starts: readonly number[], entries: readonly LayerEntry[]): void {
  const [paths = 0, , , hashes = 0, flags = 0, modes = 0, owners = 0, sizes = 0, times = 0] = starts;
  let [pathAt, hashAt] = [paths, hashes];
  for (const [i, entry] of entries.entries()) {
    if (i > 0) body[pathAt++] = 0;
    if (entry.path.isWellFormed()) pathAt += body.write(entry.path, pathAt, "utf8");
    else pathAt += encodeName(entry.path).copy(body, pathAt);
    body[flags + i] = flagsOf(entry);
    const { mode, uid, gid, size, mtimeNs } = entry.type === "whiteout" ? NOTHING : entry;
    body.writeUInt16LE(mode, modes + 2 * i);
    body.writeUInt32LE(uid, owners + 8 * i);
    body.writeUInt32LE(gid, owners + 8 * i + 4);
    body.writeDoubleLE(size, sizes + 8 * i);
    body.writeBigInt64LE(mtimeNs, times + 8 * i);
    if (entry.type === "whiteout" || entry.sha256 === undefined) continue;
    assert(entry.sha256.length === SHA256_HEX, "an entry's sha256 has 64 hexadecimal digits");
    hashAt += body.write(entry.sha256, hashAt, "hex");
  }
}

const NOTHING = { mode: 0, uid: 0, gid: 0, size: 0, mtimeNs: 0n };

function flagsOf(entry: LayerEntry): number {
  const code = TYPE_CODES.get(entry.type) ?? 0;
  if (entry.type === "whiteout") return code;
  let flags = code | (entry.opaque ? OPAQUE : 0);
  if (entry.sha256 !== undefined) flags |= HAS_SHA256;
  if (entry.linkname !== undefined) flags |= HAS_LINKNAME;
  if (entry.hardlink !== undefined) flags |= HAS_HARDLINK;
  return hasExtras(entry) ? flags | HAS_EXTRAS : flags;
}

function hasExtras({ devMajor, devMinor, xattrs }: Entry): boolean {
  return devMajor !== undefined || devMinor !== undefined || xattrs !== undefined;
}

function extrasOf({ devMajor, devMinor, xattrs }: Entry): Extras {
  return {
    ...(devMajor === undefined ? {} : { devMajor }),
    ...(devMinor === undefined ? {} : { devMinor }),
    ...(xattrs === undefined ? {} : { xattrs: mapValues(xattrs, (value) => Buffer.from(value).toString("base64")) }),
  };
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

function mapValues<A, B>(record: Readonly<Record<string, A>>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
