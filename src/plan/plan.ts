// The planner: a parsed Dockerfile becomes a graph of ops and the config of an image. Pure but for `resolveImage`, which pins base images.
// Errors of the user's text are collected as diagnostics; failures of the world are thrown, located at the word that asked.
// Reference 1.4–1.8, 1.11–1.14. Knows no cache, no layers and no files.
import { BuildError } from "../diagnostics/build-error.ts";
import { spanText, type Span } from "../diagnostics/source.ts";
import type { Dockerfile, Instruction, OnbuildInstruction } from "../frontend/ast.ts";
import { parseTrigger } from "../frontend/parser.ts";
import { GraphBuilder } from "../graph/graph.ts";
import type { ImagePlan } from "../graph/image-plan.ts";
import { descriptionIn } from "./descriptions.ts";
import { globalArgs, type GlobalArgs } from "./global-args.ts";
import { finishConfig, type ImageState } from "./image-state.ts";
import { checkOrder, linksOf } from "./links.ts";
import type { StageNeeds } from "./needs.ts";
import type { ContextCopy, PlanOptions, PlanResult, StageSummary } from "./options.ts";
import { createReporter, type Reporter } from "./reporter.ts";
import { SourceCatalog } from "./sources.ts";
import { buildStages, checkCycles, findTarget, type StageEdge, type StageNode } from "./stages.ts";
import { walkStage, type PreparedInstruction } from "./walk-stage.ts";

/** Plans the image of `options.target`. Fails with the resolver's BuildError where a base image cannot be had and the text has no error. */
export async function planImage(dockerfile: Dockerfile, options: PlanOptions): Promise<PlanResult> {
  const planner = new Planner(dockerfile, options);
  return planner.run();
}

/** One planning: holds what is known of each stage while it grows. */
class Planner {
  readonly #dockerfile: Dockerfile;
  readonly #options: PlanOptions;
  readonly #reporter: Reporter = createReporter();
  readonly #builder = new GraphBuilder();
  readonly #globals: GlobalArgs;
  readonly #nodes: readonly StageNode[];
  readonly #catalog: SourceCatalog;
  /** Instructions of each stage with their links; triggers come in front once the base is known. */
  readonly #prepared = new Map<number, readonly PreparedInstruction[]>();
  readonly #triggers = new Map<number, readonly Instruction[]>();
  readonly #contextCopies: ContextCopy[] = [];
  readonly #needs = new Map<number, StageNeeds>();
  readonly #shellBases = new Set<number>();

  constructor(dockerfile: Dockerfile, options: PlanOptions) {
    this.#dockerfile = dockerfile;
    this.#options = options;
    const reporter = this.#reporter;
    this.#globals = globalArgs(dockerfile, options, reporter);
    this.#nodes = buildStages({ dockerfile, globals: this.#globals, options, reporter });
    const names = this.#nodes.map(({ name }) => name).filter((name) => name !== "");
    this.#catalog = new SourceCatalog(options, names);
  }

