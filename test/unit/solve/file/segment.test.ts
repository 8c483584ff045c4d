// The list of a layer that is made of parts of others.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { comparePaths } from "../../../../src/base/container-path.ts";
import { MergedEntries } from "../../../../src/solve/file/segment.ts";
import type { LayerEntry } from "../../../../src/tree/entry.ts";

const path = fc
  .array(fc.constantFrom("a", "b", "a-b", "c", "d"), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"));
const list = fc.uniqueArray(path, { maxLength: 15 }).map((paths) => paths.sort(comparePaths));

test("sorted lists are one sorted list, and the first that has a path says what is there", () => {
  fc.assert(
    fc.property(fc.array(list, { maxLength: 4 }), (lists) => {
      const entries = lists.map((paths, mode) =>
        paths.map((one): LayerEntry => ({ path: one, type: "dir", mode, uid: 0, gid: 0, size: 0, mtimeNs: 0n })),
      );
      const first = new Map(entries.toReversed().flatMap((one) => one.map((entry) => [entry.path, entry])));
      const expected = [...first.values()].sort((a, b) => comparePaths(a.path, b.path));
      const merged = new MergedEntries(entries);
      expect([...merged]).toEqual(expected);
      expect(merged.length).toBe(expected.length);
      for (const [index, entry] of expected.entries()) {
        expect(merged.at(index)).toBe(entry);
        const origin = merged.originOf(index);
        expect(entries[origin.list]![origin.index]).toBe(entry);
      }
      expect(merged.at(expected.length)).toBeUndefined();
    }),
  );
});
