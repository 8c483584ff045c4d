// Walks one stage from its base to its last instruction. What its words mean elsewhere (stages, images) was worked out before.
import type { Digest } from "../oci/digest.ts";
import type { Instruction } from "../frontend/ast.ts";
import type { GraphBuilder } from "../graph/graph.ts";
import type { GlobalArgs } from "./global-args.ts";
import { beginStage, scratchState, withConfig, type ImageState } from "./image-state.ts";
import { checkBasePlatform } from "./lint.ts";
import type { Link, Links } from "./links.ts";
import type { CacheControl, LinkedSource, LowerContext } from "./lower/context.ts";
import { lowerInstruction } from "./lower/lower.ts";
import { noNeeds, type StageNeeds } from "./needs.ts";
import { stepName, type StepNaming } from "./names.ts";
import type { ContextCopy, PlanOptions } from "./options.ts";
import { proxyEnvironment } from "./predefined-args.ts";
import type { Reporter } from "./reporter.ts";
import {
  addSource,
  filesState,
  imageOp,
  imageState,
  imageText,
  isLayerless,
  platformOf,
  type SourceCatalog,
} from "./sources.ts";
import type { StageNode } from "./stages.ts";

export interface WalkScope {
  readonly builder: GraphBuilder;
  readonly catalog: SourceCatalog;
  readonly globals: GlobalArgs;
  readonly options: PlanOptions;
  readonly reporter: Reporter;
  readonly escape: string;
  readonly states: ReadonlyMap<number, ImageState>;
  /** Filled by the walk. */
  readonly needs: Map<number, StageNeeds>;
  /** Filled by the walk: stages that begin with a SHELL. */
  readonly shellBases: Set<number>;
  /** Whether names leave the stage out: the file has one, and it uses no other source. */
  readonly isStageNameHidden: boolean;
  readonly addContextCopy: (copy: ContextCopy) => void;
}

/** An instruction with what it takes files from; `links` undefined = one of them is in error. */
export interface PreparedInstruction {
  readonly instruction: Instruction;
  readonly links: Links | undefined;
  readonly isTrigger: boolean;
}

/** The state after the stage; undefined where its base is in error. */
export function walkStage(
  node: StageNode,
  instructions: readonly PreparedInstruction[],
  scope: WalkScope,
): ImageState | undefined {
  const naming = namingOf(node, instructions, scope);
  const below = baseState(node, naming, scope);
  if (!below) return undefined;
  // A context that stands in for a stage is taken as it is, but for its triggers, which nobody runs.
  if (node.isReplaced) return withConfig(below, { OnBuild: [] });
  if ((below.config.Shell ?? []).length > 0) scope.shellBases.add(node.index);
  const started = beginStage(below);
  let state: ImageState = { ...started, stepCount: node.base.kind === "image" && below.base ? 1 : 0 };
  const needs = noNeeds();
  scope.needs.set(node.index, needs);
  for (const prepared of instructions) {
    const sources = prepared.links && linkedSources(prepared.links, scope);
    if (!sources) continue;
    for (const link of prepared.links) if (link?.request.kind === "stage") needs.sources.push(link.request.index);
    state = lowerInstruction(
      prepared.instruction,
      state,
      lowerContext(node, naming, prepared, { sources, needs }, scope),
    );
  }
  return state;
}

const STEPS: ReadonlySet<Instruction["kind"]> = new Set(["add", "copy", "run", "workdir"]);

function namingOf(node: StageNode, instructions: readonly PreparedInstruction[], scope: WalkScope): StepNaming {
  const fromCount = node.base.kind === "stage" || node.base.kind === "scratch" ? 0 : 1;
  const total = fromCount + instructions.filter(({ instruction }) => STEPS.has(instruction.kind)).length;
  return {
    stage: scope.isStageNameHidden ? "" : node.displayName,
    total,
    platform: scope.options.isMultiPlatform ? node.platform : undefined,
  };
}

function lowerContext(
  node: StageNode,
  naming: StepNaming,
  { isTrigger }: PreparedInstruction,
  own: Pick<LowerContext, "sources" | "needs">,
  scope: WalkScope,
): LowerContext {
  return {
    builder: scope.builder,
    reporter: scope.reporter,
    options: scope.options,
    buildArgs: scope.globals.buildArgs,
    globals: scope.globals.values,
    escape: scope.escape,
    proxies: proxyEnvironment(scope.globals.buildArgs),
    stageName: node.displayName,
    naming,
    cache: cacheControl(node, scope.options),
    isTrigger,
    ...own,
    addContextCopy: scope.addContextCopy,
  };
}

function cacheControl(node: StageNode, { noCache, cacheTtlMs }: PlanOptions): CacheControl {
  const ttl = cacheTtlMs === undefined ? {} : { ttl: { ms: cacheTtlMs, by: "--cache-ttl" } };
  if (noCache === true) return { cache: "ignore", ignoredBy: "--no-cache", ...ttl };
  const filter = noCache === false ? undefined : noCache.find((name) => name.toLowerCase() === node.name);
  if (filter !== undefined) return { cache: "ignore", ignoredBy: `--no-cache-filter ${filter}`, ...ttl };
  return { cache: "use", ...ttl };
}

/** Undefined where a source's stage is in error: then this instruction cannot be planned, the others can. */
function linkedSources(links: Links, scope: WalkScope): readonly (LinkedSource | undefined)[] | undefined {
  const sources = links.map((link) => link && linkedSource(link, scope));
  return sources.some((source) => source === "missing") ? undefined : (sources as (LinkedSource | undefined)[]);
}

function linkedSource({ request, span }: Link, scope: WalkScope): LinkedSource | "missing" {
  if (request.kind !== "stage") return { vertex: addSource(scope.builder, scope.catalog, request, span) };
  const state = scope.states.get(request.index);
  return state ? { vertex: state.rootfs } : "missing";
}

function baseState(node: StageNode, naming: StepNaming, scope: WalkScope): ImageState | undefined {
  const { base } = node;
  switch (base.kind) {
    case "scratch":
      return scratchState(scope.options.platform);
    case "stage":
      return scope.states.get(base.index);
    case "image":
      return imageBase(node, naming, scope);
    case "context":
      return contextBase(node, scope);
  }
}

function imageBase(node: StageNode, naming: StepNaming, scope: WalkScope): ImageState | undefined {
  const { base, platform } = node;
  const image = scope.catalog.image(base);
  if (!image || base.kind !== "image") return undefined;
  const { from } = node.stage;
  checkBasePlatform(scope.reporter, from.image.span, base.text, platform, platformOf(image.config));
  if (isLayerless(image.config)) return imageState(image, undefined, platform);
  const name = stepName(naming, 1, `FROM ${imageText(image)}`, new Map());
  const vertex: Digest = scope.builder.add(imageOp(image, platform), [], {
    name,
    stage: node.displayName,
    span: from.span,
    cache: "use",
    instruction: from.original.trim(),
  });
  return imageState(image, vertex, platform);
}

function contextBase(node: StageNode, scope: WalkScope): ImageState | undefined {
  const { base, platform } = node;
  if (base.kind !== "context") return undefined;
  const { context, name } = base;
  const vertex = addSource(scope.builder, scope.catalog, base, node.stage.from.span);
  const image = scope.catalog.image(base);
  if (image) return imageState(image, vertex, platform);
  if (context.kind === "image") return scratchState(platform);
  return vertex === undefined ? undefined : filesState(scope.builder, vertex, name, platform);
}
