// Which step of an earlier build a step of this one is to be compared with: the same words in the same stage, else what stood between the same neighbours.
// So an instruction that was put in, taken out or edited does not make its neighbours look changed.
import type { Digest } from "../../oci/digest.ts";
import type { Vertex } from "../../graph/graph.ts";
import type { PastStep } from "../services.ts";

/** Vertex → the step that it was. */
export type Earlier = ReadonlyMap<Digest, PastStep>;

/** Pairs the steps of a graph (inputs first) with those of one earlier build. */
export function pairSteps(now: readonly Vertex[], before: readonly PastStep[]): Earlier {
  const pairs = new Map<Digest, PastStep>();
  const [stagesNow, stagesBefore] = [
    Map.groupBy(now, ({ meta }) => meta.stage),
    Map.groupBy(before, ({ stage }) => stage),
  ];
  for (const [stage, vertices] of stagesNow) pairStage(vertices, stagesBefore.get(stage) ?? [], pairs);
  pairElsewhere(now, before, pairs);
  return pairs;
}

function pairStage(now: readonly Vertex[], before: readonly PastStep[], pairs: Map<Digest, PastStep>): void {
  // Equal words first, in order.
  let from = 0;
  let gapNow: Vertex[] = [];
  let gapBefore: PastStep[] = [];
  const pairGap = (): void => {
    for (const vertex of gapNow) {
      const at = gapBefore.findIndex(({ op }) => op === vertex.op.kind);
      if (at < 0) continue;
      pairs.set(vertex.id, gapBefore[at]!);
      gapBefore = gapBefore.slice(at + 1);
    }
    gapNow = [];
  };
  for (const vertex of now) {
    const at = before.findIndex((step, index) => index >= from && isSameText(vertex, step));
    if (at < 0) {
      gapNow.push(vertex);
      continue;
    }
    gapBefore = before.slice(from, at);
    pairGap();
    pairs.set(vertex.id, before[at]!);
    from = at + 1;
  }
  gapBefore = before.slice(from);
  pairGap();
}

/** A stage that has got another name, or a step that has moved. */
function pairElsewhere(now: readonly Vertex[], before: readonly PastStep[], pairs: Map<Digest, PastStep>): void {
  const taken = new Set(pairs.values());
  for (const vertex of now) {
    if (pairs.has(vertex.id)) continue;
    const step = before.find((candidate) => !taken.has(candidate) && isSameText(vertex, candidate));
    if (!step) continue;
    taken.add(step);
    pairs.set(vertex.id, step);
  }
}

function isSameText({ op, meta }: Vertex, step: PastStep): boolean {
  return step.op === op.kind && step.instruction === meta.instruction;
}
