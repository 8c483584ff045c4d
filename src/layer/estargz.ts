// Layer tar → eStargz, a gzip that can be read in parts (stargz-snapshotter docs/estargz.md; reference E22, N10). Each piece of a file's content begins a gzip
// member of its own; behind the tar comes a table of contents, as a tar of one file, and a footer that says where that begins. The tar itself passes unchanged,
// so every gzip reader unpacks it. Like compress.ts it depends on its input and the level only, and it knows no store.
import { createHash, type Hash } from "node:crypto";
import { availableParallelism } from "node:os";
import { promisify } from "node:util";
import { crc32, deflateRaw } from "node:zlib";
import { isoOfMs } from "../base/clock.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestOf, finishDigest, type Digest } from "../oci/digest.ts";
import { asBuffer } from "./names.ts";
import { TarReader, type TarMember } from "./tar-reader.ts";
import { BLOCK, encodeHeader, paddingOf } from "./tar-header.ts";

export interface EstargzOptions {
  /** gzip 0–9; default 6. */
  readonly level?: number | undefined;
  /** Takes the blob's bytes in order. */
  readonly write: (bytes: Uint8Array) => Promise<void> | void;
  readonly signal?: AbortSignal | undefined;
}

export interface WrittenEstargz {
  /** Identity of everything that unpacking gives: the tar and the table of contents. */
  readonly diffId: Digest;
  /** Identity of the blob. */
  readonly digest: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  /** What a descriptor of the blob has to say. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** One line of the table of contents, named as in the format. */
interface TocEntry {
  readonly name: string;
  readonly type: "reg" | "dir" | "symlink" | "hardlink" | "char" | "block" | "fifo" | "chunk";
  readonly size?: number;
  readonly modtime?: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Where in the blob the gzip member with its first byte begins. */
  offset?: number;
  chunkOffset?: number;
  chunkSize?: number;
  chunkDigest?: string;
  /** Of the whole file. */
  digest?: string;
}

const TOC_NAME = "stargz.index.json";
const TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest";
const UNCOMPRESSED_SIZE = "io.containers.estargz.uncompressed-size";
/** Bytes of a file in one member, at most. */
const CHUNK_SIZE = 1 << 22;
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const deflate = promisify(deflateRaw);

/** Compresses `tar` into `write`. Fails with "content" where it is no layer tar, with "unsupported" where it has a table of contents already. */
export async function writeEstargz(tar: AsyncIterable<Uint8Array>, options: EstargzOptions): Promise<WrittenEstargz> {
  const members = new MemberWriter(options);
  const index = new TocBuilder();
  const reader = new TarReader(index);
  let [position, used] = [0, 0];
  let parts: Buffer[] = [];
  let first: TocEntry | undefined;
  for await (const chunk of tar) {
    // The reader's slices are of this memory, which the pieces keep; the sender may fill its own again.
    const bytes = Buffer.from(chunk);
    index.startChunk(bytes, position);
    reader.write(bytes);
    used = 0;
    for (const { at, entry } of index.takeCuts()) {
      parts.push(bytes.subarray(used, at - position));
      await members.add(Buffer.concat(parts), first);
      [parts, first, used] = [[], entry, at - position];
    }
    parts.push(bytes.subarray(used));
    position += bytes.length;
  }
  reader.finish();
  await members.add(Buffer.concat(parts), first);
  await members.settle();
  const toc = Buffer.from(JSON.stringify({ version: 1, entries: index.entries }));
  const header = encodeHeader({ name: TOC_NAME, type: "0", mode: 0, uid: 0, gid: 0, size: toc.length, mtimeNs: 0n });
  const tocOffset = members.size;
  await members.add(Buffer.concat([header, toc, Buffer.alloc(paddingOf(toc.length) + 2 * BLOCK)]), undefined);
  await members.settle();
  await members.end(footer(tocOffset));
  return {
    diffId: members.diffId(),
    digest: members.digest(),
    size: members.size,
    annotations: { [TOC_DIGEST]: digestOf(toc), [UNCOMPRESSED_SIZE]: String(members.uncompressedSize) },
  };
}

/** An empty gzip member whose extra field holds the table's offset: what readers look at first, 51 bytes before the end. */
function footer(tocOffset: number): Buffer {
  const text = Buffer.from(`${tocOffset.toString(16).padStart(16, "0")}STARGZ`);
  const extra = Buffer.concat([Buffer.from("SG"), Buffer.from([text.length, 0]), text]);
  const head = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, extra.length, 0]);
  // An empty stored block, the checksum and the size of nothing.
  return Buffer.concat([head, extra, Buffer.from([1, 0, 0, 0xff, 0xff]), Buffer.alloc(8)]);
}

/** Writes gzip members in order, compressing several at once. */
class MemberWriter {
  readonly #options: EstargzOptions;
  readonly #width = availableParallelism() + 1;
  readonly #running: { readonly bytes: Promise<Buffer>; readonly first: TocEntry | undefined }[] = [];
  readonly #content: Hash = createHash("sha256");
  readonly #blob: Hash = createHash("sha256");
  /** Bytes written. */
  size = 0;
  uncompressedSize = 0;

  constructor(options: EstargzOptions) {
    this.#options = options;
  }

