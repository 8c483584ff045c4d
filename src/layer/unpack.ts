// Layer tar → directory face, or only its entry list, in one pass over bytes in any slices (image-spec layer.md, "Applying Changesets"; traps T7, T11, T16–T18).
// What the archive may do is decided in member-tree.ts, which lets nothing out of the root; what it is made of is read in tar-reader.ts.
import { createHash, hash, type Hash } from "node:crypto";
import { readdirSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { finishDigest, type Digest } from "../oci/digest.ts";
import type { Entry, LayerEntry } from "../tree/entry.ts";
import { FaceWriter, faceFailure } from "./face.ts";
import { EMPTY_SHA256 } from "./file-bytes.ts";
import { impliedDirectory, MemberTree, type Inode, type TreeSink } from "./member-tree.ts";
import { Pace } from "./pace.ts";
import { TarReader, type TarMember, type TarVisitor } from "./tar-reader.ts";
import type { XattrNamespace } from "./xattrs.ts";

/** A mirror of the tree that also wants the bytes of regular files: `write` any number of times after `object`, then `close`. */
export interface ContentSink extends TreeSink {
  write(bytes: Uint8Array): void;
  close(): void;
}

export interface ListedLayer {
  /** What the layer says, sorted, regular files with sha256. */
  readonly entries: LayerEntry[];
  /** sha256 of the tar. */
  readonly diffId: Digest;
  /** Bytes of the tar. */
  readonly size: number;
  /** Directories that hold entries but that the layer does not describe: the layers below say what they are like. */
  readonly impliedDirectories: readonly string[];
}

export interface UnpackedLayer extends ListedLayer {
  /** Device nodes that this user namespace may not make: listed in the entries, not on disk. */
  readonly skippedDevices: readonly string[];
}

export interface UnpackOptions {
  readonly xattrNamespace: XattrNamespace;
  /** Attributes of a directory that the layer holds entries in but does not describe; default root, 0755, epoch. */
  readonly impliedDirectory?: ((path: string) => Entry | undefined) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes the layer into `dir`, which is made if missing and must be empty. Nothing outside `dir` is ever touched, whatever the archive holds.
 * Fails with "content" where the archive is damaged or tries to leave its root, with "store" where the disk fails; then `dir` is the caller's to remove.
 */
export async function unpackLayer(
  tar: AsyncIterable<Uint8Array>,
  dir: string,
  options: UnpackOptions,
): Promise<UnpackedLayer> {
  const face = new FaceWriter({ dir, xattrNamespace: options.xattrNamespace });
  assert(readdirSync(dir).length === 0, `a layer is to be unpacked into ${dir}, which is not empty`);
  try {
    const layer = await readMembers(tar, { sink: face, whiteouts: "apply", signal: options.signal });
    const implied = layer.impliedDirectories.map((path) => ({
      ...(options.impliedDirectory?.(path) ?? impliedDirectory(path)),
      path,
    }));
    face.finish(layer.entries, implied);
    return { ...layer, skippedDevices: face.skippedDevices };
  } catch (error) {
    throw faceFailure(error, dir);
  } finally {
    face.abandon();
  }
}

/** The same entries without writing anything. */
export async function listLayer(
  tar: AsyncIterable<Uint8Array>,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ListedLayer> {
  return readMembers(tar, { whiteouts: "apply", signal: options.signal });
}

/** Reads a whole archive into a tree; `sink` sees what is to be on disk. */
export async function readMembers(
  tar: AsyncIterable<Uint8Array>,
  options: {
    readonly sink?: ContentSink;
    readonly whiteouts: "apply" | "keep";
    readonly signal?: AbortSignal | undefined;
  },
): Promise<ListedLayer> {
  const pace = new Pace({ signal: options.signal });
  const tree = new MemberTree({ sink: options.sink, whiteouts: options.whiteouts });
  const reader = new TarReader(new TreeVisitor(tree, options.sink));
  const digest = createHash("sha256");
  let size = 0;
  for await (const chunk of tar) {
    digest.update(chunk);
    size += chunk.length;
    for (let at = 0; at < chunk.length; at += SLICE) {
      reader.write(chunk.subarray(at, at + SLICE));
      if (pace.isDue()) await pace.rest();
    }
  }
  reader.finish();
  return { entries: tree.entries(), diffId: finishDigest(digest), size, impliedDirectories: tree.impliedDirectories() };
}

/** Bytes between two looks at the clock. */
const SLICE = 1 << 18;

/** Places members and digests the content of regular files on its way to the sink. */
class TreeVisitor implements TarVisitor {
  readonly #tree: MemberTree;
  readonly #sink: ContentSink | undefined;
  #inode: Inode | undefined;
  #hash: Hash | undefined;

  constructor(tree: MemberTree, sink: ContentSink | undefined) {
    this.#tree = tree;
    this.#sink = sink;
  }

  member(member: TarMember): void {
    this.#inode = this.#tree.add(member);
    this.#hash = undefined;
    if (this.#inode) this.#inode.sha256 = EMPTY_SHA256;
  }

  data(bytes: Buffer): void {
    if (!this.#inode) return;
    // Most files arrive in one piece, and one call is a third of the cost of three.
    if (bytes.length === this.#inode.size) this.#inode.sha256 = hash("sha256", bytes, "hex");
    else (this.#hash ??= createHash("sha256")).update(bytes);
    this.#sink?.write(bytes);
  }

  end(): void {
    if (!this.#inode) return;
    if (this.#hash) this.#inode.sha256 = this.#hash.digest("hex");
    this.#sink?.close();
    this.#inode = undefined;
  }
}
