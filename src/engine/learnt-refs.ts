// What git remotes said that their refs mean, for builds that may not ask: a small file each. Damage is a miss.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { readFileIfExists, writeFileAtomic } from "../base/fs-atomic.ts";
import { digestHex, digestOfJson } from "../oci/digest.ts";
import type { ResolvedGit } from "../source/git.ts";

export class LearntRefs {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What was learnt the last time for the question `key`, any data. */
  get(key: unknown): ResolvedGit | undefined {
    try {
      const resolved = JSON.parse(readFileIfExists(this.#pathOf(key))?.toString() ?? "{}") as Partial<ResolvedGit>;
      return /^[0-9a-f]{40,64}$/.test(resolved.commit ?? "") ? (resolved as ResolvedGit) : undefined;
    } catch {
      return undefined;
    }
  }

  put(key: unknown, resolved: ResolvedGit): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    writeFileAtomic(this.#pathOf(key), JSON.stringify(resolved), 0o600, "unsynced");
  }

  #pathOf(key: unknown): string {
    return join(this.#folder, digestHex(digestOfJson(key)).slice(0, 32));
  }
}
