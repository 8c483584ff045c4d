// Solves a graph: for each vertex its key, then a layer from the cache or by doing the work. Has never heard of a Dockerfile.
//
// Two questions, each answered at most once per vertex:
//   lookup(v): what is it called (its key)?   — needs the keys of its inputs and the files it selects; runs nothing
//   rootfs(v): what are its layers?           — asks the cache by key, then by the content of its inputs, then executes
// Not responsible for: how a RUN runs (exec.ts), what a COPY means (file/), how layers are kept (rootfs/).
import { monotonicMs, nowMs } from "../base/clock.ts";
import { assert } from "../base/assert.ts";
import { criticalPathLengths } from "../graph/critical-path.ts";
import type { Graph, Vertex } from "../graph/graph.ts";
import type { ExecOp, FileOp, GitOp, HttpOp, ImageOp, LocalOp } from "../graph/op.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { Layer, LayerManifest, Rootfs } from "../rootfs/layer.ts";
import { execParts, explainMiss, fileParts, keyOf, type KeyPart } from "./cache-key.ts";
import { Executors } from "./executors.ts";
import { KeyInputs } from "./key-inputs.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SolvedStep, SolveServices, SourceTree } from "./services.ts";
import { StepReports } from "./step-reports.ts";

/** A vertex that makes a layer. */
export type StepVertex = Vertex & { readonly op: ExecOp | FileOp };

export interface SolverOptions {
  readonly graph: Graph;
  readonly services: SolveServices;
  readonly scheduler: Scheduler;
  /** Stops everything that this solver started; aborted by the first failure, with it as the reason. */
  readonly scope: AbortController;
  /** The caller's signal and the scope's. */
  readonly signal: AbortSignal;
}

/** What a step is called, before anything ran. */
export interface Lookup {
  readonly key: Digest;
  readonly parts: readonly KeyPart[];
  /** Whether a record of this key may be used: not below a step that runs again whatever was stored, because its new result need not be the old one. */
  readonly isTrusted: boolean;
}

export class Solver {
  readonly #graph: Graph;
  readonly #services: SolveServices;
  readonly #scheduler: Scheduler;
  readonly #scope: AbortController;
  readonly #signal: AbortSignal;
  readonly #reports: StepReports;
  readonly #lookups = new Map<Digest, Promise<Lookup>>();
  readonly #rootfs = new Map<Digest, Promise<Rootfs>>();
  readonly #trees = new Map<Digest, Promise<SourceTree>>();
  readonly #renewed = new Map<Digest, boolean>();
  #priorities: ReadonlyMap<Digest, number> | undefined;
  readonly #inputs: KeyInputs;
  readonly #executors: Executors;

  constructor({ graph, services, scheduler, scope, signal }: SolverOptions) {
    this.#graph = graph;
    this.#services = services;
    this.#scheduler = scheduler;
    this.#scope = scope;
    this.#signal = signal;
    const results = {
      vertex: (id: Digest) => this.#vertex(id),
      rootfs: (id: Digest) => this.rootfs(id),
      rootfsKey: (id: Digest) => this.rootfsKey(id),
      tree: (id: Digest) => this.tree(id),
    };
    this.#reports = new StepReports({ onEvent: services.onEvent, signal });
    this.#inputs = new KeyInputs(results, signal);
    this.#executors = new Executors({ services, results, signal });
  }

  /** Tells of every vertex, inputs first. */
  announce(): void {
    for (const { id, meta, inputs } of this.#graph.vertices.values()) {
      const known = inputs.filter((input) => input !== undefined);
      this.#services.onEvent({ kind: "vertex-added", vertex: id, name: meta.name, inputs: known });
    }
  }

