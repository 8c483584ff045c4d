// Tar members → a tree of files, in memory, as unpacking them in order into an empty root would make it: later members replace earlier ones, symlinks on the way
// are followed inside the root, nothing is ever outside it. What must also be on disk is told to a TreeSink, with paths that hold no symlink, so no disk look-up
// decides anything. Whiteouts hide lower layers only, whatever their place among the members (image-spec layer.md, "Whiteouts"; containerd is the reference else).
import { assert } from "../base/assert.ts";
import { cleanPath } from "../base/container-path.ts";
import { goQuote } from "../base/go-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Entry, EntryType, LayerEntry } from "../tree/entry.ts";
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from "./names.ts";
import { damaged, type TarMember } from "./tar-reader.ts";
import { isLayerXattr } from "./xattrs.ts";

/** A file system object that one or more names refer to. Content facts come once its bytes have been read. */
export interface Inode extends Omit<Entry, "path" | "hardlink" | "sha256" | "bytes"> {
  sha256?: string;
  bytes?: NonNullable<Entry["bytes"]>;
}

/** Mirrors the tree. Paths are relative, without symlinks; parents exist; nothing is there unless stated. */
export interface TreeSink {
  directory(path: string): void;
  /** Anything but a directory; of regular files the bytes follow. */
  object(path: string, inode: Inode): void;
  link(path: string, target: string): void;
  whiteout(path: string): void;
  /** Removes what is there, with everything below. */
  remove(path: string): void;
}

interface Directory {
  readonly kind: "dir";
  readonly children: Map<string, TreeNode>;
  /** Absent while no member has described the directory. */
  inode?: Inode;
  isOpaque: boolean;
}

interface Leaf {
  readonly kind: "leaf";
  readonly inode: Inode;
}

type TreeNode = Directory | Leaf | { readonly kind: "whiteout" };

interface Place {
  readonly node: Directory;
  readonly path: string;
}

export interface MemberTreeOptions {
  readonly sink?: TreeSink | undefined;
  /** "apply" for layers; "keep" for other archives, in which such names are files like any other. */
  readonly whiteouts: "apply" | "keep";
}

const MAX_PATH = 4095;
const MAX_NAME = 255;
const MAX_HOPS = 255;

export class MemberTree {
  readonly #root: Directory = { kind: "dir", children: new Map(), isOpaque: false };
  readonly #sink: TreeSink | undefined;
  readonly #whiteouts: "apply" | "keep";
  /** Parent as members spell it → where that is. Forgotten whenever a name on some way may lead elsewhere. */
  readonly #places = new Map<string, Place>();

  constructor(options: MemberTreeOptions) {
    this.#sink = options.sink;
    this.#whiteouts = options.whiteouts;
  }

  /** Puts a member in its place. The inode, if its content is wanted. Fails with "content". */
  add(member: TarMember): Inode | undefined {
    const path = containedPath(member.name, member.name);
    if (path === "") return this.#describeRoot(member);
    const cut = path.lastIndexOf("/");
    const [parent, name] = [path.slice(0, Math.max(cut, 0)), path.slice(cut + 1)];
    if (this.#whiteouts === "apply" && `/${path}`.includes(`/${WHITEOUT_PREFIX}`)) {
      this.#addWhiteout(path, parent, name);
      return undefined;
    }
    const place = this.#place(parent, member.name);
    if (member.type === "hardlink") return this.#addLink(place, name, member);
    if (member.type === "dir") return this.#addDirectory(place, name, member);
    // What overlayfs takes for a whiteout is one: no file system made of layers can show it as a device.
    if (this.#whiteouts === "apply" && member.type === "char" && member.devMajor === 0 && member.devMinor === 0) {
      this.#hide(place, name);
      return undefined;
    }
    const inode = toInode(member, member.type);
    const at = joined(place, name, member.name);
    this.#clear(place, name);
    place.node.children.set(name, { kind: "leaf", inode });
    this.#sink?.object(at, inode);
    return inode.type === "file" ? inode : undefined;
  }

