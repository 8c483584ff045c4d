// Stages that --no-cache-filter names and the Dockerfile has not: the build would be as without the flag, and nobody would know (reference Q31).
import { suggest } from "../base/suggest.ts";
import type { StageSummary } from "../plan/options.ts";
import type { EventSink } from "../progress/events.ts";

/** Tells of each of `names` that no stage has. No failure, as in BuildKit: one set of flags may serve several Dockerfiles. */
export function noteUnknownStages(
  names: readonly string[],
  stages: readonly Pick<StageSummary, "name">[],
  onEvent: EventSink,
): void {
  const known = stages.flatMap(({ name }) => name ?? []);
  const folded = new Set(known.map((name) => name.toLowerCase()));
  for (const name of names) {
    if (folded.has(name.toLowerCase())) continue;
    const near = suggest(name, known);
    const remedy = near === undefined ? "name it by FROM … AS NAME" : `did you mean "${near}"?`;
    onEvent({ kind: "notice", message: `--no-cache-filter ${name}: no stage is called so; ${remedy}` });
  }
}
