// A folder of small files that nothing depends on: what builds were like, which files a step saw. Bounded in number and in bytes, the oldest go first.
// A file that is damaged or cannot be written is as good as absent. Made at the first write, so that whoever writes nothing pays nothing.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { nowMs, randomName } from "../base/clock.ts";
import { isErrno, writeFileAtomic } from "../base/fs-atomic.ts";
import { sealBytes, unsealBytes } from "./sealed.ts";

export interface BoundedFolderOptions {
  readonly path: string;
  readonly maxFiles: number;
  /** Of all files, as they lie on the disk. */
  readonly maxBytes: number;
}

/** Between two looks at the limits so many files are written, by one process or by several: who writes one file looks by chance. */
const TRIM_EVERY = 16;

export class BoundedFolder {
  readonly #options: BoundedFolderOptions;
  #writes: number = Number.parseInt(randomName(1), 16) % TRIM_EVERY;

  constructor(options: BoundedFolderOptions) {
    this.#options = options;
  }

  /** Names, the last one by code units first. */
  names(): readonly string[] {
    try {
      return readdirSync(this.#options.path)
        .filter((name) => !name.endsWith(".tmp"))
        .sort()
        .reverse();
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw error;
    }
  }

  /** What was written; undefined where it is not there or damaged. */
  read(name: string): Uint8Array | undefined {
    try {
      const sealed = unsealBytes(readFileSync(this.#pathOf(name)));
      return sealed && zstdDecompressSync(sealed);
    } catch {
      return undefined;
    }
  }

  /** Whether there is such a file; it counts as new from now on. */
  touch(name: string): boolean {
    const seconds = nowMs() / 1000;
    try {
      utimesSync(this.#pathOf(name), seconds, seconds);
      return true;
    } catch {
      return false;
    }
  }

  /** Writes a file, in place of one of that name. Fails as the disk does. */
  write(name: string, data: Uint8Array | string): void {
    const bytes = sealBytes(zstdCompressSync(data));
    try {
      writeFileAtomic(this.#pathOf(name), bytes, 0o600, "unsynced");
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      mkdirSync(this.#options.path, { recursive: true, mode: 0o700 });
      writeFileAtomic(this.#pathOf(name), bytes, 0o600, "unsynced");
    }
    if (this.#writes++ % TRIM_EVERY === 0) this.#trim();
  }

  #trim(): void {
    const { path, maxFiles, maxBytes } = this.#options;
    const names = readdirSync(path);
    const files = names.flatMap((name) => {
      const stat = statSync(join(path, name), { throwIfNoEntry: false });
      return stat ? [{ name, size: stat.size, mtimeMs: stat.mtimeMs }] : [];
    });
    files.sort((a, b) => b.mtimeMs - a.mtimeMs);
    let bytes = 0;
    for (const [at, { name, size }] of files.entries()) {
      bytes += size;
      if (at >= maxFiles || bytes > maxBytes) rmSync(join(path, name), { force: true });
    }
  }

  #pathOf(name: string): string {
    return join(this.#options.path, name);
  }
}
