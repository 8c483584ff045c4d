// Upper and lower case: K01 StageNameCasing, K02 FromAsCasing, K04 ConsistentInstructionCasing.
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Dockerfile, Word } from "../ast.ts";
import { stageInstructions, warn, type LintRule } from "./rule.ts";

function isLower(text: string): boolean {
  return text === text.toLowerCase();
}

function isUpper(text: string): boolean {
  return text === text.toUpperCase();
}

function recase(
  word: Word,
  toLower: boolean,
): { readonly help: string; readonly fix: { span: Word["span"]; text: string } } {
  const text = toLower ? word.text.toLowerCase() : word.text.toUpperCase();
  return { help: `write "${text}"`, fix: { span: word.span, text } };
}

function* stageNameCasing(file: Dockerfile): Generator<Diagnostic> {
  for (const { from } of file.stages) {
    const { name } = from;
    if (!name || isLower(name.text)) continue;
    // what names the stage may do so in any case
    yield warn("StageNameCasing", name.span, `Stage name '${name.text}' should be lowercase`, recase(name, true));
  }
}

function* fromAsCasing(file: Dockerfile): Generator<Diagnostic> {
  for (const { from } of file.stages) {
    const { as, keyword } = from;
    if (!as || (!isLower(keyword.text) && !isUpper(keyword.text))) continue;
    const wantsLower = isLower(keyword.text);
    if (wantsLower ? isLower(as.text) : isUpper(as.text)) continue;
    const message = `'${as.text}' and '${keyword.text}' keywords' casing do not match`;
    const { help, fix } = recase(as, wantsLower);
    // where FROM itself is to change its case, only one of the two fixes can be right
    yield warn("FromAsCasing", as.span, message, wantsLower === majorityIsLower(file) ? { help, fix } : { help });
  }
}

/** A tie is upper case. */
function majorityIsLower(file: Dockerfile): boolean {
  let balance = 0;
  for (const { keyword } of stageInstructions(file)) {
    if (isLower(keyword.text)) balance++;
    else if (isUpper(keyword.text)) balance--;
  }
  return balance > 0;
}

function* instructionCasing(file: Dockerfile): Generator<Diagnostic> {
  const wantsLower = majorityIsLower(file);
  for (const { keyword } of stageInstructions(file)) {
    if (wantsLower ? isLower(keyword.text) : isUpper(keyword.text)) continue;
    const majority = wantsLower ? "lowercase" : "uppercase";
    const message = `Command '${keyword.text}' should match the case of the command majority (${majority})`;
    yield warn("ConsistentInstructionCasing", keyword.span, message, recase(keyword, wantsLower));
  }
}

export const casingRules: readonly LintRule[] = [
  { code: "StageNameCasing", scope: "file", run: stageNameCasing },
  { code: "FromAsCasing", scope: "file", run: fromAsCasing },
  { code: "ConsistentInstructionCasing", scope: "file", run: instructionCasing },
];
