// A read-only view of files, whatever holds them: a local context, a git checkout, a stack of layers.
import type { Entry, FileBytes } from "./entry.ts";
import type { Sequence } from "./sequence.ts";

export interface Tree {
  /** The object at `path` (lstat: a last symlink is not followed, and no component before it may be one); undefined where nothing is. "" is the root. */
  lstat(path: string): Promise<Entry | undefined>;
  /** Names in the directory `path`, sorted by code unit. */
  readdir(path: string): Promise<readonly string[]>;
  /**
   * `path` itself and everything below it, sorted by `comparePaths`, every regular file with its sha256.
   * `keep` sees each path before it is read and may leave it out: "prune" leaves out what is below as well, "skip" only the entry.
   */
  walk(
    path: string,
    keep?: (path: string, isDirectory: boolean) => "keep" | "skip" | "prune",
  ): Promise<Sequence<Entry>>;
  /** Where the bytes of a regular file of this tree are. */
  locate(entry: Entry): Promise<FileBytes>;
}
