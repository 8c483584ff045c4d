// ARG, ENV and LABEL: names and values (reference 1.5, O03, O04, V10, V21, V23). One instruction sees the values from before it.
import type { ArgInstruction, EnvInstruction, KeyValue, LabelInstruction } from "../../frontend/ast.ts";
import { argHistory, historyEntry, pairsHistory, type DeclaredArg } from "../history.ts";
import { setLast, withConfig, withEnv, withHistory, type ImageState } from "../image-state.ts";
import { checkSecretName } from "../lint.ts";
import { isBuilderOnlyArg } from "../predefined-args.ts";
import { expandIn, type LowerContext } from "./context.ts";

type Pair = readonly [string, string];

export function lowerEnv(instruction: EnvInstruction, state: ImageState, context: LowerContext): ImageState {
  const pairs = expandPairs(instruction.pairs, state, context);
  if (!pairs) return state;
  pairs.forEach(([name], index) => {
    checkSecretName(context.reporter, instruction.pairs[index]!.key.span, "ENV", name);
  });
  return withHistory(withEnv(state, pairs), historyEntry(pairsHistory("ENV", pairs)));
}

export function lowerLabel(instruction: LabelInstruction, state: ImageState, context: LowerContext): ImageState {
  const pairs = expandPairs(instruction.pairs, state, context);
  if (!pairs) return state;
  const Labels = { ...state.config.Labels, ...Object.fromEntries(pairs) };
  return withHistory(withConfig(state, { Labels }), historyEntry(pairsHistory("LABEL", pairs)));
}

function expandPairs(
  pairs: readonly KeyValue[],
  state: ImageState,
  context: LowerContext,
): readonly Pair[] | undefined {
  const expanded = pairs.map(({ key, value }): Pair | undefined => {
    const name = expandIn(key, state, context);
    const text = value === undefined ? "" : expandIn(value, state, context);
    return name === undefined || text === undefined ? undefined : [name, text];
  });
  return expanded.every((pair) => pair !== undefined) ? expanded : undefined;
}

/** Build argument, else own default, else global value, else nothing (A02). Several in one ARG see each other. */
export function lowerArg(instruction: ArgInstruction, state: ImageState, context: LowerContext): ImageState {
  const declared: DeclaredArg[] = [];
  let current = state;
  for (const arg of instruction.args) {
    const name = arg.key.text;
    checkSecretName(context.reporter, arg.key.span, "ARG", name);
    const given = context.buildArgs.get(name);
    const isDefaulted = given === undefined && arg.value !== undefined;
    const value = isDefaulted ? expandIn(arg.value, current, context) : (given ?? context.globals.get(name));
    if (isDefaulted && value === undefined) continue;
    declared.push({ name, value });
    const { span, comments } = instruction;
    const isBare = given === undefined && arg.value === undefined;
    context.needs.args.push({ name, value, isBare, span, comments });
    const isVisible = value !== undefined && !isBuilderOnlyArg(name);
    current = {
      ...current,
      declaredArgs: [...current.declaredArgs, { name, value }],
      env: isVisible ? setLast(new Map(current.env), name, value) : current.env,
    };
  }
  return withHistory(current, historyEntry(argHistory(declared)));
}
