// `warm`: fills the cache for builds to come (what nobody has, 14). Bases are fetched and unpacked, and of every stage the steps run that need nothing of the
// build context, which is what changes between two builds. Makes no image. Safe beside builds: it is one, that stops early.
import { nowMs } from "../base/clock.ts";
import { canonicalJson } from "../base/canonical-json.ts";
import { suggest } from "../base/suggest.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Graph, Vertex } from "../graph/graph.ts";
import { onlyStages, stablePrefix } from "../graph/stable-prefix.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { PlanResult } from "../plan/options.ts";
import type { BuildEvent } from "../progress/events.ts";
import { Scheduler } from "../solve/scheduler.ts";
import { isStep } from "../solve/lookups.ts";
import { Solver } from "../solve/solver.ts";
import { scopeOf } from "./build-recorder.ts";
import { checkEntitlements } from "./entitlements.ts";
import type { Caches } from "./caches.ts";
import { defaultJobs } from "./jobs.ts";
import type { BuildOptions } from "./options.ts";
import type { EngineParts } from "./parts.ts";
import {
  openSession,
  planInputs,
  planOptions,
  readInputs,
  requireSound,
  textError,
  type BuildInputs,
} from "./plan-build.ts";
import type { Session } from "./session.ts";
import { SourceTrees } from "./source-trees.ts";
import { untilWhole } from "./until-whole.ts";
import { fillCacheMounts } from "./warm-mounts.ts";

export interface WarmOptions extends BuildOptions {
  /** Where each stage stops: before the first step that reads the build context, before the first instruction of this name, or before this line. */
  readonly until:
    | { readonly kind: "context" }
    | { readonly kind: "instruction"; readonly name: string }
    | { readonly kind: "line"; readonly line: number };
  /** Stages by name or number, with what they need; empty = those that the target needs, or all where there is no target. */
  readonly stages: readonly string[];
}

/** A step or a base image that is in the cache now. */
export interface WarmedStep {
  readonly name: string;
  readonly kind: "step" | "base";
  /** What this call did for it; fetched: from a registry or a remote cache. */
  readonly how: "ran" | "fetched" | "was there";
  /** Milliseconds that a build saves by it: what it took now, or the last time. */
  readonly savedMs: number;
}

export interface WarmResult {
  /** The Dockerfile. */
  readonly place: string;
  readonly steps: readonly WarmedStep[];
  /** Steps of the Dockerfile's stages that were left for the build. */
  readonly leftCount: number;
}

/** Warms the cache for one Dockerfile. Fails as a build does. */
export async function warm(parts: EngineParts, options: WarmOptions): Promise<WarmResult> {
  using caches = await openGivenCaches(parts, options);
  // Awaited here: the caches are held until the work has ended.
  return await untilWhole({ options, caches, first: "early" }, () => warmOnce(parts, options, caches));
}

async function warmOnce(parts: EngineParts, options: WarmOptions, caches: Caches | undefined): Promise<WarmResult> {
  const scope = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, scope.signal]) : scope.signal;
  await using session = openSession(parts, {
    client: () => parts.client(),
    pull: options.pull,
    imports: caches?.imports,
    signal,
  });
  await session.protect();
  const inputs = await readInputs(parts, options, session, signal);
  requireSound(inputs, options);
  const isEveryStagePlanned = options.target === undefined;
  const planned = await planInputs(
    inputs,
    { ...planOptions(parts, options, inputs, session), isEveryStagePlanned },
    session,
  );
  if (!planned.plan) throw textError(planned.diagnostics);
  const wanted = chosenStages(planned.plan.graph, planned, options.stages);
  const graph = stablePrefix(wanted, stopper(options.until, inputs));
  await checkEntitlements(graph, options.allow, () => session.devices(options.allow));
  const { epoch } = planned.plan;
  const steps = await solve({ parts, options, session, inputs, wanted, graph, epoch, scope, signal });
  const isWork = (vertex: Vertex): boolean => isStep(vertex);
  const leftCount = countOf(wanted, isWork) - countOf(graph, isWork);
  return { place: inputs.contexts.place, steps, leftCount };
}

async function openGivenCaches(parts: EngineParts, options: BuildOptions): Promise<Caches | undefined> {
  if (options.cacheFrom.length === 0) return undefined;
  const { openCaches } = await import("./caches.ts");
  return openCaches(parts, { ...options, cacheTo: [] });
}

function chosenStages(graph: Graph, { stages }: PlanResult, names: readonly string[]): Graph {
  if (names.length === 0) return graph;
  const known = new Map<string, string>();
  for (const { name, index } of stages) {
    const stage = (name ?? `stage-${index}`).toLowerCase();
    known.set(stage, stage).set(String(index), stage);
  }
  const chosen = names.map((name) => {
    const found = known.get(name.toLowerCase());
    if (found !== undefined) return found;
    const near = suggest(name, [...known.keys()]);
    throw new BuildError("usage", `there is no stage ${JSON.stringify(name)}`, {
      help: near === undefined ? `the stages are ${[...known.keys()].join(", ")}` : `did you mean "${near}"?`,
    });
  });
  return onlyStages(graph, new Set(chosen));
}

