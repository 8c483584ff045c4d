// `tsbuild warm`: for a cron job or a CI schedule, so that the builds that people wait for find their bases and first steps done.
import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { BuildError, parseDuration, type BuildEvent, type WarmOptions, type WarmResult } from "../../index.ts";
import { parseBuildArguments, type BuildArguments } from "../build-args.ts";
import { errorText } from "../error-text.ts";
import { openEngine } from "../open-engine.ts";
import { formatSeconds } from "../progress/format.ts";
import { createRenderer } from "../progress/renderer.ts";
import type { Terminal } from "../terminal.ts";
import { VERSION } from "../version.ts";

const USAGE = `Usage: tsbuild warm [--until WHERE] [--stages A,B] [--watch-base [--interval 10m]] [build flags] CONTEXT|DOCKERFILE…

Fetches and unpacks base images and runs the steps of every stage that need nothing of the build context. Makes no image.
  --until first-context-copy  stop each stage before the first step that reads the build context (the default)
  --until INSTRUCTION         … before the first of these, as --until COPY
  --until LINE                … before this line of the Dockerfile
  --stages A,B                only these stages and what they need, by name or number (default: all; with --target what that needs)
  --watch-base                go on: ask the registries again and again, and warm when a tag has moved
  --interval DURATION         how often (default 10m)
Several contexts or Dockerfiles are warmed one after the other; the exit status is 1 where one of them failed.
Flags of a build count for each of them: tsbuild build --help lists them.
`;

interface WarmWords {
  readonly until: WarmOptions["until"];
  readonly stages: readonly string[];
  /** Milliseconds; undefined = once. */
  readonly intervalMs: number | undefined;
  readonly places: readonly string[];
  readonly flags: readonly string[];
}

export async function warm(words: readonly string[], terminal: Terminal): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    terminal.print(USAGE);
    return 0;
  }
  const given = await readWarmWords(words, terminal);
  const builds = await Promise.all(given.places.map((place) => argumentsFor(place, given.flags, terminal)));
  let isFailed = false;
  for (let round = 0; ; round++) {
    for (const build of builds) {
      const isDone = await warmOne(build, given, round > 0, terminal);
      isFailed = !isDone || (isFailed && round === 0);
    }
    if (given.intervalMs === undefined) return isFailed ? 1 : 0;
    await setTimeout(given.intervalMs, undefined, { signal: terminal.signal });
  }
}

/** Tells what it did; false where it failed, which is told as well. */
async function warmOne(
  given: BuildArguments,
  { until, stages }: WarmWords,
  isAgain: boolean,
  terminal: Terminal,
): Promise<boolean> {
  const renderer = await createRenderer(given.progress, terminal.stderr, terminal.environment);
  try {
    const onEvent = (event: BuildEvent): void => {
      // A round in which no tag has moved has nothing to show.
      if (!isAgain || event.kind === "notice") renderer.event(event);
    };
    await using engine = await openEngine(terminal, { ...given, onEvent });
    const pull = isAgain ? "always" : given.build.pull;
    const result = await engine.warm({ ...given.build, pull, until, stages, signal: terminal.signal });
    renderer.end();
    if (!isAgain || result.steps.some(({ how }) => how !== "was there")) terminal.print(summary(result));
    return true;
  } catch (error) {
    renderer.end();
    if (terminal.signal.aborted || !(error instanceof BuildError) || error.code === "usage") throw error;
    const { color, columns } = terminal.stderr;
    terminal.stderr.write(errorText(error, { color, width: columns() }, VERSION));
    return false;
  }
}

