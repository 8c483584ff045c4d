// Where the test registry keeps bytes: memory, or files in a folder. Appending and content addressing only; no protocol.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** Bytes that arrive. */
export interface Incoming {
  readonly size: number;
  append(chunk: Uint8Array): Promise<void>;
  /** Keeps them as `digest`; false, keeping nothing, where they have another one. */
  commit(digest: string): Promise<boolean>;
  abandon(): Promise<void>;
}

export interface Blobs {
  /** Size, or undefined where it is not there. */
  size(digest: string): Promise<number | undefined>;
  read(digest: string, start: number, end: number): AsyncIterable<Uint8Array>;
  delete(digest: string): Promise<boolean>;
  create(): Promise<Incoming>;
}

/** Blobs that end with the process. */
export function memoryBlobs(): Blobs {
  const kept = new Map<string, Buffer>();
  return {
    size: (digest) => Promise.resolve(kept.get(digest)?.length),
    async *read(digest, start, end) {
      const bytes = kept.get(digest);
      if (bytes === undefined) return;
      for (let at = start; at < end; at += PIECE) yield bytes.subarray(at, Math.min(at + PIECE, end));
    },
    delete: (digest) => Promise.resolve(kept.delete(digest)),
    create: () => Promise.resolve(memoryIncoming(kept)),
  };
}

const PIECE = 64 * 1024;

function memoryIncoming(kept: Map<string, Buffer>): Incoming {
  const chunks: Uint8Array[] = [];
  let size = 0;
  return {
    get size() {
      return size;
    },
    append(chunk) {
      chunks.push(Uint8Array.from(chunk));
      size += chunk.length;
      return Promise.resolve();
    },
    commit(digest) {
      const bytes = Buffer.concat(chunks);
      const [algorithm = ""] = digest.split(":");
      if (digest !== `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`) return Promise.resolve(false);
      kept.set(digest, bytes);
      return Promise.resolve(true);
    },
    abandon: () => Promise.resolve(),
  };
}

/** Blobs as files of `folder`, for sizes that memory should not hold. */
export function folderBlobs(folder: string): Blobs {
  const pathOf = (digest: string): string => join(folder, digest.replace(":", "-"));
  let count = 0;
  return {
    async size(digest) {
      try {
        return (await stat(pathOf(digest))).size;
      } catch {
        return undefined;
      }
    },
    async *read(digest, start, end) {
      if (end > start) yield* createReadStream(pathOf(digest), { start, end: end - 1, highWaterMark: 1 << 19 });
    },
    async delete(digest) {
      try {
        await rm(pathOf(digest));
        return true;
      } catch {
        return false;
      }
    },
    async create() {
      await mkdir(folder, { recursive: true });
      const path = join(folder, `incoming-${++count}`);
      const file = await open(path, "w");
      const hash = createHash("sha256");
      let size = 0;
      return {
        get size() {
          return size;
        },
        async append(chunk) {
          hash.update(chunk);
          size += chunk.length;
          await file.write(chunk);
        },
        async commit(digest) {
          await file.close();
          const isRight = digest === `sha256:${hash.digest("hex")}`;
          await (isRight ? rename(path, pathOf(digest)) : rm(path));
          return isRight;
        },
        async abandon() {
          await file.close();
          await rm(path, { force: true });
        },
      };
    },
  };
}