  async run(): Promise<PlanResult> {
    for (const node of this.#nodes) this.#prepared.set(node.index, this.#prepare(node));
    const target = findTarget(this.#nodes, this.#options.target, this.#reporter);
    const isCyclic = checkCycles(this.#nodes, (node) => this.#edgesOf(node), this.#reporter);
    if (!target || isCyclic) return this.#result(undefined, target, new Set());
    const planned = await this.#resolve(target);
    const needed = this.#reachable([target.index]);
    if (!planned) return this.#result(undefined, target, needed);
    const states = this.#walk(planned);
    const state = states.get(target.index);
    const isSound = state !== undefined && !this.#reporter.hasErrors;
    return this.#result(isSound ? this.#plan(state, [...states.values()]) : undefined, target, needed);
  }

  #prepare(node: StageNode): readonly PreparedInstruction[] {
    if (node.isReplaced) return [];
    return node.stage.instructions.map((instruction) => this.#prepareOne(instruction, false));
  }

  #prepareOne(instruction: PreparedInstruction["instruction"], isTrigger: boolean): PreparedInstruction {
    const { escape } = this.#dockerfile;
    const scope = { nodes: this.#nodes, options: this.#options, escape, reporter: this.#reporter };
    return { instruction, links: linksOf(instruction, scope), isTrigger };
  }

  #edgesOf(node: StageNode): readonly StageEdge[] {
    const edges: StageEdge[] = [];
    if (node.base.kind === "stage") edges.push({ to: node.base.index, span: node.stage.from.image.span });
    for (const { links } of this.#prepared.get(node.index) ?? []) {
      for (const link of links ?? []) {
        if (link?.request.kind === "stage") edges.push({ to: link.request.index, span: link.span });
      }
    }
    return edges;
  }

  /** These stages and all that they need by what is known now (F08). */
  #reachable(wanted: readonly number[]): Set<number> {
    const reached = new Set<number>();
    const visit = (index: number): void => {
      if (reached.has(index)) return;
      reached.add(index);
      for (const { to } of this.#edgesOf(this.#nodes[index]!)) visit(to);
    };
    wanted.forEach(visit);
    return reached;
  }

  /** Pins what the needed stages are built from, all at once; triggers may need more, so again until nothing is new. Undefined: text errors say why. */
  async #resolve(target: StageNode): Promise<ReadonlySet<number> | undefined> {
    const done = new Set<number>();
    const wanted = this.#options.isEveryStagePlanned ? [...this.#nodes.keys()] : [target.index];
    for (;;) {
      const needed = this.#reachable(wanted);
      const fresh = [...needed].filter((index) => !done.has(index)).sort((a, b) => a - b);
      if (fresh.length === 0) return needed;
      const nodes = fresh.map((index) => this.#nodes[index]!);
      if (!(await this.#settle(nodes.flatMap((node) => this.#resolveStage(node))))) return undefined;
      const triggers = nodes.flatMap((node) => this.#addTriggers(node));
      if (!(await this.#settle(this.#resolveLinks(triggers)))) return undefined;
      for (const index of fresh) done.add(index);
    }
  }

  #resolveStage(node: StageNode): readonly Promise<void>[] {
    const base = node.isBroken ? [] : [this.#catalog.resolve(node.base, node.stage.from.image.span)];
    return [...base, ...this.#resolveLinks(this.#prepared.get(node.index) ?? [])];
  }

  #resolveLinks(instructions: readonly PreparedInstruction[]): readonly Promise<void>[] {
    const links = instructions.flatMap(({ links }) => links ?? []).filter((link) => link !== undefined);
    return links.map(({ request, span }) => this.#catalog.resolve(request, span));
  }

  /** Waits for all; throws what failed first in file order. False: the text has errors already, and the missing image may be their consequence. */
  async #settle(pending: readonly Promise<void>[]): Promise<boolean> {
    const failed = (await Promise.allSettled(pending)).find((result) => result.status === "rejected");
    if (!failed) return true;
    if (this.#reporter.hasErrors && failed.reason instanceof BuildError) return false;
    throw failed.reason;
  }

  /** Puts the base's ONBUILD triggers in front of the stage's instructions (O12); returns them. */
  #addTriggers(node: StageNode): readonly PreparedInstruction[] {
    if (node.isReplaced) return [];
    const triggers: PreparedInstruction[] = [];
    const runBy = node.stage.from.span;
    for (const [index, { text, origin, written }] of this.#triggersOf(node).entries()) {
      const place = { runBy, index, ...(written && { written }) };
      const { instruction, diagnostics } = parseTrigger(text, origin, place);
      this.#reporter.add(diagnostics);
      if (instruction) triggers.push(this.#prepareOne(instruction, true));
    }
    this.#triggers.set(
      node.index,
      triggers.map(({ instruction }) => instruction),
    );
    this.#prepared.set(node.index, [...triggers, ...(this.#prepared.get(node.index) ?? [])]);
    return triggers;
  }

  #triggersOf(node: StageNode): readonly Trigger[] {
    const { base } = node;
    const stage = base.kind === "stage" ? this.#nodes[base.index] : undefined;
    // Also where a named context stands in for the stage: its text counts, and what that brings does not.
    if (stage) {
      const origin = `ONBUILD of stage ${stage.displayName}`;
      return stage.stage.instructions.flatMap((each) =>
        each.kind === "onbuild" ? [{ text: each.trigger, origin, written: placeOf(each) }] : [],
      );
    }
    const image = this.#catalog.image(base);
    const texts = image?.config.config?.OnBuild ?? [];
    return texts.map((text) => ({ text, origin: `ONBUILD of ${image!.reference}`, written: undefined }));
  }

  /** Walks the needed stages in file order. */
  #walk(needed: ReadonlySet<number>): ReadonlyMap<number, ImageState> {
    const states = new Map<number, ImageState>();
    const scope = {
      builder: this.#builder,
      catalog: this.#catalog,
      globals: this.#globals,
      options: this.#options,
      reporter: this.#reporter,
      escape: this.#dockerfile.escape,
      states,
      needs: this.#needs,
      shellBases: this.#shellBases,
      isStageNameHidden: this.#isStageNameHidden(),
      addContextCopy: (copy: ContextCopy) => this.#contextCopies.push(copy),
    };
    for (const node of this.#nodes) {
      if (!needed.has(node.index) || node.isBroken) continue;
      const instructions = (this.#prepared.get(node.index) ?? []).map((prepared) => this.#checked(prepared, node));
      const state = walkStage(node, instructions, scope);
      if (state) states.set(node.index, state);
    }
    return states;
  }

  /** The instruction without links where one comes too late. */
  #checked(prepared: PreparedInstruction, node: StageNode): PreparedInstruction {
    const links = (prepared.links ?? []).filter((link) => link !== undefined);
    const isSound = links.map((link) => checkOrder(link, node, this.#nodes, this.#reporter)).every(Boolean);
    return isSound ? prepared : { ...prepared, links: undefined };
  }

  /** BuildKit counts every source of a mount or `--from` that is no stage as one more stage, and drops the name where there is one only. */
  #isStageNameHidden(): boolean {
    if (this.#nodes.length > 1) return false;
    const instructions = this.#prepared.get(0) ?? [];
    return instructions.every(({ instruction, links }) => {
      const hasMount = instruction.kind === "run" && instruction.mounts.length > 0;
      return !hasMount && (links ?? []).every((link) => link === undefined || link.request.kind === "stage");
    });
  }

  #plan(state: ImageState, states: readonly ImageState[]): ImagePlan {
    const { labels, platform, isPlatformExplicit, isEveryStagePlanned } = this.#options;
    const { epoch } = this.#globals;
    return {
      graph: this.#builder.build(isEveryStagePlanned ? states.map(({ rootfs }) => rootfs) : [state.rootfs]),
      target: state.rootfs,
      platform: isPlatformExplicit ? platform : state.imagePlatform,
      config: finishConfig(state.config, labels),
      ...(state.author === undefined ? {} : { author: state.author }),
      base: state.base,
      baseHistory: state.baseHistory,
      history: state.history,
      ...(epoch === undefined ? {} : { epoch }),
    };
  }

  #result(plan: ImagePlan | undefined, target: StageNode | undefined, needed: ReadonlySet<number>): PlanResult {
    const vertices = plan ? [...plan.graph.vertices.values()] : [];
    return {
      plan,
      diagnostics: this.#reporter.diagnostics,
      stages: this.#nodes.map((node) => summaryOf(node, target, needed)),
      needs: this.#needs,
      shellBases: this.#shellBases,
      triggers: this.#triggers,
      contextCopies: this.#contextCopies,
      localContexts: vertices.flatMap(({ op }) => (op.kind === "local" ? [op.name] : [])),
    };
  }
}

interface Trigger {
  readonly text: string;
  /** Names the text in messages. */
  readonly origin: string;
  /** Where it is written in the Dockerfile; undefined = in an image. */
  readonly written: Span | undefined;
}

/** Continued lines are joined in a trigger, and comments in it are dropped: such a text does not stand there as it is. */
function placeOf({ trigger, span }: OnbuildInstruction): Span {
  const at = spanText(span).lastIndexOf(trigger);
  return at === -1 ? span : { ...span, start: span.start + at, end: span.start + at + trigger.length };
}

function summaryOf(node: StageNode, target: StageNode | undefined, needed: ReadonlySet<number>): StageSummary {
  const { from } = node.stage;
  const description = node.name === "" ? undefined : descriptionIn(from.comments, node.name);
  return {
    index: node.index,
    ...(from.name ? { name: from.name.text } : {}),
    ...(description === undefined ? {} : { description }),
    base: from.image.text,
    ...(node.base.kind === "stage" ? { baseIndex: node.base.index } : {}),
    ...(from.platform ? { platform: from.platform.text } : {}),
    isTarget: node === target,
    isNeeded: needed.has(node.index),
    isReplaced: node.isReplaced,
    span: from.span,
  };
}
