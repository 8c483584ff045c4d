// COPY, ADD and WORKDIR: gathers the trees that the op reads and asks file/ for the list of entries that it makes. Copies no byte.
import { assert } from "../base/assert.ts";
import type { Vertex } from "../graph/graph.ts";
import type { FileOp } from "../graph/op.ts";
import type { LayerManifest } from "../rootfs/layer.ts";
import { RootfsView } from "../rootfs/view.ts";
import type { Tree } from "../tree/tree.ts";
import { planCopy } from "./file/copy.ts";
import { mkdirManifest } from "./file/mkdir.ts";
import { isRootfs, type Results } from "./key-inputs.ts";
import type { SolveServices } from "./services.ts";

export interface FileExecutorOptions {
  readonly services: SolveServices;
  readonly results: Results;
  readonly signal: AbortSignal;
}

export class FileExecutor {
  readonly #services: SolveServices;
  readonly #results: Results;
  readonly #signal: AbortSignal;

  constructor({ services, results, signal }: FileExecutorOptions) {
    this.#services = services;
    this.#results = results;
    this.#signal = signal;
  }

  /** The entries of the op's layer, sorted, each regular file with its sha256 and the place of its bytes. */
  async manifest(vertex: Vertex, op: FileOp): Promise<LayerManifest> {
    const [base, ...others] = vertex.inputs;
    const labels = await Promise.all(vertex.inputs.map((input) => this.#labelOf(input)));
    const [below, ...inputs] = await Promise.all([
      op.isLinked || base === undefined ? undefined : this.#results.rootfs(base),
      ...others.map((input) => this.#treeOf(input)),
    ]);
    this.#signal.throwIfAborted();
    const view = op.isLinked ? undefined : new RootfsView(below ?? []);
    if (op.action.kind === "mkdir") {
      assert(view, "a WORKDIR sees what is below it");
      return mkdirManifest(op.action, { below: view, createdMtimeNs: this.#services.createdMtimeNs });
    }
    // Sources are numbered as the vertex's inputs are; 0 is the rootfs.
    const trees = [view, ...inputs];
    return planCopy(op.action, {
      below: view,
      inputs: trees,
      labels,
      openArchive: (bytes) => this.#services.openArchive(bytes, this.#signal),
      signal: this.#signal,
    });
  }

  async #labelOf(input: Vertex["inputs"][number]): Promise<string | undefined> {
    if (input === undefined) return undefined;
    const vertex = this.#results.vertex(input);
    if (!isRootfs(vertex)) return (await this.#results.tree(input)).label;
    const { name, stage } = vertex.meta;
    return stage === "" ? name.replace(/^FROM /, "image ") : `stage "${stage}"`;
  }

  /** No input is the empty root of FROM scratch. */
  async #treeOf(input: Vertex["inputs"][number]): Promise<Tree> {
    if (input === undefined) return new RootfsView([]);
    if (isRootfs(this.#results.vertex(input))) return new RootfsView(await this.#results.rootfs(input));
    return (await this.#results.tree(input)).tree;
  }
}
