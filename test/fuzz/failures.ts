// What a builder says of a build that failed, and whether both say the same: docker's sentence, at a line that docker blames.
import type { Difference } from "../compare/differences.ts";

export interface Failure {
  /** What is wrong, without what only says where, and without names that are chance. */
  readonly sentence: string;
  /** Blamed lines of the Dockerfile, from 1; undefined = none is. */
  readonly lines: readonly [first: number, last: number] | undefined;
}

/** Of an error of buildx: an excerpt of the Dockerfile with `>>>` at what is blamed, then `ERROR: failed to build: …`. */
export function dockerFailure(error: string): Failure {
  const [, excerpt = "", said = error] = /^(.*?)^ERROR: (.*)$/ms.exec(error) ?? [];
  const marked = [...excerpt.matchAll(/^ *(\d+) \| >>>/gm)].map(([, line]) => Number(line));
  const named = /^Dockerfile:(\d+)$/m.exec(excerpt)?.[1];
  const all = marked.length > 0 ? marked : named === undefined ? [] : [Number(named)];
  const sentence = said
    .replace(/^failed to build: /, "")
    .replace(/^failed to solve: /, "")
    .replace(/^failed to run Build function: /, "")
    .replace(/^failed to load cache key: /, "")
    .replace(/^\S+: failed to resolve source metadata for (\S+): (?=\1: )/, "")
    .replace(/^dockerfile parse error on line \d+: /, "");
  return {
    sentence: withoutChance(sentence),
    lines: all.length === 0 ? undefined : [Math.min(...all), Math.max(...all)],
  };
}

/** Of an error of tsbuild: any number of `PATH:LINE:COLUMN: error: …` with notes below; first one that is not about the Dockerfile, if there is one. */
export function tsbuildFailures(error: string): Failure[] {
  return error.split(/^(?=\S.*: error: |error: )/m).map((text) => {
    // Of a USER that is at fault tsbuild says, too, which RUN fails by it, and of a trigger which FROM runs it: the one that docker blames.
    const line =
      /^ +╰─ \S*Dockerfile:(\d+):\d+: this FROM runs it$/m.exec(text)?.[1] ??
      /^\S*Dockerfile:(\d+):\d+: error: (?:.* \(line (\d+) needs it\)$)?/m
        .exec(text)
        ?.slice(1)
        .findLast((number) => number !== undefined);
    return { sentence: withoutChance(text), lines: line === undefined ? undefined : [Number(line), Number(line)] };
  });
}

/** Names of snapshots and what stands for them in tsbuild's messages; where docker's daemon mounts them; the order in which rules are found broken; the suggestion, which tsbuild has in its help. */
function withoutChance(text: string): string {
  return text
    .replace(/checksum of ref .*?: "(?=\/)/, 'checksum of ref: "')
    .replace(/checksum of ref \S+: (?=too many links$)/m, "checksum of ref: ")
    .replace(/(?<=^read )\/\S*\/buildkit-mount\d+(?=\/etc\/)/, "")
    .replace(/\/\S*\/cachemounts\/buildkit\d+(?=\/)/, "")
    .replace(/(?<=lint violation found for rules: )[\w, ]*/, (rules) => rules.split(", ").toSorted().join(", "))
    .replace(/ \(did you mean \S+\?\)$/, "")
    .trim();
}

export function failureDifferences(docker: string, tsbuild: string): Difference[] {
  const [theirs, ours] = [dockerFailure(docker), tsbuildFailures(tsbuild)];
  const isSame = ours.some((each) => each.sentence.includes(theirs.sentence) && isBlamed(theirs, each));
  return isSame ? [] : [{ where: "error", docker, tsbuild }];
}

/** Whether the line is one of those that docker blames. */
function isBlamed({ lines: blamed }: Failure, { lines }: Failure): boolean {
  return blamed === undefined || (lines !== undefined && blamed[0] <= lines[0] && lines[0] <= blamed[1]);
}
