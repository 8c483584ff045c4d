// The writing half of the tar codec: USTAR headers, with PAX records only where USTAR cannot say it (POSIX.1-2024 pax, "pax Interchange Format").
// What needs a record, and the records' form, follow Go's archive/tar, since its readers are what pulls images. tar's Header is used for decoding
// only: encoding with it takes 6–8 µs a header, and a layer has two for each file.
import { encodeName } from "../base/file-name.ts";
import { InternalError } from "../base/assert.ts";
import { baseName, parentPath } from "../base/container-path.ts";

export const BLOCK = 512;

/** POSIX type flags. */
export type TypeFlag = "0" | "1" | "2" | "3" | "4" | "5" | "6";

/** One member's header. `name` ends with "/" for directories. */
export interface TarHeader {
  readonly name: string;
  readonly type: TypeFlag;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly linkname?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: Readonly<Record<string, Uint8Array>>;
}

const NANOSECONDS = 1_000_000_000n;
/** Largest numbers in 7 and 11 octal digits. */
const MAX_ID = 0o7777777;
const MAX_SIZE = 0o77777777777;
const NAME_SIZE = 100;
const PREFIX_SIZE = 155;
const XATTR_PREFIX = "SCHILY.xattr.";

/** Header blocks of a member, PAX header first where one is needed. */
export function encodeHeader(header: TarHeader): Buffer {
  return new HeaderEncoder().encode(header);
}

/** Encodes headers one after the other in the same memory: the many small buffers of a layer of small files would be as long as the layer. */
export class HeaderEncoder {
  #memory = Buffer.allocUnsafeSlow(4 * BLOCK);
  #used = 0;

  /** As {@link encodeHeader}; only valid until the next call. */
  encode(header: TarHeader): Buffer {
    const name = encodeName(header.name);
    const linkname = header.linkname === undefined ? undefined : encodeName(header.linkname);
    const split = splitName(header.name, name);
    const records = paxRecords(header, split === undefined ? name : undefined, linkname);
    this.#used = 0;
    if (records.length > 0) this.#addPax(header.name, records);
    encodeBlock(this.#reserve(BLOCK), {
      ...header,
      split: split ?? [truncate(name), undefined],
      link: linkname && truncate(linkname),
    });
    return this.#memory.subarray(0, this.#used);
  }

  #addPax(name: string, records: readonly PaxRecord[]): void {
    const size = records.reduce((sum, record) => sum + lengthOf(record), 0);
    const plain = name.replace(/\/$/, "").replace(/[^\x20-\x7e]/g, "");
    const paxName = [parentPath(plain), "PaxHeaders.0", baseName(plain)].filter((part) => part !== "").join("/");
    encodeBlock(this.#reserve(BLOCK), {
      type: "x",
      mode: 0,
      uid: 0,
      gid: 0,
      size,
      mtimeNs: 0n,
      split: [Buffer.from(paxName.slice(0, NAME_SIZE).replace(/\/$/, "")), undefined],
      link: undefined,
    });
    const body = this.#reserve(size + paddingOf(size));
    let at = 0;
    for (const record of records) at += writeRecord(record, body, at);
    body.fill(0, at);
  }

  /** The next `size` bytes of the memory. */
  #reserve(size: number): Buffer {
    const start = this.#used;
    this.#used += size;
    if (this.#used > this.#memory.length) {
      const larger = Buffer.allocUnsafeSlow(2 * this.#used);
      this.#memory.copy(larger, 0, 0, start);
      this.#memory = larger;
    }
    return this.#memory.subarray(start, this.#used);
  }
}

/** Name and prefix fields; undefined where the name does not fit (Go's splitUSTARPath). */
function splitName(text: string, bytes: Buffer): readonly [Buffer, Buffer | undefined] | undefined {
  // All ASCII: as many bytes as UTF-16 units.
  if (bytes.length !== text.length || text.includes("\0")) return undefined;
  if (bytes.length <= NAME_SIZE) return [bytes, undefined];
  const limit = Math.min(text.endsWith("/") ? bytes.length - 1 : bytes.length, PREFIX_SIZE + 1);
  const cut = text.lastIndexOf("/", limit - 1);
  const rest = bytes.length - cut - 1;
  if (cut <= 0 || rest > NAME_SIZE || rest === 0) return undefined;
  return [bytes.subarray(cut + 1), bytes.subarray(0, cut)];
}

type PaxRecord = readonly [key: string, value: string | Uint8Array];

