// An overlayfs upper directory, read as the layer it is: what changed, what is gone, what hides. It trusts the directory to be at rest and says so if it is not.
// Follows kernel Documentation/filesystems/overlayfs.rst; order and parents as reference T01, links as T04, sockets left out as C09.
import { lstatSync, readdirSync, readlinkSync, type BigIntStats } from "node:fs";
import { decodeName, hostPath } from "../base/file-name.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Entry, EntryType, LayerEntry } from "../tree/entry.ts";
import { FileHasher } from "./file-bytes.ts";
import { assertNotReserved } from "./names.ts";
import { Pace } from "./pace.ts";
import { listXattrs, readLayerXattrs, readOverlayState, type XattrNamespace } from "./xattrs.ts";

export interface ScanOptions {
  readonly xattrNamespace: XattrNamespace;
  /** `names`: files without sha256, and without the look whether they change. */
  readonly depth?: "contents" | "names";
  readonly signal?: AbortSignal;
}

/**
 * Entries of the upper directory `dir` (not of its root itself), sorted by `comparePaths`, files with sha256 and their place on the host.
 * Fails with "runtime" where a file changes while it is read, or where overlayfs kept something that only makes sense on top of its lower layers.
 */
export async function scanUpper(dir: string, options: ScanOptions): Promise<LayerEntry[]> {
  return new UpperScan(dir, options).run();
}

const TYPES: Readonly<Record<number, EntryType>> = {
  0o010000: "fifo",
  0o020000: "char",
  0o040000: "dir",
  0o060000: "block",
  0o100000: "file",
  0o120000: "symlink",
};

class UpperScan {
  readonly #dir: string;
  readonly #namespace: XattrNamespace;
  readonly #depth: "contents" | "names";
  readonly #pace: Pace;
  readonly #hasher: FileHasher;
  readonly #entries: LayerEntry[] = [];
  /** "device:inode" of objects with several names → the first of them. */
  readonly #linked = new Map<string, Entry>();

  constructor(dir: string, options: ScanOptions) {
    this.#dir = dir;
    this.#namespace = options.xattrNamespace;
    this.#depth = options.depth ?? "contents";
    this.#pace = new Pace({ signal: options.signal });
    this.#hasher = new FileHasher({ pace: this.#pace });
  }

  async run(): Promise<LayerEntry[]> {
    const pending = this.#names("").reverse();
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      if (this.#pace.isDue()) await this.#pace.rest();
      const entry = await this.#unlessGone(path, () => this.#read(path));
      if (!entry) continue;
      this.#entries.push(entry);
      if (entry.type === "dir") for (const child of this.#names(path).reverse()) pending.push(child);
    }
    return this.#entries;
  }

  #names(path: string): string[] {
    const folder = path === "" ? this.#dir : `${this.#dir}/${path}`;
    let names = readdirSync(hostPath(folder));
    // Node's text has lost the bytes of such names.
    if (names.some((name) => name.includes("\ufffd")))
      names = readdirSync(hostPath(folder), { encoding: "buffer" }).map(decodeName);
    return names.sort().map((name) => (path === "" ? name : `${path}/${name}`));
  }

  async #read(path: string): Promise<LayerEntry | undefined> {
    const full = `${this.#dir}/${path}`;
    const host = hostPath(full);
    const stat = lstatSync(host, { bigint: true });
    const type = TYPES[Number(stat.mode) & 0o170000];
    if (type === undefined) return undefined;
    if (type === "char" && stat.rdev === 0n) return { path, type: "whiteout" };
    const names = listXattrs(host);
    const state = names.length === 0 ? undefined : readOverlayState(host, names, this.#namespace);
    if (state?.foreign !== undefined) throw foreignState(path, state.foreign);
    if (state?.isWhiteout === true && type === "file" && stat.size === 0n) return { path, type: "whiteout" };
    assertNotReserved(path);
    const first = type !== "dir" && stat.nlink > 1n ? this.#linked.get(inodeOf(stat)) : undefined;
    if (first) return { ...first, path, hardlink: first.path };

    const xattrs = names.length === 0 ? undefined : readLayerXattrs(host, names);
    const entry: Entry = {
      ...attributes(path, type, stat),
      ...(type === "file" ? await this.#content(path, full, stat) : {}),
      ...(type === "symlink" ? { linkname: decodeName(readlinkSync(host, { encoding: "buffer" })) } : {}),
      ...(type === "char" || type === "block" ? { devMajor: majorOf(stat.rdev), devMinor: minorOf(stat.rdev) } : {}),
      ...(xattrs ? { xattrs } : {}),
    };
    if (type !== "dir" && stat.nlink > 1n) this.#linked.set(inodeOf(stat), entry);
    return type === "dir" && state?.isOpaque === true ? { ...entry, opaque: true } : entry;
  }

  async #content(path: string, full: string, before: BigIntStats): Promise<Pick<Entry, "sha256" | "bytes">> {
    if (this.#depth === "names") return { bytes: { kind: "host", path: full } };
    const sha256 = await this.#hasher.hash(full, Number(before.size));
    const after = before.size === 0n ? before : lstatSync(hostPath(full), { bigint: true });
    const isSame =
      after.size === before.size &&
      after.ctimeNs === before.ctimeNs &&
      after.ino === before.ino &&
      sha256 !== undefined;
    if (!isSame) throw unsettled(path, "changed");
    return { sha256, bytes: { kind: "host", path: full } };
  }

  async #unlessGone<T>(path: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (isErrno(error, "ENOENT")) throw unsettled(path, "vanished", error);
      throw error;
    }
  }
}

function attributes(path: string, type: EntryType, stat: BigIntStats): Entry {
  return {
    path,
    type,
    mode: type === "symlink" ? 0o777 : Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: type === "file" ? Number(stat.size) : 0,
    mtimeNs: stat.mtimeNs,
  };
}

function inodeOf(stat: BigIntStats): string {
  return `${stat.dev}:${stat.ino}`;
}

/** glibc's gnu_dev_major, which musl shares. */
function majorOf(device: bigint): number {
  return Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n));
}

function minorOf(device: bigint): number {
  return Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));
}

function foreignState(path: string, name: string): BuildError {
  return new BuildError(
    "runtime",
    `overlayfs did not copy "/${path}" up but left ${name}, so the step's changes cannot be told`,
    {
      help: "mount overlayfs with redirect_dir=off,metacopy=off",
    },
  );
}

function unsettled(path: string, what: "changed" | "vanished", cause?: unknown): BuildError {
  return new BuildError("runtime", `"/${path}" ${what} while the step's changes were read`, {
    cause,
    help: "make the step wait for the processes that it starts",
  });
}