/** `warmed app/Dockerfile: ran 3 steps and unpacked 1 base image, 12.4s of work; a build finds 5 results that took 14.1s, and has 4 steps left to do`. */
function summary({ place, steps, leftCount }: WarmResult): string {
  const made = steps.filter(({ how }) => how !== "was there");
  const did = [
    ["ran", "step", made.filter(({ how }) => how === "ran")],
    ["fetched", "step", made.filter(({ how, kind }) => how === "fetched" && kind === "step")],
    ["unpacked", "base image", made.filter(({ kind }) => kind === "base")],
  ] as const;
  const told = did
    .filter(([, , those]) => those.length > 0)
    .map(([verb, noun, those]) => `${verb} ${count(those.length, noun)}`);
  const seconds = (of: typeof steps): string => formatSeconds(of.reduce((sum, { savedMs }) => sum + savedMs, 0));
  const work = told.length === 0 ? "everything was there" : `${told.join(" and ")}, ${seconds(made)} of work`;
  return `warmed ${place}: ${work}; a build finds ${count(steps.length, "result")} that took ${seconds(steps)}, and has ${count(leftCount, "step")} left to do\n`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** A file is the Dockerfile of its directory. */
async function argumentsFor(place: string, flags: readonly string[], terminal: Terminal): Promise<BuildArguments> {
  const given = await parseBuildArguments([...flags, place], terminal.cwd, terminal.environment);
  if (typeof given === "string") throw new BuildError("usage", "no context given", { help: "tsbuild warm --help" });
  const isFile = statSync(resolve(terminal.cwd, place), { throwIfNoEntry: false })?.isFile() === true;
  if (!isFile) return given;
  if (given.build.dockerfile !== undefined)
    throw new BuildError("usage", `two Dockerfiles given: ${given.build.dockerfile} and ${place}`, {
      help: "leave out -f, or give contexts",
    });
  const path = resolve(terminal.cwd, place);
  return { ...given, build: { ...given.build, context: dirname(path), dockerfile: path } };
}

/** Takes our own flags out; what is left is a build's. */
async function readWarmWords(words: readonly string[], terminal: Terminal): Promise<WarmWords> {
  const own = new Map<string, string>();
  const flags: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const [name, inline] = splitFlag(words[at]!);
    if (name === "--watch-base" && inline === undefined) own.set(name, "");
    else if (["--until", "--stages", "--interval"].includes(name)) {
      const value = inline ?? words[++at];
      if (value === undefined || value === "")
        throw new BuildError("usage", `flag needs an argument: ${name}`, { help: "tsbuild warm --help" });
      own.set(name, value);
    } else flags.push(words[at]!);
  }
  const { places, rest } = await splitPlaces(flags, terminal);
  return {
    until: untilOf(own.get("--until") ?? "first-context-copy"),
    stages: own.get("--stages")?.split(",") ?? [],
    intervalMs: own.has("--watch-base") ? intervalOf(own.get("--interval") ?? "10m") : undefined,
    places,
    flags: rest,
  };
}

function splitFlag(word: string): readonly [name: string, inline: string | undefined] {
  const cut = word.startsWith("--") ? word.indexOf("=") : -1;
  return cut < 0 ? [word, undefined] : [word.slice(0, cut), word.slice(cut + 1)];
}

/** Contexts, and the flags of a build. */
async function splitPlaces(
  words: readonly string[],
  { cwd }: Terminal,
): Promise<{ readonly places: readonly string[]; readonly rest: readonly string[] }> {
  const { readPlainFlags } = await import("../build-flags.ts");
  const given = readPlainFlags(words) ?? (await (await import("../flag-parser.ts")).parseFlags(words));
  const places = typeof given === "string" ? [] : given._.map(String);
  if (places.length === 0)
    throw new BuildError("usage", "no context given", {
      help: `tsbuild warm [flags] CONTEXT, for example: tsbuild warm ${cwd}`,
    });
  const last = words.slice(-places.length);
  if (last.some((word, index) => word !== places[index]))
    throw new BuildError("usage", "contexts come after all flags", { help: "tsbuild warm [flags] CONTEXT…" });
  return { places, rest: words.slice(0, -places.length) };
}

function untilOf(text: string): WarmOptions["until"] {
  if (text === "first-context-copy") return { kind: "context" };
  if (/^[1-9]\d*$/.test(text)) return { kind: "line", line: Number(text) };
  if (/^(run|copy|add|workdir)$/i.test(text)) return { kind: "instruction", name: text };
  throw new BuildError("usage", `--until ${text} is not understood`, {
    help: "give a line, one of RUN, COPY, ADD, WORKDIR, or first-context-copy",
  });
}

function intervalOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= 1000) return ms;
  throw new BuildError("usage", `invalid duration ${JSON.stringify(text)} for --interval`, {
    help: "write it like 10m",
  });
}
