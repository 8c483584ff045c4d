import fc from "fast-check";
import { expect, test } from "vitest";
import { comparePaths } from "../../../../src/base/container-path.ts";
import { diffEntries } from "../../../../src/solve/file/describe.ts";
import type { LayerEntry } from "../../../../src/tree/entry.ts";
import { parseEntries } from "./golden.ts";

const before = parseEntries([
  "d dir 0755 0:0",
  'd/gone file 0644 0:0 "gone"',
  'd/run.sh file 0644 0:0 "run"',
  'd/same file 0644 0:0 @5 "same"',
  'd/text file 0644 0:0 "one"',
  "l symlink 0777 0:0 -> old",
  'x file 0644 0:0 "x"',
]);

test("how two lists of entries differ, in words; times do not count", () => {
  const after = parseEntries([
    "d dir 0755 7:8",
    'd/new file 0644 0:0 "new"',
    'd/run.sh file 0755 0:0 "run"',
    'd/same file 0644 0:0 @6 "same"',
    'd/text file 0600 0:0 "three"',
    "l symlink 0777 0:0 -> new",
    "x dir 0755 0:0",
  ]);
  expect(diffEntries(before, after).map(({ path, change }) => `${path}: ${change}`)).toEqual([
    "d: owner 0:0 -> 7:8",
    "d/new: added",
    "d/run.sh: mode 0644 -> 0755",
    "d/text: content changed, 3 -> 5 bytes, mode 0644 -> 0600",
    "l: target old -> new",
    "x: file -> dir",
    "d/gone: removed",
  ]);
  expect(diffEntries(before, before)).toEqual([]);
});

test("lists in the order of layers are compared as others are", () => {
  const lists = fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("a", "a-b", "a/b", "a/b/c", "b", "b/a", "c"),
      mode: fc.constantFrom(0o644, 0o755),
    }),
    { selector: ({ name }) => name },
  );
  const entriesOf = (list: readonly { readonly name: string; readonly mode: number }[]): LayerEntry[] =>
    list.map(({ name: path, mode }) => ({ path, type: "file", mode, uid: 0, gid: 0, size: 0, mtimeNs: 0n }));
  const inOrder = (entries: readonly LayerEntry[]): LayerEntry[] =>
    entries.toSorted((a, b) => comparePaths(a.path, b.path));
  const told = (a: readonly LayerEntry[], b: readonly LayerEntry[]): string[] =>
    diffEntries(a, b)
      .map(({ path, change }) => `${path}: ${change}`)
      .sort();
  fc.assert(
    fc.property(lists, lists, (one, other) => {
      const [a, b] = [entriesOf(one), entriesOf(other)];
      expect(told(inOrder(a), inOrder(b))).toEqual(told(inOrder(a).reverse(), inOrder(b).reverse()));
    }),
  );
});