  /** Appends a member, unless it is empty; `first` is the entry whose bytes it begins with. */
  async add(piece: Buffer, first: TocEntry | undefined): Promise<void> {
    if (piece.length === 0) return;
    this.#options.signal?.throwIfAborted();
    this.#content.update(piece);
    this.uncompressedSize += piece.length;
    const bytes = member(piece, this.#options.level ?? 6);
    // The failure is seen where the bytes are awaited; until then it is not "unhandled".
    bytes.catch(() => undefined);
    this.#running.push({ bytes, first });
    while (this.#running.length > this.#width) await this.#writeOldest();
  }

  async settle(): Promise<void> {
    while (this.#running.length > 0) await this.#writeOldest();
  }

  /** Appends bytes that unpack to nothing. */
  async end(bytes: Buffer): Promise<void> {
    await this.#write(bytes);
  }

  diffId(): Digest {
    return finishDigest(this.#content);
  }

  digest(): Digest {
    return finishDigest(this.#blob);
  }

  async #writeOldest(): Promise<void> {
    const { bytes, first } = this.#running.shift()!;
    const written = await bytes;
    if (first) first.offset = this.size;
    await this.#write(written);
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#blob.update(bytes);
    this.size += bytes.length;
    await this.#options.write(bytes);
  }
}

async function member(piece: Buffer, level: number): Promise<Buffer> {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(piece), 0);
  trailer.writeUInt32LE(piece.length % 2 ** 32, 4);
  return Buffer.concat([GZIP_HEADER, await deflate(piece, { level }), trailer]);
}

interface Cut {
  /** Offset in the tar. */
  readonly at: number;
  readonly entry: TocEntry;
}

/** Listens to a tar: which entries it has, and where in it the pieces of their content begin. */
class TocBuilder {
  readonly entries: TocEntry[] = [];
  #cuts: Cut[] = [];
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;
  #member: TarMember | undefined;
  #file: TocEntry | undefined;
  #piece: TocEntry | undefined;
  #seen = 0;
  #fileHash: Hash = createHash("sha256");
  #pieceHash: Hash = createHash("sha256");

  /** Says what the reader gets next, and where in the tar that is. */
  startChunk(bytes: Buffer, position: number): void {
    this.#chunk = bytes;
    this.#position = position;
  }

  /** Beginnings of pieces since the last time. */
  takeCuts(): readonly Cut[] {
    const cuts = this.#cuts;
    this.#cuts = [];
    return cuts;
  }

  member(member: TarMember): void {
    if (member.name.replace(/^(?:\.?\/)+/, "") === TOC_NAME)
      throw new BuildError("unsupported", `compression=estargz cannot hold a file called "${TOC_NAME}"`, {
        help: "rename the file, or use another compression",
      });
    const entry = entryOf(member);
    this.entries.push(entry);
    [this.#member, this.#seen, this.#piece] = [member, 0, undefined];
    this.#file = entry.type === "reg" ? entry : undefined;
    this.#fileHash = createHash("sha256");
  }

  data(bytes: Buffer): void {
    const start = this.#position + bytes.byteOffset - this.#chunk.byteOffset;
    for (let done = 0; done < bytes.length;) {
      if (this.#seen % CHUNK_SIZE === 0) this.#startPiece(start + done);
      const count = Math.min(bytes.length - done, CHUNK_SIZE - (this.#seen % CHUNK_SIZE));
      const slice = bytes.subarray(done, done + count);
      this.#fileHash.update(slice);
      this.#pieceHash.update(slice);
      this.#seen += count;
      done += count;
    }
  }

  end(): void {
    this.#endPiece();
    if (this.#file) this.#file.digest = finishDigest(this.#fileHash);
    this.#file = undefined;
  }

  #startPiece(at: number): void {
    this.#endPiece();
    const { name, size } = this.#member!;
    const entry: TocEntry = this.#seen === 0 ? this.entries.at(-1)! : { name, type: "chunk" };
    if (this.#seen > 0) {
      entry.chunkOffset = this.#seen;
      this.entries.push(entry);
    }
    // The last piece has what is left, and says nothing.
    if (size - this.#seen >= CHUNK_SIZE) entry.chunkSize = CHUNK_SIZE;
    this.#piece = entry;
    this.#pieceHash = createHash("sha256");
    this.#cuts.push({ at, entry });
  }

  #endPiece(): void {
    if (this.#piece) this.#piece.chunkDigest = finishDigest(this.#pieceHash);
    this.#piece = undefined;
  }
}

function entryOf(member: TarMember): TocEntry {
  const { name, type, linkname, mode, uid, gid, size, devMajor, devMinor } = member;
  const isLink = type === "symlink" || type === "hardlink";
  const isDevice = type === "char" || type === "block";
  const xattrs = Object.entries(member.xattrs);
  const base64 = (value: Uint8Array): string => asBuffer(value).toString("base64");
  return {
    name,
    type: type === "file" ? "reg" : type,
    ...(size === 0 ? {} : { size }),
    ...modtimeOf(member.mtimeNs),
    ...(isLink ? { linkName: linkname } : {}),
    ...(mode === 0 ? {} : { mode }),
    ...(uid === 0 ? {} : { uid }),
    ...(gid === 0 ? {} : { gid }),
    ...(isDevice ? { devMajor, devMinor } : {}),
    ...(xattrs.length === 0 ? {} : { xattrs: Object.fromEntries(xattrs.map(([key, value]) => [key, base64(value)])) }),
  };
}

/** RFC 3339 to the nearest second; nothing for the epoch. */
function modtimeOf(ns: bigint): { readonly modtime?: string } {
  const seconds = (ns + 500_000_000n) / 1_000_000_000n;
  if (seconds === 0n) return {};
  return { modtime: isoOfMs(Number(seconds) * 1000).replace(/\.\d+Z$/, "Z") };
}
