// Steps of a recorded build and why they ran, as text.
import { missLines, type StepRecord } from "../index.ts";
import { keptText } from "./progress/format.ts";

/** The steps that are asked for; where none is, those that ran. */
export function stepsText(steps: readonly StepRecord[], isAsked: boolean): string {
  const lines: string[] = [];
  const shown = isAsked
    ? steps
    : steps.filter(({ cause, keptCount }) => cause !== undefined || keptCount !== undefined);
  for (const step of shown) lines.push(...(lines.length > 0 ? [""] : []), ...stepLines(step));
  if (shown.length === 0) lines.push(steps.length === 0 ? "it came to no step" : conclusion(steps));
  return `${lines.join("\n")}\n`;
}

function conclusion(steps: readonly StepRecord[]): string {
  const isReused = ({ outcome }: StepRecord): boolean => outcome === "cached" || outcome === "kept";
  return steps.every(isReused) ? "everything was cached" : "no step had to run";
}

function stepLines(step: StepRecord): readonly string[] {
  const { name, cause, outcome, keptCount } = step;
  const reason = cause ? missLines(cause) : [notRunText(outcome)];
  const failed = outcome === "failed" ? ["it failed"] : [];
  const kept = keptCount === undefined ? [] : [keptText(keptCount)];
  return [name, ...[...reason, ...failed, ...kept].map((line) => `  ${line}`)];
}

function notRunText(outcome: StepRecord["outcome"]): string {
  switch (outcome) {
    case "cached":
      return "cached";
    case "kept":
      return "cached: what it is made from was made anew, and is what it was";
    case "cancelled":
      return "cancelled, because another step failed";
    case "not-run":
      return "not reached";
    case "ran":
    case "failed":
      return "it ran, and nobody wrote down why";
  }
}
