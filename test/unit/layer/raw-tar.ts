// Archives as tests need them: well-formed ones from the engine's own encoder, and blocks made by hand for what it would never write.
import { encodeHeader, paddingOf, type TarHeader } from "../../../src/layer/tar-header.ts";

export interface RawMember extends Partial<Omit<TarHeader, "type" | "size">> {
  readonly name: string;
  /** Any type flag. */
  readonly type?: string;
  readonly data?: string | Uint8Array;
  /** A size that the content does not have. */
  readonly size?: number;
}

export const END: Buffer = Buffer.alloc(1024);

/** One member with its content. */
export function member(raw: RawMember): Buffer {
  const data = Buffer.from(raw.data ?? "");
  const header = encodeHeader({
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeNs: 0n,
    ...raw,
    type: (raw.type ?? (raw.name.endsWith("/") ? "5" : "0")) as TarHeader["type"],
    size: raw.size ?? data.length,
  });
  return Buffer.concat([header, data, Buffer.alloc(paddingOf(data.length))]);
}

/** A whole archive. */
export function archive(...members: readonly (RawMember | Buffer)[]): Buffer {
  return Buffer.concat([...members.map((each) => (Buffer.isBuffer(each) ? each : member(each))), END]);
}

/** A PAX header with records that are not checked. */
export function pax(body: string | Uint8Array, type: "x" | "g" = "x"): Buffer {
  return member({ name: "pax", type, data: body });
}

/** "<length> key=value\n". */
export function record(key: string, value: string): string {
  const rest = Buffer.byteLength(key) + Buffer.byteLength(value) + 3;
  let length = rest + 1;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

/** Overwrites bytes of a header block and mends its checksum. */
export function patched(block: Buffer, offset: number, bytes: string | Uint8Array): Buffer {
  const copy = Buffer.from(block);
  Buffer.from(bytes as Uint8Array).copy(copy, offset);
  copy.write("        ", 148, "latin1");
  const sum = copy.subarray(0, 512).reduce((a, b) => a + b, 0);
  copy.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return copy;
}

/** The bytes in slices of `size`. */
export async function* inSlices(bytes: Uint8Array, size: number = bytes.length || 1): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** All of a stream in memory. */
export async function gather(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
