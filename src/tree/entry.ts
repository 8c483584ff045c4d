// One name in a tree of files: of a layer, of a context, of a stacked root file system. Plain data.

export type EntryType = "file" | "dir" | "symlink" | "char" | "block" | "fifo";

/** Where a regular file's bytes are. Never part of identity. */
export type FileBytes =
  { readonly kind: "host"; readonly path: string } | { readonly kind: "inline"; readonly data: Uint8Array };

/** A file system object. `path` is relative, "/"-separated, without leading or trailing slash; the root itself is "". */
export interface Entry {
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits with setuid, setgid and sticky: 0–0o7777. Symlinks have 0o777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a regular file, else 0. */
  readonly size: number;
  /** Nanoseconds since the epoch. Never part of identity. */
  readonly mtimeNs: bigint;
  /** sha256 hex of a regular file's bytes. Absent only where nobody has asked yet. */
  readonly sha256?: string;
  /** Target text of a symlink. */
  readonly linkname?: string;
  /** Path, in the same tree or layer, of the first name of the same inode. Such an entry repeats that entry's type, size, sha256 and attributes. */
  readonly hardlink?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  /** Attribute name → value. Only what images carry: see layer/xattrs. */
  readonly xattrs?: Readonly<Record<string, Uint8Array>>;
  readonly bytes?: FileBytes;
}

/** What a layer says about one path: an object, or that what was there below is gone. */
export type LayerEntry =
  (Entry & { /** The directory hides what lower layers have in it. */ readonly opaque?: true }) | Whiteout;

export interface Whiteout {
  readonly path: string;
  readonly type: "whiteout";
}
