// `tsbuild plan [build flags] CONTEXT`: what a build would do, as text or JSON. Builds nothing.
import { formatBytes } from "../../base/size-text.ts";
import { BuildError, missLine, type BuildForecast, type PlannedStep } from "../../index.ts";
import { parseBuildArguments } from "../build-args.ts";
import { openEngine } from "../open-engine.ts";
import { formatSeconds } from "../progress/format.ts";
import type { Terminal } from "../terminal.ts";

const USAGE = `Usage: tsbuild plan [--format text|json] [flags] CONTEXT

Says which steps of a build would be cached, run, or perhaps be kept, and why; what would be pulled; and how long it may take. Executes nothing.
All flags of a build may be given: tsbuild build --help lists them.
`;

export async function plan(words: readonly string[], terminal: Terminal): Promise<number> {
  const { format, flags } = takeFormat(words);
  const given = await parseBuildArguments(flags, terminal.cwd, terminal.environment);
  if (typeof given === "string") {
    terminal.print(USAGE);
    return 0;
  }
  const { stdin, signal } = terminal;
  const { caCert, runtime, isOffline } = given;
  await using engine = await openEngine(terminal, { caCert, runtime, isOffline });
  const forecast = await engine.plan({ ...given.build, stdin, signal });
  if (format === "json") {
    const steps = forecast.steps.map((step) => (step.cause ? { ...step, reason: missLine(step.cause) } : step));
    terminal.print(`${JSON.stringify({ ...forecast, steps }, undefined, 2)}\n`);
  } else terminal.print(planText(forecast));
  return 0;
}

function takeFormat(words: readonly string[]): { readonly format: "text" | "json"; readonly flags: readonly string[] } {
  const at = words.findIndex((word) => word === "--format" || word.startsWith("--format="));
  if (at < 0) return { format: "text", flags: words };
  const isInline = words[at]!.includes("=");
  const format = isInline ? words[at]!.slice("--format=".length) : words[at + 1];
  if (format !== "text" && format !== "json")
    throw new BuildError("usage", `unknown format ${JSON.stringify(format ?? "")}`, { help: "one of text, json" });
  return { format, flags: words.toSpliced(at, isInline ? 1 : 2) };
}

/** A line a step, then what would be fetched and how long it may take. */
export function planText({ dockerfile, steps, pulls, expectedMs, unknownSteps, criticalPath }: BuildForecast): string {
  const count = (outcome: PlannedStep["outcome"]): number => steps.filter((step) => step.outcome === outcome).length;
  const lines = [
    `plan of ${dockerfile}: ${count("cached")} cached, ${count("run")} to run, ${count("maybe")} that may be kept`,
    ...steps.map(stepLine),
    ...pulls.map(
      ({ image, missingLayers, layers, size }) =>
        `pull         ${image}: ${formatBytes(size)}, ${missingLayers} of ${layers} layers`,
    ),
  ];
  const { least, most } = expectedMs;
  const range = least === most ? formatSeconds(most) : `${formatSeconds(least)} to ${formatSeconds(most)}`;
  const unknown = unknownSteps === 0 ? "" : `, without ${unknownSteps} that never ran`;
  lines.push(`expected     ${range} for the steps${unknown}`);
  for (const { name, expectedMs: ms } of criticalPath) lines.push(`             ${formatSeconds(ms)} ${name}`);
  return `${lines.join("\n")}\n`;
}

function stepLine({ name, outcome, cause, dependsOn, expectedMs }: PlannedStep): string {
  const word = { cached: "cached", run: "run", maybe: "may be kept" }[outcome].padEnd(12);
  const time = outcome === "cached" || expectedMs === undefined ? "" : ` (${formatSeconds(expectedMs)})`;
  if (outcome === "maybe" && dependsOn !== undefined)
    return `${word} ${name}${time}: if what it uses of ${dependsOn} stays the same`;
  return `${word} ${name}${time}${cause ? `: ${missLine(cause)}` : ""}`;
}
