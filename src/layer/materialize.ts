// A layer that is only a list of entries (what a COPY makes) → its directory face. Bytes are cloned where the file system can (reflink), else copied,
// and checked against their sha256 either way.
import { createHash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { parentPath, relativePath } from "../base/container-path.ts";
import type { Entry, FileBytes, LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { FaceWriter, faceFailure } from "./face.ts";
import { bytesOf, changed, FileHasher, openSource, type Locate } from "./file-bytes.ts";
import { impliedDirectory } from "./member-tree.ts";
import { Pace } from "./pace.ts";
import type { XattrNamespace } from "./xattrs.ts";

export interface MaterializeOptions {
  readonly xattrNamespace: XattrNamespace;
  /** Where bytes are, for entries that do not say it themselves. */
  readonly locate?: Locate | undefined;
  readonly signal?: AbortSignal | undefined;
}

const BUFFER_SIZE = 1 << 18;
/** Below this, copying is cheaper than asking for a clone. */
const CLONE_SIZE = 1 << 16;

/**
 * Writes `entries`, sorted by `comparePaths`, into `dir`, which is made if missing and must be empty.
 * Fails with "source" where a file's bytes are not those of its sha256, with "store" where the disk fails; then `dir` is the caller's to remove.
 */
export async function materializeLayer(
  entries: Sequence<LayerEntry>,
  dir: string,
  options: MaterializeOptions,
): Promise<void> {
  const writer = new Materializer(dir, options);
  try {
    await writer.run(entries);
  } catch (error) {
    throw faceFailure(error, dir);
  } finally {
    writer.abandon();
  }
}

class Materializer {
  readonly #face: FaceWriter;
  readonly #locate: Locate | undefined;
  readonly #pace: Pace;
  readonly #directories = new Set([""]);
  readonly #implied: Entry[] = [];
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE);
  readonly #hasher: FileHasher;
  #canClone = true;

  constructor(dir: string, options: MaterializeOptions) {
    this.#face = new FaceWriter({ dir, xattrNamespace: options.xattrNamespace });
    this.#locate = options.locate;
    this.#pace = new Pace({ signal: options.signal });
    this.#hasher = new FileHasher({ pace: this.#pace });
  }

  async run(entries: Sequence<LayerEntry>): Promise<void> {
    let index = -1;
    for (const entry of entries) {
      index++;
      if (this.#pace.isDue()) await this.#pace.rest();
      assert(relativePath(entry.path) === entry.path, `"${entry.path}" is no path in a layer`);
      if (entry.path === "") continue;
      this.#ensureDirectory(parentPath(entry.path));
      if (entry.type === "whiteout") this.#face.whiteout(entry.path);
      else await this.#write(entry, index);
    }
    this.#face.finish(entries, this.#implied);
  }

  abandon(): void {
    this.#face.abandon();
  }

  async #write(entry: Entry, index: number): Promise<void> {
    if (entry.type === "dir") this.#directories.add(entry.path);
    if (entry.hardlink !== undefined) this.#face.link(entry.path, entry.hardlink);
    else if (entry.type === "file") await this.#writeFile(entry, index);
    else this.#face.object(entry.path, entry);
  }

  async #writeFile(entry: Entry, index: number): Promise<void> {
    const bytes = entry.size === 0 ? undefined : await bytesOf(entry, index, this.#locate);
    if (bytes?.kind === "host" && entry.size >= CLONE_SIZE && this.#canClone) {
      this.#canClone = this.#face.clone(entry.path, entry, bytes.path);
      if (this.#canClone) {
        this.#face.close();
        if ((await this.#hasher.hash(this.#face.pathOf(entry.path), entry.size)) !== entry.sha256)
          throw changed(bytes.path);
        return;
      }
    }
    this.#face.object(entry.path, entry);
    if (bytes) await this.#copy(entry, bytes);
    this.#face.close();
  }

  async #copy(entry: Entry, bytes: FileBytes): Promise<void> {
    const digest = createHash("sha256");
    if (bytes.kind === "inline") {
      if (bytes.data.length !== entry.size) throw changed(entry.path);
      this.#face.write(bytes.data);
      digest.update(bytes.data);
    } else {
      const fd = openSource(bytes.path);
      try {
        for (let position = 0; position < entry.size;) {
          if (this.#pace.isDue()) await this.#pace.rest();
          const count = readSync(fd, this.#buffer, 0, Math.min(BUFFER_SIZE, entry.size - position), position);
          if (count === 0) throw changed(bytes.path);
          const slice = this.#buffer.subarray(0, count);
          digest.update(slice);
          this.#face.write(slice);
          position += count;
        }
      } finally {
        closeSync(fd);
      }
    }
    const isSame = entry.sha256 === undefined || digest.digest("hex") === entry.sha256;
    if (!isSame) throw changed(bytes.kind === "host" ? bytes.path : entry.path);
  }

  /** A list may leave out what it does not change; overlayfs needs the directories all the same. */
  #ensureDirectory(path: string): void {
    if (this.#directories.has(path)) return;
    this.#ensureDirectory(parentPath(path));
    this.#face.directory(path);
    this.#directories.add(path);
    this.#implied.push(impliedDirectory(path));
  }
}
