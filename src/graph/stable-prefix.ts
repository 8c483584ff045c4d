// The part of a graph that a build can do ahead of its context: everything up to the first vertex that stops it, in each stage. Pure.
import type { Digest } from "../oci/digest.ts";
import type { Graph, Vertex } from "./graph.ts";

/** The vertices that are not stopped and need nothing that is; inputs first. Sources that only stopped vertices would read are left out. */
export function stablePrefix(graph: Graph, isStopped: (vertex: Vertex) => boolean): Graph {
  const kept = new Map<Digest, Vertex>();
  for (const vertex of graph.vertices.values()) {
    const isReady = vertex.inputs.every((input) => input === undefined || kept.has(input));
    if (isReady && !isStopped(vertex)) kept.set(vertex.id, vertex);
  }
  return neededBy(
    kept,
    (vertex) => vertex.op.kind === "exec" || vertex.op.kind === "file" || vertex.op.kind === "image",
  );
}

/** The vertices of `stages`, with all that they need. */
export function onlyStages(graph: Graph, stages: ReadonlySet<string>): Graph {
  return neededBy(graph.vertices, ({ meta }) => stages.has(meta.stage.toLowerCase()));
}

function neededBy(vertices: ReadonlyMap<Digest, Vertex>, isRoot: (vertex: Vertex) => boolean): Graph {
  const needed = new Set<Digest>();
  for (const vertex of [...vertices.values()].toReversed()) {
    if (!isRoot(vertex) && !needed.has(vertex.id)) continue;
    needed.add(vertex.id);
    for (const input of vertex.inputs) if (input !== undefined) needed.add(input);
  }
  return { vertices: new Map([...vertices].filter(([id]) => needed.has(id))) };
}
