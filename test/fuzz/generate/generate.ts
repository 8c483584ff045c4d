// A seed's case: the context, the Dockerfile and the flags, right in most cases and wrong in the way a person is wrong in the others.
import type { ContextFile, FuzzCase } from "../fuzz-case.ts";
import { Random } from "../random.ts";
import { drawContext, drawIgnore, visibleFiles } from "./context.ts";
import { copyInstruction, workdirInstruction } from "./copy.ts";
import { metadataInstruction, onbuildInstruction, variableInstruction } from "./metadata.ts";
import { withMistake } from "./mistakes.ts";
import { runInstruction } from "./run.ts";
import { newStage, type Draft, type Stage } from "./stage.ts";
import { drawStyle, line, type Style } from "./style.ts";
import { WIDE_FROM, withWideParts } from "./wide.ts";
import { anyWord, NAMES } from "./words.ts";

/** Share of the cases that have something wrong. */
const MISTAKES = 0.22;

/** The same for the same seed, on every machine and day. */
export function generateCase(seed: number): FuzzCase {
  const root = new Random(seed);
  const files = drawContext(root.fork("context"));
  const drawn = drawIgnore(root.fork("ignore"));
  const ignore = visibleFiles(files, drawn).length > 0 || root.fork("nothing").chance(0.1) ? drawn : [];
  const visible = visibleFiles(files, ignore);
  const random = root.fork("dockerfile");
  const style = drawStyle(random);
  const draft: Draft = {
    random,
    style,
    context: visible.length > 0 && random.chance(0.97) ? visible : files,
    globals: [],
    stages: [],
    contexts: {
      files: random.chance(0.12) ? "second" : undefined,
      image: random.chance(0.05) ? random.pick(["other", "s1"]) : undefined,
    },
  };
  const head = drawHead(random, style);
  const globals = random.chance(0.3) ? drawGlobals(draft) : [];
  const stages = random.weighted([
    [5, 1],
    [3, 2],
    [2, 3],
    [0.6, 4],
  ] as const);
  const parts = [...head, ...globals];
  for (let index = 0; index < stages; index++) parts.push(...drawStage(draft, index, stages));
  const made: FuzzCase = {
    parts: withoutEndlessReads(parts, files),
    lineEnd: random.chance(0.04) && !parts.some((part) => part.includes("<<")) ? "\r\n" : "\n",
    files,
    ignore,
    args: drawArgs(root.fork("args"), draft),
  };
  const wide = seed < WIDE_FROM ? made : withWideParts(root.fork("wide"), made);
  return root.fork("whether wrong").chance(MISTAKES) ? withMistake(root.fork("mistake"), wide) : wide;
}

/** Where there is a named pipe, reading it would wait for ever: what reads files gives up. */
function withoutEndlessReads(parts: readonly string[], files: readonly ContextFile[]): readonly string[] {
  const hasPipe = files.some(({ kind }) => kind === "fifo") || parts.some((part) => part.includes("mkfifo"));
  return hasPipe ? parts.map((part) => part.replaceAll(/\bcat (?=[\w/$])/g, "timeout 2 cat ")) : parts;
}

function drawHead(random: Random, style: Style): string[] {
  const head: string[] = [];
  if (style.escape === "`") head.push(random.pick(["# escape=`", "#escape = `", "# ESCAPE=`"]));
  if (random.chance(0.05))
    head.push(
      random.pick([
        "# check=skip=all",
        "# check=skip=StageNameCasing,FromAsCasing",
        "#check=skip=JSONArgsRecommended;error=false",
      ]),
    );
  if (random.chance(0.1)) head.push(random.pick(["# a comment", "", "#", "# one comment\n  # escape=x"]));
  return head;
}

function drawGlobals(draft: Draft): string[] {
  const { random, style, globals } = draft;
  const lines = random.list(1, 3, () => {
    const name = random.pick(NAMES);
    globals.push(name);
    return line(random, style, "ARG", [random.chance(0.8) ? `${name}=${anyWord(random, style)}` : name]);
  });
  return random.chance(0.4) ? [...lines, line(random, style, "ARG", ["BASE=busybox"])] : lines;
}

