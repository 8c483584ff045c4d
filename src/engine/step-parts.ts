// A step of this build as a cache describes it: names and digests.
import { shortDigestOf, type StepParts } from "../cache/step-parts.ts";
import type { KeyPart } from "../progress/events.ts";
import type { Vertex } from "../graph/graph.ts";

export function stepParts({
  vertex,
  parts,
}: {
  readonly vertex: Vertex;
  readonly parts: readonly KeyPart[];
}): StepParts {
  const { stage, instruction, name } = vertex.meta;
  return {
    stage,
    op: vertex.op.kind,
    place: Number(/(\d+)\/\d+\]/.exec(name)?.[1] ?? 0),
    text: shortDigestOf(instruction),
    parts: parts.map(({ name, value }) => [name, shortDigestOf(value)]),
  };
}
