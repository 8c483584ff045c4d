// `tsbuild why`: finds a recorded build and, in it, a step by its number, its stage and number, or a part of its name.
import { BuildError } from "../diagnostics/build-error.ts";
import type { Store } from "../store/store.ts";
import type { BuildRecord, StepRecord } from "./build-record.ts";
import { readRecords } from "./past-builds.ts";

/** The last recorded build, or the one whose ref begins with `ref`. Fails with "usage" where there is none, or several. */
export function findBuild(store: Store, ref: string | undefined): BuildRecord {
  const found: BuildRecord[] = [];
  for (const record of readRecords(store, (name) => ref === undefined || name.ref.startsWith(ref))) {
    found.push(record);
    if (ref === undefined || found.length > 1) break;
  }
  const [record, other] = found;
  if (!record)
    throw new BuildError("usage", ref === undefined ? "no build has been recorded yet" : `no recorded build ${ref}`, {
      help: ref === undefined ? "build something first" : "tsbuild why --list shows the recorded builds",
    });
  if (other && ref !== undefined && record.ref !== ref)
    throw new BuildError("usage", `${ref} is the beginning of several builds: ${record.ref}, ${other.ref}`, {
      help: "write more of it",
    });
  return record;
}

/** Steps of the Dockerfile: everything else is no instruction. */
export function stepsOf(record: BuildRecord): readonly StepRecord[] {
  return record.steps.filter(({ name }) => /^\[(?!internal\])[^\]]*\d+\/\d+\]/.test(name));
}

/**
 * Steps that `text` names: `2` (in every stage), `2/4`, `build 2`, `build 2/4`, else a part of the name without regard to case.
 * Fails with "usage" where none is meant.
 */
export function findSteps(record: BuildRecord, text: string): readonly StepRecord[] {
  const steps = stepsOf(record);
  const place = /^(?:(\S+)\s+)?(\d+)(?:\/(\d+))?$/.exec(text.trim());
  const found = place
    ? steps.filter(({ name }) => {
        const [, stage, index, total] = /^\[(?:.*?([^\s\]]+)\s+)?(\d+)\/(\d+)\]/.exec(name.replace(/\[\s+/, "[")) ?? [];
        const isStage = place[1] === undefined || place[1].toLowerCase() === stage?.toLowerCase();
        return isStage && Number(index) === Number(place[2]) && (place[3] === undefined || place[3] === total);
      })
    : steps.filter(({ name, instruction }) =>
        `${name}\n${instruction}`.toLowerCase().includes(text.trim().toLowerCase()),
      );
  if (found.length > 0) return found;
  throw new BuildError("usage", `no step ${JSON.stringify(text)} in build ${record.ref}`, {
    help: steps.length === 0 ? "it has no steps" : `its steps are ${steps.map(({ name }) => name).join(", ")}`,
  });
}
