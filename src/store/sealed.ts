// Values that end up in images carry a checksum in the database, because SQLite does not checksum its pages: a flipped bit is a miss, never a wrong image.
import { crc32 } from "node:zlib";

const WIDTH = 8;

/** `text` with its checksum in front. Equal texts give equal seals, so sealed columns can be searched. */
export function seal(text: string): string {
  return checksum(text) + text;
}

/** The text of a seal; undefined where it is damaged or absent. */
export function unseal(sealed: string | null): string | undefined {
  // Where the schema itself is damaged, a row may come without the column.
  if (typeof sealed !== "string") return undefined;
  const text = sealed.slice(WIDTH);
  return sealed.slice(0, WIDTH) === checksum(text) ? text : undefined;
}

/** `bytes` with their checksum in front. */
export function sealBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(checksum(bytes)), bytes]);
}

/** The bytes of a seal; undefined where they are damaged. */
export function unsealBytes(sealed: Uint8Array): Uint8Array | undefined {
  if (!(sealed instanceof Uint8Array)) return undefined;
  const bytes = sealed.subarray(WIDTH);
  return Buffer.from(sealed.subarray(0, WIDTH)).toString("latin1") === checksum(bytes) ? bytes : undefined;
}

function checksum(data: string | Uint8Array): string {
  return crc32(data).toString(16).padStart(WIDTH, "0");
}
