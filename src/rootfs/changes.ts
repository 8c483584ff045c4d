// From what overlayfs keeps of a step to what the step changed: an upper directory also holds what was changed back, and hides whole directories.
// image-spec layer.md wants whiteouts name by name ("Opaque Whiteout"); what is equal below is no change (reference T07, trap T20), as in BuildKit's layers.
import { isDeepStrictEqual } from "node:util";
import { comparePaths, joinRelative } from "../base/container-path.ts";
import { scanUpper, type ScanOptions } from "../layer/scan.ts";
import type { Entry, LayerEntry } from "../tree/entry.ts";
import type { Tree } from "../tree/tree.ts";

export interface UpperEntries {
  /** What an upper directory holds, sorted. */
  readonly entries: readonly LayerEntry[];
  /** Paths of what overlayfs copied from below. Only these are looked up there. */
  readonly copiedUp: ReadonlySet<string>;
  readonly below: Tree;
}

/** What the upper directory `directory` of a step on `below` says. Without what is below it, it would say the same in more words. */
export async function listChanges(
  directory: string,
  { below, ...options }: Pick<UpperEntries, "below"> & Pick<ScanOptions, "xattrNamespace">,
): Promise<readonly LayerEntry[]> {
  const copiedUp = new Set<string>();
  const entries = await scanUpper(directory, { ...options, onCopiedUp: (path) => copiedUp.add(path) });
  return changesOf({ entries, copiedUp, below });
}

/** The same changes without those that are none, and with a whiteout for each name that an opaque directory hides. */
export async function changesOf({ entries, copiedUp, below }: UpperEntries): Promise<readonly LayerEntry[]> {
  // In this order: what was taken out of a directory and put back into its successor is neither hidden nor changed.
  return withoutUnchanged(await withoutOpaque(entries, below), copiedUp, below);
}

async function withoutUnchanged(
  entries: readonly LayerEntry[],
  copiedUp: ReadonlySet<string>,
  below: Tree,
): Promise<readonly LayerEntry[]> {
  if (copiedUp.size === 0) return entries;
  const linked = new Set(entries.flatMap((entry) => (entry.type !== "whiteout" && entry.hardlink) || []));
  const kept: LayerEntry[] = [];
  // Backwards: a directory comes after everything inside it.
  for (const entry of entries.toReversed()) {
    const isNeeded =
      entry.type === "whiteout" ||
      entry.hardlink !== undefined ||
      linked.has(entry.path) ||
      (entry.type === "dir" && kept.at(-1)?.path.startsWith(`${entry.path}/`) === true) ||
      !copiedUp.has(entry.path);
    if (isNeeded || !isUnchanged(entry, await below.lstat(entry.path))) kept.push(entry);
  }
  return kept.length === entries.length ? entries : kept.reverse();
}

function isUnchanged(entry: Entry, before: Entry | undefined): boolean {
  return before !== undefined && isDeepStrictEqual(comparable(entry), comparable(before));
}

/** The time of a directory is that of what it holds. */
function comparable({ path: _path, bytes: _bytes, hardlink: _hardlink, ...facts }: Entry): object {
  return { ...facts, sha256: facts.sha256, mtimeNs: facts.type === "dir" ? 0n : facts.mtimeNs };
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
