// The files behind a part of a key, as a list that can be kept and compared: exactly those that a COPY takes or a mount shows, by their names in the source.
import { relativePath } from "../../base/container-path.ts";
import type { CopyAction } from "../../graph/op.ts";
import { resolvePath } from "../../rootfs/resolve.ts";
import { RootfsView } from "../../rootfs/view.ts";
import type { Entry } from "../../tree/entry.ts";
import { arrayOf } from "../../tree/sequence.ts";
import type { Tree } from "../../tree/tree.ts";
import { copiedEntries, parsePatterns, parseSource, selectSources } from "../file/select.ts";
import { isRootfs, type Results, type Selection } from "../key-inputs.ts";
import type { StepVertex } from "../lookups.ts";

/** More are not listed: it would cost more than a name is worth. */
const MAX_FILES = 20_000;

/** What `selection` means now; undefined where that is too much, or not to be had. */
export async function selectedFiles(
  vertex: StepVertex,
  selection: Selection,
  results: Results,
): Promise<readonly Entry[] | undefined> {
  const tree = isRootfs(results.vertex(selection.input))
    ? new RootfsView(await results.rootfs(selection.input))
    : (await results.tree(selection.input)).tree;
  const { op } = vertex;
  const entries =
    op.kind === "file" && op.action.kind === "copy"
      ? await copied(tree, op.action, selection.patterns)
      : await mounted(tree, selection.patterns);
  return entries.length > MAX_FILES ? undefined : entries;
}

async function mounted(tree: Tree, paths: readonly string[]): Promise<readonly Entry[]> {
  const walks = paths.map(async (path) => {
    const resolved = await resolvePath(tree, relativePath(path), { followLast: true });
    return resolved.entry ? arrayOf(await tree.walk(resolved.path)) : [];
  });
  return (await Promise.all(walks)).flat();
}

/** Modes and owners count only where the step does not set them itself. */
async function copied(tree: Tree, action: CopyAction, patterns: readonly string[]): Promise<readonly Entry[]> {
  const exclude = action.exclude.length === 0 ? undefined : parsePatterns(action.exclude);
  const isModeSet = /^[0-7]+$/.test(action.chmod ?? "");
  const entries: Entry[] = [];
  for (const pattern of patterns) {
    const spec = parseSource(pattern, action.parents);
    const options = { isWildcardAllowed: true, exclude, label: "source" };
    for (const selected of await selectSources(tree, spec.base, options)) {
      const copiedHere = await copiedEntries(tree, selected, { include: spec.include, exclude });
      for (const { entry, isIncluded } of copiedHere.each()) {
        if (!isIncluded) continue;
        if (entries.length > MAX_FILES) return entries;
        const named = entry.path === "" ? { ...entry, path: "." } : entry;
        entries.push({
          ...named,
          ...(isModeSet && entry.type !== "symlink" ? { mode: 0 } : {}),
          ...(action.chown === undefined ? {} : { uid: 0, gid: 0 }),
        });
      }
    }
  }
  return entries;
}
