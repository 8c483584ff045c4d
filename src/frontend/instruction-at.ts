// From a place in the text to the instruction that it lies in.
import type { Dockerfile, FromInstruction, Instruction } from "./ast.ts";

const known = new WeakMap<Dockerfile, readonly (Instruction | FromInstruction)[]>();

/** The instruction around an offset of the Dockerfile's text; undefined between two. Logarithmic. */
export function instructionAt(dockerfile: Dockerfile, offset: number): Instruction | FromInstruction | undefined {
  const nodes = nodesOf(dockerfile);
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nodes[middle]!.span.start <= offset) low = middle + 1;
    else high = middle;
  }
  const node = nodes[low - 1];
  return node !== undefined && offset <= endOf(node) ? node : undefined;
}

/** Offset after the last line of an instruction, empty continuations included. */
export function endOf(node: Instruction | FromInstruction): number {
  return Math.max(node.span.end, node.emptyContinuation?.last.end ?? 0);
}

function nodesOf(dockerfile: Dockerfile): readonly (Instruction | FromInstruction)[] {
  let nodes = known.get(dockerfile);
  if (!nodes) {
    nodes = [
      ...dockerfile.metaArgs,
      ...dockerfile.stages.flatMap(({ from, instructions }) => [from, ...instructions]),
    ].sort((a, b) => a.span.start - b.span.start);
    known.set(dockerfile, nodes);
  }
  return nodes;
}
