// Bytes of regular files, read in slices through one reused buffer, and their sha256.
import { createHash, hash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { hostPath } from "../base/file-name.ts";
import { seekData, seekHole } from "../base/libc.ts";
import { assert } from "../base/assert.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { Entry, FileBytes } from "../tree/entry.ts";
import type { Pace } from "./pace.ts";

/** sha256 hex of no bytes. */
export const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Where the bytes of an entry are, the `index`th of its list. Absent: the entry says so itself. */
export type Locate = (entry: Entry, index: number) => FileBytes | Promise<FileBytes>;

const BUFFER_SIZE = 1 << 18;

/** Where the bytes of the `index`th entry are: what `locate` says, else what the entry carries. */
export function bytesOf(entry: Entry, index: number, locate: Locate | undefined): FileBytes | Promise<FileBytes> {
  if (locate) return locate(entry, index);
  assert(entry.bytes, `nobody knows where the bytes of "${entry.path}" are`);
  return entry.bytes;
}

/** Opens a regular file for reading, never through a symlink in its place, never waiting for a pipe's other end. */
export function openForReading(path: string): number {
  return openSync(hostPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

/** Opens a file that an entry says its bytes are in. Fails with "source". */
export function openSource(path: string): number {
  try {
    return openForReading(path);
  } catch (error) {
    if (["ENOENT", "ELOOP", "ENOTDIR", "ENXIO"].some((code) => isErrno(error, code))) throw changed(path, error);
    throw new BuildError("source", `cannot read "${path}": ${messageOf(error)}`, { cause: error });
  }
}

/** A file is not what it was when its digest was taken. */
export function changed(path: string, cause?: unknown): BuildError {
  return new BuildError("source", `"${path}" changed during the build`, {
    cause,
    help: "build again when nothing writes to the file",
  });
}

/** Computes sha256 of files; holds one buffer. */
export class FileHasher {
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE);
  readonly #pace: Pace;

  constructor(options: { readonly pace: Pace }) {
    this.#pace = options.pace;
  }

  /** sha256 hex of the first `size` bytes of the file, or undefined where it has fewer. */
  async hash(path: string, size: number): Promise<string | undefined> {
    if (size === 0) return EMPTY_SHA256;
    const fd = openForReading(path);
    try {
      if (size > BUFFER_SIZE) return await this.#hashLarge(fd, size);
      const count = readSync(fd, this.#buffer, 0, size, 0);
      return count === size ? hash("sha256", this.#buffer.subarray(0, size), "hex") : undefined;
    } finally {
      closeSync(fd);
    }
  }

  async #hashLarge(fd: number, size: number): Promise<string | undefined> {
    const digest = createHash("sha256");
    const file = new SparseReader(fd, size);
    for (let position = 0; position < size;) {
      if (this.#pace.isDue()) await this.#pace.rest();
      const count = file.read(this.#buffer.subarray(0, size - position), position);
      if (count === 0) return undefined;
      digest.update(this.#buffer.subarray(0, count));
      position += count;
    }
    return digest.digest("hex");
  }
}

/** Reads an open file from its beginning to its end. Zeros of holes come without the disk being asked for them (pain 36). */
export class SparseReader {
  readonly #fd: number;
  readonly #size: number;
  /** The run of data at or after what was read last. */
  #dataStart = 0;
  #dataEnd: number;

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.#size = size;
    this.#dataEnd = fstatSync(fd).blocks * 512 < size ? 0 : size;
  }

  /** Fills `slice` from `position`, which never goes back; returns how much of it: less than all at the end of the file. */
  read(slice: Buffer, position: number): number {
    if (position >= this.#dataEnd) {
      this.#dataStart = seekData(this.#fd, position) ?? this.#size;
      this.#dataEnd = (this.#dataStart < this.#size ? seekHole(this.#fd, this.#dataStart) : undefined) ?? this.#size;
    }
    if (position + slice.length > this.#dataStart) return readSync(this.#fd, slice, 0, slice.length, position);
    slice.fill(0);
    return slice.length;
  }
}
