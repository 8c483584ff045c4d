// Urgency of vertices.
import { expect, test } from "vitest";
import { criticalPathLengths } from "../../../src/graph/critical-path.ts";
import { GraphBuilder } from "../../../src/graph/graph.ts";
import type { Digest } from "../../../src/oci/digest.ts";

test("a vertex is as urgent as the longest way from it to the end", () => {
  const builder = new GraphBuilder();
  const add = (name: string, ...inputs: (Digest | undefined)[]) =>
    builder.add({ kind: "local", name }, inputs, { name, stage: "", cache: "use", instruction: "" });
  const source = add("1");
  const short = add("2", source, undefined);
  const long = add("10", source);
  const end = add("4", short, long, long);
  const lengths = criticalPathLengths(builder.build([end]), ({ meta }) => Number(meta.name));
  expect([source, short, long, end].map((id) => lengths.get(id))).toEqual([15, 6, 14, 4]);
});

test("an empty graph has none", () => {
  expect(criticalPathLengths({ vertices: new Map() }, () => 1).size).toBe(0);
});
