// Reads a tar archive that is in memory: ustar, PAX and GNU long names. Its own reader, so that the judge shares no mistake with src/layer.
const BLOCK = 512;

export interface TarEntry {
  /** Absolute, without "." and without a slash at the end. */
  readonly path: string;
  readonly type: "file" | "hard link" | "link" | "character device" | "block device" | "directory" | "fifo";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, fractions kept. */
  readonly mtime: number;
  readonly target: string;
  readonly device: string;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly content: Buffer;
}

const TYPES: Readonly<Record<string, TarEntry["type"]>> = {
  "0": "file",
  "\0": "file",
  "1": "hard link",
  "2": "link",
  "3": "character device",
  "4": "block device",
  "5": "directory",
  "6": "fifo",
};

/** The entries in the order of the archive. Throws on a wrong checksum, a cut archive or a type that no image has. */
export function readTar(archive: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  let offset = 0;
  let pax = new Map<string, Buffer>();
  while (offset + BLOCK <= archive.length) {
    const header = archive.subarray(offset, offset + BLOCK);
    if (header.every((byte) => byte === 0)) break;
    checkSum(header, offset);
    const text = (key: string, start: number, length: number): string =>
      pax.get(key)?.toString() ?? field(header, start, length);
    const number = (key: string, start: number, length: number): number => {
      const given = pax.get(key);
      return given === undefined ? numberAt(header, start, length) : Number(given.toString());
    };
    const flag = String.fromCharCode(header[156]!);
    const size = number("size", 124, 12);
    const content = archive.subarray(offset + BLOCK, offset + BLOCK + size);
    if (content.length !== size) throw new Error(`the archive ends in the content of the entry at ${offset}`);
    offset += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (flag === "x") pax = paxRecords(content);
    else if (flag === "L") pax.set("path", withoutNul(content));
    else if (flag === "K") pax.set("linkpath", withoutNul(content));
    else if (flag !== "g") {
      const type = TYPES[flag];
      if (type === undefined) throw new Error(`unknown type ${JSON.stringify(flag)} in the entry at ${offset}`);
      const prefix = field(header, 257, 6) === "ustar" && !pax.has("path") ? field(header, 345, 155) : "";
      const name = text("path", 0, 100);
      entries.push({
        path: absolute(prefix === "" ? name : `${prefix}/${name}`),
        type,
        mode: numberAt(header, 100, 8) & 0o7777,
        uid: number("uid", 108, 8),
        gid: number("gid", 116, 8),
        mtime: number("mtime", 136, 12),
        target: text("linkpath", 157, 100),
        device: type.endsWith("device") ? `${numberAt(header, 329, 8)},${numberAt(header, 337, 8)}` : "",
        xattrs: new Map(
          [...pax].filter(([key]) => key.startsWith("SCHILY.xattr.")).map(([key, value]) => [key.slice(13), value]),
        ),
        content: type === "file" ? content : Buffer.alloc(0),
      });
      pax = new Map();
    }
  }
  return entries;
}

function checkSum(header: Buffer, offset: number): void {
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += at >= 148 && at < 156 ? 32 : header[at]!;
  if (sum !== numberAt(header, 148, 8)) throw new Error(`wrong checksum in the entry at ${offset}`);
}

function field(header: Buffer, start: number, length: number): string {
  return withoutNul(header.subarray(start, start + length)).toString();
}

function withoutNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

function numberAt(header: Buffer, start: number, length: number): number {
  const bytes = header.subarray(start, start + length);
  if ((bytes[0]! & 0x80) === 0) return Number.parseInt(field(header, start, length).trim() || "0", 8);
  let value = bytes[0]! & 0x7f;
  for (const byte of bytes.subarray(1)) value = value * 256 + byte;
  return value;
}

function paxRecords(content: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at);
    const end = at + Number(content.subarray(at, space).toString());
    const equals = content.indexOf(0x3d, space);
    if (space === -1 || equals === -1 || !(end > at)) throw new Error("a PAX record cannot be read");
    records.set(content.subarray(space + 1, equals).toString(), content.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

function absolute(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  return `/${parts.join("/")}`;
}
