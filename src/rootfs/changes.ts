// From what overlayfs keeps of a step to what the step changed: an upper directory also holds what was changed back, and hides whole directories.
// image-spec layer.md wants whiteouts name by name ("Opaque Whiteout"); what is equal below is no change (reference T07, trap T20), as in BuildKit's layers.
import { comparePaths, joinRelative } from "../base/container-path.ts";
import { scanUpper, type ScanOptions } from "../layer/scan.ts";
import type { LayerEntry } from "../tree/entry.ts";
import { isSameObject } from "../tree/same.ts";
import type { Tree } from "../tree/tree.ts";

export interface UpperEntries {
  /** What an upper directory holds, sorted. */
  readonly entries: readonly LayerEntry[];
  readonly below: Tree;
}

/** What the upper directory `directory` of a step on `below` says. Without what is below it, it would say the same in more words. */
export async function listChanges(
  directory: string,
  { below, ...options }: Pick<UpperEntries, "below"> & ScanOptions,
): Promise<readonly LayerEntry[]> {
  return changesOf({ entries: await scanUpper(directory, options), below });
}

/** The same changes without those that are none, and with a whiteout for each name that an opaque directory hides. */
export async function changesOf({ entries, below }: UpperEntries): Promise<readonly LayerEntry[]> {
  // In this order: what was taken out of a directory and put back into its successor is neither hidden nor changed.
  return withoutUnchanged(await withoutOpaque(entries, below), below);
}

async function withoutUnchanged(entries: readonly LayerEntry[], below: Tree): Promise<readonly LayerEntry[]> {
  const unchanged = await unchangedPaths(entries, below);
  if (unchanged.size === 0) return entries;
  const kept: LayerEntry[] = [];
  // Backwards: a directory comes after everything inside it.
  for (const entry of entries.toReversed()) {
    const isNeeded = entry.type === "dir" && kept.at(-1)?.path.startsWith(`${entry.path}/`) === true;
    if (isNeeded || !unchanged.has(entry.path)) kept.push(entry);
  }
  return kept.length === entries.length ? entries : kept.reverse();
}

/** Paths at which the same object is below: copied up and left as it was, or made again. */
async function unchangedPaths(entries: readonly LayerEntry[], below: Tree): Promise<ReadonlySet<string>> {
  const unchanged = new Set<string>();
  /** First names of inodes of which every name has to be said: where one has changed, the others are links to it. */
  const changedInodes = new Set<string>();
  /** What begins with this is in a directory that is not below. */
  let made: string | undefined;
  for (const entry of entries) {
    const { path, type } = entry;
    if (type === "whiteout") continue;
    const before = made !== undefined && path.startsWith(made) ? undefined : await below.lstat(path);
    if (type === "dir" && before?.type !== "dir" && (made === undefined || !path.startsWith(made))) made = `${path}/`;
    const isSameLink = entry.hardlink === undefined || entry.hardlink === before?.hardlink;
    if (before && isSameLink && isSameObject(entry, before)) unchanged.add(path);
    else if (type !== "dir") changedInodes.add(entry.hardlink ?? path);
  }
  for (const entry of entries)
    if (entry.type !== "whiteout" && changedInodes.has(entry.hardlink ?? entry.path)) unchanged.delete(entry.path);
  return unchanged;
}

async function withoutOpaque(entries: readonly LayerEntry[], below: Tree): Promise<readonly LayerEntry[]> {
  if (!entries.some((entry) => entry.type === "dir" && entry.opaque === true)) return entries;
  const types = new Map(entries.map(({ path, type }) => [path, type]));
  const hidden = new Map<string, LayerEntry>();
  const hide = async (directory: string): Promise<void> => {
    for (const name of await below.readdir(directory)) {
      const path = joinRelative(directory, name);
      const type = types.get(path);
      if (type === undefined) hidden.set(path, { path, type: "whiteout" });
      // A directory in a hidden one is new, whatever was there: nothing below shows in it either.
      else if (type === "dir" && (await below.lstat(path))?.type === "dir") await hide(path);
    }
  };
  const plain: LayerEntry[] = [];
  for (const entry of entries) {
    if (entry.type !== "dir" || entry.opaque !== true) {
      plain.push(entry);
      continue;
    }
    const { opaque: _opaque, ...directory } = entry;
    plain.push(directory);
    if ((await below.lstat(entry.path))?.type === "dir") await hide(entry.path);
  }
  return [...plain, ...hidden.values()].sort((a, b) => comparePaths(a.path, b.path));
}
