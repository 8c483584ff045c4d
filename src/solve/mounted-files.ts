// The files that a mount of a step takes from a stage or a source: all of them with their parents, to mount the whole, or as paths of their own, to start a cache with.
import { assert } from "../base/assert.ts";
import { relativePath } from "../base/container-path.ts";
import { processFailure } from "../base/go-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { CacheMount } from "../graph/op.ts";
import type { LayerManifest } from "../rootfs/layer.ts";
import { resolvePath, type ResolvedPath } from "../rootfs/resolve.ts";
import type { Entry } from "../tree/entry.ts";
import { arrayOf } from "../tree/sequence.ts";
import type { Tree } from "../tree/tree.ts";
import { missingSource, noChecksum } from "./file/select.ts";

/** What `source` names in a tree. */
export interface MountedFiles {
  /** Where that is, links followed. */
  readonly path: string;
  /** What it names; undefined = the root. */
  readonly top: Entry | undefined;
  /** With what is below it and the directories above it, as in the tree. */
  readonly whole: Entry[];
  /** What is below it, by paths in it. */
  readonly below: Entry[];
}

/** What a new cache mount holds, and whose it is. */
export interface CacheStart {
  readonly entries: readonly Entry[];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The entry that is mounted instead of the directory that holds it. */
  readonly file?: string;
}

const ONE_FILE = "file";

/**
 * A cache starts as what `source` names in `from`, with its mode and owner; without `source` the mode and owner are the mount's, and without `from` it starts empty (M22, M24).
 * Fails with `source` where nothing can be at `source`, because there is no `from`; `args` are those of the step, for that message.
 */
export function cacheStart(
  mount: CacheMount,
  files: MountedFiles | undefined,
  args: readonly string[] = [],
): CacheStart {
  const asked = { mode: mount.mode ?? 0o755, uid: mount.uid ?? 0, gid: mount.gid ?? 0 };
  if (!files) {
    if (mount.source === "") return { entries: [], ...asked };
    const summary = `open /${mount.source}: no such file or directory`;
    throw new BuildError("source", processFailure(args, summary), {
      summary,
      help: "a cache mount without from starts empty: leave source out, or say where it comes from",
    });
  }
  const { top, below } = files;
  if (!top) return { entries: below, ...asked };
  if (top.type === "dir") return { entries: below, mode: top.mode, uid: top.uid, gid: top.gid };
  const { hardlink: _hardlink, ...file } = top;
  return { entries: [{ ...file, path: ONE_FILE }], mode: 0o755, uid: 0, gid: 0, file: ONE_FILE };
}

/** Where `source` is, links followed. Fails with `source` where there is no such path; `args` are those of a step that mounts a whole image, where BuildKit notices it only when the step starts, unless a link leads nowhere. */
export async function findMounted(
  tree: Tree,
  source: string,
  label: string,
  args?: readonly string[],
): Promise<ResolvedPath> {
  const path = relativePath(source);
  const resolved = await resolvePath(tree, path, { failure: noChecksum(label) });
  if (resolved.entry) return resolved;
  const error = await missingSource(tree, path, label);
  const { entry: link } = await resolvePath(tree, path, { followLast: false });
  if (args === undefined || link) throw error;
  const isBlocked = resolved.blockedBy !== undefined;
  const why = isBlocked ? `lstat /${path}: not a directory` : `open /${path}: no such file or directory`;
  const { code, summary = why, help, details } = error;
  throw new BuildError(code, processFailure(args, why), { summary, details, ...(help === undefined ? {} : { help }) });
}

/** Fails with `source` where there is no such path. */
export async function selectMountedFiles(tree: Tree, source: string, label: string): Promise<MountedFiles> {
  const resolved = await findMounted(tree, source, label);
  const walked = await tree.walk(resolved.path);
  const entries = await Promise.all(arrayOf(walked).map((entry) => withBytes(tree, entry)));
  const parents: Entry[] = [];
  for (let cut = resolved.path.indexOf("/"); cut > 0; cut = resolved.path.indexOf("/", cut + 1)) {
    const parent = await tree.lstat(resolved.path.slice(0, cut));
    assert(parent, `a resolved path has parents: ${resolved.path}`);
    parents.push(parent);
  }
  const depth = resolved.path === "" ? 0 : resolved.path.length + 1;
  const below = entries.filter((entry) => entry.path.length > depth).map((entry) => rerooted(entry, depth));
  const top = resolved.path === "" ? undefined : entries.find((entry) => entry.path === resolved.path);
  return { path: resolved.path, top, whole: [...parents, ...entries].filter((entry) => entry.path !== ""), below };
}

/** As a layer that needs nobody to say where its bytes are. */
export function manifestOf(entries: readonly Entry[]): LayerManifest {
  return { entries, place: (index) => entries[index]!.bytes! };
}

async function withBytes(tree: Tree, entry: Entry): Promise<Entry> {
  return entry.type === "file" ? { ...entry, bytes: await tree.locate(entry) } : entry;
}

function rerooted(entry: Entry, depth: number): Entry {
  const { hardlink } = entry;
  return {
    ...entry,
    path: entry.path.slice(depth),
    ...(hardlink === undefined ? {} : { hardlink: hardlink.slice(depth) }),
  };
}
