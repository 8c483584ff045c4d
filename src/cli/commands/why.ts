// `tsbuild why`: why steps of a recorded build ran.
import { isoOfMs } from "../../base/clock.ts";
import { BuildError, missLine, missLines, type BuildRecord, type StepRecord } from "../../index.ts";
import { openEngine } from "../open-engine.ts";
import { formatSeconds, keptText } from "../progress/format.ts";
import type { Terminal } from "../terminal.ts";

const USAGE = "usage: tsbuild why [STEP] [--build REF] [--format text|json], or tsbuild why --list";

interface WhyArguments {
  readonly step: string | undefined;
  readonly build: string | undefined;
  readonly format: "text" | "json";
  readonly isList: boolean;
}

export async function why(words: readonly string[], terminal: Terminal): Promise<number> {
  const given = parse(words);
  await using engine = await openEngine(terminal);
  if (given.isList) {
    const builds = engine.recordedBuilds();
    if (given.format === "json") terminal.print(`${JSON.stringify(builds.map(summaryOf), undefined, 2)}\n`);
    else for (const record of builds) terminal.print(`${listLine(record)}\n`);
    return 0;
  }
  const { record, steps } = await engine.why(given);
  if (given.format === "json")
    terminal.print(`${JSON.stringify({ ...summaryOf(record), steps: steps.map(stepJson) }, undefined, 2)}\n`);
  else terminal.print(textOf(record, steps, given.step !== undefined));
  return 0;
}

function parse(words: readonly string[]): WhyArguments {
  let build: string | undefined;
  let format: "text" | "json" = "text";
  let isList = false;
  const steps: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const [name = "", inline] = words[at]!.startsWith("--") ? words[at]!.split("=", 2) : [words[at]];
    const value = (): string => {
      const text = inline ?? words[++at];
      if (text === undefined) throw new BuildError("usage", `flag needs an argument: ${name}`, { help: USAGE });
      return text;
    };
    if (name === "--build") build = value();
    else if (name === "--list") isList = true;
    else if (name === "--format") {
      const text = value();
      if (text !== "text" && text !== "json")
        throw new BuildError("usage", `unknown format ${JSON.stringify(text)}`, { help: "one of text, json" });
      format = text;
    } else if (name.startsWith("-")) throw new BuildError("usage", `unknown flag: ${name}`, { help: USAGE });
    else steps.push(name);
  }
  // `why build 2/4` without quotes is one step.
  return { step: steps.length === 0 ? undefined : steps.join(" "), build, format, isList };
}

function textOf(record: BuildRecord, steps: readonly StepRecord[], isAsked: boolean): string {
  const lines = [headline(record)];
  const shown = isAsked
    ? steps
    : steps.filter(({ cause, keptCount }) => cause !== undefined || keptCount !== undefined);
  for (const step of shown) lines.push("", ...stepLines(step));
  if (shown.length === 0) lines.push(steps.length === 0 ? "it came to no step" : conclusion(steps));
  return `${lines.join("\n")}\n`;
}

function conclusion(steps: readonly StepRecord[]): string {
  const isReused = ({ outcome }: StepRecord): boolean => outcome === "cached" || outcome === "kept";
  return steps.every(isReused) ? "everything was cached" : "no step had to run";
}

function headline(record: BuildRecord): string {
  const target = record.target === undefined ? "" : ` --target ${record.target}`;
  return `build ${record.ref} of ${record.dockerfile || record.context}${target}: ${record.outcome} in ${formatSeconds(record.endedMs - record.startedMs)}, ${isoSeconds(record.startedMs)}`;
}

function listLine(record: BuildRecord): string {
  const ran = record.steps.filter(({ cause }) => cause !== undefined).length;
  const names = record.tags.length > 0 ? ` ${record.tags.join(" ")}` : "";
  return `${record.ref}  ${isoSeconds(record.startedMs)}  ${record.outcome.padEnd(9)}  ${ran} ran  ${record.dockerfile || record.context}${names}`;
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

function summaryOf({ steps: _steps, ...summary }: BuildRecord): object {
  return { ...summary, started: isoSeconds(summary.startedMs), ended: isoSeconds(summary.endedMs) };
}

function stepJson({
  name,
  stage,
  instruction,
  key,
  outcome,
  cause,
  keptCount,
  startedMs,
  endedMs,
}: StepRecord): object {
  const reason = cause ? { reason: missLine(cause), cause } : {};
  return { name, stage, instruction, key, outcome, ...reason, keptCount, startedMs, endedMs };
}

function isoSeconds(ms: number): string {
  return isoOfMs(ms).replace(/\.\d+Z$/, "Z");
}
