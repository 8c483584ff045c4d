// BuildKit's digest of files in a build context, which stands for them in its keys: of each its header as old docker's tarsum wrote it, then its bytes; of a directory its header and the names and digests in it.
// Undefined for what it is not worked out of: links on the way, attributes, devices.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { baseName, parentPath } from "../../base/container-path.ts";
import { digestOf, finishDigest, type Digest } from "../../oci/digest.ts";
import type { Entry, FileBytes } from "../../tree/entry.ts";
import type { Sequence } from "../../tree/sequence.ts";
import { compileGlob } from "../../tree/glob.ts";
import type { Tree } from "../../tree/tree.ts";
import { recordDigest, type ContentSelector } from "./key.ts";

/** The key that a record of these files has. No selector may lie in another one. */
export async function contentKey(tree: Tree, selectors: readonly ContentSelector[]): Promise<Digest | undefined> {
  const digests: Digest[] = [];
  for (const selector of selectors.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))) {
    const digest = await (selector.isPattern ? patternDigest(tree, selector.path) : pathDigest(tree, selector.path));
    if (digest === undefined) return undefined;
    digests.push(digest);
  }
  return recordDigest(digestOf(digests.join("\0")), -1);
}

async function pathDigest(tree: Tree, path: string): Promise<Digest | undefined> {
  const entries = await entriesAt(tree, path.slice(1));
  return entries && digestOfEntries(tree, entries);
}

/** What is there with all that is in it, parents first; undefined where nothing is, or a link is on the way. */
async function entriesAt(tree: Tree, path: string): Promise<Sequence<Entry> | undefined> {
  const names = path === "" ? [] : path.split("/");
  for (let depth = 1; depth <= names.length; depth++) {
    const entry = await tree.lstat(names.slice(0, depth).join("/"));
    if (!entry || entry.type === "symlink") return undefined;
  }
  return tree.walk(path);
}

/** A node of what was walked. */
interface Node {
  readonly entry: Entry;
  readonly children: Node[];
}

async function digestOfEntries(tree: Tree, entries: Sequence<Entry>): Promise<Digest | undefined> {
  const root = nodeOf(entries);
  return root && digestOfNode(tree, root);
}

function nodeOf(entries: Sequence<Entry>): Node | undefined {
  const nodes = new Map<string, Node>();
  let root: Node | undefined;
  for (const entry of entries) {
    const node = { entry, children: [] };
    nodes.set(entry.path, node);
    if (!root) root = node;
    else nodes.get(parentPath(entry.path))?.children.push(node);
  }
  return root;
}

async function digestOfNode(tree: Tree, node: Node): Promise<Digest | undefined> {
  if (node.entry.type !== "dir") return digestOfFile(tree, node.entry);
  const header = directoryHeader(node.entry);
  if (header === undefined) return undefined;
  const hash = createHash("sha256").update(`\0${header}`);
  for (const child of inKeyOrder(node.children)) {
    const digest = await digestOfNode(tree, child);
    if (digest === undefined) return undefined;
    hash.update(`\0${baseName(child.entry.path)}${digest}`);
  }
  return finishDigest(hash);
}

function inKeyOrder(nodes: readonly Node[]): readonly Node[] {
  return nodes.toSorted((a, b) => Buffer.compare(Buffer.from(a.entry.path), Buffer.from(b.entry.path)));
}

/** The root of a context has none. */
function directoryHeader(entry: Entry): Digest | undefined {
  if (entry.path === "") return digestOf("");
  const header = headerOf(entry);
  return header === undefined ? undefined : digestOf(header);
}

async function digestOfFile(tree: Tree, entry: Entry): Promise<Digest | undefined> {
  const header = headerOf(entry);
  if (header === undefined) return undefined;
  if (entry.type !== "file" || entry.size === 0) return digestOf(header);
  const hash = createHash("sha256").update(header);
  for await (const chunk of bytesOf(await tree.locate(entry))) hash.update(chunk);
  return finishDigest(hash);
}

async function* bytesOf(bytes: FileBytes): AsyncGenerator<Uint8Array> {
  if (bytes.kind === "inline") yield bytes.data;
  else for await (const chunk of createReadStream(bytes.path, { highWaterMark: 1 << 18 })) yield chunk as Uint8Array;
}

const TYPE_FLAGS: Partial<Record<Entry["type"], string>> = { file: "0", symlink: "2", dir: "5" };

function headerOf({ type, mode, uid, gid, size, linkname = "", xattrs }: Entry): string | undefined {
  const flag = TYPE_FLAGS[type];
  if (flag === undefined || Object.keys(xattrs ?? {}).length > 0) return undefined;
  const fields = { name: "", mode, uid, gid, size: type === "file" ? size : 0, typeflag: flag, linkname };
  const rest = { uname: "", gname: "", devmajor: 0, devminor: 0 };
  return Object.entries({ ...fields, ...rest })
    .map(([name, value]) => `${name}${value}`)
    .join("");
}

/** Of the files that match. */
async function patternDigest(tree: Tree, pattern: string): Promise<Digest | undefined> {
  const matches = compileGlob(pattern);
  const literal = pattern.slice(0, pattern.search(/[*?[\\]/));
  const start = literal.slice(1, Math.max(1, literal.lastIndexOf("/")));
  const root = matches && (await entriesAt(tree, start));
  const top = root && nodeOf(root);
  if (!top) return undefined;
  const found: { readonly path: string; readonly digest: Digest }[] = [];
  if (!(await collect(tree, top, matches, found))) return undefined;
  const [first] = found;
  if (found.length === 1 && baseName(first!.path) === baseName(pattern)) return first!.digest;
  return digestOf(found.map(({ path, digest }) => `${baseName(path)}${digest}`).join("\0"));
}

/** Adds what counts of a node, in the order of BuildKit's keys; false where it cannot be worked out. */
async function collect(
  tree: Tree,
  { entry, children }: Node,
  matches: (path: string) => boolean,
  found: { readonly path: string; readonly digest: Digest }[],
): Promise<boolean> {
  if (entry.path !== "" && matches(`/${entry.path}`)) {
    // What a link leads to would count instead of it; of directories BuildKit's digest does not say which one a file is in.
    if (entry.type !== "file") return false;
    const digest = await digestOfFile(tree, entry);
    if (digest === undefined) return false;
    found.push({ path: entry.path, digest });
  }
  for (const child of inKeyOrder(children)) if (!(await collect(tree, child, matches, found))) return false;
  return true;
}
