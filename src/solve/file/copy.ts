// COPY and ADD as a list of entries, worked out from what the sources and the root file system below say, without reading or writing a file.
// Follows reference C02–C16 and AD01–AD04, and BuildKit where they are silent (fixtures/copy holds what it does). What is copied: select.ts; the layer: draft.ts.
import { createHash } from "node:crypto";
import { assert } from "../../base/assert.ts";
import { baseName, cleanPath, joinRelative, parentPath } from "../../base/container-path.ts";
import { BuildError } from "../../diagnostics/build-error.ts";
import type { CopyAction, CopySource } from "../../graph/op.ts";
import { resolvePath } from "../../rootfs/resolve.ts";
import type { RootfsView } from "../../rootfs/view.ts";
import type { Entry, FileBytes } from "../../tree/entry.ts";
import type { PatternMatcher } from "../../tree/patterns.ts";
import type { Tree } from "../../tree/tree.ts";
import { unpackArchive, type ArchiveTree } from "./archive.ts";
import { parseChmod, type Chmod } from "./chmod.ts";
import { resolveOwner } from "./chown.ts";
import { Draft, notADirectory, type Inode, type Manifest, type Owner } from "./draft.ts";
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
  readonly signal: AbortSignal;
}

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
    await this.#makeDirectories((await resolvePath(this.draft, needed)).path);
    const { path, entry, blockedBy } = await resolvePath(this.draft, cleanPath(dest));
    if (blockedBy !== undefined) throw notADirectory("mkdir", blockedBy);
    const isDirectory = source.type === "dir";
    const target = !isDirectory && entry?.type === "dir" ? joinRelative(path, name) : path;
    if (!isDirectory) await this.#makeDirectories(parentPath(target));
    else if (!entry) await this.#makeDirectories(target);
    return { path: target, isNew: isDirectory && !entry };
  }

  #makeDirectories(path: string): Promise<void> {
    const { owner, chmod } = this.#attributes;
    return this.draft.makeDirectories(path, owner, chmod?.parentMode ?? 0o755);
  }

  async #copyTo(target: Target, tree: Tree, copied: Copied): Promise<void> {
    const links = new LinkGroups(tree, copied.entries);
    const prefix = target.path === "" ? "" : `${target.path}/`;
    /** Directories that wait for something in them to be copied. */
    const waiting: CopiedEntry[] = [];
    /** What begins with this is in a directory made just now, where nothing can be in the way. */
    let fresh = target.isNew ? "" : undefined;
    let count = 0;
    for (const item of copied.each()) {
      if (++count % 1024 === 0) this.#options.signal.throwIfAborted();
      while (waiting.length > 0 && !item.path.startsWith(`${waiting.at(-1)!.path}/`)) waiting.pop();
      if (!item.isIncluded) {
        if (item.entry.type === "dir") waiting.push(item);
        continue;
      }
      for (const parent of waiting.splice(0)) await this.#putParent(prefix + parent.path, parent.entry);
      const path = item.path === "" ? target.path : prefix + item.path;
      const isFresh = fresh !== undefined && item.path !== "" && item.path.startsWith(fresh);
      const existing = isFresh ? undefined : await this.draft.lstat(path);
      if (item.entry.type === "dir") {
        this.#putDirectory(path, item, existing);
        if (!existing && !isFresh) fresh = `${item.path}/`;
      } else this.#putObject(this.#attributed(item.entry, path), links.inodeOf(item.entry), existing);
    }
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
      throw this.#cannotCopy(`cannot replace to directory /${entry.path} with file`, summary, entry.path);
    }
    this.draft.put(entry, inode);
  }

  #ontoOther(path: string, source: Entry, existing: Entry): BuildError {
    const what = source.path === "" ? "what is copied" : `"${source.path}"`;
    const there = existing.type === "file" ? "a file" : "no directory";
    const summary = `${what} is a directory, but /${path} is ${there} in this stage`;
    return this.#cannotCopy(`cannot copy to non-directory: /${path}`, summary, path);
  }

  #cannotCopy(message: string, summary: string, path: string): BuildError {
    const help = `copy to another path, or remove /${path} in an earlier RUN`;
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

/** Hard links inside one source stay hard links; their inodes by the first name in the source (C09). */
class LinkGroups {
  readonly #tree: Tree;
  readonly #firstNames: ReadonlySet<string>;
  readonly #inodes = new Map<string, Inode>();

  constructor(tree: Tree, entries: readonly Entry[]) {
    this.#tree = tree;
    this.#firstNames = new Set(entries.flatMap(({ hardlink }) => hardlink ?? []));
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
