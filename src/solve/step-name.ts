// What a step is called in a sentence.
import type { Vertex } from "../graph/graph.ts";

const NAME_LENGTH = 60;

/** On one line, cut where it is long. */
export function shortName({ meta }: Vertex): string {
  const name = meta.name.replace(/\s+/g, " ");
  return name.length <= NAME_LENGTH ? name : `${name.slice(0, NAME_LENGTH - 1)}…`;
}
