// From options to a plan: contexts → text → AST → plan and everything that is to be said about the text. Nothing is built.
import { nowMs } from "../base/clock.ts";
import { goQuote } from "../base/go-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { createDiagnostic } from "../diagnostics/catalog.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import { spanText, type Span } from "../diagnostics/source.ts";
import type { Dockerfile, ParseResult } from "../frontend/ast.ts";
import { lint } from "../frontend/lint/lint.ts";
import {
  applyChecks,
  fileChecks,
  parseCheckOptions,
  type CheckedDiagnostics,
  type CheckOptions,
} from "../frontend/lint/check-directive.ts";
import { inFindingOrder } from "../frontend/lint/finding-order.ts";
import { parseDockerfile } from "../frontend/parser.ts";
import { digestOfJson } from "../oci/digest.ts";
import { hostPlatform } from "../oci/platform.ts";
import { EPOCH } from "../plan/global-args.ts";
import type { PlanOptions, PlanResult } from "../plan/options.ts";
import { planImage } from "../plan/plan.ts";
import type { EventSink } from "../progress/events.ts";
import { parseContext } from "../source/context.ts";
import { isSyntaxGiven, refuseMultiPlatform } from "./builder-args.ts";
import { prepareContexts, type PreparedContexts } from "./contexts.ts";
import type { EngineParts } from "./parts.ts";
import type { ResolveEpochOptions } from "./epoch.ts";
import { parseAddHosts, type ExtraHost } from "./hosts.ts";
import { noteUnknownStages } from "./no-cache-stages.ts";
import type { BuildOptions } from "./options.ts";
import { Session, type SessionOptions } from "./session.ts";
import type { RemoteSources } from "./remote-sources.ts";
import { refuseWindows, targetPlatform } from "./target-platform.ts";

/** A session of a build. Caller disposes. */
export function openSession(
  { options: engine, store, isRootless }: EngineParts,
  own: Pick<SessionOptions, "client" | "pull" | "imports" | "signal">,
): Session {
  return new Session({ engine, store, isRootless, kind: "build", ...own });
}

