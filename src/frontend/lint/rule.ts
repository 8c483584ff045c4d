// What a build check that needs no evaluation is: a function of the parsed file. Checks that need variables are the planner's.
import { createDiagnostic, type CheckCode, type DiagnosticOptions, type HintCode } from "../../diagnostics/catalog.ts";
import type { Diagnostic } from "../../diagnostics/diagnostic.ts";
import type { Span } from "../../diagnostics/source.ts";
import type { Dockerfile, FromInstruction, Instruction, Stage } from "../ast.ts";

/** One check. `file`: seen in every build of the file; `stage`: only for stages that the target needs (reference K34). */
export type LintRule =
  | {
      readonly code: CheckCode | HintCode;
      readonly scope: "file";
      readonly run: (file: Dockerfile) => Iterable<Diagnostic>;
    }
  | {
      readonly code: CheckCode | HintCode;
      readonly scope: "stage";
      readonly run: (stage: Stage, file: Dockerfile) => Iterable<Diagnostic>;
    };

/** A warning of a check, ours included. */
export function warn(code: CheckCode | HintCode, span: Span, message: string, options?: DiagnosticOptions): Diagnostic {
  return createDiagnostic(code, span, message, options);
}

/** Every instruction of the stages in file order, FROMs included. */
export function* stageInstructions(file: Dockerfile): Generator<Instruction | FromInstruction> {
  for (const { from, instructions } of file.stages) {
    yield from;
    yield* instructions;
  }
}
