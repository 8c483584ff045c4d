// Upper directories as layers: the same tree with fewer words, and without opaque marks.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { comparePaths, parentPath } from "../../../src/base/container-path.ts";
import { changesOf } from "../../../src/rootfs/changes.ts";
import { RootfsView } from "../../../src/rootfs/view.ts";
import type { Entry, LayerEntry } from "../../../src/tree/entry.ts";
import type { Tree } from "../../../src/tree/tree.ts";
import { formatEntries, parseEntries } from "../solve/file/golden.ts";

function said(lines: readonly string[]): LayerEntry[] {
  let first: Entry | undefined;
  return lines.map((line): LayerEntry => {
    const [path = "", type = ""] = line.split(" ");
    if (type === "whiteout") return { path, type };
    if (type === "link") return { ...first!, path, hardlink: first!.path };
    const [entry] = parseEntries([line.replace(" opaque ", " dir ")]);
    first ??= entry;
    return type === "opaque" ? { ...entry!, opaque: true } : entry!;
  });
}

function view(...layers: readonly (readonly LayerEntry[])[]): RootfsView {
  return new RootfsView(layers.map((entries) => ({ entries: async () => entries, locate: () => Promise.reject() })));
}

async function changes(below: readonly string[], upper: readonly string[]) {
  const entries = await changesOf({ entries: said(upper), below: view(said(below)) });
  return entries.map((entry) => `${entry.path}${entry.type === "whiteout" ? " whiteout" : ""}`);
}

test("T07, T20: what a step copied up and left as it was is no change, nor is its directory", async () => {
  const below = ["d dir 0755 0:0", 'd/f file 0644 0:0 @5 "x"', "e dir 0700 1:1", 'e/g file 0644 0:0 @5 "y"'];
  expect(await changes(below, below)).toEqual([]);
  expect(await changes(below, [...below.slice(0, 3), 'e/g file 0600 0:0 @5 "y"'])).toEqual(["e", "e/g"]);
  expect(await changes(below, ["d dir 0755 0:0", 'd/f file 0644 0:0 @6 "x"'])).toEqual(["d", "d/f"]);
  expect(await changes(below, ["d dir 0711 0:0"])).toEqual(["d"]);
  // the time of a directory changes with what comes and goes in it
  expect(await changes(["d dir 0755 0:0 @5"], ["d dir 0755 0:0 @6"])).toEqual([]);
});

test("T12, T13: what keeps its size and time, but not its content, target, owner or mode, is a change", async () => {
  const below = ["d dir 0755 5:6", 'd/f file 0644 0:0 @5 "x"', "d/l symlink 0777 0:0 @5 -> a", "d/s dir 0755 0:0"];
  for (const changed of [
    'd/f file 0644 0:0 @5 "y"',
    'd/f file 0644 1:0 @5 "x"',
    'd/f file 0644 0:1 @5 "x"',
    'd/f file 0600 0:0 @5 "x"',
    "d/l symlink 0777 0:0 @5 -> b",
    "d/l symlink 0777 1:0 @5 -> a",
    "d/s dir 0755 0:1",
    "d/s dir 1755 0:0",
  ]) {
    const path = changed.split(" ")[0]!;
    const upper = below.map((line) => (line.startsWith(`${path} `) ? changed : line));
    expect([changed, await changes(below, upper)]).toEqual([changed, ["d", path]]);
  }
});

test("T01, T20: what was removed and made again as it was is no change; in a directory that is new nothing is looked for below", async () => {
  const below = ["d dir 0755 0:0", 'd/f file 0644 0:0 @5 "x"', "e dir 0755 0:0", "l symlink 0777 0:0 @5 -> a"];
  expect(await changes(below, ["d opaque 0755 0:0", ...below.slice(1, 2), "e opaque 0755 0:0", below[3]!])).toEqual([]);
  expect(await changes(below, ["e opaque 0755 0:0", 'e/new file 0644 0:0 "n"'])).toEqual(["e", "e/new"]);
  const asked: string[] = [];
  const base = view(said(below));
  const spied: Tree = {
    lstat: (path) => (asked.push(path), base.lstat(path)),
    readdir: (path) => base.readdir(path),
    walk: (path) => base.walk(path),
    locate: (entry) => base.locate(entry),
  };
  const upper = said(["d dir 0755 0:0", "d/new dir 0755 0:0", 'd/new/f file 0644 0:0 "f"', "d/new/s dir 0755 0:0"]);
  await changesOf({ entries: upper, below: spied });
  expect(asked).toEqual(["d", "d/new"]);
});

