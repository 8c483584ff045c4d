// Blobs by digest in an OCI image layout (image-spec image-layout.md). Whole or absent; every read is verified; damage is moved out of the way.
// It knows nothing of layers or images. Durability: an ingested blob (layers, downloads) is fsynced before it gets its name. Small blobs made here
// (manifests, configs) are not, one by one: the digest makes a torn one a miss, and `sync` makes them durable when an image is given a name.
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomName } from "../base/clock.ts";
import { isErrno, readFileIfExists, syncFolder, writeFileAtomic } from "../base/fs-atomic.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestAlgorithm, digestHex, digestOf, parseDigest, type Digest } from "../oci/digest.ts";
import { OCI_INDEX } from "../oci/media-type.ts";
import { openBlobWriter, type BlobIngest, type ExpectedBlob } from "./blob-ingest.ts";
import { tryLock } from "./file-lock.ts";
import { storeError, type StorePaths } from "./layout.ts";

export type { BlobIngest, ExpectedBlob, IngestedBlob } from "./blob-ingest.ts";

export interface IngestOptions {
  readonly expected?: ExpectedBlob;
  /** Names a download: what was written stays when it breaks off, and the next ingest of this name starts there. */
  readonly resumeKey?: string;
}

export interface StoredBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Bytes on the disk. */
  readonly diskSize: number;
  readonly modifiedMs: number;
}

const READ_SIZE = 256 * 1024;
/** More than any sane manifest or config; registries refuse manifests above 4 MiB. */
const READ_LIMIT = 16 * 1024 * 1024;

/** Prefixes of names in `tmp/`; the sweep knows what each may be treated like. */
export const TMP_INGEST = "ingest-";
export const TMP_RESUME = "resume-";
export const TMP_PUT = "put-";
export const TMP_GONE = "gone-";
export const TMP_DAMAGED = "damaged-";

export class ContentStore {
  readonly #paths: StorePaths;
  readonly #unsynced = new Set<Digest>();

  constructor(paths: StorePaths) {
    this.#paths = paths;
  }

