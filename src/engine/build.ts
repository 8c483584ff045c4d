// One build, from options to result: contexts → text → AST → plan → layers → outputs. Reads as the way through the house.
import { nowMs } from "../base/clock.ts";
import { BuildError, locate } from "../diagnostics/build-error.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { Dockerfile } from "../frontend/ast.ts";
import { lint } from "../frontend/lint/lint.ts";
import { applyChecks, parseCheckOptions } from "../frontend/lint/check-directive.ts";
import { parseDockerfile } from "../frontend/parser.ts";
import type { Graph } from "../graph/graph.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import { formatPlatform, hostPlatform, parsePlatform, type Platform } from "../oci/platform.ts";
import { EPOCH } from "../plan/global-args.ts";
import type { PlanOptions, PlanResult } from "../plan/options.ts";
import { planImage } from "../plan/plan.ts";
import type { EventSink } from "../progress/events.ts";
import { parseContext } from "../source/context.ts";
import { Scheduler } from "../solve/scheduler.ts";
import { Solver } from "../solve/solver.ts";
import { prepareContexts, type PreparedContexts } from "./contexts.ts";
import type { EngineParts } from "./parts.ts";
import type { ResolveEpochOptions } from "./epoch.ts";
import { parseAddHosts, type ExtraHost } from "./hosts.ts";
import { defaultJobs } from "./jobs.ts";
import { checkNames } from "./output-names.ts";
import type { BuildOptions, BuildResult } from "./options.ts";
import { Outputs } from "./outputs.ts";
import { LayersGone, Session, type SessionOptions } from "./session.ts";
import type { RemoteSources } from "./remote-sources.ts";
import { SourceTrees } from "./source-trees.ts";

/** Builds `options` with the parts of an engine. */
export async function build(parts: EngineParts, options: BuildOptions): Promise<BuildResult> {
  try {
    return await buildOnce(parts, options, readsOnlyDirectories(options) ? "late" : "early");
  } catch (error) {
    if (!(error instanceof LayersGone)) throw error;
    return buildOnce(parts, options, "early");
  }
}

/** Whether the inputs lie where they are: others are unpacked or fetched into the build's own temporary directory. */
function readsOnlyDirectories({ context, dockerfile, buildContexts }: BuildOptions): boolean {
  const isDirectory = (text: string): boolean => parseContext(text).kind === "directory";
  const named = [...buildContexts.values()].filter((text) => !/^(docker-image|oci-layout):\/\//.test(text));
  return isDirectory(context) && (dockerfile === undefined || isDirectory(dockerfile)) && named.every(isDirectory);
}

/** `protection`: whether the lease is taken at once, or when something has to be done. */
async function buildOnce(
  parts: EngineParts,
  options: BuildOptions,
  protection: "early" | "late",
): Promise<BuildResult> {
  checkNames(options);
  const scope = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, scope.signal]) : scope.signal;
  signal.throwIfAborted();
  const isInsecure = options.outputs.some((output) => "image" in output && output.image.insecureRegistry);
  const client = () => parts.client({ isInsecure });
  await using session = newSession(parts, { client, isPullForced: options.pull, signal });
  if (protection === "early") await session.protect();
  const planned = await plan(parts, options, session, signal);
  const { plan: image } = planned.result;
  if (!image) throw textError(planned.diagnostics);
  checkEntitlements(image.graph, options.allow);
  const { onEvent } = parts.options;
  const scheduler = new Scheduler({ jobs: options.jobs ?? defaultJobs(), signal });
  const { contexts, remote } = planned;
  await using trees = new SourceTrees({
    store: parts.store,
    contexts: contexts.locals,
    main: contexts.main,
    remote,
    onEvent,
  });
  const services = session.services({
    trees,
    secrets: options.secrets,
    ssh: options.ssh,
    extraHosts: planned.extraHosts,
    epoch: image.epoch,
    slotScope: digestOfJson([contexts.place, options.target ?? null]),
  });
  const solver = new Solver({ graph: image.graph, services, scheduler, scope, signal });
  solver.announce();
  try {
    const rootfs = await solver.solve(image.target);
    const outputs = new Outputs(
      {
        store: parts.store,
        session,
        scheduler,
        client,
        options,
        environment: parts.options.environment,
        onEvent,
        signal,
      },
      { plan: image, rootfs, chain: chainOf(image.graph, image.target) },
    );
    return await outputs.make();
  } catch (error) {
    throw withIgnoreHint(error, planned);
  }
}

function newSession(
  { options: engine, store, isRootless }: EngineParts,
  own: Pick<SessionOptions, "client" | "isPullForced" | "signal">,
): Session {
  return new Session({ engine, store, isRootless, kind: "build", ...own });
}