test("T04: the names of one file are said together, or not at all", async () => {
  const below = ['f file 0644 0:0 @5 "x"', "g link", 'h file 0644 0:0 @5 "x"'];
  expect(await changes(below, below.slice(0, 2))).toEqual([]);
  // One of them by itself is as it was, whoever else has the same bytes.
  expect(await changes(below, ['g file 0644 0:0 @5 "x"'])).toEqual([]);
  expect(await changes(below, [...below.slice(0, 2), "h link"])).toEqual(["f", "g", "h"]);
  expect(await changes(below, ['f file 0600 0:0 @5 "x"', "g link"])).toEqual(["f", "g"]);
});

test("T04: both names of a file that got a second one stay", async () => {
  const below = ['f file 0644 0:0 "x"'];
  const upper = [...below, "g link"];
  expect(await changes(below, upper)).toEqual(["f", "g"]);
  // also where the second name was an equal file before
  expect(await changes([...below, 'g file 0644 0:0 "x"'], upper)).toEqual(["f", "g"]);
});

test("T05, T11: a directory that was made again hides name by name, at every depth", async () => {
  const below = [
    "d dir 0755 0:0",
    'd/gone file 0644 0:0 "g"',
    'd/kept file 0644 0:0 "k"',
    "d/sub dir 0755 0:0",
    'd/sub/gone file 0644 0:0 "g"',
    'f file 0644 0:0 "f"',
  ];
  const upper = [
    "d opaque 0755 0:0",
    'd/kept file 0644 0:0 "new"',
    "d/new dir 0755 0:0",
    "d/sub dir 0755 0:0",
    "f opaque 0755 0:0",
    'f/in file 0644 0:0 "i"',
  ];
  expect(await changes(below, upper)).toEqual([
    "d",
    "d/gone whiteout",
    "d/kept",
    "d/new",
    "d/sub",
    "d/sub/gone whiteout",
    "f",
    "f/in",
  ]);
});

test("what was moved out of a directory and into its successor stays", async () => {
  const below = ["d dir 0755 0:0", 'd/f file 0644 0:0 "x"', 'd/g file 0644 0:0 "x"'];
  const upper = ["d opaque 0755 0:0", 'd/f file 0644 0:0 "x"'];
  expect(await changes(below, upper)).toEqual(["d", "d/g whiteout"]);
});

test("any upper directory shows the same tree, and nothing in it is opaque", async () => {
  const paths = fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const layer = (...kinds: string[]) =>
    fc.uniqueArray(fc.tuple(paths, fc.constantFrom(...kinds)), { selector: ([path]) => path }).map((items) => {
      const kindOf = new Map(items);
      const isUnderDirectory = (path: string): boolean =>
        path === "" || (/^(dir|opaque)/.test(kindOf.get(path) ?? "") && isUnderDirectory(parentPath(path)));
      const whole = items.filter(([path]) => isUnderDirectory(parentPath(path)));
      return whole.sort(([a], [b]) => comparePaths(a, b)).map(([path, kind]) => `${path} ${kind}`);
    });
  const [file, other, dir] = ['file 0644 0:0 "x"', 'file 0644 0:0 "y"', "dir 0755 0:0"];
  const lower = layer(file, dir, dir, "symlink 0777 0:0 -> x");
  const upper = layer(file, other, dir, dir, "dir 0700 0:0", "opaque 0755 0:0", "whiteout");
  await fc.assert(
    fc.asyncProperty(lower, upper, async (below, changed) => {
      const [base, entries] = [said(below), said(changed)];
      const result = await changesOf({ entries, below: view(base) });
      expect(formatEntries([...(await view(base, result).walk(""))])).toEqual(
        formatEntries([...(await view(base, entries).walk(""))]),
      );
      expect(result.some((entry) => entry.type !== "whiteout" && entry.opaque)).toBe(false);
      expect(result.map(({ path }) => path)).toEqual(result.map(({ path }) => path).toSorted(comparePaths));
    }),
    { numRuns: 500 },
  );
});
