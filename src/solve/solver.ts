// Solves a graph: for each vertex its key, then a layer from the cache or by doing the work. Has never heard of a Dockerfile.
//
// Two questions, each answered at most once per vertex:
//   lookup(v): what is it called (its key)?   — needs the keys of its inputs and the files it selects; runs nothing
//   rootfs(v): what are its layers?           — asks the cache by key, then by the content of its inputs, then executes
// Not responsible for: how a RUN runs (exec.ts), what a COPY means (file/), how layers are kept (rootfs/).
import { monotonicMs, nowMs } from "../base/clock.ts";
import { assert } from "../base/assert.ts";
import { BuildError, locate, messageOf } from "../diagnostics/build-error.ts";
import { criticalPathLengths } from "../graph/critical-path.ts";
import type { Graph, Vertex } from "../graph/graph.ts";
import type { ExecOp, FileOp, GitOp, HttpOp, ImageOp, LocalOp } from "../graph/op.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { Layer, Rootfs } from "../rootfs/layer.ts";
import { execParts, explainMiss, fileParts, keyOf, type KeyPart } from "./cache-key.ts";
import { ExecExecutor } from "./exec.ts";
import { FileExecutor } from "./file-executor.ts";
import { KeyInputs } from "./key-inputs.ts";
import type { Scheduler } from "./scheduler.ts";
import type { CacheRecord, SolveServices, SourceTree } from "./services.ts";

/** A vertex that makes a layer. */
export type StepVertex = Vertex & { readonly op: ExecOp | FileOp };

export interface SolverOptions {
  readonly graph: Graph;
  readonly services: SolveServices;
  readonly scheduler: Scheduler;
  readonly signal: AbortSignal;
}

/** What a step is called, before anything ran. */
export interface Lookup {
  readonly key: Digest;
  readonly parts: readonly KeyPart[];
}

export class Solver {
  readonly #graph: Graph;
  readonly #services: SolveServices;
  readonly #scheduler: Scheduler;
  readonly #signal: AbortSignal;
  readonly #lookups = new Map<Digest, Promise<Lookup>>();
  readonly #rootfs = new Map<Digest, Promise<Rootfs>>();
  readonly #trees = new Map<Digest, Promise<SourceTree>>();
  readonly #priorities: ReadonlyMap<Digest, number>;
  readonly #inputs: KeyInputs;
  readonly #exec: ExecExecutor;
  readonly #file: FileExecutor;

  constructor({ graph, services, scheduler, signal }: SolverOptions) {
    this.#graph = graph;
    this.#services = services;
    this.#scheduler = scheduler;
    this.#signal = signal;
    this.#priorities = criticalPathLengths(graph, ({ op }) => services.cache.durationOf(opDigest(op)) ?? 100);
    const results = {
      vertex: (id: Digest) => this.#vertex(id),
      rootfs: (id: Digest) => this.rootfs(id),
      rootfsKey: (id: Digest) => this.rootfsKey(id),
      tree: (id: Digest) => this.tree(id),
    };
    this.#inputs = new KeyInputs(results, signal);
    this.#exec = new ExecExecutor({ services, results, signal });
    this.#file = new FileExecutor({ services, results, signal });
  }

  /** Tells of every vertex, inputs first. */
  announce(): void {
    for (const { id, meta, inputs } of this.#graph.vertices.values()) {
      const known = inputs.filter((input) => input !== undefined);
      this.#services.onEvent({ kind: "vertex-added", vertex: id, name: meta.name, inputs: known });
    }
  }

  /** Identity of a vertex's whole root file system, for those above it. */
  async rootfsKey(id: Digest): Promise<Digest> {
    const vertex = this.#vertex(id);
    if (vertex.op.kind === "image") return keyOf("rootfs", [{ name: "image", value: vertex.op.digest }]);
    assert(isStep(vertex), `${vertex.op.kind} has no root file system`);
    const { key } = await this.#lookup(vertex);
    const below = vertex.inputs[0];
    if (vertex.op.kind !== "file" || !vertex.op.isLinked || below === undefined) return key;
    // A linked layer's own key does not know what it lies on.
    return keyOf("rootfs", [
      { name: "below", value: await this.rootfsKey(below) },
      { name: "layer", value: key },
    ]);
  }