/** Everything that the checks find in a Dockerfile, errors first in file order; nothing is built. */
export async function check(parts: EngineParts, options: BuildOptions): Promise<readonly Diagnostic[]> {
  const signal = options.signal ?? new AbortController().signal;
  await using session = newSession(parts, { client: () => parts.client(), isPullForced: options.pull, signal });
  if (!readsOnlyDirectories(options)) await session.protect();
  const { diagnostics } = await plan(parts, options, session, signal, { isCheck: true });
  return diagnostics;
}

interface Planned {
  readonly result: PlanResult;
  readonly contexts: PreparedContexts;
  readonly diagnostics: readonly Diagnostic[];
  readonly extraHosts: readonly ExtraHost[];
  readonly remote: () => Promise<RemoteSources>;
}

/** Reads and plans the Dockerfile. Throws where its text has errors (not for a check), where `error=true` makes warnings fatal, or where a base image is not to be had. */
async function plan(
  parts: EngineParts,
  options: BuildOptions,
  session: Session,
  signal: AbortSignal,
  { isCheck = false } = {},
): Promise<Planned> {
  const { onEvent } = parts.options;
  const extraHosts = await parseAddHosts(options.addHosts);
  const remote = session.remoteSources(options);
  const contexts = await observed(onEvent, "[internal] load build definition from Dockerfile", () =>
    prepareContexts({
      build: options,
      cwd: parts.options.cwd,
      remote,
      makeScratchDir: () => session.makeScratchDir("c"),
      signal,
    }),
  );
  const parsed = parseDockerfile(contexts.dockerfile);
  const isBroken = parsed.diagnostics.some(({ severity }) => severity === "error");
  if (isBroken && !isCheck) throw textError(parsed.diagnostics);
  const choices: PlanOptions = {
    ...planChoices(options, contexts),
    resolveImage: (reference, wanted, layout) =>
      observed(onEvent, `[internal] load metadata for ${reference}`, () =>
        session.images.resolve(reference, wanted, layout),
      ),
    extraHosts: extraHosts.map(({ name }) => name),
    isEveryStagePlanned: isCheck && options.target === undefined,
  };
  const result = isBroken
    ? { plan: undefined, diagnostics: [], stages: [], needs: new Map(), contextCopies: [], localContexts: [] }
    : await planDated(parsed.dockerfile, choices, { session, remote, newest: contexts.newest });
  const needed = new Set(result.stages.filter(({ isNeeded }) => isNeeded).map(({ index }) => index));
  const isShown = (index: number) => needed.has(index) || (isCheck && options.target === undefined);
  const found = [
    ...parsed.diagnostics,
    ...lint(parsed.dockerfile, ({ index }) => isShown(index)),
    ...result.diagnostics,
    ...ignoredCopies(result, contexts),
  ];
  const { diagnostics, failure } = applyChecks(
    parsed.dockerfile,
    found,
    checkOverride(options.buildArgs, parsed.dockerfile),
  );
  for (const diagnostic of diagnostics) onEvent({ kind: "diagnostic", diagnostic });
  if (failure !== undefined && !isCheck)
    throw new BuildError("dockerfile", failure, {
      diagnostics: diagnostics.map((warning) => ({ ...warning, severity: "error" })),
    });
  return { result, contexts, diagnostics, extraHosts, remote };
}

/** What the caller chose, as the planner wants it. */
function planChoices(
  options: BuildOptions,
  contexts: PreparedContexts,
): Omit<PlanOptions, "resolveImage" | "extraHosts" | "isEveryStagePlanned"> {
  return {
    ...(options.target === undefined ? {} : { target: options.target }),
    buildArgs: options.buildArgs,
    labels: options.labels,
    platform: targetPlatform(options.platforms),
    isPlatformExplicit: options.platforms.length > 0,
    buildPlatform: hostPlatform(),
    isMultiPlatform: false,
    context: contexts.main,
    contexts: contexts.named,
    noCache: options.cache === "ignore" ? true : options.noCacheFilter,
    network: options.network,
    ...(options.shmSize === undefined ? {} : { shmSize: options.shmSize }),
    ulimits: options.ulimits,
    ...(options.cgroupParent === undefined ? {} : { cgroupParent: options.cgroupParent }),
  };
}

interface DatingOptions extends Pick<ResolveEpochOptions, "remote" | "newest"> {
  readonly session: Session;
}

/** Plans, with SOURCE_DATE_EPOCH as a number where it says what to take the time from (A31). */
async function planDated(
  dockerfile: Dockerfile,
  plan: PlanOptions,
  { session, remote, newest }: DatingOptions,
): Promise<PlanResult> {
  const isDated =
    plan.buildArgs.has(EPOCH) || dockerfile.metaArgs.some(({ args }) => args.some(({ key }) => key.text === EPOCH));
  if (!isDated) return planImage(dockerfile, plan);
  const { resolveEpoch } = await import("./epoch.ts");
  const protectedRemote = async () => {
    await session.protect();
    return remote();
  };
  const { epoch, diagnostics } = await resolveEpoch(dockerfile, { plan, newest, remote: protectedRemote });
  const result = await planImage(dockerfile, epoch === undefined ? plan : { ...plan, epoch });
  if (diagnostics.length === 0) return result;
  return { ...result, plan: undefined, diagnostics: [...diagnostics, ...result.diagnostics] };
}

