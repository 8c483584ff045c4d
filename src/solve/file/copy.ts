// COPY and ADD as a list of entries, worked out from what the sources and the root file system below say, without reading or writing a file.
// Follows reference C02–C16 and AD01–AD04, and BuildKit where they are silent (fixtures/copy holds what it does). What is copied: select.ts; the layer: draft.ts.
import { createHash } from "node:crypto";
import { assert } from "../../base/assert.ts";
import { baseName, cleanPath, joinRelative, parentPath } from "../../base/container-path.ts";
import { BuildError } from "../../diagnostics/build-error.ts";
import type { CopyAction, CopySource } from "../../graph/op.ts";
import { refusedPath, resolvePath, type ResolvedPath } from "../../rootfs/resolve.ts";
import { assertNotReserved } from "../../layer/names.ts";
import type { RootfsView } from "../../rootfs/view.ts";
import type { Entry, FileBytes } from "../../tree/entry.ts";
import type { Sequence } from "../../tree/sequence.ts";
import type { PatternMatcher } from "../../tree/patterns.ts";
import type { Tree } from "../../tree/tree.ts";
import { unpackArchive, type ArchiveTree } from "./archive.ts";
import { parseChmod, type Chmod } from "./chmod.ts";
import { resolveOwner } from "./chown.ts";
import { Draft, notADirectory, type Inode, type Manifest, type Owner } from "./draft.ts";
import type { SegmentOptions } from "./segment.ts";
import {
  copiedEntries,
  hasWildcards,
  parsePatterns,
  parseSource,
  requirePath,
  selectSources,
  type Copied,
  type CopiedEntry,
  type SelectedSource,
} from "./select.ts";

export interface CopyOptions {
  /** The root file system that is copied onto; undefined with --link, which must not look at it. */
  readonly below: RootfsView | undefined;
  /** The trees that sources of kind `path` number. */
  readonly inputs: readonly (Tree | undefined)[];
  /** Opens a file as an archive; undefined where it is none. */
  readonly openArchive?: (bytes: FileBytes) => Promise<ArchiveTree | undefined> | undefined;
  /** Words for the inputs in messages: `context`, a stage's name. */
  readonly labels?: readonly (string | undefined)[];
  /** Time of directories and heredoc files made here; default the epoch, so that layers are reproducible. Directories that exist below keep theirs. */
  readonly createdMtimeNs?: bigint;
  /** So many entries in a row are copied as they lie, without a look at each: see {@link Draft.putSegment}. */
  readonly segmentFrom?: number;
  readonly signal: AbortSignal;
}

/** Looking something up among many takes longer than among nodes. */
const SEGMENT_FROM = 1024;

/**
 * The layer of a COPY or ADD, sorted. Needs metadata only: where bytes are is asked when `place` is called, so that a cache hit fetches nothing.
 * Fails with `source` where something is missing or in the way, with `usage` where --chown or --chmod means nothing.
 */
export async function planCopy(action: CopyAction, options: CopyOptions): Promise<Manifest> {
  const copy = new Copy(action, options, {
    owner: action.chown === undefined ? undefined : await resolveOwner(action.chown, options.below),
    chmod: action.chmod === undefined ? undefined : parseChmod(action.chmod),
    exclude: action.exclude.length === 0 ? undefined : parsePatterns(action.exclude),
  });
  for (const source of action.sources) {
    options.signal.throwIfAborted();
    await copy.addSource(source);
  }
  return copy.draft.finish();
}

interface Attributes {
  readonly owner: Owner | undefined;
  readonly chmod: Chmod | undefined;
  readonly exclude: PatternMatcher | undefined;
}

interface Target {
  readonly path: string;
  /** Whether it is a directory made for this source. */
  readonly isNew: boolean;
}

/** One COPY on its way: later sources see what earlier ones made. */
class Copy {
  readonly draft: Draft;
  readonly #action: CopyAction;
  readonly #options: CopyOptions;
  readonly #attributes: Attributes;
  readonly #createdMtimeNs: bigint;

