import { expect, test } from "vitest";
import { describeManifest, diffManifests } from "../../../../src/solve/file/describe.ts";
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

test("what each path is, short enough to keep", () => {
  const links = parseEntries([
    'a file 4755 1:2 "a"',
    "b file 4755 1:2 = a",
    "c char 0600 0:0 1,3",
    "l symlink 0777 1:2 -> a",
  ]);
  expect(
    describeManifest([...links, { path: "w", type: "whiteout" }]).map(({ name, value }) => `${name} ${value}`),
  ).toEqual([
    "/a file 4755 1:2 ca978112ca1b",
    "/b file 4755 1:2 = /a",
    "/c char 0600 0:0 1,3",
    "/l symlink 1:2 -> a",
    "/w whiteout",
  ]);
});

test("how two manifests differ, in words; times do not count", () => {
  const after = parseEntries([
    "d dir 0755 7:8",
    'd/new file 0644 0:0 "new"',
    'd/run.sh file 0755 0:0 "run"',
    'd/same file 0644 0:0 @6 "same"',
    'd/text file 0600 0:0 "three"',
    "l symlink 0777 0:0 -> new",
    "x dir 0755 0:0",
  ]);
  expect(diffManifests(before, after)).toEqual([
    "/d: owner 0:0 -> 7:8",
    "/d/new was added",
    "/d/run.sh: mode 0644 -> 0755",
    "/d/text: content changed, 3 -> 5 bytes, mode 0644 -> 0600",
    "/l: target old -> new",
    "/x: file -> dir",
    "/d/gone was removed",
  ]);
  expect(diffManifests(before, before)).toEqual([]);
});

test("many differences are counted, not listed", () => {
  const many = parseEntries(Array.from({ length: 100 }, (_, i) => `f${i} file 0644 0:0 ""`));
  expect(diffManifests([], many)).toHaveLength(21);
  expect(diffManifests([], many).at(-1)).toBe("and 80 more");
});