/** Whether the inputs lie where they are: others are unpacked or fetched into the build's own temporary directory. */
export function readsOnlyDirectories({ context, dockerfile, buildContexts }: BuildOptions): boolean {
  const isDirectory = (text: string): boolean => parseContext(text).kind === "directory";
  const named = [...buildContexts.values()].filter((text) => !/^(docker-image|oci-layout):\/\//.test(text));
  return isDirectory(context) && (dockerfile === undefined || isDirectory(dockerfile)) && named.every(isDirectory);
}

/** What is read before anything is planned. */
export interface BuildInputs {
  readonly contexts: PreparedContexts;
  readonly parsed: ParseResult;
  readonly extraHosts: readonly ExtraHost[];
  readonly remote: () => Promise<RemoteSources>;
}

/** Reads the contexts and parses the Dockerfile. Fails where they cannot be read, not where the text is wrong. */
export async function readInputs(
  parts: EngineParts,
  options: BuildOptions,
  session: Session,
  signal: AbortSignal,
): Promise<BuildInputs> {
  const extraHosts = await parseAddHosts(options.addHosts);
  const remote = session.remoteSources(options);
  const contexts = await observed(parts.options.onEvent, "[internal] load build definition from Dockerfile", () =>
    session.watchAll("the build context", () =>
      prepareContexts({
        build: options,
        cwd: parts.options.cwd,
        remote,
        makeScratchDir: () => session.makeScratchDir("c"),
        signal,
      }),
    ),
  );
  const parsed = parseDockerfile(contexts.dockerfile, { ignoresSyntax: isSyntaxGiven(options.buildArgs) });
  return { contexts, parsed, extraHosts, remote };
}

export interface Planned extends BuildInputs {
  readonly result: PlanResult;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads and plans the Dockerfile; `begin` is told its place once that is known. Throws where its text has errors, where `error=true` makes warnings fatal, or where a base image is not to be had. */
export async function planBuild(
  parts: EngineParts,
  options: BuildOptions,
  session: Session,
  { begin, signal }: { readonly begin?: (place: string) => void; readonly signal: AbortSignal },
): Promise<Planned> {
  const { onEvent } = parts.options;
  refuseMultiPlatform(options.buildArgs);
  const inputs = await readInputs(parts, options, session, signal);
  begin?.(inputs.contexts.place);
  requireSound(inputs, options);
  const result = await planInputs(inputs, planOptions(parts, options, inputs, session), session);
  if (options.cache === "use") noteUnknownStages(options.noCacheFilter, result.stages, onEvent);
  const { diagnostics, failure } = judge(inputs, result, options);
  for (const diagnostic of diagnostics) onEvent({ kind: "diagnostic", diagnostic });
  if (failure !== undefined)
    throw new BuildError("dockerfile", failure, {
      diagnostics: diagnostics.map((warning) => ({ ...warning, severity: "error" })),
    });
  return { ...inputs, result, diagnostics };
}

/** What the caller chose, as the planner wants it. */
export function planOptions(
  parts: EngineParts,
  options: BuildOptions,
  { contexts, extraHosts }: BuildInputs,
  session: Session,
): PlanOptions {
  return {
    ...(options.target === undefined ? {} : { target: options.target }),
    buildArgs: options.buildArgs,
    labels: options.labels,
    platform: targetPlatform(options.platforms),
    isPlatformExplicit: options.platforms.length > 0,
    buildPlatform: hostPlatform(),
    isMultiPlatform: false,
    resolveImage: (reference, wanted, layout) => {
      refuseWindows(wanted);
      return observed(parts.options.onEvent, `[internal] load metadata for ${reference}`, () =>
        session.images.resolve(reference, wanted, layout),
      );
    },
    context: contexts.main,
    contexts: contexts.named,
    noCache: options.cache === "ignore" ? true : options.noCacheFilter,
    ...(options.cacheTtlMs === undefined ? {} : { cacheTtlMs: options.cacheTtlMs }),
    network: options.network,
    ...(options.shmSize === undefined ? {} : { shmSize: options.shmSize }),
    ulimits: options.ulimits,
    ...(options.cgroupParent === undefined ? {} : { cgroupParent: options.cgroupParent }),
    extraHosts: extraHosts.map(({ name }) => name),
    isEveryStagePlanned: false,
  };
}

/** Plans, with SOURCE_DATE_EPOCH as a number where it says what to take the time from (A31). */
export async function planInputs(
  { parsed, contexts, remote }: BuildInputs,
  plan: PlanOptions,
  session: Session,
): Promise<PlanResult> {
  const { dockerfile } = parsed;
  const isDated =
    plan.buildArgs.has(EPOCH) || dockerfile.metaArgs.some(({ args }) => args.some(({ key }) => key.text === EPOCH));
  if (!isDated) return planImage(dockerfile, plan);
  const { resolveEpoch } = await import("./epoch.ts");
  const protectedRemote: ResolveEpochOptions["remote"] = async () => {
    await session.protect();
    return remote();
  };
  const { newest } = contexts;
  const { epoch, diagnostics } = await resolveEpoch(dockerfile, { plan, newest, remote: protectedRemote });
  const result = await planImage(dockerfile, epoch === undefined ? plan : { ...plan, epoch });
  if (diagnostics.length === 0) return result;
  return { ...result, plan: undefined, diagnostics: [...diagnostics, ...result.diagnostics] };
}

/** Errors and warnings in the order in which BuildKit finds them, without what the user silenced; `failure` where `error=true` makes warnings fatal. */
export function judge(
  { parsed, contexts }: BuildInputs,
  result: Pick<PlanResult, "diagnostics" | "stages" | "shellBases" | "triggers" | "contextCopies">,
  options: BuildOptions,
  isEveryStageShown = false,
): CheckedDiagnostics {
  const { dockerfile } = parsed;
  const needed = new Set(result.stages.filter(({ isNeeded }) => isNeeded).map(({ index }) => index));
  const linted = lint(dockerfile, ({ index }) => isEveryStageShown || needed.has(index), result);
  const found = [
    ...parsed.diagnostics,
    ...linted,
    ...notIn(linted, result.diagnostics),
    ...ignoredCopies(result, contexts),
  ].filter(({ span }) => isTriggered(span, result.stages));
  return applyChecks(dockerfile, inFindingOrder(dockerfile, found), checkOverride(options.buildArgs, dockerfile));
}

/** BuildKit looks at all stages, but runs the triggers of those only that the target needs. */
function isTriggered({ source: { trigger } }: Span, stages: PlanResult["stages"]): boolean {
  return !trigger || stages.some(({ span, isNeeded }) => isNeeded && span === trigger.runBy);
}

/** `planned` without what the text alone showed in the same word. */
function notIn(linted: readonly Diagnostic[], planned: readonly Diagnostic[]): readonly Diagnostic[] {
  const known = Map.groupBy(linted, ({ code, message }) => `${code} ${message}`);
  return planned.filter(({ code, message, span }) => {
    const same = known.get(`${code} ${message}`) ?? [];
    return !same.some(({ span: at }) => at.source === span.source && at.start >= span.start && at.end <= span.end);
  });
}

/** BUILDKIT_DOCKERFILE_CHECK (K31). */
export function checkOverride(
  buildArgs: ReadonlyMap<string, string>,
  dockerfile: Dockerfile,
): CheckOptions | undefined {
  const text = buildArgs.get("BUILDKIT_DOCKERFILE_CHECK");
  if (text === undefined) return undefined;
  const parsed = parseCheckOptions(text);
  if ("message" in parsed)
    throw new BuildError("usage", `failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: ${parsed.message}`, {
      help: `write it as the check directive of ${dockerfile.source.path}: skip=RULE,RULE;error=true`,
    });
  return parsed;
}

/** CopyIgnoredFile (K19): only where no pattern can bring a path back; of the whole context only where a pattern leaves everything out. */
function ignoredCopies(
  { contextCopies }: Pick<PlanResult, "contextCopies">,
  { ignore, ignorePath }: PreparedContexts,
): Diagnostic[] {
  if (!ignore || ignore.hasNegations) return [];
  return contextCopies.flatMap(({ instruction, path, span }): Diagnostic[] => {
    const everything = ignore.patterns.find(({ text }) => ["*", "**", "**/*"].includes(text));
    const pattern = path === "" ? everything : ignore.excludedBy(path);
    if (!pattern) return [];
    const shown = path === "" ? spanText(span) : path;
    const message = `Attempting to ${instruction} file ${goQuote(shown)} that is excluded by .dockerignore`;
    const help = `line ${pattern.line} of ${ignorePath ?? ".dockerignore"} is ${JSON.stringify(pattern.text)}`;
    return [createDiagnostic("CopyIgnoredFile", span, message, { help })];
  });
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some(({ severity }) => severity === "error");
}

/** Fails with everything that is wrong with the text, its directive of checks too, where it cannot be read. */
export function requireSound(
  { parsed: { dockerfile, diagnostics } }: BuildInputs,
  { buildArgs }: Pick<BuildOptions, "buildArgs">,
): void {
  if (!hasErrors(diagnostics)) return;
  const isOverridden = buildArgs.has("BUILDKIT_DOCKERFILE_CHECK");
  throw textError(isOverridden ? diagnostics : [...fileChecks(dockerfile).diagnostics, ...diagnostics]);
}

/** All errors of a text as one failure. */
export function textError(diagnostics: readonly Diagnostic[]): BuildError {
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  return new BuildError("dockerfile", errors[0]?.message ?? "the Dockerfile cannot be built", { diagnostics: errors });
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