  constructor(action: CopyAction, options: CopyOptions, attributes: Attributes) {
    this.#action = action;
    this.#options = options;
    this.#attributes = attributes;
    this.#createdMtimeNs = options.createdMtimeNs ?? 0n;
    this.draft = new Draft({ below: options.below, createdMtimeNs: this.#createdMtimeNs });
  }

  async addSource(source: CopySource): Promise<void> {
    if (source.kind === "inline") return this.#addInline(source.name, source.content);
    const tree = this.#options.inputs[source.input];
    assert(tree, `a COPY reads from input ${source.input}, which is none`);
    const spec = parseSource(source.pattern, this.#action.parents);
    const label = this.#options.labels?.[source.input] ?? "source";
    const { isWildcardAllowed } = source;
    const { exclude } = this.#attributes;
    const unpacks = this.#action.unpack === "always" || (this.#action.unpack === "auto" && isWildcardAllowed);
    for (const selected of await selectSources(tree, spec.base, { isWildcardAllowed, exclude, label })) {
      if (unpacks && selected.entry.type === "file" && (await this.#unpack(tree, selected))) continue;
      if (spec.include !== undefined && !hasWildcards(source.pattern))
        await requirePath(tree, selected.path, spec, label);
      const copied = await copiedEntries(tree, selected, { include: spec.include, exclude });
      await this.#copyTo(await this.#destinationOf(selected.name, selected.entry), tree, copied);
    }
  }

  async #addInline(name: string, content: string): Promise<void> {
    const data = Buffer.from(content);
    const sha256 = createHash("sha256").update(data).digest("hex");
    const common = { mode: 0o644, uid: 0, gid: 0, mtimeNs: this.#createdMtimeNs };
    const bytes: FileBytes = { kind: "inline", data };
    const entry: Entry = { path: name, type: "file", size: data.length, sha256, bytes, ...common };
    const target = await this.#destinationOf(baseName(name), entry);
    const existing = await this.draft.lstat(target.path);
    this.#putObject(this.#attributed(entry, target.path), { entry, tree: undefined }, existing);
  }

  async #unpack(tree: Tree, selected: SelectedSource): Promise<boolean> {
    const archive = await this.#options.openArchive?.(selected.entry.bytes ?? (await tree.locate(selected.entry)));
    if (!archive) return false;
    const { owner } = this.#attributes;
    await unpackArchive(archive, { draft: this.draft, dest: this.#action.dest, owner, signal: this.#options.signal });
    return true;
  }

  /** Where one source goes (C03, C05): directories onto the destination, anything else into it if it is or must be a directory. Its parent is there afterwards. */
  async #destinationOf(name: string, source: Entry): Promise<Target> {
    const { dest } = this.#action;
    const lastName = dest.slice(dest.lastIndexOf("/") + 1);
    const needed = lastName === "" || lastName === "." ? dest : dest.slice(0, -lastName.length);
    await this.#makeDirectories((await this.#resolve(needed)).path);
    const { path, entry } = await this.#resolve(cleanPath(dest));
    const isDirectory = source.type === "dir";
    const target = !isDirectory && entry?.type === "dir" ? joinRelative(path, name) : path;
    if (!isDirectory) await this.#makeDirectories(parentPath(target));
    else if (!entry) await this.#makeDirectories(target);
    return { path: target, isNew: isDirectory && !entry };
  }

  /** Where a destination leads. */
  async #resolve(dest: string): Promise<ResolvedPath> {
    const found = await resolvePath(this.draft, dest);
    const { blockedBy } = found;
    if (blockedBy === undefined) return found;
    throw notADirectory("lstat", blockedBy, await refusedPath(this.draft, dest));
  }

  #makeDirectories(path: string): Promise<void> {
    const { owner, chmod } = this.#attributes;
    return this.draft.makeDirectories(path, owner, chmod?.parentMode ?? 0o755);
  }

  async #copyTo(target: Target, tree: Tree, copied: Copied): Promise<void> {
    const links = new LinkGroups(tree, copied.entries);
    const prefix = target.path === "" ? "" : `${target.path}/`;
    const run = new Run((from, to) =>
      this.#putRun({ source: copied.entries, from, to, tree, relocate: this.#relocation(target, copied) }, links),
    );
    /** Directories that wait for something in them to be copied. */
    const waiting: CopiedEntry[] = [];
    /** What begins with this is in a directory made just now, where nothing can be in the way. */
    let fresh = target.isNew ? "" : undefined;
    let count = 0;
    for (const item of copied.each()) {
      if (++count % 1024 === 0) this.#options.signal.throwIfAborted();
      while (waiting.length > 0 && !item.path.startsWith(`${waiting.at(-1)!.path}/`)) waiting.pop();
      if (!item.isIncluded) {
        run.end();
        if (item.entry.type === "dir") waiting.push(item);
        continue;
      }
      if (waiting.length > 0) run.end();
      for (const parent of waiting.splice(0)) await this.#putParent(prefix + parent.path, parent.entry);
      const path = item.path === "" ? target.path : prefix + item.path;
      const isFresh = fresh !== undefined && item.path !== "" && item.path.startsWith(fresh);
      const existing = isFresh ? undefined : await this.draft.lstat(path);
      if (!existing && item.entry.type === "dir" && !isFresh) fresh = `${item.path}/`;
      if (!existing && !links.has(item.entry)) {
        assertNotReserved(path);
        run.add(count - 1);
        continue;
      }
      run.end();
      if (item.entry.type === "dir") this.#putDirectory(path, item, existing);
      else this.#putObject(this.#attributed(item.entry, path), links.inodeOf(item.entry), existing);
    }
    run.end();
  }

  /** Puts what follows one another in a source where nothing was: a few one by one, many as they lie. */
  #putRun(segment: SegmentOptions, links: LinkGroups): void {
    const { source, from, to, relocate } = segment;
    if (to - from >= (this.#options.segmentFrom ?? SEGMENT_FROM)) return this.draft.putSegment(segment);
    for (let index = from; index < to; index++) {
      const entry = source.at(index)!;
      this.draft.put(relocate(entry), links.inodeOf(entry));
    }
  }

  /** What makes of a source's entry the layer's. */
  #relocation(target: Target, { root }: Copied): (entry: Entry) => Entry {
    const prefix = target.path === "" ? "" : `${target.path}/`;
    const cut = root === "" ? 0 : root.length + 1;
    return (entry) => this.#attributed(entry, entry.path.length < cut ? target.path : prefix + entry.path.slice(cut));
  }

  /** The top of a copied directory only fills the one that is there; those in it also bring their attributes (C04). */
  #putDirectory(path: string, { path: below, entry }: CopiedEntry, existing: Entry | undefined): void {
    if (!existing) this.draft.put(this.#attributed(entry, path), undefined);
    else if (existing.type !== "dir") throw this.#ontoOther(path, entry, existing);
    else if (below === "") this.draft.setDirectory(existing, { mtimeNs: entry.mtimeNs });
    else {
      const { mode, uid, gid, mtimeNs } = this.#attributed(entry, path);
      const xattrs = { ...existing.xattrs, ...entry.xattrs };
      this.draft.setDirectory(existing, { mode, uid, gid, mtimeNs, xattrs });
    }
  }

  /** A directory that is copied for the sake of what is in it gives an existing one only its mode, as BuildKit's does. */
  async #putParent(path: string, entry: Entry): Promise<void> {
    const existing = await this.draft.lstat(path);
    if (!existing) this.draft.put(this.#attributed(entry, path), undefined);
    else if (existing.type !== "dir") throw this.#ontoOther(path, entry, existing);
    else this.draft.setDirectory(existing, { mode: entry.mode });
  }

  #putObject(entry: Entry, inode: Inode | undefined, existing: Entry | undefined): void {
    if (existing?.type === "dir") {
      const summary = `/${entry.path} is a directory in this stage, and what is copied there is not`;
      throw this.#cannotCopy(`cannot replace to directory /${entry.path} with file`, summary);
    }
    this.draft.put(entry, inode, existing);
  }

  #ontoOther(path: string, source: Entry, existing: Entry): BuildError {
    const what = source.path === "" ? "what is copied" : `"${source.path}"`;
    const there = existing.type === "file" ? "a file" : "no directory";
    const summary = `${what} is a directory, but /${path} is ${there} in this stage`;
    const beside = joinRelative(parentPath(path), baseName(source.path));
    const isOther = source.path !== "" && beside !== path;
    return this.#cannotCopy(`cannot copy to non-directory: /${path}`, summary, isOther ? `, such as /${beside}` : "");
  }

