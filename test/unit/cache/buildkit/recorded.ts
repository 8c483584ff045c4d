// The export of BuildKit 0.25 in fixtures/buildkit-cache, its context as a tree, and the graph that its Dockerfile becomes here.
// Recorded with `docker buildx build --network host --build-arg LAST=9 --cache-to type=registry,mode=max`; layers.json has the blobs of the image that the same builder made of each stage.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseBuildKitConfig, type BuildKitCache } from "../../../../src/cache/buildkit/config.ts";
import type { MatchedBuild } from "../../../../src/cache/buildkit/matcher.ts";
import type { Vertex } from "../../../../src/graph/graph.ts";
import type { ExecOp, FileOp } from "../../../../src/graph/op.ts";
import type { ImagePlan } from "../../../../src/graph/image-plan.ts";
import { digestOf, type Digest } from "../../../../src/oci/digest.ts";
import type { Manifest } from "../../../../src/oci/image.ts";
import type { Entry } from "../../../../src/tree/entry.ts";
import type { Tree } from "../../../../src/tree/tree.ts";
import { planned, type RigOptions } from "../../plan/rig.ts";

const FOLDER = join(import.meta.dirname, "../../../../fixtures/buildkit-cache");

export const DOCKERFILE: string = readFileSync(join(FOLDER, "Dockerfile"), "utf8");

export const BASE: Digest = "sha256:090d80afe545c3085082117329bd546aef920594f922f0ae4a249379867b2b7e" as Digest;

interface ContextFile {
  readonly mode?: number;
  readonly text?: string;
  readonly link?: string;
}

export type ContextFiles = Readonly<Record<string, ContextFile>>;

export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(FOLDER, name), "utf8")) as T;
}

export function readConfig(): Buffer {
  return readFileSync(join(FOLDER, "config.json"));
}

export function recordedCache(): BuildKitCache {
  const cache = parseBuildKitConfig(readConfig(), readFixture<Manifest>("manifest.json").layers);
  if (!cache) throw new Error("the recorded export cannot be read");
  return cache;
}

/** What the ignore file leaves of the context. */
export function recordedContext(): ContextFiles {
  const { ignored: _ignored, ...files } = readFixture<ContextFiles>("context.json");
  return files;
}

/** `text` as the recorded build was planned. */
export function planRecorded(text: string = DOCKERFILE, options: RigOptions = {}): Promise<ImagePlan> {
  return planned(text, { network: "host", buildArgs: { LAST: "9" }, ...options });
}

export type Step = Vertex & { readonly op: ExecOp | FileOp };

/** The steps of the target's FROM chain, bottom first. */
export function chainOf({ graph, target }: ImagePlan): Step[] {
  const chain: Step[] = [];
  for (let id = target; id !== undefined;) {
    const vertex = graph.vertices.get(id)!;
    if (vertex.op.kind !== "exec" && vertex.op.kind !== "file") break;
    chain.unshift(vertex as Step);
    id = vertex.inputs[0];
  }
  return chain;
}

export function buildOf({ graph }: ImagePlan, files: ContextFiles = recordedContext()): MatchedBuild {
  return {
    vertex: (id) => graph.vertices.get(id)!,
    diffIds: () => Promise.resolve([BASE]),
    tree: () => Promise.resolve(treeOf(files)),
  };
}

function treeOf(files: ContextFiles): Tree {
  const entries = new Map<string, Entry>([["", entryOf("", {})]]);
  for (const path of Object.keys(files).sort()) entries.set(path, entryOf(path, files[path]!));
  return {
    lstat: (path) => Promise.resolve(entries.get(path)),
    readdir: () => Promise.reject(new Error("not asked for")),
    walk: (path) => {
      const isIn = (other: string): boolean => path === "" || other === path || other.startsWith(`${path}/`);
      return Promise.resolve([...entries.values()].filter((entry) => isIn(entry.path)));
    },
    locate: ({ path }) => Promise.resolve({ kind: "inline", data: Buffer.from(files[path]!.text!) }),
  };
}

function entryOf(path: string, { mode = 0o755, text, link }: ContextFile): Entry {
  const common = { path, uid: 0, gid: 0, size: 0, mtimeNs: 0n };
  if (link !== undefined) return { ...common, type: "symlink", mode: 0o777, linkname: link };
  if (text === undefined) return { ...common, type: "dir", mode };
  return { ...common, type: "file", mode, size: Buffer.byteLength(text), sha256: digestOf(text).slice(7) };
}