function drawStage(draft: Draft, index: number, count: number): string[] {
  const { random, style, stages } = draft;
  const named = stages.filter((each) => each.name !== undefined);
  const parent = named.length > 0 && random.chance(0.4) ? random.pick(named) : undefined;
  const isScratch = parent === undefined && random.chance(0.07);
  const name = random.chance(count > 1 ? 0.8 : 0.3)
    ? random.pick([
        `s${index}`,
        `Build-${index}`,
        `x_${index}.y`,
        `s${index > 0 && random.chance(0.1) ? index - 1 : index}`,
      ])
    : undefined;
  const stage = newStage(index, name?.toLowerCase(), parent ?? (isScratch ? "scratch" : "base"));
  stages.push(stage);
  const hasBase = draft.globals.length > 0 && random.chance(0.1);
  const image =
    (parent?.name !== undefined && random.chance(0.01) ? parent.name.toUpperCase() : parent?.name) ??
    (isScratch
      ? "scratch"
      : random.weighted([
          [8, "busybox"],
          [1, "busybox:latest"],
          [1, hasBase ? "${BASE:-busybox}" : "busybox"],
          [0.5, "${NOPE:-busybox}"],
        ]));
  const platform =
    random.chance(0.04) && parent === undefined
      ? [random.pick(["--platform=linux/amd64", "--platform=$BUILDPLATFORM", "--platform=${TARGETPLATFORM}"])]
      : [];
  const as = name === undefined ? [] : [random.pick(["AS", "AS", "as"]), name];
  const parts = [line(random, style, "FROM", [...platform, image, ...as])];
  const triggered = parent?.triggers.some((trigger) => trigger.includes("WORKDIR")) === true;
  if (triggered) stage.workdir = "/";
  const left = random.between(1, 11);
  for (let at = 0; at < left; at++) parts.push(...between(random, style), drawInstruction(draft, stage, at));
  return parts;
}

function between(random: Random, style: Style): string[] {
  return random.chance(style.ugliness) ? [random.pick(["", "# note", "   ", "\t# indented", "#"])] : [];
}

function drawInstruction(draft: Draft, stage: Stage, at: number): string {
  const { random } = draft;
  const canRun = !stage.isScratch;
  return random.weighted<() => string>([
    [canRun ? 6 : 0.1, () => runInstruction(draft, stage)],
    [6, () => copyInstruction(draft, stage)],
    [2, () => workdirInstruction(draft, stage)],
    [at < 3 ? 5 : 3, () => variableInstruction(draft, stage)],
    [4, () => metadataInstruction(draft, stage)],
    [stage.name !== undefined && canRun ? 1.1 : 0.2, () => onbuildInstruction(draft, stage)],
  ])();
}

const VALUES = ["v", "", "a b", "/usr/lib", "x.tar.gz", "busybox", "$A"];

function drawArgs(random: Random, { stages, contexts }: Draft): string[] {
  const args: string[] = [];
  if (contexts.files !== undefined) args.push(`--build-context=${contexts.files}={second}`);
  // Where a stage has the name, the context takes its place.
  if (contexts.image !== undefined) args.push(`--build-context=${contexts.image}=oci-layout://{base}:latest`);
  if (random.chance(0.35))
    args.push(...random.list(1, 2, () => `--build-arg=${random.pick(NAMES)}=${random.pick(VALUES)}`));
  if (random.chance(0.03))
    args.push(`--build-arg=${random.pick(["UNUSED=1", "HTTP_PROXY=http://p:1", "TARGETOS=other", "BASE=busybox"])}`);
  if (random.chance(0.08)) args.push(`--label=${random.pick(["l=flag", "cli.label=a=b", "empty="])}`);
  const named = stages.filter(({ name }) => name !== undefined);
  if (named.length > 0 && random.chance(0.06)) args.push(`--target=${random.pick(named).name}`);
  return args;
}
