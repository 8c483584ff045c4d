// All build checks that need no evaluation, in file order. Which of them the user wants to see is check-directive.ts's matter.
import { catalogEntry } from "../../diagnostics/catalog.ts";
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Dockerfile, Instruction, Stage } from "../ast.ts";
import { cacheCommentRules } from "./cache-comments.ts";
import { casingRules } from "./casing.ts";
import { instructionLintRules } from "./instructions.ts";
import type { LintRule } from "./rule.ts";
import { scriptRules } from "./scripts.ts";
import { stageRules } from "./stages.ts";

/** Every check of this folder. */
export const lintRules: readonly LintRule[] = [
  ...casingRules,
  ...stageRules,
  ...instructionLintRules,
  ...scriptRules,
  ...cacheCommentRules,
];

/** What the text alone does not show of the stages' bases. */
export interface LintBases {
  /** Indices of stages whose base image has a SHELL: there the shell form is meant (K07). */
  readonly shellBases: ReadonlySet<number>;
  /** Index of a stage → the triggers of its base, which BuildKit checks as if they stood before its instructions. */
  readonly triggers: ReadonlyMap<number, readonly Instruction[]>;
}

const nothingKnown: LintBases = { shellBases: new Set(), triggers: new Map() };

/** Warnings of the file. `isReachable` leaves out stages that the build does not need, for the checks that BuildKit leaves out there. */
export function lint(
  dockerfile: Dockerfile,
  isReachable: (stage: Stage) => boolean = () => true,
  { shellBases, triggers }: LintBases = nothingKnown,
): readonly Diagnostic[] {
  const stages = dockerfile.stages
    .filter(isReachable)
    .map((stage) => ({ ...stage, instructions: [...(triggers.get(stage.index) ?? []), ...stage.instructions] }));
  const found = lintRules.flatMap((rule) =>
    rule.scope === "file"
      ? [...rule.run(dockerfile)]
      : stages.flatMap((stage) =>
          rule.code === "JSONArgsRecommended" && shellBases.has(stage.index) ? [] : [...rule.run(stage, dockerfile)],
        ),
  );
  const isOurs = ({ code, span }: Diagnostic): boolean =>
    span.source === dockerfile.source || catalogEntry(code)?.category !== "hint";
  return found.filter(isOurs).sort((a, b) => placeInFile(a) - placeInFile(b));
}

function placeInFile({ span }: Diagnostic): number {
  return (span.source.trigger?.runBy ?? span).start;
}
