// What a build would do, without doing it: for each step whether its layer is cached, has to be made, or may turn out to be the same as before.
// Looks up what the solver looks up, in the same order, and stops where the solver would begin to work. Runs nothing, makes no layer, records nothing.
import { assert } from "../base/assert.ts";
import type { Graph, Vertex } from "../graph/graph.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { MissCause } from "../progress/miss.ts";
import type { Layer, Rootfs } from "../rootfs/layer.ts";
import type { LayerEntry } from "../tree/entry.ts";
import type { Sequence } from "../tree/sequence.ts";
import { execParts, keyOf } from "./cache-key.ts";
import { Explainer } from "./explain/explainer.ts";
import { FileExecutor } from "./file-executor.ts";
import { foreseenLayer } from "./foreseen-layer.ts";
import { KeyInputs, type Results } from "./key-inputs.ts";
import { ageOf, isLinked, isStep, Lookups, type Lookup, type StepVertex } from "./lookups.ts";
import type { PastBuilds, SolveServices, SourceTree } from "./services.ts";

export interface Prospect {
  readonly vertex: StepVertex;
  /** `maybe`: it depends on results that are not known yet whether an earlier layer is kept. */
  readonly outcome: "cached" | "run" | "maybe";
  /** Why it is not simply cached. */
  readonly cause?: MissCause;
  /** Of `maybe`: the step whose result decides. */
  readonly dependsOn?: string;
  /** How long it took when it last ran, or the step that it was; undefined where that is not known. */
  readonly expectedMs?: number;
}

/** A step's layer, where it is there or what it would hold can be told. */
interface Foreseen {
  readonly outcome: Prospect["outcome"];
  readonly layer?: Layer;
  /** No step has ever made this layer. */
  readonly isNovel?: true;
}

export interface ForecastOptions {
  readonly graph: Graph;
  readonly services: SolveServices;
  readonly signal: AbortSignal;
}

export class Forecast {
  readonly #graph: Graph;
  readonly #services: SolveServices;
  readonly #signal: AbortSignal;
  readonly #inputs: KeyInputs;
  readonly #lookups: Lookups;
  readonly #files: FileExecutor;
  readonly #results: Results;
  readonly #explainer: Explainer;
  readonly #trees = new Map<Digest, Promise<SourceTree>>();
  /** Root file systems that are known without running anything. */
  readonly #known = new Map<Digest, Rootfs>();
  /** Vertices whose root file system has a layer that never was: nothing that sees all of it can have run before. */
  readonly #novel = new Set<Digest>();

