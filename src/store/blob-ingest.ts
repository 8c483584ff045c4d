// A blob on its way into the content store: bytes are hashed as they are written, and the blob appears whole, verified and on the disk, or not at all.
// The half-written file is locked while somebody writes it, so that the sweep knows a dead writer's leftovers from a live one's work.
import { createHash, type Hash } from "node:crypto";
import { closeSync } from "node:fs";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { assert } from "../base/assert.ts";
import { digestAlgorithm, parseDigest, type Digest } from "../oci/digest.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { Growth } from "./growth.ts";

/** What was promised about a blob. Absent members are not checked. */
export interface ExpectedBlob {
  readonly digest?: Digest;
  readonly size?: number;
}

export interface IngestedBlob {
  readonly digest: Digest;
  readonly size: number;
}

/** Disposing without {@link commit} removes what was written, unless the ingest can be resumed. */
export interface BlobIngest extends AsyncDisposable {
  /** Bytes that are there: greater than 0 at the start where an earlier download left a part. */
  readonly offset: number;
  /** Appends. One call at a time. Fails with "content" past the promised size, with "store" where the disk is full. */
  write(chunk: Uint8Array): Promise<void>;
  /** For those who read along. They must not where {@link restart} may be called. */
  readonly growth: Growth;
  /** Starts from nothing again: for servers that ignore a range. */
  restart(): Promise<void>;
  /** Verifies, makes durable, and puts the blob in its place. Fails with "content" on a mismatch. */
  commit(expected?: ExpectedBlob): Promise<IngestedBlob>;
}

export interface BlobWriterOptions {
  readonly path: string;
  /** Holds the lock on `path`; closed by the writer. */
  readonly lockFd: number;
  readonly expected: ExpectedBlob;
  readonly isResumable: boolean;
  readonly placeOf: (digest: Digest) => string;
  readonly explain: (error: unknown) => unknown;
}

/** Written bytes after which the kernel is asked to start writing, so that the fsync at the end has little left to wait for. */
const FLUSH_EVERY = 32 * 1024 * 1024;
const READ_SIZE = 1024 * 1024;

/** Opens the file of `options` for appending, hashing what is already there. */
export async function openBlobWriter(options: BlobWriterOptions): Promise<BlobIngest> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(options.path, "r+");
    const writer = new BlobWriter(options, handle);
    await writer.readBack();
    return writer;
  } catch (error) {
    await handle?.close();
    closeSync(options.lockFd);
    throw options.explain(error);
  }
}

class BlobWriter implements BlobIngest {
  readonly #options: BlobWriterOptions;
  readonly #handle: FileHandle;
  readonly growth: Growth;
  #hash: Hash;
  #offset = 0;
  #flushedAt = 0;
  #flushing: Promise<void> = Promise.resolve();
  #isFlushing = false;
  #isWorthKeeping: boolean;
  #isClosed = false;

  constructor(options: BlobWriterOptions, handle: FileHandle) {
    this.#options = options;
    this.#handle = handle;
    this.growth = new Growth(options.path);
    this.#isWorthKeeping = options.isResumable;
    this.#hash = this.#newHash();
  }

  get offset(): number {
    return this.#offset;
  }

  async readBack(): Promise<void> {
    const { size: present } = await this.#handle.stat();
    const { size: promised } = this.#options.expected;
    if (promised !== undefined && present > promised) return this.restart();
    const buffer = Buffer.allocUnsafe(Math.min(READ_SIZE, Math.max(present, 1)));
    while (this.#offset < present) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#offset);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#offset += bytesRead;
    }
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = this.#newHash();
    this.#offset = 0;
    this.#flushedAt = 0;
  }

  async write(chunk: Uint8Array): Promise<void> {
    const { expected, explain } = this.#options;
    const end = this.#offset + chunk.byteLength;
    if (expected.size !== undefined && end > expected.size) {
      this.#isWorthKeeping = false;
      throw new BuildError(
        "content",
        `${nameOf(expected)} is longer than the ${expected.size} bytes that were promised`,
        {
          help: "the source or a proxy on the way sends other bytes; try again, or pull from another registry",
        },
      );
    }
    try {
      const writing = this.#append(chunk);
      // While a thread of the pool writes.
      this.#hash.update(chunk);
      await writing;
    } catch (error) {
      // The hash is ahead of the file now, and on a full disk the part would only be in the way.
      this.#isWorthKeeping = false;
      throw explain(error);
    }
    this.#startFlush();
  }

  async #append(chunk: Uint8Array): Promise<void> {
    let written = 0;
    while (written < chunk.byteLength) {
      const { bytesWritten } = await this.#handle.write(chunk, written, chunk.byteLength - written, this.#offset);
      written += bytesWritten;
      this.#offset += bytesWritten;
    }
    this.growth.reached(this.#offset);
  }

  #startFlush(): void {
    if (this.#isFlushing || this.#offset - this.#flushedAt < FLUSH_EVERY) return;
    this.#isFlushing = true;
    this.#flushedAt = this.#offset;
    this.#flushing = this.#flush();
  }

  async #flush(): Promise<void> {
    try {
      await this.#handle.datasync();
    } catch {
      // It shows again in the fsync of commit, which is the one that counts.
    } finally {
      this.#isFlushing = false;
    }
  }

  async commit(expected: ExpectedBlob = {}): Promise<IngestedBlob> {
    const wanted = { ...this.#options.expected, ...expected };
    const digest = parseDigest(`${this.#algorithm}:${this.#hash.digest("hex")}`);
    assert(digest !== undefined, "a hash of a known algorithm is a digest");
    const size = this.#offset;
    if (wanted.digest !== undefined && wanted.digest !== digest)
      throw this.#mismatch(wanted, `its digest is ${digest}`);
    if (wanted.size !== undefined && wanted.size !== size)
      throw this.#mismatch(wanted, `it has ${size} bytes, not ${wanted.size}`);
    try {
      await this.#flushing;
      await this.#handle.sync();
      const place = this.#options.placeOf(digest);
      await rename(this.#options.path, place);
      this.growth.end(place);
    } catch (error) {
      throw this.#options.explain(error);
    }
    await this.#close();
    return { digest, size };
  }

  #mismatch(wanted: ExpectedBlob, found: string): BuildError {
    this.#isWorthKeeping = false;
    return new BuildError("content", `${nameOf(wanted)} does not match what was promised: ${found}`, {
      help: "the source or a proxy on the way sends other bytes; try again, or pull from another registry",
    });
  }

  /** Another algorithm than sha256 only where it was promised at the start. */
  get #algorithm(): string {
    const { digest } = this.#options.expected;
    return digest === undefined ? "sha256" : digestAlgorithm(digest);
  }

  #newHash(): Hash {
    return createHash(this.#algorithm);
  }

  async #close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#flushing;
    await this.#handle.close();
    closeSync(this.#options.lockFd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.growth.end(undefined);
    // Before the lock is given back, so that nobody can resume a file that is about to go.
    if (!this.#isWorthKeeping || this.#offset === 0) await rm(this.#options.path, { force: true });
    await this.#close();
  }
}

function nameOf(expected: ExpectedBlob): string {
  return expected.digest === undefined ? "a blob" : `blob ${expected.digest}`;
}
