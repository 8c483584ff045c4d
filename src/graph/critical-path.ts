// How urgent each vertex is: the length of the longest way from its start to the end of the build. Pure.
import type { Digest } from "../oci/digest.ts";
import type { Graph, Vertex } from "./graph.ts";

/** Vertex → its duration plus the longest sum of durations among those that wait for it. `durationOf` gives any unit, not negative. */
export function criticalPathLengths(graph: Graph, durationOf: (vertex: Vertex) => number): Map<Digest, number> {
  const waiting = new Map<Digest, number>();
  const lengths = new Map<Digest, number>();
  // Inputs come before those who use them, so backwards every vertex is met after all that wait for it.
  for (const vertex of [...graph.vertices.values()].toReversed()) {
    const length = durationOf(vertex) + (waiting.get(vertex.id) ?? 0);
    lengths.set(vertex.id, length);
    for (const input of vertex.inputs) {
      if (input !== undefined) waiting.set(input, Math.max(waiting.get(input) ?? 0, length));
    }
  }
  return lengths;
}
