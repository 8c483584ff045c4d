// What the generator below it never makes, put into its cases: seeds from WIDE_FROM on. Drawn from a stream of its own, so that the seeds below mean what they always meant.
import type { FuzzCase } from "../fuzz-case.ts";
import type { Random } from "../random.ts";
import { copyOf, withArchive, withIgnore, withRemote } from "./wide-files.ts";
import {
  ARG_LINES,
  COMMAND_LINES,
  ENV_LINES,
  EXPOSE_LINES,
  GLOBAL_LINES,
  HEALTH_LINES,
  OTHER_LINES,
} from "./wide-lines.ts";
import { looksAround, mountsMany } from "./wide-steps.ts";

export const WIDE_FROM = 10_000;

type Change = (random: Random, each: FuzzCase) => FuzzCase;

/** Some of it, in a few places. */
export function withWideParts(random: Random, each: FuzzCase): FuzzCase {
  const changes = random.list(2, 5, () =>
    random.weighted<Change>([
      [4, (stream, made) => intoStage(stream, made, mountsMany(stream, made), true)],
      [2, (stream, made) => intoStage(stream, made, looksAround(stream), true)],
      [3, variables],
      [2, (stream, made) => intoStage(stream, made, stream.pick([...HEALTH_LINES, ...EXPOSE_LINES, ...OTHER_LINES]))],
      [1.5, (stream, made) => intoStage(stream, made, stream.pick(COMMAND_LINES))],
      [3, (stream, made) => intoStage(stream, made, copyOf(stream, made))],
      [3, (stream, made) => withArchive(stream, made, intoStage)],
      [1.5, (stream, made) => withRemote(stream, made, intoStage)],
      [1, withIgnore],
      [1.5, withFlags],
      [0.7, (stream, made) => ({ ...made, parts: [stream.pick(GLOBAL_LINES), ...made.parts] })],
      [0.5, (_, made) => ({ ...made, lineEnd: "\r\n" })],
      [1, trigger],
    ]),
  );
  return changes.reduce((made, change, at) => change(random.fork(`change ${at}`), made), each);
}

/** The part in some stage; one that runs a program is in none that is from scratch. */
function intoStage(random: Random, each: FuzzCase, part: string, isRun = false): FuzzCase {
  const places = each.parts.flatMap((_, at) => {
    const from = each.parts.slice(0, at + 1).findLast((text) => /^\s*FROM\b/i.test(text));
    return from === undefined || (isRun && /\bscratch\b/i.test(from)) ? [] : [at + 1];
  });
  return places.length === 0 ? each : { ...each, parts: each.parts.toSpliced(random.pick(places), 0, part) };
}

/** Lines about variables, at times with a step that shows what comes of them. */
function variables(random: Random, each: FuzzCase): FuzzCase {
  const lines = random.list(1, 3, () => random.pick(random.chance(0.6) ? ENV_LINES : ARG_LINES));
  const isShown = random.chance(0.5);
  const shown = isShown ? [`RUN env | sort > /env-${random.between(1, 99)} || true`] : [];
  return intoStage(random, each, [...lines, ...shown].join("\n"), isShown);
}

function trigger(random: Random, each: FuzzCase): FuzzCase {
  const line = random.weighted<() => string>([
    [2, () => mountsMany(random, each)],
    [2, () => copyOf(random, each)],
    [2, () => random.pick([...ENV_LINES, ...ARG_LINES, ...COMMAND_LINES, ...HEALTH_LINES, ...OTHER_LINES])],
  ])();
  return intoStage(random, each, `ONBUILD ${line}`);
}

const FLAGS = [
  "--shm-size=1m",
  "--shm-size=128m",
  "--ulimit=nofile=100:200",
  "--ulimit=core=0",
  "--add-host=fuzzhost:10.1.2.3",
  "--add-host=fuzzhost=10.1.2.4",
  "--add-host=six:::1",
  "--build-arg=BUILDKIT_SANDBOX_HOSTNAME=fuzz-host",
  "--build-arg=SOURCE_DATE_EPOCH=1600000000",
  "--build-arg=SOURCE_DATE_EPOCH=0",
  "--build-arg=BUILDKIT_CACHE_MOUNT_NS=fuzz",
  "--build-arg=TARGETPLATFORM=linux/odd",
  "--build-arg=TARGETARCH=odd",
  "--build-arg=BUILDPLATFORM=x",
  "--build-arg=PATH=/only",
  "--build-arg=HOME=/h",
  "--build-arg=A",
  "--build-arg=FUZZ_UNSET",
  "--build-arg=FOO=a=b=c",
  "--build-arg=NO_PROXY=localhost",
  "--build-arg=all_proxy=x",
  "--platform=linux/amd64",
  "--platform=linux",
  "--label=a.b=c d",
  '--label=quoted="x"',
  "--no-cache-filter=s0",
  "--target=S0",
] as const;

function withFlags(random: Random, each: FuzzCase): FuzzCase {
  return { ...each, args: [...each.args, ...random.list(1, 2, () => random.pick(FLAGS))] };
}