  constructor({ graph, services, signal }: ForecastOptions) {
    this.#graph = graph;
    this.#services = services;
    this.#signal = signal;
    const results: Results = {
      vertex: (id) => this.#vertex(id),
      rootfs: async (id) => {
        const rootfs = this.#known.get(id);
        assert(rootfs, "only what is known is asked for");
        return rootfs;
      },
      rootfsKey: (id) => this.#lookups.rootfsKey(id),
      tree: (id) => this.#tree(id),
      secretDigest: (id) => services.secretDigest(id),
      isLeakAllowed: (id) => services.isLeakAllowed(id),
    };
    this.#results = results;
    this.#inputs = new KeyInputs(results, signal);
    this.#lookups = new Lookups({
      vertex: (id) => this.#vertex(id),
      inputs: this.#inputs,
      cache: services.cache,
      onEvent: () => {},
      onFailure: () => {},
    });
    this.#files = new FileExecutor({ services, results, signal });
    const past = remembering(services.past);
    const isKnown = (id: Digest): boolean => !isLayered(this.#vertex(id)) || this.#known.has(id);
    this.#explainer = new Explainer({ graph, past, cache: services.cache, lookups: this.#lookups, results, isKnown });
  }

  /** All steps, inputs first. Fails where a key cannot be worked out: a source that is missing, for example. */
  async steps(): Promise<readonly Prospect[]> {
    const prospects: Prospect[] = [];
    for (const vertex of this.#graph.vertices.values()) {
      this.#signal.throwIfAborted();
      if (vertex.op.kind === "image") this.#known.set(vertex.id, await this.#services.openImage(vertex.op));
      if (isStep(vertex)) prospects.push(await this.#prospect(vertex));
    }
    return prospects;
  }

  async #prospect(vertex: StepVertex): Promise<Prospect> {
    const lookup = await this.#lookups.of(vertex);
    const cached = lookup.isTrusted
      ? ((await this.#find(vertex, lookup.key)) ?? (await this.#findByOp(vertex)))
      : undefined;
    const { layer, outcome, isNovel }: Foreseen = cached
      ? { layer: cached, outcome: "cached" }
      : await (vertex.op.kind === "exec" ? this.#foreseeExec(vertex, lookup) : this.#foreseeFile(vertex, lookup));
    const below = vertex.inputs[0] === undefined ? [] : this.#known.get(vertex.inputs[0]);
    if (layer && below) this.#known.set(vertex.id, [...below, layer]);
    if (isNovel === true || (vertex.inputs[0] !== undefined && this.#novel.has(vertex.inputs[0])))
      this.#novel.add(vertex.id);
    if (outcome === "cached") return { vertex, outcome };
    const cause = await this.#explainer.explain(vertex, lookup);
    const expectedMs = this.#expectedMs(vertex);
    const dependsOn = vertex.inputs.find((input) => input !== undefined && this.#isUnknown(input));
    const isOpen = outcome === "maybe" && dependsOn !== undefined;
    return {
      vertex,
      outcome,
      cause,
      ...(isOpen ? { dependsOn: this.#vertex(dependsOn).meta.name } : {}),
      ...(expectedMs === undefined ? {} : { expectedMs }),
    };
  }

  /** By the content of what it sees, where an op like it has ever run. */
  async #foreseeExec(vertex: StepVertex, lookup: Lookup): Promise<Foreseen> {
    const { cache } = this.#services;
    const { op } = vertex;
    assert(op.kind === "exec", "a RUN");
    const opKey = digestOfJson(op);
    const isReusable = vertex.meta.cache === "use" && lookup.expiredMs === undefined;
    if (!isReusable || (!cache.knowsOp(opKey) && (await cache.elsewhere?.knowsOp(opKey)) !== true))
      return { outcome: "run" };
    if (vertex.inputs[0] !== undefined && this.#novel.has(vertex.inputs[0])) return { outcome: "run" };
    if (this.#isOpen(vertex)) return { outcome: "maybe" };
    const key = keyOf("exec", [...execParts(op), ...(await this.#inputs.contentParts(vertex))]);
    const layer = await this.#find(vertex, key);
    return layer ? { outcome: "cached", layer } : { outcome: "run" };
  }

  /** What it would make can be worked out, where what it looks at is known and listed. */
  async #foreseeFile(vertex: StepVertex, lookup: Lookup): Promise<Foreseen> {
    assert(vertex.op.kind === "file", "a COPY, ADD or WORKDIR");
    const isReusable = vertex.meta.cache === "use" && lookup.expiredMs === undefined;
    if (this.#isOpen(vertex) || !(await this.#areListed(vertex))) return { outcome: isReusable ? "maybe" : "run" };
    const made = foreseenLayer(await this.#files.manifest(vertex, vertex.op));
    const key = keyOf("file", [{ name: "files", value: await made.contentId() }]);
    const { cache } = this.#services;
    const known = cache.find(key) ?? (await cache.elsewhere?.find(key, vertex.meta.instruction));
    if (!known) return { outcome: "run", layer: made, isNovel: true };
    return { outcome: isReusable ? "cached" : "run", layer: known.layer };
  }

  /** Whether something that it sees depends on a step that has to run first. */
  #isOpen(vertex: StepVertex): boolean {
    const seen = isLinked(vertex) ? vertex.inputs.slice(1) : vertex.inputs;
    return seen.some((input) => input !== undefined && this.#isUnknown(input));
  }

  /** Whether what it looks at can be had without fetching a layer. */
  async #areListed(vertex: StepVertex): Promise<boolean> {
    const seen = isLinked(vertex) ? vertex.inputs.slice(1) : vertex.inputs;
    const layers = seen.flatMap((input) => (input === undefined ? [] : (this.#known.get(input) ?? [])));
    for (const layer of layers) if (!(await layer.knownEntries())) return false;
    return true;
  }

  async #find(vertex: StepVertex, key: Digest): Promise<Layer | undefined> {
    const { cache } = this.#services;
    const { ttl, instruction } = vertex.meta;
    const record = cache.find(key);
    const found = record?.isDurable ? record : await cache.elsewhere?.find(key, instruction);
    return found && (ttl === undefined || ageOf(found) <= ttl.ms) ? found.layer : undefined;
  }

  /** Made by another builder, on exactly what lies below here. */
  async #findByOp(vertex: StepVertex): Promise<Layer | undefined> {
    const below = vertex.inputs[0];
    if (below !== undefined && this.#isUnknown(below)) return undefined;
    const { ttl } = vertex.meta;
    const found = await this.#services.cache.elsewhere?.findByOp(vertex, this.#results);
    return found && (ttl === undefined || ageOf(found) <= ttl.ms) ? found.layer : undefined;
  }

  #expectedMs(vertex: StepVertex): number | undefined {
    const { cache } = this.#services;
    const earlier = this.#explainer.earlier(vertex.id)?.key;
    return (
      cache.durationOf(digestOfJson(vertex.op)) ?? (earlier === undefined ? undefined : cache.durationOfKey(earlier))
    );
  }

  #isUnknown(id: Digest): boolean {
    return isLayered(this.#vertex(id)) && !this.#known.has(id);
  }

  #tree(id: Digest): Promise<SourceTree> {
    const known = this.#trees.get(id);
    if (known) return known;
    const { op } = this.#vertex(id);
    assert(op.kind === "local" || op.kind === "http" || op.kind === "git", `${op.kind} is no source`);
    const opened = this.#services.openTree(op, this.#signal);
    this.#trees.set(id, opened);
    return opened;
  }

  #vertex(id: Digest): Vertex {
    const vertex = this.#graph.vertices.get(id);
    assert(vertex, `no vertex ${id}`);
    return vertex;
  }
}

/** Lists of files that are needed for the explanations of this plan, and not written down. */
function remembering(past: PastBuilds): PastBuilds {
  const kept = new Map<string, Sequence<LayerEntry>>();
  return {
    ...past,
    hasFiles: (value) => kept.has(value) || past.hasFiles(value),
    files: (value) => kept.get(value) ?? past.files(value),
    keepFiles: (value, entries) => void kept.set(value, entries),
  };
}

function isLayered(vertex: Vertex): boolean {
  return vertex.op.kind === "image" || isStep(vertex);
}
