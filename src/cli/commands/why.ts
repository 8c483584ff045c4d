// `tsbuild why`: why steps of a recorded build ran.
import { isoOfMs } from "../../base/clock.ts";
import { BuildError, missLine, type BuildRecord, type StepRecord } from "../../index.ts";
import { openEngine } from "../open-engine.ts";
import { formatSeconds } from "../progress/format.ts";
import type { Terminal } from "../terminal.ts";
import { stepsText } from "../why-text.ts";

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
  else terminal.print(`${headline(record)}\n\n${stepsText(steps, given.step !== undefined)}`);
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

function headline(record: BuildRecord): string {
  const target = record.target === undefined ? "" : ` --target ${record.target}`;
  return `build ${record.ref} of ${record.dockerfile || record.context}${target}: ${record.outcome} in ${formatSeconds(record.endedMs - record.startedMs)}, ${isoSeconds(record.startedMs)}`;
}

function listLine(record: BuildRecord): string {
  const ran = record.steps.filter(({ cause }) => cause !== undefined).length;
  const names = record.tags.length > 0 ? ` ${record.tags.join(" ")}` : "";
  return `${record.ref}  ${isoSeconds(record.startedMs)}  ${record.outcome.padEnd(9)}  ${ran} ran  ${record.dockerfile || record.context}${names}`;
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
