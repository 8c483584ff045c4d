// The reading half of the tar codec: bytes in any slices → members, with USTAR, PAX and GNU long names understood (POSIX.1-2024 pax; GNU tar manual,
// "Basic Tar Format"). Strict where a lenient reader could be made to see other files than its neighbour does. Knows nothing of paths or layers.
// Numbers and checksums come from tar's Header; names, times and PAX records are read here because layers need them exact: bytes, nanoseconds, attributes.
import { Header } from "tar/header";
import { decodeName } from "../base/file-name.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { asBuffer } from "./names.ts";
import { readPax, timeOf, type PaxRecords } from "./pax.ts";
import { BLOCK, paddingOf } from "./tar-header.ts";

export type MemberType = "file" | "hardlink" | "symlink" | "char" | "block" | "dir" | "fifo";

/** One member as the archive states it; nothing of it is checked against other members. */
export interface TarMember {
  readonly name: string;
  readonly type: MemberType;
  readonly linkname: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow; 0 for everything but files. */
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: Readonly<Record<string, Uint8Array>>;
}

/** Takes what a {@link TarReader} finds: for each member `member`, any number of `data`, then `end`. */
export interface TarVisitor {
  member(member: TarMember): void;
  data(bytes: Buffer): void;
  end(): void;
}

const TYPES: Readonly<Record<string, MemberType>> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "dir",
  "6": "fifo",
  "7": "file",
};
/** Members about the next member: PAX, Solaris PAX, GNU long name and long link target; "g" is about all that follow. */
const META_TYPES = "xXLKg";
/** What Go's reader allows too. */
const MAX_META_SIZE = 1 << 20;
const NANOSECONDS = 1_000_000_000n;
/** The last id that a file can have; the one above means "unchanged" to chown. */
const MAX_ID = 0xfffffffe;

/** A push parser. Fails with "content". */
export class TarReader {
  readonly #visitor: TarVisitor;
  readonly #partial = Buffer.alloc(BLOCK);
  #partialSize = 0;
  #state: "header" | "meta" | "body" | "padding" | "ended" = "header";
  #left = 0;
  #padding = 0;
  #meta: { readonly type: string; readonly parts: Buffer[] } | undefined;
  #sawZeroBlock = false;
  #global: PaxRecords = {};
  #next: PaxRecords = {};
  #memberName = "";

  constructor(visitor: TarVisitor) {
    this.#visitor = visitor;
  }

  write(chunk: Uint8Array): void {
    const bytes = asBuffer(chunk);
    for (let at = 0; at < bytes.length && this.#state !== "ended";) {
      at += this.#state === "header" ? this.#takeHeader(bytes, at) : this.#takeContent(bytes, at);
    }
  }

