// BuildKit looks at a Dockerfile in passes: continuations, single instructions, names, casing, FROMs, then the stages as they are built. Its list of
// warnings is in that order, and with it the list of rules in "lint violation found for rules" (K33) and the JSON of `--call=check` (K42).
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Dockerfile, FromInstruction, Instruction } from "../ast.ts";
import { instructionAt } from "../instruction-at.ts";

/** Passes with the rules that they check; everything else is found while stages are built. */
const passes: readonly (readonly string[])[] = [
  ["NoEmptyContinuation"],
  ["StageNameCasing", "FromAsCasing", "InvalidDefinitionDescription", "MaintainerDeprecated"],
  ["ReservedStageName", "DuplicateStageName"],
  ["ConsistentInstructionCasing"],
  ["InvalidDefaultArgInFrom"],
  ["UndefinedArgInFrom", "RedundantTargetPlatform", "FromPlatformFlagConstDisallowed"],
  ["InvalidBaseImagePlatform"],
];

/** Rules in the order in which one instruction of a stage is checked. */
const stageRules: readonly string[] = [
  "MultipleInstructionsDisallowed",
  "UndefinedVar",
  "LegacyKeyValueFormat",
  "SecretsUsedInArgOrEnv",
  "JSONArgsRecommended",
  "WorkdirRelativePath",
  "ExposeProtoCasing",
  "ExposeInvalidFormat",
  "CopyIgnoredFile",
];

const stagePass = passes.length;
const fromPass = 5;

interface Place {
  readonly pass: number;
  /** Of the instruction that is looked at. */
  readonly start: number;
  /** Within the instruction. */
  readonly part: string;
  readonly rank: number;
  /** Of what is at fault. */
  readonly at: number;
}

/** The same diagnostics, ordered by pass, instruction and rule; where that says nothing, as given. */
export function inFindingOrder(dockerfile: Dockerfile, found: readonly Diagnostic[]): readonly Diagnostic[] {
  if (found.length < 2) return found;
  const placed = found.map((diagnostic) => ({ diagnostic, place: placeOf(dockerfile, diagnostic) }));
  return placed.sort((a, b) => compare(a.place, b.place)).map(({ diagnostic }) => diagnostic);
}

function placeOf(dockerfile: Dockerfile, diagnostic: Diagnostic): Place {
  const { code, related, message } = diagnostic;
  const known = passes.findIndex((codes) => codes.includes(code));
  const pass = known < 0 ? stagePass : known;
  // a repeated instruction is found at the second one
  const span = code === "MultipleInstructionsDisallowed" ? (related?.[0]?.span ?? diagnostic.span) : diagnostic.span;
  const { trigger } = span.source;
  // a stage's triggers are looked at right after its FROM
  if (trigger)
    return { pass: stagePass, start: trigger.runBy.end, part: "", rank: trigger.index, at: stageRules.indexOf(code) };
  if (span.source !== dockerfile.source) return { pass: stagePass, start: Infinity, part: "", rank: 0, at: 0 };
  const node = instructionAt(dockerfile, span.start);
  const start = node?.span.start ?? span.start;
  if (pass === fromPass) return { pass, start, part: "", rank: 0, at: 0 };
  if (pass < stagePass) return { pass, start, part: "", rank: passes[pass]!.indexOf(code), at: 0 };
  // an ARG's name is looked at before its default
  const rank = node?.kind === "arg" ? 0 : stageRules.indexOf(code);
  return { pass, start, part: partOf(node, span.start, message), rank, at: span.start };
}

/** Where in its instruction: ports are looked at in alphabetical order, ARGs one by one. */
function partOf(node: Instruction | FromInstruction | undefined, at: number, message: string): string {
  if (node?.kind === "expose") return /'([^']*)'/.exec(message)?.[1] ?? "";
  if (node?.kind !== "arg") return "";
  return String(node.args.findIndex(({ span }) => at >= span.start && at < span.end)).padStart(6, "0");
}

function compare(a: Place, b: Place): number {
  if (a.pass !== b.pass) return a.pass - b.pass;
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.part !== b.part) return a.part < b.part ? -1 : 1;
  return a.rank - b.rank || a.at - b.at;
}
