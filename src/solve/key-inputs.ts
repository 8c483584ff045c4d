// What a step sees of its inputs, as parts of its key. By definition: the keys of root file systems and the digests of selected source files, before anything ran.
// By content: what the inputs turned out to be, so that an input that was made again but is the same does not count as changed (Q20–Q24; early cut-off).
import { relativePath } from "../base/container-path.ts";
import type { Vertex } from "../graph/graph.ts";
import type { CopyAction, ExecOp, FileOp } from "../graph/op.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import { resolvePath } from "../rootfs/resolve.ts";
import { noChecksum } from "./file/select.ts";
import { RootfsView } from "../rootfs/view.ts";
import { treeDigest } from "../tree/digest.ts";
import type { Entry } from "../tree/entry.ts";
import { compileGlob } from "../tree/glob.ts";
import type { Tree } from "../tree/tree.ts";
import type { KeyPart } from "../progress/events.ts";
import type { BuildView, SourceTree } from "./services.ts";

/** How the parts of the solver reach each other's results. */
export interface Results extends BuildView {
  rootfsKey(id: Digest): Promise<Digest>;
  /** See {@link SolveServices.secretDigest}. */
  secretDigest(id: string): Promise<string | undefined>;
  /** See {@link SolveServices.isLeakAllowed}. */
  isLeakAllowed(id: string): boolean;
}

/** Files of one input that a step selects: paths or patterns, relative to its root. */
export interface Selection {
  readonly input: Digest;
  /** For people: `files of mount /src`, `files`. */
  readonly name: string;
  readonly patterns: readonly string[];
  readonly hasWildcards: boolean;
}

export class KeyInputs {
  readonly #results: Results;
  readonly #signal: AbortSignal;

  constructor(results: Results, signal: AbortSignal) {
    this.#results = results;
    this.#signal = signal;
  }

