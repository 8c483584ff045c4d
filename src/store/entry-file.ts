// The file of a layer's entry list. A long one is many short ones after another, so that neither writing nor reading it takes more memory than one of them:
// magic · number of entries (u32, little-endian) · for each part its length (u32) and the part as entry-list.ts makes it.
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { isErrno } from "../base/fs-atomic.ts";
import type { LayerEntry } from "../tree/entry.ts";
import { PackedEntries } from "../tree/packed-entries.ts";
import { arrayOf, type Sequence } from "../tree/sequence.ts";
import { decodeEntries, encodeEntries } from "./entry-list.ts";

const MAGIC = Buffer.from("TSBENTS\n");
const PART_ENTRIES = 8192;
/** A shorter list is written as one: a part costs a header, and less is found by its compression. */
const PARTED_FROM = 2 * PART_ENTRIES;

/** Writes the list to the empty file `fd`; one of `partedFrom` entries and more by parts. */
export function writeEntryFile(fd: number, entries: Sequence<LayerEntry>, partedFrom: number = PARTED_FROM): void {
  if (entries.length < partedFrom) return writeAll(fd, encodeEntries(arrayOf(entries)));
  writeAll(fd, Buffer.concat([MAGIC, lengthBytes(entries.length)]));
  let part: LayerEntry[] = [];
  const flush = (): void => {
    const bytes = encodeEntries(part);
    writeAll(fd, lengthBytes(bytes.length));
    writeAll(fd, bytes);
    part = [];
  };
  for (const entry of entries) {
    part.push(entry);
    if (part.length === PART_ENTRIES) flush();
  }
  if (part.length > 0) flush();
}

/** The list in the file at `path`; undefined where there is none, or it is damaged or of another version. */
export function readEntryFile(path: string): Sequence<LayerEntry> | undefined {
  const fd = openIfExists(path);
  if (fd === undefined) return undefined;
  try {
    const magic = readUpTo(fd, MAGIC.length);
    if (MAGIC.equals(magic)) return readParts(fd);
    return decodeEntries(Buffer.concat([magic, ...readRest(fd)]));
  } finally {
    closeSync(fd);
  }
}

function readParts(fd: number): Sequence<LayerEntry> | undefined {
  const count = readLength(fd);
  if (count === undefined) return undefined;
  const entries = new PackedEntries();
  while (entries.length < count) {
    const length = readLength(fd);
    // A damaged length may be any number.
    const bytes = length === undefined ? undefined : readUpTo(fd, Math.min(length, MAX_PART));
    const part = bytes && decodeEntries(bytes);
    if (!part || part.length === 0) return undefined;
    for (const entry of part) entries.push(entry);
  }
  return entries.length === count ? entries : undefined;
}

const CHUNK_SIZE = 1 << 20;
/** No path is longer than 4 KiB; what else an entry has is rarely as long. */
const MAX_PART = 1 << 28;

function* readRest(fd: number): Generator<Buffer> {
  for (;;) {
    const chunk = readUpTo(fd, CHUNK_SIZE);
    yield chunk;
    if (chunk.length < CHUNK_SIZE) return;
  }
}

function readLength(fd: number): number | undefined {
  const bytes = readUpTo(fd, 4);
  return bytes.length === 4 ? bytes.readUInt32LE() : undefined;
}

/** The next `size` bytes of the file, fewer at its end. */
function readUpTo(fd: number, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let left = size; left > 0;) {
    const chunk = Buffer.allocUnsafeSlow(Math.min(left, CHUNK_SIZE));
    const count = readSync(fd, chunk);
    if (count === 0) break;
    parts.push(chunk.subarray(0, count));
    left -= count;
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

function lengthBytes(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return bytes;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}

function openIfExists(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
}
