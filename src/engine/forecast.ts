// `tsbuild plan`: what a build with these options would do, how long that may take, and what it would fetch. Executes nothing.
import { criticalPathLengths } from "../graph/critical-path.ts";
import type { Graph } from "../graph/graph.ts";
import type { Digest } from "../oci/digest.ts";
import type { MissCause } from "../progress/miss.ts";
import type { Rootfs } from "../rootfs/layer.ts";
import { Forecast, type Prospect } from "../solve/forecast.ts";
import type { Store } from "../store/store.ts";
import { scopeOf } from "./build-recorder.ts";
import type { BuildOptions } from "./options.ts";
import type { EngineParts } from "./parts.ts";
import { openSession, planBuild, readsOnlyDirectories, textError } from "./plan-build.ts";
import { SourceTrees } from "./source-trees.ts";

export interface PlannedStep {
  /** `[build 2/4] RUN make`. */
  readonly name: string;
  /** `maybe`: an earlier layer is kept if the result of `dependsOn` stays the same. */
  readonly outcome: Prospect["outcome"];
  readonly cause?: MissCause;
  readonly dependsOn?: string;
  /** Milliseconds, from earlier builds; absent where there were none. */
  readonly expectedMs?: number;
}

export interface PlannedPull {
  readonly image: string;
  readonly missingLayers: number;
  readonly layers: number;
  /** Bytes to fetch. */
  readonly size: number;
}

export interface BuildForecast {
  readonly dockerfile: string;
  readonly steps: readonly PlannedStep[];
  readonly pulls: readonly PlannedPull[];
  /** Milliseconds along the critical path: if everything that may be kept is kept, and if nothing is. */
  readonly expectedMs: { readonly least: number; readonly most: number };
  /** Steps that ran never before: the expected time leaves them out. */
  readonly unknownSteps: number;
  /** The longest way, first step first, if nothing that may be kept is. */
  readonly criticalPath: readonly { readonly name: string; readonly expectedMs: number }[];
}

export async function forecast(parts: EngineParts, options: BuildOptions): Promise<BuildForecast> {
  const signal = options.signal ?? new AbortController().signal;
  const { store } = parts;
  const { onEvent } = parts.options;
  using caches =
    options.cacheFrom.length === 0 ? undefined : await (await import("./caches.ts")).openCaches(parts, options);
  const client = () => parts.client();
  await using session = openSession(parts, { client, pull: options.pull, imports: caches?.imports, signal });
  if (caches || !readsOnlyDirectories(options)) await session.protect();
  const { result, diagnostics, contexts, remote, extraHosts } = await planBuild(parts, options, session, { signal });
  if (!result.plan) throw textError(diagnostics);
  const { graph, target, epoch } = result.plan;
  await using trees = new SourceTrees({
    store,
    contexts: contexts.locals,
    main: contexts.main,
    remote,
    contextMode: options.contextMode,
    onEvent,
  });
  const services = session.services({
    trees,
    secrets: options.secrets,
    ssh: options.ssh,
    allow: options.allow,
    extraHosts,
    resources: options.resources,
    epoch,
    scope: scopeOf(contexts.place, options.target),
    slotScope: "",
    place: contexts.place,
    onSolved: undefined,
  });
  const openImage: typeof services.openImage = async (op) => {
    const rootfs = await services.openImage(op);
    images.set(op.digest, { name: op.reference, rootfs });
    return rootfs;
  };
  const openArchive: typeof services.openArchive = async (bytes, within) => {
    // Opening one takes a directory of its own, for as long as the plan is made.
    await session.protect();
    return services.openArchive(bytes, within);
  };
  const images = new Map<Digest, { readonly name: string; readonly rootfs: Rootfs }>();
  const prospects = await new Forecast({ graph, services: { ...services, openImage, openArchive }, signal }).steps();
  const needed = imagesNeeded(graph, prospects, options, target);
  const pulls = [...images].flatMap(([digest, image]) => (needed.has(digest) ? pullOf(store, image) : []));
  return { dockerfile: contexts.place, steps: prospects.map(plannedStep), pulls, ...timesOf(graph, prospects) };
}