  /** The layer so far, sorted. Directories that no member described are not in it. */
  entries(): LayerEntry[] {
    const out: LayerEntry[] = [];
    const firstNames = new Map<Inode, string>();
    this.#visit(this.#root, "", (path, node) => {
      if (node.kind === "whiteout") out.push({ path, type: "whiteout" });
      else if (node.kind === "dir") {
        // An opaque directory says something even if no member described it.
        if (node.inode || node.isOpaque)
          out.push({ ...(node.inode ?? IMPLIED), path, ...(node.isOpaque ? { opaque: true as const } : {}) });
      } else {
        const first = firstNames.get(node.inode);
        if (first === undefined) firstNames.set(node.inode, path);
        out.push({ ...node.inode, path, ...(first === undefined ? {} : { hardlink: first }) });
      }
    });
    return out;
  }

  /** Directories that are there only because something is in them, sorted. */
  impliedDirectories(): string[] {
    const out: string[] = [];
    this.#visit(this.#root, "", (path, node) => {
      if (node.kind === "dir" && !node.inode && path !== "") out.push(path);
    });
    return out;
  }

  #visit(node: TreeNode, path: string, see: (path: string, node: TreeNode) => void): void {
    see(path, node);
    if (node.kind !== "dir") return;
    for (const name of [...node.children.keys()].sort())
      this.#visit(node.children.get(name)!, path === "" ? name : `${path}/${name}`, see);
  }

  #describeRoot(member: TarMember): undefined {
    if (member.type !== "dir") {
      // BuildKit passes over it where it unpacks an archive.
      if (this.#whiteouts === "keep") return;
      throw damaged(`has "${member.name}", the root itself, as something else than a directory`);
    }
    this.#root.inode = toInode(member, "dir");
  }

  #addDirectory(place: Place, name: string, member: TarMember): undefined {
    const existing = place.node.children.get(name);
    const inode = toInode(member, "dir");
    if (existing?.kind === "dir") existing.inode = inode;
    else this.#makeDirectory(place, name, member.name).inode = inode;
  }

  /** A new directory. Where the layer also says that the name is gone, that is about what lower layers have: the directory hides it. */
  #makeDirectory(place: Place, name: string, shown: string): Directory {
    const isOpaque = place.node.children.get(name)?.kind === "whiteout";
    const at = joined(place, name, shown);
    this.#clear(place, name);
    const node: Directory = { kind: "dir", children: new Map(), isOpaque };
    place.node.children.set(name, node);
    this.#sink?.directory(at);
    return node;
  }

  #addLink(place: Place, name: string, member: TarMember): undefined {
    const shown = `hard link "${member.name}" to "${member.linkname}"`;
    const targetPath = containedPath(member.linkname, shown);
    const cut = targetPath.lastIndexOf("/");
    const targetPlace = this.#find(targetPath.slice(0, Math.max(cut, 0)), shown);
    const targetName = targetPath.slice(cut + 1);
    const target = targetPlace?.node.children.get(targetName);
    if (target?.kind === "dir") throw damaged(`has a ${shown}, a directory`);
    if (!targetPlace || target?.kind !== "leaf") {
      const summary = `the tar archive has a ${shown}, which is not in it`;
      const at = joined(place, name, member.name);
      const message =
        targetPath === ""
          ? `invalid hardlink target ${JSON.stringify(member.linkname)}`
          : `linkat ${targetPath} ${at}: no such file or directory`;
      throw new BuildError("content", message, { summary });
    }
    if (this.#whiteouts === "keep") adoptAttributes(target.inode, member);
    const existing = place.node.children.get(name);
    if (existing === target || (existing?.kind === "leaf" && existing.inode === target.inode)) return;
    const [from, to] = [joined(place, name, member.name), joined(targetPlace, targetName, shown)];
    if (to.startsWith(`${from}/`)) throw damaged(`has a ${shown} that replaces the directory of its target`);
    this.#clear(place, name);
    place.node.children.set(name, { kind: "leaf", inode: target.inode });
    this.#sink?.link(from, to);
  }

  #addWhiteout(path: string, parent: string, name: string): void {
    // aufs kept its own files under such names; they say nothing about the layer.
    if (name !== OPAQUE_MARKER && `/${path}`.includes(`/${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`)) return;
    if (`/${parent}`.includes(`/${WHITEOUT_PREFIX}`)) throw damaged(`has "${path}" below a whiteout`);
    if (name === OPAQUE_MARKER) {
      this.#place(parent, path).node.isOpaque = true;
      return;
    }
    const gone = name.slice(WHITEOUT_PREFIX.length);
    if (gone === "" || gone === "." || gone === "..") throw damaged(`has the whiteout "${path}", which names no file`);
    this.#hide(this.#place(parent, path), gone);
  }

  /** A whiteout is about lower layers: what this layer has under the name stays, and hides them too. */
  #hide(place: Place, name: string): void {
    const existing = place.node.children.get(name);
    if (existing?.kind === "dir") existing.isOpaque = true;
    if (existing) return;
    const at = joined(place, name, name);
    place.node.children.set(name, { kind: "whiteout" });
    this.#sink?.whiteout(at);
  }

  #clear(place: Place, name: string): void {
    const existing = place.node.children.get(name);
    if (!existing) return;
    if (existing.kind !== "whiteout") this.#places.clear();
    place.node.children.delete(name);
    this.#sink?.remove(joined(place, name, name));
  }

  /** The directory that `path` leads to; what is missing on the way is made. */
  #place(path: string, shown: string): Place {
    const known = this.#places.get(path);
    if (known) return known;
    const place = this.#walk(path, shown, (at, name) => this.#makeDirectory(at, name, shown));
    assert(place, "a walk that makes what is missing ends somewhere");
    this.#places.set(path, place);
    return place;
  }

  #find(path: string, shown: string): Place | undefined {
    return this.#places.get(path) ?? this.#walk(path, shown, () => undefined);
  }

  /** Follows `path` from the root as the kernel would under chroot. Undefined where `make` gives nothing for a missing name. */
  #walk(path: string, shown: string, make: (at: Place, name: string) => Directory | undefined): Place | undefined {
    const trail: Place[] = [{ node: this.#root, path: "" }];
    const pending = path.split("/").reverse();
    let hops = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const at = trail.at(-1)!;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const child = at.node.children.get(name);
      if (child?.kind === "leaf") {
        if (child.inode.type !== "symlink")
          throw damaged(`has "${shown}" below "${joined(at, name, shown)}", which is no directory`);
        if (++hops > MAX_HOPS) throw damaged(`has "${shown}" behind too many symlinks`);
        const target = child.inode.linkname ?? "";
        if (target.startsWith("/")) trail.length = 1;
        pending.push(...target.split("/").reverse());
        continue;
      }
      const next = child?.kind === "dir" ? child : make(at, name);
      if (!next) return undefined;
      trail.push({ node: next, path: joined(at, name, shown) });
    }
    return trail.at(-1);
  }
}

