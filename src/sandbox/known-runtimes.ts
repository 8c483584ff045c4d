// What runtimes have said of themselves, kept from build to build: asking takes a process, and the first step would wait for it.
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { readFileIfExists, writeFileAtomic } from "../base/fs-atomic.ts";

export interface RuntimeIdentity {
  readonly name: string;
  readonly version: string;
}

interface Entry extends RuntimeIdentity {
  /** Size, time and inode of the program. */
  readonly file: string;
}

/** A file in a directory that only this user may write. One that is damaged, or of an older form, is an empty one. */
export class KnownRuntimes {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Undefined where the program at `path` is not known as it is now. */
  find(path: string): RuntimeIdentity | undefined {
    const entry = this.#read()[path];
    return entry?.file === fileIdentity(path) ? { name: entry.name, version: entry.version } : undefined;
  }

  keep(path: string, { name, version }: RuntimeIdentity): void {
    try {
      const entries = { ...this.#read(), [path]: { file: fileIdentity(path), name, version } };
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      writeFileAtomic(this.#path, JSON.stringify(entries), 0o600, "unsynced");
    } catch {
      // Not kept: the next build asks again, and that is all.
    }
  }

  get #path(): string {
    return join(this.#directory, "runtimes.json");
  }

  #read(): Readonly<Record<string, Entry>> {
    try {
      const parsed: unknown = JSON.parse(readFileIfExists(this.#path)?.toString() ?? "{}");
      return Object.fromEntries(
        Object.entries(parsed ?? {}).filter((pair): pair is [string, Entry] => isEntry(pair[1])),
      );
    } catch {
      return {};
    }
  }
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const { file, name, version } = value as Partial<Record<keyof Entry, unknown>>;
  return typeof file === "string" && typeof name === "string" && typeof version === "string";
}

function fileIdentity(path: string): string {
  const { size, mtimeMs, ino } = statSync(path);
  return `${size}:${mtimeMs}:${ino}`;
}