  /** Says that the stream is at its end. The two zero blocks may be missing, as GNU tar and Go allow; a part of a member may not. */
  finish(): void {
    if (this.#state === "ended") return;
    if (this.#state !== "header" || this.#partialSize > 0)
      throw damaged(`ends in the middle of ${this.#memberName === "" ? "a header" : `"${this.#memberName}"`}`);
    if (Object.keys(this.#next).length > 0) throw damaged("ends after an extended header");
  }

  #takeHeader(bytes: Buffer, at: number): number {
    if (this.#partialSize === 0 && bytes.length - at >= BLOCK) {
      this.#header(bytes.subarray(at, at + BLOCK));
      return BLOCK;
    }
    const count = bytes.copy(this.#partial, this.#partialSize, at, at + BLOCK - this.#partialSize);
    this.#partialSize += count;
    if (this.#partialSize === BLOCK) {
      this.#partialSize = 0;
      this.#header(this.#partial);
    }
    return count;
  }

  #takeContent(bytes: Buffer, at: number): number {
    const count = Math.min(this.#left, bytes.length - at);
    const slice = bytes.subarray(at, at + count);
    // Meta content outlives the chunk; the chunk's memory is the caller's.
    if (this.#state === "meta") this.#meta?.parts.push(Buffer.from(slice));
    else if (this.#state === "body") this.#visitor.data(slice);
    this.#left -= count;
    if (this.#left === 0) this.#contentDone();
    return count;
  }

  #contentDone(): void {
    if (this.#state === "meta") this.#metaDone();
    if (this.#state === "body") this.#visitor.end();
    this.#left = this.#state === "padding" ? 0 : this.#padding;
    this.#state = this.#left > 0 ? "padding" : "header";
  }

  #header(block: Buffer): void {
    const header = decodeHeader(block);
    if (header.nullBlock) {
      if (this.#sawZeroBlock) this.#state = "ended";
      this.#sawZeroBlock = true;
      return;
    }
    if (this.#sawZeroBlock) throw damaged("has a header after a zero block");
    if (!header.cksumValid) throw damaged("has a header with a wrong checksum");
    if (header.size === undefined) throw damaged("has a header with an unreadable size");
    const flag = String.fromCharCode(block[156]!);
    if (META_TYPES.includes(flag)) this.#startMeta(flag, header.size);
    else this.#startMember(block, header, flag);
  }

  #startMeta(type: string, size: number): void {
    if (size > MAX_META_SIZE) throw damaged(`has an extended header of ${size} bytes`);
    this.#meta = { type, parts: [] };
    this.#enter("meta", size);
  }

  #metaDone(): void {
    const { type, parts } = this.#meta!;
    const content = Buffer.concat(parts);
    if (type === "g") this.#global = { ...this.#global, ...readPax(content) };
    else if (type === "L") this.#next = { ...this.#next, path: untilZero(content) };
    else if (type === "K") this.#next = { ...this.#next, linkpath: untilZero(content) };
    else this.#next = { ...this.#next, ...readPax(content) };
  }

  #startMember(block: Buffer, header: Header, flag: string): void {
    const pax = this.#next;
    this.#next = {};
    const member = toMember(block, header, flag, pax, this.#global);
    this.#memberName = member.name;
    this.#visitor.member(member);
    if (member.size === 0) this.#visitor.end();
    else this.#enter("body", member.size);
  }

  #enter(state: "meta" | "body", size: number): void {
    this.#state = state;
    this.#left = size;
    this.#padding = paddingOf(size);
    if (size === 0) this.#contentDone();
  }
}

function decodeHeader(block: Buffer): Header {
  try {
    return new Header(block);
  } catch (error) {
    throw damaged("has a header with a number that is too large", error);
  }
}

function toMember(block: Buffer, header: Header, flag: string, pax: PaxRecords, global: PaxRecords): TarMember {
  const name = pax.path === undefined ? nameIn(block) : decodeName(pax.path);
  if (pax.isSparse === true || flag === "S")
    throw new BuildError(
      "content",
      `"${name}" is stored as a sparse file, which tsbuild does not read from tar archives`,
      {
        help: "make the archive without --sparse",
      },
    );
  const stated = TYPES[flag];
  if (stated === undefined) throw damaged(`has "${name}" of unknown type "${flag}"`);
  if (name === "") throw damaged("has a member without a name");
  const type = stated === "file" && name.endsWith("/") ? "dir" : stated;
  return {
    name,
    type,
    linkname: decodeName(pax.linkpath ?? untilZero(block.subarray(157, 257))),
    mode: (header.mode ?? 0) & 0o7777,
    uid: idOf(name, pax.uid ?? global.uid ?? header.uid ?? 0),
    gid: idOf(name, pax.gid ?? global.gid ?? header.gid ?? 0),
    // POSIX lets other types state a size; no reader takes content for them (Go's isHeaderOnly).
    size: type === "file" ? (pax.size ?? header.size ?? 0) : 0,
    mtimeNs: timeOf(pax.mtime ?? global.mtime) ?? headerTime(header),
    // tar's Header reads these in USTAR only, GNU's format has them too.
    devMajor: type === "char" || type === "block" ? octal(block, 329) : 0,
    devMinor: type === "char" || type === "block" ? octal(block, 337) : 0,
    xattrs: pax.xattrs ?? {},
  };
}

/** Name of a header without PAX: GNU's format uses the place of the prefix for times. */
function nameIn(block: Buffer): string {
  const name = untilZero(block.subarray(0, 100));
  const isPosix = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isPosix ? untilZero(block.subarray(345, 500)) : Buffer.alloc(0);
  return decodeName(prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from("/"), name]));
}

function headerTime(header: Header): bigint {
  const ms = header.mtime?.getTime() ?? 0;
  return Number.isFinite(ms) ? BigInt(Math.floor(ms / 1000)) * NANOSECONDS : 0n;
}

function octal(block: Buffer, offset: number): number {
  const text = block
    .toString("latin1", offset, offset + 8)
    .replace(/\0.*$/s, "")
    .trim();
  const value = text === "" ? 0 : Number.parseInt(text, 8);
  if (!/^[0-7]*$/.test(text) || value > 0xfffff) throw damaged("has a device with an unreadable number");
  return value;
}

function idOf(name: string, id: number): number {
  if (Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id;
  throw damaged(`says that "${name}" belongs to user or group ${id}, which Linux cannot store`);
}

function untilZero(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** An archive that is not what it claims to be. */
export function damaged(what: string, cause?: unknown): BuildError {
  return new BuildError("content", `the tar archive ${what}`, { cause });
}