/** What containerd gives a directory that has to be there. */
const IMPLIED: Inode = { type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n };

/** Attributes of a directory that no member described. */
export function impliedDirectory(path: string): Entry {
  return { ...IMPLIED, path };
}

/** The clean relative path of a member; absolute names lose their slash, names that lead out of the root are refused. */
function containedPath(name: string, shown: string): string {
  const path = cleanPath(name.replace(/^\/+/, "./"));
  if (path === ".." || path.startsWith("../")) {
    const summary = `the tar archive has ${JSON.stringify(shown)}, which is outside of its root`;
    // BuildKit's words, for scripts that look for them.
    throw new BuildError("content", `invalid entry name ${goQuote(name)}`, { summary });
  }
  return path === "." ? "" : path;
}

function joined(place: Place, name: string, shown: string): string {
  const path = place.path === "" ? name : `${place.path}/${name}`;
  // Three bytes of UTF-8 at most for a UTF-16 unit: the exact count only where it can matter.
  const isLong = name.length * 3 > MAX_NAME || path.length * 3 > MAX_PATH;
  if (isLong && (Buffer.byteLength(name) > MAX_NAME || Buffer.byteLength(path) > MAX_PATH))
    throw damaged(`has a name that is too long for Linux: ${JSON.stringify(shown.slice(0, 80))}…`);
  return path;
}

/** As `tar -x` does: a link's own header is applied to the file that it is another name of, so the last name's attributes are those of all. */
function adoptAttributes(inode: Inode, member: TarMember): void {
  const { mode, uid, gid, mtimeNs, xattrs } = toInode(
    { ...member, size: inode.size },
    inode.type === "symlink" ? "file" : inode.type,
  );
  Object.assign(inode, { uid, gid }, inode.type === "symlink" ? {} : { mode, mtimeNs });
  if (xattrs) Object.assign(inode, { xattrs: { ...inode.xattrs, ...xattrs } });
}

function toInode(member: TarMember, type: EntryType): Inode {
  const { uid, gid, size, mtimeNs, devMajor, devMinor, linkname } = member;
  if (type === "symlink" && (linkname === "" || Buffer.byteLength(linkname) > MAX_PATH))
    throw damaged(`has "${member.name}", a symlink ${linkname === "" ? "without a target" : "with too long a target"}`);
  const kept = Object.entries(member.xattrs).filter(([name]) => isLayerXattr(name));
  return {
    type,
    mode: type === "symlink" ? 0o777 : member.mode,
    uid,
    gid,
    size,
    mtimeNs,
    ...(type === "symlink" ? { linkname } : {}),
    ...(type === "char" || type === "block" ? { devMajor, devMinor } : {}),
    ...(kept.length === 0 ? {} : { xattrs: Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1))) }),
  };
}
