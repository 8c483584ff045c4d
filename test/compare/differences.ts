// What two images have in common and what not. Pure: facts in, list out.
import type { ImageFacts, LayerFacts } from "./image-facts.ts";

export interface Difference {
  /** As `config.Env[0]`, `history[3].created_by`, `layer 2 /etc/passwd` or `tree /etc/passwd`. */
  readonly where: string;
  /** undefined = not there. */
  readonly docker: string | undefined;
  readonly tsbuild: string | undefined;
}

/** Everything that differs, in the order config, history, layers, final tree. `base`: what the layers hold that are only a name in the facts. */
export function differences(docker: ImageFacts, tsbuild: ImageFacts, base: readonly LayerFacts[]): Difference[] {
  return [
    ...valueDifferences("config", docker.config, tsbuild.config),
    ...valueDifferences("history", docker.history, tsbuild.history),
    ...layerDifferences(docker.layers, tsbuild.layers),
    ...entryDifferences("tree", finalTree(docker.layers, base), finalTree(tsbuild.layers, base)),
  ];
}

function valueDifferences(where: string, docker: unknown, tsbuild: unknown): Difference[] {
  if (isContainer(docker) && isContainer(tsbuild) && Array.isArray(docker) === Array.isArray(tsbuild)) {
    const [a, b] = [new Map(Object.entries(docker)), new Map(Object.entries(tsbuild))];
    return [...new Set([...a.keys(), ...b.keys()])].flatMap((key) =>
      valueDifferences(Array.isArray(docker) ? `${where}[${key}]` : `${where}.${key}`, a.get(key), b.get(key)),
    );
  }
  const [left, right] = [JSON.stringify(docker), JSON.stringify(tsbuild)] as [string | undefined, string | undefined];
  return left === right ? [] : [{ where, docker: left, tsbuild: right }];
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function layerDifferences(docker: ImageFacts["layers"], tsbuild: ImageFacts["layers"]): Difference[] {
  const found: Difference[] = [];
  if (docker.length !== tsbuild.length)
    found.push({ where: "layers", docker: `${docker.length} layers`, tsbuild: `${tsbuild.length} layers` });
  for (const [at, left] of docker.entries()) {
    const right = tsbuild[at];
    if (right === undefined) continue;
    const where = `layer ${at}`;
    if (typeof left === "string" || typeof right === "string") {
      if (left !== right) found.push({ where, docker: layerName(left), tsbuild: layerName(right) });
      continue;
    }
    found.push(...entryDifferences(where, left, right), ...orderDifferences(where, left, right));
  }
  return found;
}

function layerName(layer: string | LayerFacts): string {
  return typeof layer === "string" ? `a layer of ${layer}` : `a new layer of ${Object.keys(layer).length} entries`;
}

function entryDifferences(where: string, docker: LayerFacts, tsbuild: LayerFacts): Difference[] {
  return [...new Set([...Object.keys(docker), ...Object.keys(tsbuild)])]
    .filter((path) => docker[path] !== tsbuild[path])
    .map((path) => ({ where: `${where} ${path}`, docker: docker[path], tsbuild: tsbuild[path] }));
}

/** The first entry that comes at another place among those which both have. */
function orderDifferences(where: string, docker: LayerFacts, tsbuild: LayerFacts): Difference[] {
  const [a, b] = [
    Object.keys(docker).filter((path) => path in tsbuild),
    Object.keys(tsbuild).filter((path) => path in docker),
  ];
  const at = a.findIndex((path, index) => path !== b[index]);
  return at === -1 ? [] : [{ where: `${where} order of entries`, docker: a[at], tsbuild: b[at] }];
}

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

/** What is there in the end: path → one line. */
function finalTree(layers: ImageFacts["layers"], base: readonly LayerFacts[]): LayerFacts {
  const tree = new Map<string, string>();
  for (const [at, layer] of layers.entries()) {
    const entries = Object.entries(typeof layer === "string" ? (base[at] ?? {}) : layer);
    const isMark = ([path]: readonly [string, string]): boolean => baseName(path).startsWith(WHITEOUT);
    for (const [path] of entries.filter(isMark)) {
      const [folder, name] = [path.slice(0, -baseName(path).length), baseName(path)];
      removeBelow(tree, name === OPAQUE ? folder : `${folder}${name.slice(WHITEOUT.length)}/`);
      tree.delete(`${folder}${name.slice(WHITEOUT.length)}`);
    }
    for (const [path, text] of entries.filter((entry) => !isMark(entry))) {
      if (!text.startsWith("directory")) removeBelow(tree, `${path}/`);
      tree.set(path, text);
    }
  }
  return Object.fromEntries([...tree].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function removeBelow(tree: Map<string, string>, folder: string): void {
  for (const path of tree.keys()) if (path.startsWith(folder)) tree.delete(path);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