/** Records sorted by key, so that equal members have equal bytes. */
function paxRecords(header: TarHeader, longName: Buffer | undefined, linkname: Buffer | undefined): PaxRecord[] {
  const records: PaxRecord[] = [];
  if (longName) records.push(["path", longName]);
  if (linkname && (linkname.length > NAME_SIZE || linkname.length !== header.linkname?.length))
    records.push(["linkpath", linkname]);
  if (header.uid > MAX_ID) records.push(["uid", String(header.uid)]);
  if (header.gid > MAX_ID) records.push(["gid", String(header.gid)]);
  if (header.size > MAX_SIZE) records.push(["size", String(header.size)]);
  if (!isPlainTime(header.mtimeNs)) records.push(["mtime", formatTime(header.mtimeNs)]);
  for (const [name, value] of Object.entries(header.xattrs ?? {})) records.push([XATTR_PREFIX + name, value]);
  return records.sort(([a], [b]) => (a < b ? -1 : 1));
}

function isPlainTime(ns: bigint): boolean {
  return ns >= 0n && ns % NANOSECONDS === 0n && ns / NANOSECONDS <= BigInt(MAX_SIZE);
}

/** Decimal seconds with as many digits as needed: "1.5", "-0.000000001". */
function formatTime(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  const fraction = String(magnitude % NANOSECONDS)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${ns < 0n ? "-" : ""}${magnitude / NANOSECONDS}${fraction === "" ? "" : `.${fraction}`}`;
}

/** Bytes of "<length> <key>=<value>\n", where the length counts its own digits. Values that are text are ASCII. */
function lengthOf([key, value]: PaxRecord): number {
  const rest = Buffer.byteLength(key) + value.length + 3;
  const length = rest + String(rest).length;
  return rest + String(length).length === length ? length : rest + String(length).length;
}

/** Writes the record at `at`; returns its length. */
function writeRecord(record: PaxRecord, body: Buffer, at: number): number {
  const [key, value] = record;
  const length = lengthOf(record);
  const valueAt = at + body.write(`${length} ${key}=`, at);
  if (typeof value === "string") body.write(value, valueAt, "latin1");
  else body.set(value, valueAt);
  body[at + length - 1] = 0x0a;
  return length;
}

/** Zero bytes that follow `size` bytes of content. */
export function paddingOf(size: number): number {
  const over = size % BLOCK;
  return over === 0 ? 0 : BLOCK - over;
}

interface BlockFields extends Pick<TarHeader, "mode" | "uid" | "gid" | "size" | "mtimeNs" | "devMajor" | "devMinor"> {
  readonly type: TypeFlag | "x";
  readonly split: readonly [Buffer, Buffer | undefined];
  readonly link: Buffer | undefined;
}

/** What a plain header has in it before the fields: zero numbers, magic, blanks where the checksum goes. */
const TEMPLATE = Buffer.alloc(BLOCK);
TEMPLATE.write("0000000\0".repeat(3), 100, "latin1");
TEMPLATE.write("00000000000\0".repeat(2), 124, "latin1");
TEMPLATE.write("        ", 148, "latin1");
TEMPLATE.write("ustar\x0000", 257, "latin1");
TEMPLATE.write("0000000\0".repeat(2), 329, "latin1");

function encodeBlock(block: Buffer, fields: BlockFields): void {
  TEMPLATE.copy(block);
  const [name, prefix] = fields.split;
  name.copy(block, 0);
  prefix?.copy(block, 345);
  fields.link?.copy(block, 157);
  block[156] = fields.type.charCodeAt(0);
  writeOctal(block, 100, 7, fields.mode);
  // A number that has a PAX record is zero here, as Go writes it.
  if (fields.uid <= MAX_ID) writeOctal(block, 108, 7, fields.uid);
  if (fields.gid <= MAX_ID) writeOctal(block, 116, 7, fields.gid);
  if (fields.size <= MAX_SIZE) writeOctal(block, 124, 11, fields.size);
  const seconds = fields.mtimeNs < 0n ? 0 : Number(fields.mtimeNs / NANOSECONDS);
  if (seconds <= MAX_SIZE) writeOctal(block, 136, 11, seconds);
  writeOctal(block, 329, 7, fields.devMajor ?? 0);
  writeOctal(block, 337, 7, fields.devMinor ?? 0);
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += block[i]!;
  writeOctal(block, 148, 6, sum);
  block[154] = 0;
}

/** Right-aligned octal over the template's zeros. */
function writeOctal(block: Buffer, offset: number, digits: number, value: number): void {
  let rest = value;
  for (let i = offset + digits - 1; i >= offset; i--) {
    block[i] = 48 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  if (rest !== 0) throw new InternalError(`${value} does not fit into ${digits} octal digits`);
}

function truncate(bytes: Buffer): Buffer {
  return bytes.subarray(0, NAME_SIZE);
}
