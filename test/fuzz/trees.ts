// What a path is below, in and above a layer, with each name of a file told as the file.
import type { LayerFacts } from "../compare/image-facts.ts";
import type { Outcome } from "./builders.ts";

/** The files after the first `count` layers: path → one line, where a hard link is the file that its other name was when it was made. */
export function treeAfter({ facts }: Outcome, base: readonly LayerFacts[], count: number): ReadonlyMap<string, string> {
  const tree = new Map<string, string>();
  for (const [at, layer] of (facts?.layers ?? []).slice(0, count).entries())
    addLayer(tree, typeof layer === "string" ? (base[at] ?? {}) : layer);
  return tree;
}

function addLayer(tree: Map<string, string>, layer: LayerFacts): void {
  const entries = Object.entries(layer);
  for (const [path] of entries) {
    const cut = path.lastIndexOf("/") + 1;
    const [folder, name] = [path.slice(0, cut), path.slice(cut)];
    if (name === ".wh..wh..opq") removeBelow(tree, folder);
    else if (name.startsWith(".wh.")) {
      tree.delete(folder + name.slice(4));
      removeBelow(tree, `${folder}${name.slice(4)}/`);
    }
  }
  for (const [path, text] of entries) {
    if (path.includes("/.wh.")) continue;
    if (!text.startsWith("directory")) removeBelow(tree, `${path}/`);
    const target = linkTarget(text);
    tree.set(path, target === undefined ? text : (tree.get(target) ?? text));
  }
}

function removeBelow(tree: Map<string, string>, folder: string): void {
  for (const path of tree.keys()) if (path.startsWith(folder)) tree.delete(path);
}

/** Whether a path is the folder or below it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

/** Absolute path of the other name; undefined = not a hard link. */
export function linkTarget(text: string): string | undefined {
  const found = /^hard link .*? -> (.*?)( time of the context)?$/s.exec(text);
  return found ? `/${found[1]}` : undefined;
}
