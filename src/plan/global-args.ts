// The global scope: predefined arguments and the ARGs before the first FROM, seen by FROM and by ARGs of stages without a default (reference A01, A31, V23).
import type { ArgInstruction, Dockerfile } from "../frontend/ast.ts";
import { expandWord, type VariableScope } from "../frontend/expand.ts";
import type { SourceFile, Span } from "../diagnostics/source.ts";
import type { PlanOptions } from "./options.ts";
import { predefinedArgs } from "./predefined-args.ts";
import { expansionRemedy, type Reporter } from "./reporter.ts";

export interface GlobalArgs {
  readonly values: ReadonlyMap<string, string>;
  /** Every name that FROM may use, with or without a value. */
  readonly declared: ReadonlySet<string>;
  /** Build arguments with SOURCE_DATE_EPOCH as a number. */
  readonly buildArgs: ReadonlyMap<string, string>;
  /** Seconds. */
  readonly epoch: number | undefined;
}

/** Works out the global scope; errors are reported at the ARG's value. */
export function globalArgs(dockerfile: Dockerfile, options: PlanOptions, reporter: Reporter): GlobalArgs {
  const lastStage = dockerfile.stages.at(-1)?.from.name?.text ?? "";
  const predefined = predefinedArgs(options, lastStage);
  const values = metaArgs(dockerfile, predefined, options.buildArgs, reporter);
  const names = dockerfile.metaArgs.flatMap(({ args }) => args.map(({ key }) => key.text));
  const buildArgs = new Map(options.buildArgs);
  const epoch = resolveEpoch(dockerfile, values, buildArgs, options, reporter);
  return { values, declared: new Set([...values.keys(), ...names]), buildArgs, epoch };
}

/** The global scope as far as it can be expanded; what is in error is reported with {@link globalArgs}. */
export function globalValues(dockerfile: Dockerfile, options: PlanOptions): Map<string, string> {
  const lastStage = dockerfile.stages.at(-1)?.from.name?.text ?? "";
  return metaArgs(dockerfile, predefinedArgs(options, lastStage), options.buildArgs, { error: () => {} });
}

/** The scope that FROM would see without any build argument; undefined where a default is in error (K17). */
export function defaultGlobals(dockerfile: Dockerfile, options: PlanOptions): VariableScope | undefined {
  const lastStage = dockerfile.stages.at(-1)?.from.name?.text ?? "";
  let isBroken = false;
  const sink = { error: () => (isBroken = true) };
  const values = metaArgs(dockerfile, predefinedArgs(options, lastStage), new Map(), sink);
  return isBroken ? undefined : scopeOfMap(values);
}

export function scopeOfMap(values: ReadonlyMap<string, string>): VariableScope {
  return { get: (name) => values.get(name), names: () => values.keys() };
}

function metaArgs(
  dockerfile: Dockerfile,
  predefined: ReadonlyMap<string, string>,
  buildArgs: ReadonlyMap<string, string>,
  reporter: Pick<Reporter, "error">,
): Map<string, string> {
  const values = new Map(predefined);
  for (const { key, value } of dockerfile.metaArgs.flatMap(({ args }) => args)) {
    const given = buildArgs.get(key.text);
    if (given !== undefined) {
      values.set(key.text, given);
    } else if (value) {
      const expansion = expandWord(value.text, scopeOfMap(values), { escape: dockerfile.escape });
      if (expansion.error === undefined) values.set(key.text, expansion.value);
      else reporter.error("ExpansionFailed", value.span, expansion.error, expansionRemedy(value, expansion.error));
    }
  }
  return values;
}

export const EPOCH = "SOURCE_DATE_EPOCH";

/** Numbers are taken as they are, everything else is what the engine found it to mean; an empty one is as good as none. */
function resolveEpoch(
  dockerfile: Dockerfile,
  values: Map<string, string>,
  buildArgs: Map<string, string>,
  options: PlanOptions,
  reporter: Reporter,
): number | undefined {
  const text = buildArgs.get(EPOCH) ?? values.get(EPOCH) ?? "";
  const number = /^[+-]?\d+$/.test(text) ? Number(text) : undefined;
  const isLocalContext = text === "context" && options.context.kind === "local";
  const epoch = number ?? (text === "" ? undefined : (options.epoch ?? undefined));
  if (epoch === undefined && text !== "" && !isLocalContext && options.epoch !== null) {
    reporter.error("InvalidSourceDateEpoch", epochSpan(dockerfile.metaArgs, buildArgs), `invalid ${EPOCH}: ${text}`, {
      help: "give seconds since 1970 as a whole number",
    });
  }
  for (const scope of [buildArgs, values]) {
    if (!scope.has(EPOCH)) continue;
    if (epoch === undefined) scope.delete(EPOCH);
    else scope.set(EPOCH, String(epoch));
  }
  return epoch;
}

function epochSpan(metaArgs: readonly ArgInstruction[], buildArgs: ReadonlyMap<string, string>): Span {
  const declared = metaArgs.flatMap(({ args }) => args).findLast(({ key }) => key.text === EPOCH);
  const given = buildArgs.get(EPOCH);
  if (given === undefined && declared) return declared.value?.span ?? declared.span;
  return spanOfOption("--build-arg", `${EPOCH}=${given ?? ""}`);
}

/** A place in the command line, for errors of its values. */
export function spanOfOption(option: string, value: string): Span {
  const source: SourceFile = { path: option, text: value, isOption: true };
  return { source, start: 0, end: value.length };
}