  /** The layers of a vertex. */
  rootfs(id: Digest): Promise<Rootfs> {
    return memo(this.#rootfs, id, async () => {
      const vertex = this.#vertex(id);
      if (vertex.op.kind === "image") return this.#openImage(vertex, vertex.op);
      assert(isStep(vertex), `${vertex.op.kind} has no root file system`);
      return this.#solveStep(vertex);
    });
  }

  /** The files of a vertex that is a source. */
  tree(id: Digest): Promise<SourceTree> {
    return memo(this.#trees, id, async () => {
      const vertex = this.#vertex(id);
      const { op } = vertex;
      assert(op.kind === "local" || op.kind === "http" || op.kind === "git", `${op.kind} is no source`);
      return this.#observed(vertex, () => this.#openTree(vertex, op));
    });
  }

  #openTree(vertex: Vertex, op: LocalOp | HttpOp | GitOp): Promise<SourceTree> {
    const open = () => this.#services.openTree(op, this.#signal);
    return op.kind === "local" ? open() : this.#scheduler.run("network", this.#priorityOf(vertex), open);
  }

  async #openImage(vertex: Vertex, op: ImageOp): Promise<Rootfs> {
    return this.#observed(vertex, () => this.#services.openImage(op), "cached");
  }

  #lookup(vertex: StepVertex): Promise<Lookup> {
    return memo(this.#lookups, vertex.id, async () => {
      const own = vertex.op.kind === "exec" ? execParts(vertex.op) : fileParts(vertex.op);
      const parts = [...own, ...(await this.#inputs.definitionParts(vertex))];
      return { key: keyOf(vertex.op.kind, parts), parts };
    });
  }

  async #solveStep(vertex: StepVertex): Promise<Rootfs> {
    const below = vertex.inputs[0];
    // A linked copy does not look at what it lies on, so both go on at once.
    const isIndependent = vertex.op.kind === "file" && vertex.op.isLinked;
    if (isIndependent && below !== undefined) {
      const [rootfs, layer] = await settleBoth(this.rootfs(below), this.#solveLayer(vertex));
      return [...rootfs, layer];
    }
    const lookup = await this.#lookup(vertex);
    const cached = vertex.meta.cache === "use" ? this.#findDurable(lookup.key) : undefined;
    const rootfs = below === undefined ? [] : await this.rootfs(below);
    if (cached) return [...rootfs, this.#reuse(vertex, cached.layer)];
    return [...rootfs, await this.#solveLayer(vertex)];
  }

  /** The vertex's own layer: by key, else by content, else by work — under a lock, so that of several processes one does it. */
  async #solveLayer(vertex: StepVertex): Promise<Layer> {
    const lookup = await this.#lookup(vertex);
    const isReusable = vertex.meta.cache === "use";
    const found = isReusable ? this.#findDurable(lookup.key) : undefined;
    if (found) return this.#reuse(vertex, found.layer);
    await using _lock = await this.#services.lockStep(
      lookup.key,
      (holder) => this.#tellWait(vertex, holder),
      this.#signal,
    );
    const foundMeanwhile = isReusable ? this.#findDurable(lookup.key) : undefined;
    if (foundMeanwhile) return this.#reuse(vertex, foundMeanwhile.layer);
    return vertex.op.kind === "exec" ? this.#solveExec(vertex, lookup) : this.#solveFile(vertex, lookup);
  }

  async #solveExec(vertex: StepVertex, lookup: Lookup): Promise<Layer> {
    assert(vertex.op.kind === "exec", "a RUN");
    const { cache } = this.#services;
    const op = vertex.op;
    const isReusable = vertex.meta.cache === "use";
    // Inputs first: nothing below needs a slot of ours.
    const below = vertex.inputs[0] === undefined ? [] : await this.rootfs(vertex.inputs[0]);
    const contentKey = async () => keyOf("exec", [...execParts(op), ...(await this.#inputs.contentParts(vertex))]);
    if (isReusable && cache.knowsOp(opDigest(op))) {
      const known = this.#findDurable(await contentKey());
      if (known) {
        this.#record(vertex, lookup.key, lookup.parts, known.layer, cache.durationOf(opDigest(op)) ?? 0);
        return this.#reuse(vertex, known.layer);
      }
    }
    this.#explain(vertex, lookup.parts);
    const mounts = await this.#exec.prepareInputs(op, vertex);
    return this.#observed(vertex, () =>
      this.#scheduler.run("exec", this.#priorityOf(vertex), async () => {
        const startedMs = monotonicMs();
        const layer = await this.#exec.run(vertex, op, below, mounts);
        const durationMs = monotonicMs() - startedMs;
        this.#record(vertex, lookup.key, lookup.parts, layer, durationMs);
        this.#later.push(contentKey().then((key) => this.#record(vertex, key, lookup.parts, layer, durationMs)));
        return layer;
      }),
    );
  }

  async #solveFile(vertex: StepVertex, lookup: Lookup): Promise<Layer> {
    assert(vertex.op.kind === "file", "a COPY, ADD or WORKDIR");
    const op = vertex.op;
    const startedMs = nowMs();
    const entries = await this.#file.manifest(vertex, op);
    const layer = this.#services.layers.fromManifest(entries, vertex.meta.instruction);
    // The list of entries is all that the op can make: an equal one from before is the same layer, whatever lies below now.
    const contentKey = keyOf("file", [{ name: "files", value: await layer.contentId() }]);
    const known = vertex.meta.cache === "use" ? this.#services.cache.find(contentKey) : undefined;
    if (known) {
      this.#record(vertex, lookup.key, lookup.parts, layer, 0);
      return this.#reuse(vertex, layer);
    }
    this.#explain(vertex, lookup.parts);
    this.#services.onEvent({ kind: "vertex-started", vertex: vertex.id, atMs: startedMs });
    this.#record(vertex, contentKey, lookup.parts, layer, nowMs() - startedMs);
    this.#record(vertex, lookup.key, lookup.parts, layer, nowMs() - startedMs);
    this.#services.onEvent({ kind: "vertex-finished", vertex: vertex.id, atMs: nowMs(), result: "succeeded" });
    return layer;
  }

  readonly #later: Promise<void>[] = [];

  /** Ends when everything that goes on in the background has ended: hashing, records. */
  async settle(): Promise<void> {
    await this.#services.layers.settled();
    await Promise.all(this.#later);
  }

  #findDurable(key: Digest): CacheRecord | undefined {
    const record = this.#services.cache.find(key);
    return record?.isDurable === true ? record : undefined;
  }

  #record(vertex: StepVertex, key: Digest, parts: readonly KeyPart[], layer: Layer, durationMs: number): void {
    this.#services.cache.put({ key, op: opDigest(vertex.op), layer, parts, slot: this.#slotOf(vertex), durationMs });
  }

  #reuse(vertex: StepVertex, layer: Layer): Layer {
    const atMs = nowMs();
    this.#services.onEvent({ kind: "vertex-started", vertex: vertex.id, atMs });
    this.#services.onEvent({ kind: "vertex-finished", vertex: vertex.id, atMs, result: "cached" });
    return layer;
  }

  #explain(vertex: StepVertex, parts: readonly KeyPart[]): void {
    const before = this.#services.cache.lastOfSlot(this.#slotOf(vertex));
    const reason =
      vertex.meta.cache === "ignore" ? "the cache is not used" : before && explainMiss(before.parts, parts);
    if (reason !== undefined) this.#services.onEvent({ kind: "cache-missed", vertex: vertex.id, reason });
  }

  #tellWait(vertex: Vertex, holder: string): void {
    this.#services.onEvent({ kind: "notice", message: `${vertex.meta.name}: waiting for the same step in ${holder}` });
  }

  /** A place in a Dockerfile: the same words of the progress name up to the instruction's text. */
  #slotOf(vertex: Vertex): string {
    const place = vertex.meta.name.slice(0, vertex.meta.name.indexOf("]") + 1);
    return digestOfJson([this.#services.slotScope, vertex.op.kind, place]);
  }

  #priorityOf(vertex: Vertex): number {
    return Math.round(this.#priorities.get(vertex.id) ?? 0);
  }

  async #observed<T>(vertex: Vertex, work: () => Promise<T>, result: "succeeded" | "cached" = "succeeded"): Promise<T> {
    const { onEvent } = this.#services;
    onEvent({ kind: "vertex-started", vertex: vertex.id, atMs: nowMs() });
    try {
      const value = await work();
      onEvent({ kind: "vertex-finished", vertex: vertex.id, atMs: nowMs(), result });
      return value;
    } catch (error) {
      const isOurs = !this.#signal.aborted || error instanceof BuildError;
      const finished = { kind: "vertex-finished", vertex: vertex.id, atMs: nowMs() } as const;
      onEvent(
        isOurs ? { ...finished, result: "failed", error: messageOf(error) } : { ...finished, result: "cancelled" },
      );
      throw locate(error, vertex.meta.span);
    }
  }

  #vertex(id: Digest): Vertex {
    const vertex = this.#graph.vertices.get(id);
    assert(vertex, `no vertex ${id}`);
    return vertex;
  }
}

export function isStep(vertex: Vertex): vertex is StepVertex {
  return vertex.op.kind === "exec" || vertex.op.kind === "file";
}

function opDigest(op: Vertex["op"]): Digest {
  return digestOfJson(op);
}

function memo<V>(known: Map<Digest, Promise<V>>, id: Digest, make: () => Promise<V>): Promise<V> {
  let promise = known.get(id);
  if (!promise) {
    promise = make();
    known.set(id, promise);
  }
  return promise;
}

/** Both results, or the first failure once both have ended: nothing goes on behind a failed build. */
async function settleBoth<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  const [x, y] = await Promise.allSettled([a, b]);
  if (x.status === "rejected") throw x.reason;
  if (y.status === "rejected") throw y.reason;
  return [x.value, y.value];
}