function checkOverride(buildArgs: ReadonlyMap<string, string>, dockerfile: Dockerfile) {
  const text = buildArgs.get("BUILDKIT_DOCKERFILE_CHECK");
  if (text === undefined) return undefined;
  const parsed = parseCheckOptions(text);
  if ("message" in parsed)
    throw new BuildError("usage", `${parsed.message} in BUILDKIT_DOCKERFILE_CHECK of ${dockerfile.source.path}`);
  return parsed;
}

/** CopyIgnoredFile (K19): only where no pattern can bring a path back. */
function ignoredCopies(result: PlanResult, contexts: PreparedContexts): Diagnostic[] {
  const { ignore, ignorePath } = contexts;
  if (!ignore || ignore.hasNegations) return [];
  return result.contextCopies.flatMap(({ instruction, path, span }): Diagnostic[] => {
    const pattern = path === "" ? undefined : ignore.excludedBy(path);
    if (!pattern) return [];
    return [
      {
        code: "CopyIgnoredFile",
        severity: "warning",
        message: `Attempting to ${instruction} file "${path}" that is excluded by .dockerignore`,
        span,
        help: `line ${pattern.line} of ${ignorePath ?? ".dockerignore"} is ${JSON.stringify(pattern.text)}`,
        url: "https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/",
      },
    ];
  });
}

/** A source that is missing because the ignore file leaves it out says so (pain 17). */
function withIgnoreHint(error: unknown, { result, contexts }: Planned): unknown {
  const { ignore, ignorePath } = contexts;
  if (!(error instanceof BuildError) || error.code !== "source" || !error.span || !ignore) return error;
  const { start, end, source } = error.span;
  for (const { path, span } of result.contextCopies) {
    const pattern =
      span.source === source && span.start >= start && span.end <= end ? ignore.excludedBy(path) : undefined;
    if (!pattern) continue;
    const help = `"${path}" is excluded by line ${pattern.line} of ${ignorePath ?? ".dockerignore"}: ${pattern.text}`;
    return locate(
      new BuildError(error.code, error.message, { cause: error.cause, details: error.details, help }),
      error.span,
    );
  }
  return error;
}

function textError(diagnostics: readonly Diagnostic[]): BuildError {
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  return new BuildError("dockerfile", errors[0]?.message ?? "the Dockerfile cannot be built", { diagnostics: errors });
}

function targetPlatform(texts: readonly string[]): Platform {
  const host = hostPlatform();
  const [text, ...more] = texts;
  if (text === undefined) return host;
  const platform = parsePlatform(text, host);
  if (!platform)
    throw new BuildError("usage", `failed to parse platform ${text}`, {
      help: `write it like ${formatPlatform(host)}`,
    });
  if (more.length > 0)
    throw new BuildError("unsupported", "several platforms in one build are not built yet", {
      help: "build one platform at a time",
    });
  if (platform.os !== host.os || platform.architecture !== host.architecture) {
    throw new BuildError(
      "unsupported",
      `building for ${formatPlatform(platform)} on ${formatPlatform(host)} is not built yet`,
      { help: "build on a machine of that platform" },
    );
  }
  return platform;
}

/** What a step wants beyond the sandbox must have been allowed (S40). */
function checkEntitlements(graph: Graph, allow: readonly string[]): void {
  for (const { op, meta } of graph.vertices.values()) {
    if (op.kind !== "exec") continue;
    const wanted = [
      ...(op.network === "host" ? ["network.host"] : []),
      ...(op.security === "insecure" ? ["security.insecure"] : []),
    ];
    const missing = wanted.find((name) => !allow.includes(name));
    if (missing === undefined) continue;
    throw locate(
      new BuildError("entitlement", `entitlement ${missing} is not allowed`, {
        help: `allow it with --allow ${missing}`,
      }),
      meta.span,
    );
  }
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

/** Shows work that is no vertex of the graph as a step. */
async function observed<T>(onEvent: EventSink, name: string, work: () => Promise<T>): Promise<T> {
  const vertex = digestOfJson(["internal", name]);
  onEvent({ kind: "vertex-added", vertex, name, inputs: [] });
  onEvent({ kind: "vertex-started", vertex, atMs: nowMs() });
  try {
    const value = await work();
    onEvent({ kind: "vertex-finished", vertex, atMs: nowMs(), result: "succeeded" });
    return value;
  } catch (error) {
    onEvent({
      kind: "vertex-finished",
      vertex,
      atMs: nowMs(),
      result: "failed",
      error: error instanceof Error ? error.message : String(error),
    });
    throw error;
  }
}
