// What every instruction needs to be lowered, and the small steps that most of them share: expanding words, naming steps.
import type { Span } from "../../diagnostics/source.ts";
import { parseCacheComment } from "../../frontend/cache-comment.ts";
import type { Instruction, Word } from "../../frontend/ast.ts";
import { expandWord, type ExpandOptions, type VariableScope } from "../../frontend/expand.ts";
import type { GraphBuilder, VertexMeta } from "../../graph/graph.ts";
import type { Digest } from "../../oci/digest.ts";
import { scopeOf, type ImageState } from "../image-state.ts";
import { checkUndefinedVariables } from "../lint.ts";
import type { StageNeeds } from "../needs.ts";
import { instructionText, stepName, type StepNaming } from "../names.ts";
import type { ContextCopy, PlanOptions } from "../options.ts";
import { expansionRemedy, type Reporter } from "../reporter.ts";

/** Files of another stage, image or context; `vertex` undefined = an empty one. */
export interface LinkedSource {
  readonly vertex: Digest | undefined;
}

export interface LowerContext {
  readonly builder: GraphBuilder;
  readonly reporter: Reporter;
  readonly options: PlanOptions;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly globals: ReadonlyMap<string, string>;
  /** The Dockerfile's escape character. */
  readonly escape: string;
  /** Proxies, as VertexMeta.hiddenEnv. */
  readonly proxies: readonly string[];
  readonly stageName: string;
  readonly naming: StepNaming;
  readonly cache: CacheControl;
  /** The instruction is an ONBUILD trigger of the base. */
  readonly isTrigger: boolean;
  /** As `linksOf` found them: undefined = the build context, or nothing. */
  readonly sources: readonly (LinkedSource | undefined)[];
  readonly addContextCopy: (copy: ContextCopy) => void;
  /** Of this stage; added to as instructions are lowered. */
  readonly needs: StageNeeds;
}

/** How a step is treated, and by whose wish. */
export type CacheControl = Pick<VertexMeta, "cache" | "ignoredBy" | "ttl">;

/** Text with its place. */
export type Located = Pick<Word, "text" | "span">;

/** `word` expanded with what the stage knows now; undefined where it is in error, which is then reported. */
export function expandIn(
  word: Located,
  state: ImageState,
  context: LowerContext,
  options: ExpandOptions = { escape: context.escape },
): string | undefined {
  const scope = scopeOf(state);
  const expansion = expandWord(word.text, scope, options);
  const declared = new Set(state.declaredArgs.map(({ name }) => name));
  checkUndefinedVariables(context.reporter, word.span, expansion, scope, declared);
  if (expansion.error === undefined) return expansion.value;
  context.reporter.error("ExpansionFailed", word.span, expansion.error, expansionRemedy(word, expansion.error));
  return undefined;
}

/** All of `words` expanded; undefined where one is in error, after all were tried. */
export function expandAll(
  words: readonly Located[],
  state: ImageState,
  context: LowerContext,
): readonly string[] | undefined {
  const values = words.map((word) => expandIn(word, state, context));
  return values.every((value) => value !== undefined) ? values : undefined;
}

/** Meta of the next step of the stage, and the state in which it is counted. */
export function nextStep(
  instruction: Instruction,
  state: ImageState,
  context: LowerContext,
  text: StepText = {},
): { readonly meta: VertexMeta; readonly state: ImageState } {
  const stepCount = state.stepCount + 1;
  const { prefix = "", suffix = "", scope = scopeOf(state) } = text;
  const shown = instructionText(instruction.original, scope, context.escape);
  const trigger = context.isTrigger ? "ONBUILD " : "";
  const meta: VertexMeta = {
    name: stepName(context.naming, stepCount, `${trigger}${prefix}${shown}${suffix}`, state.env),
    stage: context.stageName,
    span: instruction.span,
    ...cacheOf(instruction, context.cache),
    instruction: instruction.original.trim(),
  };
  return { meta, state: { ...state, stepCount } };
}

export interface StepText {
  readonly prefix?: string;
  readonly suffix?: string;
  /** Values shown in the name, where they are not the stage's own. */
  readonly scope?: VariableScope;
}

/** Span of `word`, else of the whole instruction. */
export function spanOr(word: Located | undefined, instruction: Instruction): Span {
  return word?.span ?? instruction.span;
}

/** What holds for the stage, and what a comment above the instruction is stricter in. */
function cacheOf({ comments }: Instruction, stage: CacheControl): CacheControl {
  const comment = parseCacheComment(comments);
  if (!comment) return stage;
  const { isIgnored, ttlMs, text } = comment;
  const isShorter = ttlMs !== undefined && (stage.ttl === undefined || ttlMs < stage.ttl.ms);
  return {
    ...stage,
    ...(isIgnored && stage.cache === "use" ? { cache: "ignore", ignoredBy: text } : {}),
    ...(isShorter ? { ttl: { ms: ttlMs, by: text } } : {}),
  };
}
