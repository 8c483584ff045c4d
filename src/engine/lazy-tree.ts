// A tree that is opened when somebody first looks into it: what a cache hit knows by its identity is never fetched.
import type { Entry, FileBytes } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import type { Tree } from "../tree/tree.ts";

export class LazyTree implements Tree {
  readonly #open: () => Promise<Tree>;
  #tree: Promise<Tree> | undefined;

  /** `open` is called at most once; its failure is every question's answer. */
  constructor(open: () => Promise<Tree>) {
    this.#open = open;
  }

  async lstat(path: string): Promise<Entry | undefined> {
    return (await this.#opened()).lstat(path);
  }

  async readdir(path: string): Promise<readonly string[]> {
    return (await this.#opened()).readdir(path);
  }

  async walk(path: string, keep?: Parameters<Tree["walk"]>[1]): Promise<Sequence<Entry>> {
    return (await this.#opened()).walk(path, keep);
  }

  async locate(entry: Entry): Promise<FileBytes> {
    return (await this.#opened()).locate(entry);
  }

  #opened(): Promise<Tree> {
    return (this.#tree ??= this.#open());
  }
}
