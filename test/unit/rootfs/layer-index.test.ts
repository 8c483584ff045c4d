// A layer of many entries is looked up without a table of them, and says the same.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { comparePaths, parentPath } from "../../../src/base/container-path.ts";
import { LayerIndex } from "../../../src/rootfs/layer-index.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";

const path = fc
  .array(fc.constantFrom("a", "b", "a-b", "c"), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join("/"));
const entry = fc.tuple(path, fc.constantFrom("file", "dir", "whiteout", "opaque")).map(([name, kind]): LayerEntry => {
  if (kind === "whiteout") return { path: name, type: "whiteout" };
  const common = { path: name, mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n };
  if (kind === "file") return { ...common, type: "file" };
  return kind === "dir" ? { ...common, type: "dir" } : { ...common, type: "dir", opaque: true };
});
const layer = fc
  .uniqueArray(entry, { maxLength: 20, selector: (one) => one.path })
  .map((entries) => entries.sort((a, b) => comparePaths(a.path, b.path)));

test("with and without a table every question has the same answer", () => {
  fc.assert(
    fc.property(layer, fc.array(path), (entries, others) => {
      const table = new LayerIndex(entries);
      const sorted = new LayerIndex(entries, 0);
      for (const one of ["", ...entries.map((known) => known.path), ...others]) {
        for (const asked of [one, parentPath(one)]) {
          expect(sorted.get(asked)).toEqual(table.get(asked));
          expect(sorted.implies(asked)).toBe(table.implies(asked));
          expect(sorted.hides(asked)).toBe(table.hides(asked));
          expect([...sorted.pathsIn(asked)].sort()).toEqual([...table.pathsIn(asked)].sort());
        }
      }
    }),
    { numRuns: 300 },
  );
});