  /** Parts known before anything ran. */
  async definitionParts(vertex: Vertex & { readonly op: ExecOp | FileOp }): Promise<KeyPart[]> {
    const parts: KeyPart[] = [];
    if (!isLinked(vertex.op)) {
      const below = vertex.inputs[0];
      if (below === undefined) parts.push({ name: "base", value: "scratch", note: "scratch" });
      else
        parts.push({ name: "base", value: await this.#results.rootfsKey(below), note: baseNote(this.#vertex(below)) });
    }
    for (const selection of selectionsOf(vertex)) {
      const { name, input, patterns } = selection;
      const vertex = this.#vertex(input);
      if (isRootfs(vertex))
        parts.push({
          name,
          value: digestOfJson([await this.#results.rootfsKey(input), patterns]),
          note: baseNote(vertex),
        });
      else {
        const source = await this.#results.tree(input);
        parts.push({ name, value: await this.#sourceDigest(source, selection), note: source.label });
      }
    }
    return [...parts, ...(await this.#secretParts(vertex))];
  }

  /** Parts known once the inputs are there: the base by the content of its layers, other inputs by what is selected of them. */
  async contentParts(vertex: Vertex & { readonly op: ExecOp | FileOp }): Promise<KeyPart[]> {
    const below = vertex.inputs[0];
    const layers = below === undefined ? [] : await this.#results.rootfs(below);
    const ids = await Promise.all(layers.map((layer) => layer.contentId()));
    const parts: KeyPart[] = [{ name: "base", value: ids.join(" ") }];
    for (const selection of selectionsOf(vertex)) {
      // A commit or a download that has changed may still have the same files here.
      const source = isRootfs(this.#vertex(selection.input))
        ? { tree: new RootfsView(await this.#results.rootfs(selection.input)), label: "the stage" }
        : await this.#results.tree(selection.input);
      parts.push({ name: selection.name, value: await this.#selectionDigest(source, selection) });
    }
    return [...parts, ...(await this.#secretParts(vertex))];
  }

  /** Values of secrets are in no key, unless the user wants a change of them to count. */
  async #secretParts({ op }: Vertex): Promise<KeyPart[]> {
    const parts: KeyPart[] = [];
    for (const mount of op.kind === "exec" ? op.mounts : []) {
      if (mount.kind !== "secret") continue;
      const value = await this.#results.secretDigest(mount.id);
      if (value !== undefined) parts.push({ name: `secret ${mount.id} content`, value });
      // What such a step has made is for builds that allow it, too.
      if (this.#results.isLeakAllowed(mount.id)) parts.push({ name: `secret ${mount.id} leak`, value: "allow" });
    }
    return parts;
  }

  async #sourceDigest(source: SourceTree, selection: Selection): Promise<string> {
    const { identity } = source;
    if (identity !== undefined) return digestOfJson([identity, selection.patterns]);
    return this.#selectionDigest(source, selection);
  }

  #vertex(id: Digest): Vertex {
    return this.#results.vertex(id);
  }

  /** Digest of everything that the patterns can reach. It may hold more than the step takes (an excluded file): the content key then finds what this one misses. */
  async #selectionDigest({ tree, label }: Pick<SourceTree, "tree" | "label">, selection: Selection): Promise<string> {
    const failure = noChecksum(label);
    const digests: string[] = [];
    for (const pattern of selection.patterns) {
      this.#signal.throwIfAborted();
      const path = relativePath(pattern);
      const literal = selection.hasWildcards ? literalPrefix(path) : path;
      const resolved = await resolvePath(tree, literal, { failure });
      const entries = resolved.entry ? await tree.walk(resolved.path) : undefined;
      digests.push(entries ? `${resolved.path} ${treeDigest(entries)}` : "missing");
      if (!entries || literal === path) continue;
      for (const link of [path, ...linksMatched(entries, resolved.path, path.slice(literal.length))])
        digests.push(...(await outsideDigest(tree, link, resolved.path, failure)));
    }
    return digestOfJson(digests);
  }
}

export function isRootfs(vertex: Vertex): boolean {
  return vertex.op.kind === "image" || vertex.op.kind === "exec" || vertex.op.kind === "file";
}

/** What a key's digest of a root file system stands for. */
function baseNote({ op, meta }: Vertex): string {
  return op.kind === "image" ? `${op.reference}@${op.digest}` : meta.name;
}

function isLinked(op: ExecOp | FileOp): boolean {
  return op.kind === "file" && op.isLinked;
}

/** What the step reads of its inputs beside the root file system. */
export function selectionsOf(vertex: Vertex & { readonly op: ExecOp | FileOp }): Selection[] {
  const { op } = vertex;
  if (op.kind === "exec") return mountSelections(vertex, op);
  return op.action.kind === "copy" ? copySelections(vertex, op.action) : [];
}

function mountSelections(vertex: Vertex, op: ExecOp): Selection[] {
  const selections: Selection[] = [];
  for (const mount of op.mounts) {
    if ((mount.kind !== "bind" && mount.kind !== "cache") || mount.input === undefined) continue;
    const input = vertex.inputs[mount.input];
    if (input === undefined) continue;
    selections.push({ input, name: `files of mount ${mount.target}`, patterns: [mount.source], hasWildcards: false });
  }
  return selections;
}

function copySelections(vertex: Vertex, action: CopyAction): Selection[] {
  const byInput = new Map<Digest, string[]>();
  for (const source of action.sources) {
    if (source.kind !== "path") continue;
    const input = vertex.inputs[source.input];
    if (input !== undefined) byInput.set(input, [...(byInput.get(input) ?? []), source.pattern]);
  }
  return [...byInput].map(([input, patterns]) => ({ input, name: "files", patterns, hasWildcards: true }));
}

/** Paths of the links below `folder` that a wildcard matches, `rest` being the components from the first one with a wildcard on: a copy takes what they lead to. With --parents a match may be shorter. */
function linksMatched(entries: Iterable<Entry>, folder: string, rest: string): string[] {
  const globs = components(rest).map((part) => compileGlob(part));
  const found: string[] = [];
  for (const { type, path } of entries) {
    if (type !== "symlink") continue;
    const names = components(path.slice(folder.length));
    if (names.length <= globs.length && names.every((name, at) => globs[at]?.(name) === true)) found.push(path);
  }
  return found;
}

/** Of what is at `path`, behind links, unless it is in `folder`, or is not there. */
async function outsideDigest(tree: Tree, path: string, folder: string, failure: string): Promise<string[]> {
  const { path: real, entry } = await resolvePath(tree, path, { failure });
  const isInside = folder === "" || real === folder || real.startsWith(`${folder}/`);
  return entry === undefined || isInside ? [] : [`${real} ${treeDigest(await tree.walk(real))}`];
}

function components(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}

/** The directory above the first component with a wildcard, or the whole path. */
function literalPrefix(path: string): string {
  const names = path.split("/");
  const wild = names.findIndex((component) => /[*?[\\]/.test(component));
  return names.slice(0, wild < 0 ? names.length : wild).join("/");
}
