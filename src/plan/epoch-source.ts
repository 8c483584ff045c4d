// What SOURCE_DATE_EPOCH means where it is not a number (reference A31): the main context, a named context, or a stage that is nothing but one remote ADD. Only found
// here; how old that is, is the engine's to ask. Rules and texts are BuildKit's.
import { parseGitUrl } from "../base/git-url.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { AddInstruction, ArgInstruction, Dockerfile, Stage } from "../frontend/ast.ts";
import { expandWord, type VariableScope } from "../frontend/expand.ts";
import type { GitOp, HttpOp } from "../graph/op.ts";
import { parseDigest } from "../oci/digest.ts";
import { isHttpUrl, urlFilename } from "./copy-paths.ts";
import { gitOp } from "./git-source.ts";
import { EPOCH, globalValues, scopeOfMap } from "./global-args.ts";
import { findNamedContext } from "./named-contexts.ts";
import type { NamedContext, PlanOptions } from "./options.ts";
import { createReporter } from "./reporter.ts";

export type EpochSource =
  | { readonly kind: "main-context" }
  | { readonly kind: "named-context"; readonly context: NamedContext }
  | { readonly kind: "stage"; readonly op: GitOp | HttpOp };

export interface FoundEpochSource {
  /** Undefined where there is nothing to ask: no epoch, a number, a name that nobody knows, an error. */
  readonly source: EpochSource | undefined;
  /** Why a stage cannot be asked. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Finds what the epoch of a build refers to. Does no I/O. */
export function findEpochSource(dockerfile: Dockerfile, options: PlanOptions): FoundEpochSource {
  const none = { source: undefined, diagnostics: [] };
  const globals = globalValues(dockerfile, options);
  const text = options.buildArgs.get(EPOCH) ?? globals.get(EPOCH) ?? "";
  if (text === "" || /^[+-]?\d+$/.test(text)) return none;
  if (text === "context") return { source: { kind: "main-context" }, diagnostics: [] };
  const named = findNamedContext(options.contexts, text, options.platform);
  if (named) return { source: { kind: "named-context", context: named.context }, diagnostics: [] };
  const stage = dockerfile.stages.find(({ from }) => from.name?.text.toLowerCase() === text.toLowerCase());
  if (!stage) return none;
  globals.delete(EPOCH);
  try {
    return { source: { kind: "stage", op: stageSource(stage, globals, dockerfile, options) }, diagnostics: [] };
  } catch (error) {
    if (!(error instanceof StageError)) throw error;
    const reporter = createReporter();
    const help = "a stage that gives the time is FROM scratch and one ADD of a URL or a git repository";
    reporter.error("InvalidSourceDateEpoch", stage.from.span, error.message, { help });
    return { source: undefined, diagnostics: reporter.diagnostics };
  }
}

/** Why a stage cannot give the time. */
class StageError extends Error {}

function stageSource(
  stage: Stage,
  globals: ReadonlyMap<string, string>,
  { escape }: Dockerfile,
  { buildArgs }: PlanOptions,
): GitOp | HttpOp {
  const values = new Map(globals);
  const scope = scopeOfMap(values);
  const expand = (text: string): string => expanded(text, scope, escape);
  if (expand(stage.from.image.text) !== "scratch") throw new StageError(`${EPOCH} stage must use FROM scratch`);
  let found: GitOp | HttpOp | undefined;
  for (const instruction of stage.instructions) {
    if (instruction.kind === "arg") setArgs(instruction, values, buildArgs, expand);
    else if (instruction.kind !== "add") {
      const message = `${EPOCH} stage does not meet source-only requirements: unsupported ${instruction.kind} instruction`;
      throw new StageError(message);
    } else if (found) throw new StageError(`${EPOCH} stage must contain exactly one remote ADD`);
    else found = addSource(instruction, expand);
  }
  if (!found) throw new StageError(`${EPOCH} stage must contain exactly one remote ADD`);
  return found;
}

function expanded(text: string, scope: VariableScope, escape: string): string {
  const expansion = expandWord(text, scope, { escape });
  if (expansion.error !== undefined) throw new StageError(expansion.error);
  return expansion.value;
}

function setArgs(
  { args }: ArgInstruction,
  values: Map<string, string>,
  buildArgs: ReadonlyMap<string, string>,
  expand: (text: string) => string,
): void {
  for (const { key, value } of args) {
    const given = buildArgs.get(key.text) ?? (value ? expand(value.text) : undefined);
    if (given !== undefined) values.set(key.text, given);
  }
}

function addSource(instruction: AddInstruction, expand: (text: string) => string): GitOp | HttpOp {
  const [source, ...more] = instruction.sources;
  if (source?.kind !== "word" || more.length > 0)
    throw new StageError(`${EPOCH} stage must contain exactly one remote ADD source`);
  const url = expand(source.text);
  const flag = expand(instruction.checksum?.text ?? "");
  const git = parseGitUrl(url, { isContext: false });
  if (git && "error" in git) throw new StageError(git.error);
  if (git) return gitOp(git, { keepGitDir: instruction.keepGitDir ?? false, checksum: flag === "" ? undefined : flag });
  if (!isHttpUrl(url)) throw new StageError(`${EPOCH} stage source must be a single HTTP(S) or Git ADD`);
  const checksum = parseDigest(flag);
  return { kind: "http", url, filename: urlFilename(url), ...(checksum === undefined ? {} : { checksum }) };
}