  /**
   * The layers of `target` (undefined = none), once everything has been stored. The first failure stops the rest and is thrown when all of it has ended.
   */
  async solve(target: Digest | undefined): Promise<Rootfs> {
    try {
      const rootfs = target === undefined ? [] : await this.rootfs(target);
      await this.#settle();
      this.#reportUnneeded();
      return rootfs;
    } catch (error) {
      this.#scope.abort(error);
      await Promise.allSettled([
        ...this.#lookups.values(),
        ...this.#rootfs.values(),
        ...this.#trees.values(),
        ...this.#later,
      ]);
      await this.#services.layers.settled().catch(() => {});
      throw this.#signal.reason;
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
    return this.#memo(this.#rootfs, id, async () => {
      const vertex = this.#vertex(id);
      if (vertex.op.kind === "image") return this.#openImage(vertex, vertex.op);
      assert(isStep(vertex), `${vertex.op.kind} has no root file system`);
      const layers = await this.#solveStep(vertex);
      const { key } = await this.#lookup(vertex);
      this.#services.onSolved?.({ vertex, key, layer: layers.at(-1)! });
      return layers;
    });
  }

  /** The files of a vertex that is a source. */
  tree(id: Digest): Promise<SourceTree> {
    return this.#memo(this.#trees, id, async () => {
      const vertex = this.#vertex(id);
      const { op } = vertex;
      assert(op.kind === "local" || op.kind === "http" || op.kind === "git", `${op.kind} is no source`);
      return this.#reports.observe(vertex, () => this.#openTree(vertex, op));
    });
  }

  #openTree(vertex: Vertex, op: LocalOp | HttpOp | GitOp): Promise<SourceTree> {
    const open = () => this.#services.openTree(op, this.#signal);
    return op.kind === "local" ? open() : this.#scheduler.run("network", this.#priorityOf(vertex), open);
  }

  async #openImage(vertex: Vertex, op: ImageOp): Promise<Rootfs> {
    return this.#reports.observe(vertex, () => this.#services.openImage(op), "cached");
  }

  #lookup(vertex: StepVertex): Promise<Lookup> {
    return this.#memo(this.#lookups, vertex.id, async () => {
      const own = vertex.op.kind === "exec" ? execParts(vertex.op) : fileParts(vertex.op);
      const parts = [...own, ...(await this.#inputs.definitionParts(vertex))];
      return { key: keyOf(vertex.op.kind, parts), parts, isTrusted: !this.#isRenewed(vertex) };
    });
  }

  async #solveStep(vertex: StepVertex): Promise<Rootfs> {
    const below = vertex.inputs[0];
    const rootfs = (): Promise<Rootfs> => (below === undefined ? Promise.resolve([]) : this.rootfs(below));
    const { key, isTrusted } = await this.#lookup(vertex);
    const cached = isTrusted ? (this.#findDurable(key) ?? (await this.#findElsewhere(vertex, key))) : undefined;
    if (cached) return [...(await rootfs()), this.#reuse(vertex, cached)];
    // Everything that the step reads starts at once; a linked copy does not wait for what it lies on.
    const others = vertex.inputs.slice(1).filter((input) => input !== undefined);
    const started = others.map((input) => (isSource(this.#vertex(input)) ? this.tree(input) : this.rootfs(input)));
    if (vertex.op.kind === "file" && vertex.op.isLinked) {
      const [layers, layer] = await Promise.all([rootfs(), this.#solveLayer(vertex)]);
      return [...layers, layer];
    }
    const [layers] = await Promise.all([rootfs(), ...started]);
    return [...layers, await this.#solveLayer(vertex)];
  }

  /** The vertex's own layer: by key, else by content, else by work — under a lock, so that of several processes one does it. */
  async #solveLayer(vertex: StepVertex): Promise<Layer> {
    const lookup = await this.#lookup(vertex);
    const found = lookup.isTrusted ? this.#findDurable(lookup.key) : undefined;
    if (found) return this.#reuse(vertex, found);
    await using _lock = await this.#services.lockStep(
      lookup.key,
      (holder) => this.#tellWait(vertex, holder),
      this.#signal,
    );
    const foundMeanwhile = lookup.isTrusted ? this.#findDurable(lookup.key) : undefined;
    if (foundMeanwhile) return this.#reuse(vertex, foundMeanwhile);
    // Awaited here: the lock is held until the work is done.
    return await (vertex.op.kind === "exec" ? this.#solveExec(vertex, lookup) : this.#solveFile(vertex, lookup));
  }

  async #solveExec(vertex: StepVertex, lookup: Lookup): Promise<Layer> {
    assert(vertex.op.kind === "exec", "a RUN");
    const { cache } = this.#services;
    const op = vertex.op;
    const isReusable = vertex.meta.cache === "use";
    // Inputs first: nothing below needs a slot of ours.
    const below = vertex.inputs[0] === undefined ? [] : await this.rootfs(vertex.inputs[0]);
    const contentKey = async () => keyOf("exec", [...execParts(op), ...(await this.#inputs.contentParts(vertex))]);
    if (isReusable && (cache.knowsOp(opDigest(op)) || (await cache.elsewhere?.knowsOp(opDigest(op))) === true)) {
      const key = await contentKey();
      const known = this.#findDurable(key) ?? (await this.#findElsewhere(vertex, key));
      if (known) {
        this.#record(vertex, lookup.key, lookup.parts, known, cache.durationOf(opDigest(op)) ?? 0);
        return this.#reuse(vertex, known);
      }
    }
    this.#explain(vertex, lookup.parts);
    const executor = await this.#executors.exec();
    const mounts = await executor.prepareInputs(op, vertex);
    return this.#reports.observe(vertex, () =>
      this.#scheduler.run("exec", this.#priorityOf(vertex), async () => {
        const startedMs = monotonicMs();
        const layer = await executor.run(vertex, op, below, mounts);
        const durationMs = monotonicMs() - startedMs;
        this.#record(vertex, lookup.key, lookup.parts, layer, durationMs);
        this.#recordLater(contentKey(), (key) => this.#record(vertex, key, lookup.parts, layer, durationMs));
        return layer;
      }),
    );
  }

  async #solveFile(vertex: StepVertex, lookup: Lookup): Promise<Layer> {
    assert(vertex.op.kind === "file", "a COPY, ADD or WORKDIR");
    const op = vertex.op;
    const startedMs = nowMs();
    const executor = await this.#executors.file();
    const manifest = await executor.manifest(vertex, op).catch((error: unknown) => {
      throw this.#reports.failed(vertex, error);
    });
    const layer = this.#services.layers.fromManifest(manifest, vertex.meta.instruction);
    // The list of entries is all that the op can make: an equal one from before is the same layer, whatever lies below now.
    const contentKey = keyOf("file", [{ name: "files", value: await layer.contentId() }]);
    const isReusable = vertex.meta.cache === "use";
    const known = isReusable ? this.#services.cache.find(contentKey) && layer : undefined;
    const equal = known ?? (isReusable ? await this.#findElsewhere(vertex, contentKey) : undefined);
    if (equal) {
      this.#record(vertex, lookup.key, lookup.parts, equal, 0);
      return this.#reuse(vertex, equal);
    }
    await this.#explainFiles(vertex, lookup.parts, manifest);
    this.#reports.started(vertex.id, startedMs);
    this.#record(vertex, contentKey, lookup.parts, layer, nowMs() - startedMs);
    this.#record(vertex, lookup.key, lookup.parts, layer, nowMs() - startedMs);
    this.#reports.succeeded(vertex.id);
    return layer;
  }

  readonly #later: Promise<void>[] = [];

  /** Goes on beside the build; a failure stops it all the same. */
  #recordLater(key: Promise<Digest>, record: (key: Digest) => void): void {
    const recorded = key.then(record);
    recorded.catch((error: unknown) => {
      this.#scope.abort(error);
    });
    this.#later.push(recorded);
  }

  async #settle(): Promise<void> {
    await this.#services.layers.settled();
    await Promise.all(this.#later);
  }

  /** Steps that nobody had to look at, because what is made of them was there. */
  #reportUnneeded(): void {
    for (const vertex of this.#graph.vertices.values())
      if (!this.#reports.hasSeen(vertex.id)) this.#reports.cached(vertex.id);
  }

  /** Whether the step, or one that it is made from, has to run again. */
  #isRenewed(vertex: Vertex): boolean {
    const known = this.#renewed.get(vertex.id);
    if (known !== undefined) return known;
    // What a linked copy lies on is none of its business.
    const seen = vertex.op.kind === "file" && vertex.op.isLinked ? vertex.inputs.slice(1) : vertex.inputs;
    const isRenewed =
      vertex.meta.cache === "ignore" ||
      seen.some((input) => input !== undefined && this.#isRenewed(this.#vertex(input)));
    this.#renewed.set(vertex.id, isRenewed);
    return isRenewed;
  }

  #findDurable(key: Digest): Layer | undefined {
    const record = this.#services.cache.find(key);
    return record?.isDurable === true ? record.layer : undefined;
  }

  /** The layer of a key in the caches elsewhere, which the local cache knows from then on. */
  async #findElsewhere(vertex: StepVertex, key: Digest): Promise<Layer | undefined> {
    const found = await this.#services.cache.elsewhere?.find(key, vertex.meta.instruction);
    if (!found) return undefined;
    const { parts } = await this.#lookup(vertex);
    this.#record(vertex, key, parts, found.layer, found.durationMs);
    return found.layer;
  }

  /** Steps that nobody had to look at, and whose layers are cached: with these all of the graph is known. */
  async unneeded(): Promise<readonly SolvedStep[]> {
    const steps: SolvedStep[] = [];
    for (const vertex of this.#graph.vertices.values()) {
      if (!isStep(vertex) || this.#rootfs.has(vertex.id)) continue;
      const { key, isTrusted } = await this.#lookup(vertex);
      const layer = isTrusted ? (this.#findDurable(key) ?? (await this.#findElsewhere(vertex, key))) : undefined;
      if (layer) steps.push({ vertex, key, layer });
    }
    return steps;
  }

  #record(vertex: StepVertex, key: Digest, parts: readonly KeyPart[], layer: Layer, durationMs: number): void {
    this.#services.cache.put({ key, op: opDigest(vertex.op), layer, parts, slot: this.#slotOf(vertex), durationMs });
  }

  #reuse(vertex: StepVertex, layer: Layer): Layer {
    this.#reports.cached(vertex.id);
    return layer;
  }

  #explain(vertex: StepVertex, parts: readonly KeyPart[]): void {
    if (vertex.meta.cache === "ignore") return;
    const before = this.#services.cache.lastOfSlot(this.#slotOf(vertex));
    const reason = before && explainMiss(before.parts, parts);
    if (reason !== undefined) this.#services.onEvent({ kind: "cache-missed", vertex: vertex.id, reason });
  }

  /** As {@link #explain}, naming the files that differ. */
  async #explainFiles(vertex: StepVertex, parts: readonly KeyPart[], manifest: LayerManifest): Promise<void> {
    const before = this.#services.cache.lastOfSlot(this.#slotOf(vertex));
    const entries = vertex.meta.cache === "use" ? await before?.layer?.knownEntries() : undefined;
    const { diffManifests } = await import("./file/describe.ts");
    const differences = entries ? diffManifests(entries, manifest.entries) : [];
    if (differences.length === 0) return this.#explain(vertex, parts);
    const more = differences.length > 3 ? `, and ${differences.length - 3} more` : "";
    this.#services.onEvent({
      kind: "cache-missed",
      vertex: vertex.id,
      reason: differences.slice(0, 3).join("; ") + more,
    });
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
    const { cache } = this.#services;
    this.#priorities ??= criticalPathLengths(this.#graph, ({ op }) => cache.durationOf(opDigest(op)) ?? 100);
    return Math.round(this.#priorities.get(vertex.id) ?? 0);
  }

  /** One promise per vertex. The first one to fail stops the build; whoever awaits the others sees that reason. */
  #memo<V>(known: Map<Digest, Promise<V>>, id: Digest, make: () => Promise<V>): Promise<V> {
    const started = known.get(id);
    if (started) return started;
    const promise = make();
    promise.catch((error: unknown) => {
      this.#scope.abort(error);
    });
    known.set(id, promise);
    return promise;
  }

  #vertex(id: Digest): Vertex {
    const vertex = this.#graph.vertices.get(id);
    assert(vertex, `no vertex ${id}`);
    return vertex;
  }
}

function isSource(vertex: Vertex): boolean {
  return vertex.op.kind === "local" || vertex.op.kind === "http" || vertex.op.kind === "git";
}

export function isStep(vertex: Vertex): vertex is StepVertex {
  return vertex.op.kind === "exec" || vertex.op.kind === "file";
}

/** What a step is, whatever its inputs are. */
export function opDigest(op: Vertex["op"]): Digest {
  return digestOfJson(op);
}
