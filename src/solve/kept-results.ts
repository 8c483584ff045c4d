// Early cut-off, told: which steps that ran again made what they had made before, and how many steps that use it did not have to run.
import type { Graph } from "../graph/graph.ts";
import type { Digest } from "../oci/digest.ts";
import type { ResultKept } from "../progress/events.ts";
import type { Layer } from "../rootfs/layer.ts";
import { isLinked, isStep } from "./lookups.ts";

/** A step that ran. */
export interface Rerun {
  readonly layer: Layer;
  /** What it had made before, where that is known. */
  readonly before: Layer | undefined;
}

export async function keptResults(graph: Graph, reruns: ReadonlyMap<Digest, Rerun>): Promise<readonly ResultKept[]> {
  const events: ResultKept[] = [];
  for (const [vertex, { layer, before }] of reruns) {
    if (!before || (before.id !== layer.id && (await before.contentId()) !== (await layer.contentId()))) continue;
    events.push({ kind: "result-kept", vertex, keptCount: keptAbove(graph, vertex, reruns) });
  }
  return events;
}

/** Steps that use what `from` made, directly or not, and did not run. */
function keptAbove(graph: Graph, from: Digest, reruns: ReadonlyMap<Digest, Rerun>): number {
  const using = new Set([from]);
  let count = 0;
  for (const vertex of graph.vertices.values()) {
    if (!isStep(vertex)) continue;
    const seen = isLinked(vertex) ? vertex.inputs.slice(1) : vertex.inputs;
    if (!seen.some((input) => input !== undefined && using.has(input))) continue;
    using.add(vertex.id);
    if (!reruns.has(vertex.id)) count++;
  }
  return count;
}
