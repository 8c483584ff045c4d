// `--call=outline`: what a target takes from who builds it, its stages and everything that they are built from included (reference K40, K47).
// Pure: reads the Dockerfile and what the planner wrote down of the stages.
import type { SourceFile, Span } from "../diagnostics/source.ts";
import type { ArgInstruction, Dockerfile, Word } from "../frontend/ast.ts";
import { expandWord } from "../frontend/expand.ts";
import { descriptionIn } from "./descriptions.ts";
import { globalArgs, scopeOfMap } from "./global-args.ts";
import type { NeededMount, StageNeeds } from "./needs.ts";
import type { PlanOptions, PlanResult, StageSummary } from "./options.ts";
import { createReporter } from "./reporter.ts";

export interface OutlineArg {
  readonly name: string;
  readonly description?: string;
  /** What it is without further build arguments; "" = nothing. */
  readonly value: string;
  /** Of the instruction that declares it. */
  readonly span: Span;
}

export interface OutlineMount {
  readonly id: string;
  readonly isRequired: boolean;
  readonly span: Span;
}

export interface Outline {
  /** The target's name in lower case; undefined where it has none. */
  readonly name?: string;
  readonly description?: string;
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineMount[];
  readonly ssh: readonly OutlineMount[];
  readonly caches: readonly OutlineMount[];
  readonly source: SourceFile;
}

/** The outline of the target that `result` was planned for; undefined where the plan has none. */
export function outlineOf(dockerfile: Dockerfile, options: PlanOptions, result: PlanResult): Outline | undefined {
  const target = result.stages.find(({ isTarget }) => isTarget);
  if (!target || !result.plan) return undefined;
  const stages = nearestFirst(target, result);
  const needs = stages.map(({ index }) => result.needs.get(index)).filter((one) => one !== undefined);
  const mounts = (kind: NeededMount["kind"]) => firstOf(needs, kind);
  const { name, description } = target;
  return {
    ...(name === undefined ? {} : { name: name.toLowerCase() }),
    ...(description === undefined ? {} : { description }),
    args: argsOf(dockerfile, options, result, stages),
    secrets: mounts("secret"),
    ssh: mounts("ssh"),
    caches: mounts("cache"),
    source: dockerfile.source,
  };
}

/** The target, what it is FROM, and the stages that it takes files from, each with what it needs itself: of two with one name the first counts. */
function nearestFirst(target: StageSummary, { stages, needs }: PlanResult): readonly StageSummary[] {
  const found = new Set<StageSummary>();
  const visit = (stage: StageSummary): void => {
    if (found.has(stage)) return;
    found.add(stage);
    const { index, baseIndex } = stage;
    if (baseIndex !== undefined) visit(stages[baseIndex]!);
    for (const source of needs.get(index)?.sources ?? []) visit(stages[source]!);
  };
  visit(target);
  return [...found];
}

function firstOf(needs: readonly StageNeeds[], kind: NeededMount["kind"]): readonly OutlineMount[] {
  const found = new Map<string, OutlineMount>();
  for (const mount of needs.flatMap(({ mounts }) => mounts)) {
    if (mount.kind === kind && !found.has(mount.id)) {
      const { id, isRequired, span } = mount;
      found.set(id, { id, isRequired, span });
    }
  }
  return inFileOrder([...found.values()]);
}

interface GlobalArg extends OutlineArg {
  /** Names in its default. */
  readonly uses: readonly string[];
}

function argsOf(
  dockerfile: Dockerfile,
  options: PlanOptions,
  { needs }: PlanResult,
  stages: readonly StageSummary[],
): readonly OutlineArg[] {
  const globals = globalArgs(dockerfile, options, createReporter());
  const scope = scopeOfMap(globals.values);
  const namesIn = (word: Word | undefined): readonly string[] =>
    word ? expandWord(word.text, scope, { escape: dockerfile.escape }).matched : [];
  const declared = new Map<string, GlobalArg>();
  for (const instruction of dockerfile.metaArgs) {
    for (const { key, value } of instruction.args) {
      const isGiven = options.buildArgs.has(key.text);
      const uses = isGiven ? [] : namesIn(value);
      // A platform's value is not one that the Dockerfile or the user gave.
      const shown = value || isGiven ? globals.values.get(key.text) : undefined;
      declared.set(key.text, { ...argOf(instruction, key.text, shown), uses });
    }
  }
  const found = new Map<string, OutlineArg>();
  for (const { index, isReplaced } of stages) {
    if (isReplaced) continue;
    const { from } = dockerfile.stages[index]!;
    const args = needs.get(index)?.args ?? [];
    const own = new Map(
      args.filter((arg) => !arg.isBare || !globals.declared.has(arg.name)).map((arg) => [arg.name, arg]),
    );
    const use = (name: string): void => {
      const arg = own.get(name) ?? declared.get(name);
      if (!arg || found.has(name)) return;
      found.set(name, "uses" in arg ? withoutUses(arg) : argOf(arg, name, arg.value));
      if ("uses" in arg) arg.uses.forEach(use);
    };
    for (const name of [...namesIn(from.image), ...namesIn(from.platform), ...args.map((arg) => arg.name)]) use(name);
  }
  return inFileOrder([...found.values()]);
}

function withoutUses({ uses: _uses, ...arg }: GlobalArg): OutlineArg {
  return arg;
}

function argOf(
  { span, comments }: Pick<ArgInstruction, "span" | "comments">,
  name: string,
  value: string | undefined,
): OutlineArg {
  const description = descriptionIn(comments, name);
  return { name, ...(description === undefined ? {} : { description }), value: value ?? "", span };
}

function inFileOrder<T extends { readonly span: Span }>(items: readonly T[]): readonly T[] {
  return items.toSorted((a, b) => a.span.start - b.span.start);
}