  /** Path of the layout's index.json. */
  get indexPath(): string {
    return join(this.#paths.content, "index.json");
  }

  /** Makes an empty directory an OCI layout. */
  initialize(): void {
    const marker = join(this.#paths.content, "oci-layout");
    if (existsSync(marker) && existsSync(this.indexPath)) return;
    this.#explained(() => {
      const empty = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };
      if (!existsSync(this.indexPath)) writeFileAtomic(this.indexPath, `${JSON.stringify(empty)}\n`);
      writeFileAtomic(marker, `${JSON.stringify({ imageLayoutVersion: "1.0.0" })}\n`);
    });
  }

  blobPath(digest: Digest): string {
    return join(this.#paths.content, "blobs", digestAlgorithm(digest), digestHex(digest));
  }

  /** Whether the blob is here; with `size`, whether it is here in that size. Does not read it. */
  has(digest: Digest, size?: number): boolean {
    const found = this.size(digest);
    return found !== undefined && (size === undefined || found === size);
  }

  size(digest: Digest): number | undefined {
    return statSync(this.blobPath(digest), { throwIfNoEntry: false })?.size;
  }

  /** The blob's bytes in pieces. What was read is right only once the iteration has ended: a mismatch shows at the end, with code "content". */
  async *open(digest: Digest): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = createHash(digestAlgorithm(digest));
    const handle = await open(this.blobPath(digest), "r").catch((error: unknown) => {
      throw isErrno(error, "ENOENT") ? missing(digest) : storeError(error, this.#paths.root);
    });
    let next = readPiece(handle);
    try {
      for (;;) {
        const piece = await next;
        if (piece.byteLength === 0) break;
        next = readPiece(handle);
        // Whoever consumes may stop here, and then nobody awaits the piece that is on its way.
        next.catch(() => undefined);
        hash.update(piece);
        yield piece;
      }
    } finally {
      await handle.close();
    }
    if (hash.digest("hex") !== digestHex(digest)) throw this.#damaged(digest);
  }

  /** The whole verified blob. Fails with "content" where it is absent, damaged or longer than `limit` bytes. */
  read(digest: Digest, limit: number = READ_LIMIT): Uint8Array {
    const size = this.size(digest);
    if (size === undefined) throw missing(digest);
    if (size > limit)
      throw new BuildError("content", `blob ${digest} has ${size} bytes, more than the ${limit} that make sense here`);
    const bytes = readFileIfExists(this.blobPath(digest));
    if (bytes === undefined) throw missing(digest);
    if (hexOf(digest, bytes) !== digestHex(digest)) throw this.#damaged(digest);
    return bytes;
  }

  /** As {@link read}, with undefined for absent or damaged: where that is a miss. */
  readIfIntact(digest: Digest, limit?: number): Uint8Array | undefined {
    try {
      return this.read(digest, limit);
    } catch (error) {
      if (error instanceof BuildError && error.code === "content") return undefined;
      throw error;
    }
  }

  /** Stores a small blob (a manifest, a config) and returns its digest. Idempotent; a damaged blob of that name is replaced. */
  put(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    const path = this.blobPath(digest);
    if (readFileIfExists(path)?.equals(bytes)) return digest;
    const temp = join(this.#paths.tmp, TMP_PUT + randomName());
    this.#explained(() => {
      try {
        writeFileSync(temp, bytes, { flag: "wx", mode: 0o644 });
        renameSync(temp, path);
      } catch (error) {
        rmSync(temp, { force: true });
        throw error;
      }
    });
    this.#unsynced.add(digest);
    return digest;
  }

  /** Starts a blob that is too big for {@link put}. The caller disposes. */
  async ingest(options: IngestOptions = {}): Promise<BlobIngest> {
    const { expected = {}, resumeKey } = options;
    const { path, lockFd, isResumable } = this.#explained(() => this.#openPartial(resumeKey));
    return openBlobWriter({
      path,
      lockFd,
      expected,
      isResumable,
      placeOf: (digest) => this.#placeOf(digest),
      explain: (error) => storeError(error, this.#paths.root),
    });
  }

  /** Makes durable what {@link put} has stored since the last call. */
  sync(): void {
    if (this.#unsynced.size === 0) return;
    this.#explained(() => {
      for (const digest of this.#unsynced) syncFile(this.blobPath(digest));
      syncFolder(dirname(this.blobPath([...this.#unsynced][0]!)));
    });
    this.#unsynced.clear();
  }

  /** Deletes the blob; absent is no error. Who asks knows that nobody needs it. */
  remove(digest: Digest): void {
    this.#unsynced.delete(digest);
    this.#explained(() => rmSync(this.blobPath(digest), { force: true }));
  }

  list(): readonly StoredBlob[] {
    const blobs: StoredBlob[] = [];
    const folder = join(this.#paths.content, "blobs");
    for (const algorithm of namesIn(folder))
      for (const hex of namesIn(join(folder, algorithm))) {
        const digest = parseDigest(`${algorithm}:${hex}`);
        const stat = digest && statSync(this.blobPath(digest), { throwIfNoEntry: false });
        if (digest === undefined || !stat) continue;
        blobs.push({ digest, size: stat.size, diskSize: stat.blocks * 512, modifiedMs: stat.mtimeMs });
      }
    return blobs;
  }

  /** A half-written file that this process has locked: of the named download, or a new one where another process is at that download. */
  #openPartial(resumeKey: string | undefined): {
    readonly path: string;
    readonly lockFd: number;
    readonly isResumable: boolean;
  } {
    if (resumeKey !== undefined) {
      const path = join(this.#paths.tmp, TMP_RESUME + digestHex(digestOf(resumeKey)).slice(0, 32));
      const lockFd = tryLock(path, "exclusive");
      if (lockFd !== undefined) return { path, lockFd, isResumable: true };
    }
    for (;;) {
      const path = join(this.#paths.tmp, TMP_INGEST + randomName());
      const lockFd = tryLock(path, "exclusive");
      // A sweeper that looks between creation and lock holds it for a moment.
      if (lockFd !== undefined) return { path, lockFd, isResumable: false };
    }
  }

  #placeOf(digest: Digest): string {
    const path = this.blobPath(digest);
    if (!digest.startsWith("sha256:")) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return path;
  }

  /** Removes a blob that does not match its name, so that the next who needs it fetches or makes it again. Who has it open reads on. */
  #damaged(digest: Digest): BuildError {
    try {
      rmSync(this.blobPath(digest));
    } catch {
      // Gone already, or the store is read-only; the error to report is the damage.
    }
    return new BuildError("content", `blob ${digest} in the store is damaged and has been removed`, {
      help: "build again: it is made or fetched anew",
      details: { isDamage: true },
    });
  }

  #explained<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw storeError(error, this.#paths.root);
    }
  }
}

/** The next bytes of a file, empty at its end. A buffer of its own: the consumer may keep it. */
async function readPiece(handle: FileHandle): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(READ_SIZE);
  const { bytesRead } = await handle.read(buffer, 0, READ_SIZE);
  return buffer.subarray(0, bytesRead);
}

function missing(digest: Digest): BuildError {
  // Somebody looked a moment ago and found it: another build has set it aside since.
  return new BuildError("content", `blob ${digest} is not in the store`, { details: { isDamage: true } });
}

function hexOf(digest: Digest, bytes: Uint8Array): string {
  return createHash(digestAlgorithm(digest)).update(bytes).digest("hex");
}

function syncFile(path: string): void {
  let fd;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return [];
    throw error;
  }
}