function plannedStep({ vertex, outcome, cause, dependsOn, expectedMs }: Prospect): PlannedStep {
  return {
    name: vertex.meta.name,
    outcome,
    ...(cause ? { cause } : {}),
    ...(dependsOn === undefined ? {} : { dependsOn }),
    ...(expectedMs === undefined ? {} : { expectedMs }),
  };
}

/** Images whose layers somebody will read: a step that runs on them, or an output that holds all layers. */
function imagesNeeded(
  graph: Graph,
  prospects: readonly Prospect[],
  { outputs }: BuildOptions,
  target: Digest | undefined,
): ReadonlySet<Digest> {
  const isWhole = outputs.some((output) => output.kind !== "cacheonly" && !(output.kind === "image" && output.push));
  const readers = prospects.filter(({ outcome }) => outcome !== "cached").map(({ vertex }) => vertex.id);
  const found = new Set<Digest>();
  const seen = new Set<Digest>();
  const visit = (id: Digest): void => {
    const vertex = graph.vertices.get(id);
    if (!vertex || seen.has(id)) return;
    seen.add(id);
    if (vertex.op.kind === "image") found.add(vertex.op.digest);
    for (const input of vertex.inputs) if (input !== undefined) visit(input);
  };
  for (const id of readers) visit(id);
  for (let id = isWhole ? target : undefined; id !== undefined; id = graph.vertices.get(id)?.inputs[0]) {
    const op = graph.vertices.get(id)?.op;
    if (op?.kind === "image") found.add(op.digest);
  }
  return found;
}

function pullOf(store: Store, { name, rootfs }: { readonly name: string; readonly rootfs: Rootfs }): PlannedPull[] {
  const missing = rootfs.flatMap(({ id, remote }) => {
    const isHere = !remote || store.content.has(remote.digest, remote.size) || store.layers.directory(id) !== undefined;
    return isHere ? [] : [remote.size];
  });
  if (missing.length === 0) return [];
  const size = missing.reduce((sum, bytes) => sum + bytes, 0);
  return [{ image: name, missingLayers: missing.length, layers: rootfs.length, size }];
}

function timesOf(
  graph: Graph,
  prospects: readonly Prospect[],
): Pick<BuildForecast, "expectedMs" | "unknownSteps" | "criticalPath"> {
  const byVertex = new Map(prospects.map((prospect) => [prospect.vertex.id, prospect]));
  const lengths = (outcomes: readonly Prospect["outcome"][]): ReadonlyMap<Digest, number> =>
    criticalPathLengths(graph, ({ id }) => {
      const prospect = byVertex.get(id);
      return prospect && outcomes.includes(prospect.outcome) ? (prospect.expectedMs ?? 0) : 0;
    });
  const longest = (of: ReadonlyMap<Digest, number>): number => Math.round(Math.max(0, ...of.values()));
  const most = lengths(["run", "maybe"]);
  return {
    expectedMs: { least: longest(lengths(["run"])), most: longest(most) },
    unknownSteps: prospects.filter(({ outcome, expectedMs }) => outcome === "run" && expectedMs === undefined).length,
    criticalPath: pathOf(graph, most).flatMap((id) => {
      const { vertex, outcome, expectedMs = 0 } = byVertex.get(id) ?? {};
      return vertex && outcome !== "cached" && expectedMs > 0
        ? [{ name: vertex.meta.name, expectedMs: Math.round(expectedMs) }]
        : [];
    }),
  };
}

/** From the vertex with the longest way on, always to that of its users which has the longest. */
function pathOf(graph: Graph, lengths: ReadonlyMap<Digest, number>): readonly Digest[] {
  const longestOf = (ids: readonly Digest[]): Digest | undefined =>
    ids.reduce<Digest | undefined>(
      (best, id) => (best === undefined || lengths.get(id)! > lengths.get(best)! ? id : best),
      undefined,
    );
  const users = new Map<Digest, Digest[]>();
  for (const { id, inputs } of graph.vertices.values())
    for (const input of inputs) if (input !== undefined) users.set(input, [...(users.get(input) ?? []), id]);
  const path: Digest[] = [];
  for (let id = longestOf([...graph.vertices.keys()]); id !== undefined; id = longestOf(users.get(id) ?? []))
    path.push(id);
  return path;
}