function stopper(until: WarmOptions["until"], { contexts, parsed }: BuildInputs): (vertex: Vertex) => boolean {
  switch (until.kind) {
    case "context": {
      const main = canonicalJson(contexts.main);
      return ({ op }) => op.kind === "local" || canonicalJson(op) === main;
    }
    case "instruction": {
      const word = `${until.name.toUpperCase()} `;
      return ({ meta }) => meta.instruction.startsWith(word);
    }
    case "line": {
      const { source } = parsed.dockerfile;
      const end = startOfLine(source.text, until.line);
      return ({ meta, op }) => op.kind !== "image" && meta.span?.source === source && meta.span.start >= end;
    }
  }
}

function startOfLine(text: string, line: number): number {
  let at = 0;
  for (let seen = 1; seen < line; seen++) {
    const next = text.indexOf("\n", at);
    if (next < 0) return text.length + 1;
    at = next + 1;
  }
  return at;
}

function countOf(graph: Graph, isCounted: (vertex: Vertex) => boolean): number {
  return [...graph.vertices.values()].filter(isCounted).length;
}

interface SolveRequest {
  readonly parts: EngineParts;
  readonly options: WarmOptions;
  readonly session: Session;
  readonly inputs: BuildInputs;
  /** The stages whole. */
  readonly wanted: Graph;
  /** What is made now. */
  readonly graph: Graph;
  readonly epoch: number | undefined;
  readonly scope: AbortController;
  readonly signal: AbortSignal;
}

async function solve(request: SolveRequest): Promise<readonly WarmedStep[]> {
  const { parts, options, session, inputs, wanted, graph, epoch, scope, signal } = request;
  const { contexts, remote, extraHosts } = inputs;
  const { store } = parts;
  const { onEvent } = parts.options;
  await using trees = new SourceTrees({
    store,
    contexts: contexts.locals,
    main: contexts.main,
    remote,
    contextMode: options.contextMode,
    onEvent,
  });
  const clock = new StepClock();
  const services = session.services({
    trees,
    secrets: options.secrets,
    ssh: options.ssh,
    allow: options.allow,
    extraHosts,
    resources: options.resources,
    epoch,
    scope: scopeOf(contexts.place, options.target),
    slotScope: digestOfJson([contexts.place, options.target ?? null]),
    place: contexts.place,
    onSolved: undefined,
  });
  const observed = {
    ...services,
    onEvent: (event: BuildEvent): void => {
      clock.event(event);
      onEvent(event);
    },
  };
  const scheduler = new Scheduler({ jobs: options.jobs ?? defaultJobs(), signal });
  const solver = new Solver({ graph, services: observed, scheduler, scope, signal });
  solver.announce();
  const vertices = [...graph.vertices.values()].filter((vertex) => isStep(vertex) || vertex.op.kind === "image");
  const fetched = new Map<Digest, number>();
  await solver.solveAll(
    vertices.map(({ id }) => id),
    async (id, rootfs) => {
      // Of a base image all is unpacked; of a step what lies in a remote cache alone, so that builds find it without that cache.
      const isBase = graph.vertices.get(id)!.op.kind === "image";
      const missing = rootfs.filter(
        (layer) => (isBase || layer.cached) && store.layers.directory(layer.id) === undefined,
      );
      const startedMs = nowMs();
      await Promise.all(missing.map((layer) => scheduler.run("network", 0, () => layer.directory())));
      if (isBase ? missing.length > 0 : missing.includes(rootfs.at(-1)!)) fetched.set(id, nowMs() - startedMs);
    },
  );
  if (options.cacheFrom.length > 0) await fillCacheMounts({ store, services, graph: wanted, signal });
  return vertices.map(({ id, op, meta }): WarmedStep => {
    const fetchedMs = fetched.get(id);
    const ranMs = clock.tookMs(id);
    const how = fetchedMs !== undefined ? "fetched" : op.kind !== "image" && ranMs !== undefined ? "ran" : "was there";
    if (op.kind === "image") return { name: meta.name, kind: "base", how, savedMs: fetchedMs ?? 0 };
    return { name: meta.name, kind: "step", how, savedMs: ranMs ?? store.records.duration(digestOfJson(op)) ?? 0 };
  });
}

/** How long the steps took that ran. */
class StepClock {
  readonly #started = new Map<Digest, number>();
  readonly #took = new Map<Digest, number>();

  event(event: BuildEvent): void {
    if (event.kind === "vertex-started") this.#started.set(event.vertex, event.atMs);
    if (event.kind === "vertex-finished" && event.result === "succeeded")
      this.#took.set(event.vertex, event.atMs - (this.#started.get(event.vertex) ?? event.atMs));
  }

  /** Undefined where it was in the cache. */
  tookMs(vertex: Digest): number | undefined {
    return this.#took.get(vertex);
  }
}
