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
import type { GitOp, HttpOp, ImageOp, LocalOp } from "../graph/op.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { Layer, Rootfs } from "../rootfs/layer.ts";
import type { LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { execParts, keyOf, storedParts } from "./cache-key.ts";
import { Executors } from "./executors.ts";
import type { Explainer } from "./explain/explainer.ts";
import { KeyInputs, type Results } from "./key-inputs.ts";
import { keptResults, type Rerun } from "./kept-results.ts";
import { ageOf, imageKey, isLinked, isStep, Lookups, type Lookup, type StepVertex } from "./lookups.ts";
import type { Scheduler } from "./scheduler.ts";
import type { CacheRecord, FoundElsewhere, SolvedStep, SolveServices, SourceTree } from "./services.ts";
import { StepReports } from "./step-reports.ts";

export interface SolverOptions {
  readonly graph: Graph;
  readonly services: SolveServices;
  readonly scheduler: Scheduler;
  /** Stops everything that this solver started; aborted by the first failure, with it as the reason. */
  readonly scope: AbortController;
  /** The caller's signal and the scope's. */
  readonly signal: AbortSignal;
}

/** What a record says of a layer; `createdMs` where it was made before. */
interface MadeLayer {
  readonly layer: Layer;
  readonly durationMs: number;
  readonly createdMs?: number;
}

export class Solver {
  readonly #graph: Graph;
  readonly #services: SolveServices;
  readonly #scheduler: Scheduler;
  readonly #scope: AbortController;
  readonly #signal: AbortSignal;
  readonly #reports: StepReports;
  readonly #rootfs = new Map<Digest, Promise<Rootfs>>();
  readonly #trees = new Map<Digest, Promise<SourceTree>>();
  /** Steps that ran; what they had made before, where that is known. */
  readonly #reruns = new Map<Digest, Rerun>();
  #priorities: ReadonlyMap<Digest, number> | undefined;
  #explaining: Promise<Explainer> | undefined;
  readonly #results: Results;
  readonly #lookups: Lookups;
  readonly #inputs: KeyInputs;
  readonly #executors: Executors;

  constructor({ graph, services, scheduler, scope, signal }: SolverOptions) {
    this.#graph = graph;
    this.#services = services;
    this.#scheduler = scheduler;
    this.#scope = scope;
    this.#signal = signal;
    this.#results = {
      vertex: (id) => this.#vertex(id),
      rootfs: (id) => this.rootfs(id),
      rootfsKey: (id) => this.#lookups.rootfsKey(id),
      tree: (id) => this.tree(id),
      secretDigest: (id) => services.secretDigest(id),
      isLeakAllowed: (id) => services.isLeakAllowed(id),
    };
    this.#reports = new StepReports({ onEvent: services.onEvent, signal });
    this.#inputs = new KeyInputs(this.#results, signal);
    this.#lookups = new Lookups({
      vertex: (id) => this.#vertex(id),
      inputs: this.#inputs,
      cache: services.cache,
      onEvent: services.onEvent,
      onFailure: (error) => {
        scope.abort(error);
      },
    });
    this.#executors = new Executors({ services, results: this.#results, signal });
  }

  /** Tells of every vertex, inputs first. */
  announce(): void {
    for (const { id, meta, inputs } of this.#graph.vertices.values()) {
      const known = inputs.filter((input) => input !== undefined);
      this.#services.onEvent({ kind: "vertex-added", vertex: id, name: meta.name, inputs: known });
    }
  }

  /** The layers of `target` (undefined = none), once everything has been stored. The first failure stops the rest and is thrown when all of it has ended. */
  async solve(target: Digest | undefined): Promise<Rootfs> {
    return (await this.solveAll(target === undefined ? [] : [target]))[0] ?? [];
  }

  /** As {@link solve}, of several; `then` goes on with each, as a part of the whole. */
  async solveAll(
    targets: readonly Digest[],
    then: (target: Digest, rootfs: Rootfs) => Promise<void> = async () => {},
  ): Promise<readonly Rootfs[]> {
    const each = targets.map(async (target) => {
      const rootfs = await this.rootfs(target);
      await then(target, rootfs);
      return rootfs;
    });
    try {
      const all = await Promise.all(each);
      await this.#settle();
      this.#reportUnneeded();
      if (this.#reruns.size > 0)
        for (const event of await keptResults(this.#graph, this.#reruns)) this.#services.onEvent(event);
      return all;
    } catch (error) {
      this.#scope.abort(error);
      await Promise.allSettled([
        ...each,
        ...this.#lookups.started(),
        ...this.#rootfs.values(),
        ...this.#trees.values(),
        ...this.#later,
      ]);
      await this.#services.layers.settled().catch(() => {});
      throw this.#signal.reason;
    }
  }

  /** The layers of a vertex. */
  rootfs(id: Digest): Promise<Rootfs> {
    return this.#memo(this.#rootfs, id, async () => {
      const vertex = this.#vertex(id);
      if (vertex.op.kind === "image") return this.#openImage(vertex, vertex.op);
      assert(isStep(vertex), `${vertex.op.kind} has no root file system`);
      const layers = await this.#solveStep(vertex);
      const { key, parts } = await this.#lookups.of(vertex);
      const layer = layers.at(-1)!;
      this.#services.onEvent({ kind: "layer-known", vertex: id, layer: layer.id });
      this.#services.onSolved?.({ vertex, key, parts, layer });
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
    this.#reports.keyedImage(vertex, op, imageKey(op));
    return this.#reports.observe(vertex, () => this.#services.openImage(op), "cached");
  }

  async #solveStep(vertex: StepVertex): Promise<Rootfs> {
    const below = vertex.inputs[0];
    const rootfs = (): Promise<Rootfs> => (below === undefined ? Promise.resolve([]) : this.rootfs(below));
    const { key, isTrusted } = await this.#lookups.of(vertex);
    // Each question elsewhere is a round trip, so that all steps ask at once. Failures are told where the layers are awaited.
    if (this.#services.cache.elsewhere) void rootfs();
    const known = isTrusted ? this.#findDurable(key, vertex) : undefined;
    const cached = known ?? (isTrusted ? await this.#findElsewhere(vertex, key, true) : undefined);
    if (cached) return [...(await rootfs()), this.#reuse(vertex, cached.layer)];
    // Everything that the step reads starts at once; a linked copy does not wait for what it lies on.
    const others = vertex.inputs.slice(1).filter((input) => input !== undefined);
    const started = others.map((input) => (isSource(this.#vertex(input)) ? this.tree(input) : this.rootfs(input)));
    if (isLinked(vertex)) {
      const [layers, layer] = await Promise.all([rootfs(), this.#solveLayer(vertex)]);
      return [...layers, layer];
    }
    const [layers] = await Promise.all([rootfs(), ...started]);
    return [...layers, await this.#solveLayer(vertex)];
  }

  /** The vertex's own layer: by key, else by content, else by work — under a lock, so that of several processes one does it. */
  async #solveLayer(vertex: StepVertex): Promise<Layer> {
    const lookup = await this.#lookups.of(vertex);
    const found = lookup.isTrusted ? this.#findDurable(lookup.key, vertex) : undefined;
    if (found) return this.#reuse(vertex, found.layer);
    await using held = new AsyncDisposableStack();
    held.use(await this.#services.lockStep(lookup.key, (holder) => this.#tellWait(vertex, holder), this.#signal));
    const foundMeanwhile = lookup.isTrusted ? this.#findDurable(lookup.key, vertex) : undefined;
    if (foundMeanwhile) return this.#reuse(vertex, foundMeanwhile.layer);
    // Awaited here: the lock is held until the work is done.
    const layer = await (vertex.op.kind === "exec" ? this.#solveExec(vertex, lookup) : this.#solveFile(vertex, lookup));
    if (!this.#reruns.has(vertex.id)) return layer;
    // For other processes it is there once its content is known. Where that fails, settled() says so.
    const lock = held.move();
    this.#later.push(Promise.allSettled([layer.contentId()]).then(() => lock.disposeAsync()));
    return layer;
  }

  async #solveExec(vertex: StepVertex, lookup: Lookup): Promise<Layer> {
    assert(vertex.op.kind === "exec", "a RUN");
    const { cache } = this.#services;
    const op = vertex.op;
    const isReusable = vertex.meta.cache === "use" && lookup.expiredMs === undefined;
    // Inputs first: nothing below needs a slot of ours.
    const below = vertex.inputs[0] === undefined ? [] : await this.rootfs(vertex.inputs[0]);
    const contentKey = async () => keyOf("exec", [...execParts(op), ...(await this.#inputs.contentParts(vertex))]);
    if (isReusable && (cache.knowsOp(opDigest(op)) || (await cache.elsewhere?.knowsOp(opDigest(op))) === true)) {
      const key = await contentKey().catch(this.#reports.failing(vertex));
      const known = this.#findDurable(key, vertex) ?? (await this.#findElsewhere(vertex, key));
      if (known) {
        const { layer, createdMs } = known;
        this.#record(vertex, lookup, { layer, durationMs: cache.durationOf(opDigest(op)) ?? 0, createdMs });
        return this.#keep(vertex, lookup, layer);
      }
    }
    const before = await this.#explain(vertex, lookup);
    const executor = await this.#executors.exec();
    const mounts = await executor.prepareInputs(op, vertex).catch(this.#reports.failing(vertex));
    return this.#reports.observe(vertex, () =>
      this.#scheduler.run("exec", this.#priorityOf(vertex), async () => {
        const startedMs = monotonicMs();
        const layer = await executor.run(vertex, op, below, mounts);
        const durationMs = monotonicMs() - startedMs;
        this.#reruns.set(vertex.id, { layer, before });
        this.#record(vertex, lookup, { layer, durationMs });
        this.#recordLater(contentKey(), (key) => this.#record(vertex, { ...lookup, key }, { layer, durationMs }));
        return layer;
      }),
    );
  }

  async #solveFile(vertex: StepVertex, lookup: Lookup): Promise<Layer> {
    assert(vertex.op.kind === "file", "a COPY, ADD or WORKDIR");
    const op = vertex.op;
    const startedMs = nowMs();
    const executor = await this.#executors.file();
    const manifest = await executor.manifest(vertex, op).catch(this.#reports.failing(vertex));
    const layer = this.#services.layers.fromManifest(manifest, vertex.meta.instruction);
    // The list of entries is all that the op can make: an equal one from before is the same layer, whatever lies below now.
    const contentKey = keyOf("file", [{ name: "files", value: await layer.contentId() }]);
    const isReusable = vertex.meta.cache === "use" && lookup.expiredMs === undefined;
    const known = isReusable ? this.#services.cache.find(contentKey) : undefined;
    const equal = known ? { ...known, layer } : isReusable && (await this.#findElsewhere(vertex, contentKey));
    if (equal) {
      const isAnew = !lookup.isTrusted || this.#services.cache.find(lookup.key) === undefined;
      this.#record(vertex, lookup, { layer: equal.layer, durationMs: 0, createdMs: equal.createdMs });
      return isAnew ? this.#keep(vertex, lookup, equal.layer) : this.#reuse(vertex, equal.layer);
    }
    const before = await this.#explain(vertex, lookup, manifest.entries);
    this.#reruns.set(vertex.id, { layer, before });
    this.#reports.started(vertex.id, startedMs);
    const durationMs = nowMs() - startedMs;
    this.#record(vertex, { ...lookup, key: contentKey }, { layer, durationMs });
    this.#record(vertex, lookup, { layer, durationMs });
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

  #findDurable(key: Digest, { meta }: StepVertex): CacheRecord | undefined {
    const record = this.#services.cache.find(key);
    if (record?.isDurable !== true) return undefined;
    return meta.ttl === undefined || ageOf(record) <= meta.ttl.ms ? record : undefined;
  }

  /** The layer of a key in the caches elsewhere, which the local cache knows from then on; `byOp`: or of what BuildKit calls the step. */
  async #findElsewhere(vertex: StepVertex, key: Digest, byOp = false): Promise<FoundElsewhere | undefined> {
    const { instruction, ttl } = vertex.meta;
    const { elsewhere } = this.#services.cache;
    let found = await elsewhere?.find(key, instruction);
    if (byOp) found ??= await elsewhere?.findByOp(vertex, this.#results);
    if (!found || (ttl !== undefined && ageOf(found) > ttl.ms)) return undefined;
    const { parts } = await this.#lookups.of(vertex);
    this.#record(vertex, { key, parts }, found);
    return found;
  }

  /** Steps that nobody had to look at, and whose layers are cached: with these all of the graph is known. */
  async unneeded(): Promise<readonly SolvedStep[]> {
    const steps: SolvedStep[] = [];
    for (const vertex of this.#graph.vertices.values()) {
      if (!isStep(vertex) || this.#rootfs.has(vertex.id)) continue;
      const { key, parts, isTrusted } = await this.#lookups.of(vertex);
      const found = isTrusted
        ? (this.#findDurable(key, vertex) ?? (await this.#findElsewhere(vertex, key)))
        : undefined;
      if (found) steps.push({ vertex, key, parts, layer: found.layer });
    }
    return steps;
  }

  #record(vertex: StepVertex, { key, parts }: Pick<Lookup, "key" | "parts">, made: MadeLayer): void {
    const op = opDigest(vertex.op);
    this.#services.cache.put({ key, op, parts: storedParts(parts), slot: this.#slotOf(vertex), ...made });
  }

  #reuse(vertex: StepVertex, layer: Layer): Layer {
    this.#reports.cached(vertex.id);
    return layer;
  }

  /** Reuses what was found by content, under a key that is new. */
  async #keep(vertex: StepVertex, lookup: Lookup, layer: Layer): Promise<Layer> {
    await (await this.#explainer()).keepFiles(vertex, lookup);
    this.#reports.cached(vertex.id, "kept");
    return layer;
  }

  /** Tells why the step runs. Returns the layer that it had made before, where that is known. */
  async #explain(vertex: StepVertex, lookup: Lookup, made?: Sequence<LayerEntry>): Promise<Layer | undefined> {
    const explainer = await this.#explainer();
    const cause = await explainer.explain(vertex, lookup, made);
    this.#services.onEvent({ kind: "cache-missed", vertex: vertex.id, cause });
    const key = explainer.earlier(vertex.id)?.key ?? lookup.key;
    return this.#services.cache.find(key)?.layer;
  }

  #explainer(): Promise<Explainer> {
    const [graph, lookups, results] = [this.#graph, this.#lookups, this.#results];
    const { past, cache } = this.#services;
    return (this.#explaining ??= import("./explain/explainer.ts").then(
      (loaded) => new loaded.Explainer({ graph, past, cache, lookups, results }),
    ));
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

export function opDigest(op: Vertex["op"]): Digest {
  return digestOfJson(op);
}
