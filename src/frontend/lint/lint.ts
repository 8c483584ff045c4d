// All build checks that need no evaluation, in file order. Which of them the user wants to see is check-directive.ts's matter.
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Dockerfile, Stage } from "../ast.ts";
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

const noStages: ReadonlySet<number> = new Set();

/**
 * Warnings of the file. `isReachable` leaves out stages that the build does not need, for the checks that BuildKit leaves out there;
 * `shellBases` are the indices of stages whose base image has a SHELL: there the shell form is meant (K07).
 */
export function lint(
  dockerfile: Dockerfile,
  isReachable: (stage: Stage) => boolean = () => true,
  shellBases: ReadonlySet<number> = noStages,
): readonly Diagnostic[] {
  const stages = dockerfile.stages.filter(isReachable);
  const found = lintRules.flatMap((rule) =>
    rule.scope === "file"
      ? [...rule.run(dockerfile)]
      : stages.flatMap((stage) =>
          rule.code === "JSONArgsRecommended" && shellBases.has(stage.index) ? [] : [...rule.run(stage, dockerfile)],
        ),
  );
  return found.sort((a, b) => a.span.start - b.span.start);
}
