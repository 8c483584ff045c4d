// One case built by both builders, edited, and built again: what differs, and which of it is explained.
import { differences, type Difference } from "../compare/differences.ts";
import type { ImageFacts, LayerFacts } from "../compare/image-facts.ts";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Builder, Outcome } from "./builders.ts";
import { explain, type Circumstances } from "./explained.ts";
import { failureDifferences } from "./failures.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { isSameWithoutRefused, otherMistake } from "./other-mistake.ts";
import type { Place } from "./place.ts";
import { applyEdit, type Edit } from "./generate/edits.ts";

export interface Finding extends Difference {
  readonly when: "first build" | "after the edit" | "again, unchanged";
  /** Why it is meant; undefined = a fault. */
  readonly why: string | undefined;
}

export interface Verdict {
  readonly findings: readonly Finding[];
  /** Whether both made an image, neither did, or one. */
  readonly first: "both" | "neither" | "one";
  /** What both said, where neither made one. */
  readonly errors: readonly [docker: string, tsbuild: string];
  /** What tsbuild made of the first state. */
  readonly image: ImageFacts | undefined;
  /** Images compared. */
  readonly comparisons: number;
  /** Steps that docker ran again and tsbuild did not. */
  readonly cutOff: number;
}

export interface Judge {
  readonly docker: Builder;
  readonly tsbuild: Builder;
  readonly place: Place;
}

export interface Trial {
  readonly name: string;
  readonly fuzzCase: FuzzCase;
  /** undefined = built once. */
  readonly edit: Edit | undefined;
  /** Whether tsbuild builds the last state once more. */
  readonly repeats: boolean;
}

export async function judge({ docker, tsbuild, place }: Judge, trial: Trial): Promise<Verdict> {
  const { base } = place;
  const folder = join(place.folder, trial.name);
  mkdirSync(folder);
  try {
    const build = async (each: FuzzCase): Promise<readonly [Outcome, Outcome]> =>
      Promise.all([docker(each, folder), tsbuild(each, folder)]);
    const found: Finding[] = [];
    let last = await build(trial.fuzzCase);
    const [before] = last;
    const first = last.every(({ facts }) => facts) ? "both" : last.some(({ facts }) => facts) ? "one" : "neither";
    const add = async (when: Finding["when"], each: FuzzCase, list: readonly Difference[]): Promise<void> => {
      const circumstances = {
        each,
        docker: last[0],
        tsbuild: last[1],
        base,
        before: when === "first build" ? undefined : before,
      };
      for (const item of list) {
        const why = await reasonFor(item, circumstances, (which, rest) =>
          (which === "docker" ? docker : tsbuild)(rest, folder),
        );
        found.push({ ...item, when, why });
      }
    };
    await add("first build", trial.fuzzCase, compare(last, base));
    const image = last[1].facts;
    const errors = [last[0].error, last[1].error] as const;
    let [cutOff, comparisons, state] = [0, 1, trial.fuzzCase];
    if (trial.edit !== undefined && first === "both") {
      state = applyEdit(trial.fuzzCase, trial.edit);
      last = await build(state);
      comparisons += 1;
      const cache = cacheDifferences(last);
      cutOff = cache.cutOff;
      await add("after the edit", state, [...compare(last, base), ...cache.lost]);
    }
    if (trial.repeats && last[1].facts)
      await add("again, unchanged", state, changes(last[1], await tsbuild(state, folder)));
    return { findings: found, first, errors, image, comparisons, cutOff };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Undefined = the difference is a fault. `ask` builds a case and gives what came of it. */
async function reasonFor(
  difference: Difference,
  circumstances: Circumstances,
  ask: (builder: "docker" | "tsbuild", each: FuzzCase) => Promise<Outcome>,
): Promise<string | undefined> {
  const why = explain(difference, circumstances);
  const { each } = circumstances;
  if (why === undefined && difference.where === "build" && circumstances.tsbuild.facts)
    return isChance(circumstances, await ask("docker", each)) ? CHANCE : undefined;
  if (why !== undefined || difference.where !== "error") return why;
  const { docker = "", tsbuild = "" } = difference;
  const other = await otherMistake(each, docker, tsbuild, async (rest) => (await ask("docker", rest)).error);
  if (other !== undefined) return other;
  const refusal = explain({ where: "build", docker: "an image", tsbuild }, circumstances);
  const both = async (rest: FuzzCase): Promise<readonly [string, string]> => {
    return [(await ask("docker", rest)).error, (await ask("tsbuild", rest)).error];
  };
  const isMeant = (failed: string, rest: FuzzCase): boolean =>
    explain({ where: "build", docker: failed, tsbuild: "an image" }, { ...circumstances, each: rest }) !== undefined;
  return refusal !== undefined && (await isSameWithoutRefused(each, tsbuild, both, isMeant)) ? refusal : undefined;
}

const CHANCE = "docker's chance: asked again about the same case, it makes the same image as tsbuild";

/** Whether docker, which has failed where tsbuild has not, makes the same image when it is asked `again`. tsbuild is not asked again: its chance is a fault. */
function isChance(circumstances: Circumstances, again: Outcome): boolean {
  const { tsbuild, base } = circumstances;
  if (!again.facts) return false;
  const now = { ...circumstances, docker: again };
  return compare([again, tsbuild], base).every((difference) => explain(difference, now) !== undefined);
}

function compare([docker, tsbuild]: readonly [Outcome, Outcome], base: readonly LayerFacts[]): Difference[] {
  if (docker.facts && tsbuild.facts) return differences(docker.facts, tsbuild.facts, base);
  if (docker.facts || tsbuild.facts)
    return [{ where: "build", docker: docker.error || "an image", tsbuild: tsbuild.error || "an image" }];
  return /this is a bug|InternalError/i.test(tsbuild.error)
    ? [crash(tsbuild)]
    : failureDifferences(docker.error, tsbuild.error);
}

function crash({ error }: Outcome): Difference {
  return { where: "crash", docker: "an error", tsbuild: error };
}

/** A step that docker took from its cache and tsbuild ran is a loss; the other way round is what early cut-off and fact keys are for. */
function cacheDifferences([docker, tsbuild]: readonly [Outcome, Outcome]): {
  readonly lost: readonly Difference[];
  readonly cutOff: number;
} {
  // What a build that fails does beside its failing step is chance.
  if (!docker.facts || !tsbuild.facts) return { lost: [], cutOff: 0 };
  const lost: Difference[] = [];
  let cutOff = 0;
  for (const [name, ended] of docker.steps) {
    const own = tsbuild.steps.get(name);
    if (ended === "cached" && own === "ran") lost.push({ where: `cache ${name}`, docker: ended, tsbuild: own });
    if (ended === "ran" && own === "cached") cutOff += 1;
  }
  return { lost, cutOff };
}

/** What a build of the same state did that it had no reason to do. */
function changes(before: Outcome, after: Outcome): Difference[] {
  const ran = [...after.steps].filter(([, ended]) => ended !== "cached");
  return [
    ...ran.map(([name, ended]) => ({ where: `cache ${name}`, docker: "cached", tsbuild: ended })),
    ...(before.digest === after.digest
      ? []
      : [{ where: "digest", docker: before.digest, tsbuild: after.digest || after.error }]),
  ];
}
