// One build, from options to result: contexts → text → AST → plan → layers → outputs. Reads as the way through the house.
import type { Graph } from "../graph/graph.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import { Scheduler } from "../solve/scheduler.ts";
import { Solver } from "../solve/solver.ts";
import type { Caches } from "./caches.ts";
import type { EngineParts } from "./parts.ts";
import { recorded, scopeOf, type Begin } from "./build-recorder.ts";
import { withPlace } from "./error-place.ts";
import { defaultJobs } from "./jobs.ts";
import { checkDeletes } from "./delete-guard.ts";
import { checkEntitlements } from "./entitlements.ts";
import { checkNames } from "./output-names.ts";
import type { BuildOptions, BuildResult } from "./options.ts";
import { Outputs } from "./outputs.ts";
import { hasErrors, openSession, planBuild, readsOnlyDirectories, textError } from "./plan-build.ts";
import type { SolvedStep } from "../solve/services.ts";
import type { BuildInputs } from "./session.ts";
import { SourceTrees } from "./source-trees.ts";
import { untilWhole, type Protection } from "./until-whole.ts";

/** Builds `options` with the parts of an engine. */
export async function build(parts: EngineParts, options: BuildOptions): Promise<BuildResult> {
  return recorded(parts, options, (observed, begin) => buildUntilWhole(observed, options, begin));
}

/** `begin` is told the Dockerfile's place. */
async function buildUntilWhole(parts: EngineParts, options: BuildOptions, begin: Begin): Promise<BuildResult> {
  checkNames(options);
  checkDeletes(options, { cwd: parts.options.cwd, storeRoot: parts.store.paths.root });
  if (options.buildArgs.size > 0) {
    const { noteSecretArguments } = await import("./secret-arguments.ts");
    noteSecretArguments(options.buildArgs, parts.options.onEvent);
  }
  using caches = await givenCaches(parts, options);
  const first = readsOnlyDirectories(options) && !caches ? "late" : "early";
  // Awaited here: the caches are held until the work has ended.
  return await untilWhole({ options, caches, first }, (protection) =>
    buildOnce(parts, options, { protection, caches, begin }),
  );
}

async function givenCaches(parts: EngineParts, options: BuildOptions): Promise<Caches | undefined> {
  if (options.cacheFrom.length === 0 && options.cacheTo.length === 0) return undefined;
  const { openCaches } = await import("./caches.ts");
  return openCaches(parts, options);
}

interface Attempt {
  readonly protection: Protection;
  readonly caches: Caches | undefined;
  readonly begin: Begin;
}

async function buildOnce(
  parts: EngineParts,
  options: BuildOptions,
  { protection, caches, begin }: Attempt,
): Promise<BuildResult> {
  const scope = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, scope.signal]) : scope.signal;
  signal.throwIfAborted();
  const isInsecure = options.outputs.some((output) => "image" in output && output.image.insecureRegistry);
  const client = () => parts.client({ isInsecure });
  const { store } = parts;
  await using session = openSession(parts, { client, pull: options.pull, imports: caches?.imports, signal });
  if (protection === "early") await session.protect();
  const planned = await planBuild(parts, options, session, { signal, begin });
  const { plan: image } = planned.result;
  if (!image || hasErrors(planned.diagnostics)) throw textError(planned.diagnostics);
  await checkEntitlements(image.graph, options.allow, () => session.devices(options.allow));
  const { onEvent, environment } = parts.options;
  const scheduler = new Scheduler({ jobs: options.jobs ?? defaultJobs(), signal });
  const { contexts, remote } = planned;
  const { locals, main } = contexts;
  const read = { store, contexts: locals, main, remote, contextMode: options.contextMode, onEvent };
  await using trees = new SourceTrees(read);
  const chain = chainOf(image.graph, image.target);
  const mountIds = cacheMountIds(image.graph);
  await using exports = caches?.exports({ store, session, scheduler, chain, mountIds, onEvent, signal });
  const inlineCache = options.inlineCache ? new (await import("./inline-cache.ts")).InlineCache(store) : undefined;
  const services = session.services({
    trees,
    secrets: options.secrets,
    ssh: options.ssh,
    allow: options.allow,
    extraHosts: planned.extraHosts,
    resources: options.resources,
    epoch: image.epoch,
    scope: scopeOf(contexts.place, options.target),
    slotScope: digestOfJson([contexts.place, options.target ?? null]),
    place: contexts.place,
    onSolved: observer(exports, inlineCache),
  });
  const solver = new Solver({ graph: image.graph, services, scheduler, scope, signal });
  solver.announce();
  try {
    const rootfs = await solver.solve(image.target);
    await caches?.imports.summarize();
    // What was read of contexts may be as big as all that follows.
    await trees[Symbol.asyncDispose]();
    const outputs = new Outputs(
      { store, session, scheduler, client, options, environment, inlineCache, onEvent, signal },
      { plan: image, rootfs, chain },
    );
    const result = await outputs.make();
    await exports?.finish(() => solver.unneeded());
    return result;
  } catch (error) {
    throw withPlace(error, planned, options);
  }
}

/** Who wants to know each step that is solved; undefined where nobody does. */
function observer(...observers: readonly ({ add(step: SolvedStep): void } | undefined)[]): BuildInputs["onSolved"] {
  const known = observers.filter((observer) => observer !== undefined);
  if (known.length === 0) return undefined;
  return (step) => {
    for (const observer of known) observer.add(step);
  };
}

function cacheMountIds(graph: Graph): string[] {
  const mounts = [...graph.vertices.values()].flatMap(({ op }) => (op.kind === "exec" ? op.mounts : []));
  return [...new Set(mounts.flatMap((mount) => (mount.kind === "cache" ? [mount.id] : [])))];
}

/** Vertices that made the layers above the base image's, bottom first. */
function chainOf(graph: Graph, target: Digest | undefined): Digest[] {
  const chain: Digest[] = [];
  for (let id = target; id !== undefined;) {
    const vertex = graph.vertices.get(id);
    if (!vertex || vertex.op.kind === "image") break;
    chain.unshift(id);
    id = vertex.inputs[0];
  }
  return chain;
}
