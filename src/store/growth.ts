// Reading a file that somebody is still writing: whatever is there, then waiting for more, until it is whole or given up.
import { open, type FileHandle } from "node:fs/promises";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError } from "../diagnostics/build-error.ts";

const READ_SIZE = 256 * 1024;

/** How far a file has grown, and where it is. Told by its writer, asked by any number of readers. */
export class Growth {
  #path: string;
  #length = 0;
  #isEnded = false;
  #isWhole = false;
  #changed: PromiseWithResolvers<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** The first `length` bytes are in the file for good. */
  reached(length: number): void {
    this.#length = length;
    this.#tell();
  }

  /** Nothing follows: the file is whole and at `path` now, or, without one, given up. */
  end(path: string | undefined): void {
    this.#isEnded = true;
    this.#isWhole = path !== undefined;
    this.#path = path ?? this.#path;
    this.#tell();
  }

  /** Whether it has grown to `size` bytes, as soon as that is certain. */
  async atLeast(size: number): Promise<boolean> {
    while (this.#length < size && !this.#isEnded) await this.#change();
    return this.#length >= size;
  }

  /** The bytes from the start. Fails with "store" where the writer gave up. */
  async *read(): AsyncGenerator<Uint8Array> {
    const handle = await this.#open();
    try {
      for (let at = 0; ;) {
        if (at < this.#length) {
          const piece = Buffer.allocUnsafeSlow(Math.min(READ_SIZE, this.#length - at));
          const { bytesRead } = await handle.read(piece, 0, piece.length, at);
          if (bytesRead === 0) throw new BuildError("store", `${this.#path} became shorter while it was read`);
          at += bytesRead;
          yield piece.subarray(0, bytesRead);
        } else if (this.#isEnded) break;
        else await this.#change();
      }
    } finally {
      await handle.close();
    }
    if (!this.#isWhole) throw new BuildError("store", `${this.#path} was given up while it was read`);
  }

  async #open(): Promise<FileHandle> {
    const path = this.#path;
    try {
      return await open(path, "r");
    } catch (error) {
      // It got its name between the question and now.
      if (path === this.#path || !isErrno(error, "ENOENT")) throw error;
      return open(this.#path, "r");
    }
  }

  #change(): Promise<void> {
    this.#changed ??= Promise.withResolvers();
    return this.#changed.promise;
  }

  #tell(): void {
    this.#changed?.resolve();
    this.#changed = undefined;
  }
}