  #cannotCopy(message: string, summary: string, example = ""): BuildError {
    const help = `copy to another path${example}`;
    return new BuildError("source", message, { summary, help, details: { word: this.#action.dest } });
  }

  /** The entry in its new place, with --chown and --chmod applied. */
  #attributed(entry: Entry, path: string): Entry {
    const { owner, chmod } = this.#attributes;
    if (!owner && !chmod) return entry.path === path ? entry : { ...entry, path };
    const mode = chmod && entry.type !== "symlink" ? chmod.apply(entry.mode, entry.type === "dir") : entry.mode;
    return { ...entry, path, uid: owner?.uid ?? entry.uid, gid: owner?.gid ?? entry.gid, mode };
  }
}

/** Numbers that follow one another. */
class Run {
  #from = -1;
  #to = -1;
  readonly #put: (from: number, to: number) => void;

  constructor(put: (from: number, to: number) => void) {
    this.#put = put;
  }

  add(index: number): void {
    if (this.#from < 0) this.#from = index;
    this.#to = index + 1;
  }

  end(): void {
    if (this.#from < 0) return;
    this.#put(this.#from, this.#to);
    this.#from = -1;
  }
}

/** Hard links inside one source stay hard links, of files alone, as BuildKit copies them; their inodes by the first name in the source (C09). */
class LinkGroups {
  readonly #tree: Tree;
  readonly #firstNames = new Set<string>();
  readonly #inodes = new Map<string, Inode>();

  constructor(tree: Tree, entries: Sequence<Entry>) {
    this.#tree = tree;
    for (const { hardlink } of entries) if (hardlink !== undefined) this.#firstNames.add(hardlink);
  }

  /** Whether the entry shares its inode with another. */
  has({ path, hardlink }: Entry): boolean {
    return hardlink !== undefined || (this.#firstNames.size > 0 && this.#firstNames.has(path));
  }

  inodeOf(entry: Entry): Inode | undefined {
    if (entry.type !== "file") return undefined;
    const first = entry.hardlink ?? entry.path;
    const known = this.#inodes.get(first);
    if (known) return known;
    const inode: Inode = { entry, tree: this.#tree };
    if (this.#firstNames.has(first)) this.#inodes.set(first, inode);
    return inode;
  }
}
