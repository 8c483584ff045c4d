// Stacked layers against the plainest model there is: apply one after the other to a map.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { comparePaths, parentPath } from "../../../src/base/container-path.ts";
import { RootfsView, type LayerSource } from "../../../src/rootfs/view.ts";
import type { Entry, LayerEntry } from "../../../src/tree/entry.ts";
import { formatEntries, parseEntries } from "../solve/file/golden.ts";

interface CountedLayer extends LayerSource {
  readonly calls: number;
}

function layer(entries: readonly LayerEntry[]): CountedLayer {
  let calls = 0;
  return {
    get calls() {
      return calls;
    },
    entries: async () => {
      calls++;
      return entries;
    },
    locate: async (entry) => ({ kind: "host", path: `/layer/${entry.path}` }),
  };
}

const said = (...lines: string[]): LayerEntry[] =>
  lines.map((line) => {
    const [path = "", type] = line.split(" ");
    if (type === "whiteout") return { path, type };
    if (type === "opaque") return { ...parseEntries([`${path} dir 0755 0:0`])[0]!, opaque: true };
    return parseEntries([line])[0]!;
  });

const root: Entry = { path: "", type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n };

/** The stack as a map, the slow and obvious way. */
function applied(layers: readonly (readonly LayerEntry[])[]): Entry[] {
  const state = new Map<string, Entry>([["", root]]);
  const remove = (path: string, itself: boolean): void => {
    for (const other of state.keys())
      if (other.startsWith(`${path}/`) || (itself && other === path)) state.delete(other);
  };
  const makeParents = (path: string): void => {
    if (path === "" || state.get(path)?.type === "dir") return;
    makeParents(parentPath(path));
    remove(path, true);
    state.set(path, { ...root, path });
  };
  for (const entries of layers) {
    for (const entry of entries)
      if (entry.type === "whiteout" || entry.opaque) remove(entry.path, entry.type === "whiteout");
    for (const entry of [...entries].sort((a, b) => comparePaths(a.path, b.path))) {
      if (entry.type === "whiteout") continue;
      const { opaque: _opaque, ...plain } = entry as Entry & { opaque?: true };
      makeParents(parentPath(entry.path));
      if (entry.type !== "dir" || state.get(entry.path)?.type !== "dir") remove(entry.path, true);
      state.set(entry.path, plain);
    }
  }
  return [...state.values()].sort((a, b) => comparePaths(a.path, b.path));
}

const names = fc.constantFrom("a", "b", "a-b", "c");
const paths = fc.array(names, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const kinds = fc.constantFrom("file", "dir", "dir", "opaque", "whiteout", "symlink");
const layers = fc.array(fc.tuple(paths, kinds, fc.integer({ min: 0, max: 0o777 })), { maxLength: 12 }).map((items) => {
  const unique = new Map(items.map(([path, kind, mode]) => [path, { path, kind, mode }]));
  const isUnderDirectory = (path: string): boolean => {
    for (let at = parentPath(path); at !== ""; at = parentPath(at)) {
      const kind = unique.get(at)?.kind;
      if (kind !== undefined && kind !== "dir" && kind !== "opaque") return false;
    }
    return true;
  };
  return [...unique.values()]
    .filter(({ path }) => isUnderDirectory(path))
    .flatMap(({ path, kind, mode }) => {
      const octal = mode.toString(8).padStart(4, "0");
      if (kind === "file") return said(`${path} file ${octal} 0:0 "${octal}"`);
      if (kind === "symlink") return said(`${path} symlink 0777 0:0 -> ${octal}`);
      return kind === "dir" ? said(`${path} dir ${octal} 0:0`) : said(`${path} ${kind}`);
    });
});

test("any stack shows what applying its layers one by one shows: walk, lstat and readdir agree", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(layers, { maxLength: 4 }), async (stack) => {
      const view = new RootfsView(stack.map(layer));
      const expected = applied(stack);
      expect(formatEntries([...(await view.walk(""))])).toEqual(formatEntries(expected));
      for (const entry of expected) expect(await view.lstat(entry.path)).toEqual(entry);
      const there = new Set(expected.map(({ path }) => path));
      for (const path of stack.flat().map((entry) => entry.path)) {
        if (!there.has(path)) expect(await view.lstat(path)).toBeUndefined();
      }
      for (const { path, type } of expected) {
        if (type !== "dir") continue;
        const inside = expected.filter((other) => other.path !== "" && parentPath(other.path) === path);
        expect((await view.readdir(path)).map((name) => (path === "" ? name : `${path}/${name}`))).toEqual(
          inside.map((other) => other.path),
        );
      }
    }),
    { numRuns: 300 },
  );
});

test("a look-up lists no layer below the one that decides it", async () => {
  const base = layer(said("app dir 0700 1:1", 'app/x file 0644 0:0 "x"', 'gone/y file 0644 0:0 "y"'));
  const upper = layer(
    said("app dir 0755 0:0", 'app/new file 0644 0:0 "n"', "gone whiteout", "opq opaque", 'f file 0644 0:0 "f"'),
  );
  const view = new RootfsView([base, upper]);
  expect((await view.lstat("app"))?.mode).toBe(0o755);
  expect((await view.lstat("app/new"))?.type).toBe("file");
  expect(await view.lstat("gone")).toBeUndefined();
  expect(await view.lstat("gone/y")).toBeUndefined();
  expect(await view.lstat("opq/anything/below")).toBeUndefined();
  expect(await view.lstat("f/x")).toBeUndefined();
  expect(await view.readdir("opq")).toEqual([]);
  expect(base.calls).toBe(0);
  expect((await view.lstat("app/x"))?.type).toBe("file");
  expect(base.calls).toBe(1);
});

test("views of the same layers share what they know of them; a layer that failed to list is asked again", async () => {
  const base = layer(said('a file 0644 0:0 "a"'));
  await new RootfsView([base]).walk("");
  await new RootfsView([base, layer([])]).lstat("a");
  expect(base.calls).toBe(1);
  let isBroken = true;
  const flaky: LayerSource = { ...base, entries: () => (isBroken ? Promise.reject(new Error("no")) : base.entries()) };
  const view = new RootfsView([flaky]);
  await expect(view.lstat("a")).rejects.toThrow("no");
  isBroken = false;
  expect(await view.lstat("a")).toBeDefined();
});

test("the view of scratch has its root and nothing else", async () => {
  const view = new RootfsView([]);
  expect(view.isScratch).toBe(true);
  expect(await view.lstat("")).toEqual(root);
  expect(await view.readdir("")).toEqual([]);
  expect(await view.walk("")).toEqual([root]);
  expect(await view.lstat("a")).toBeUndefined();
  expect(await view.walk("a")).toEqual([]);
});

test("T04 hard links: names are one inode only as long as no layer above replaced the first of them", async () => {
  const links = parseEntries(['a file 0644 0:0 "same"', "b file 0644 0:0 = a", "c file 0644 0:0 = a"]);
  const plain = new RootfsView([layer(links)]);
  expect(formatEntries([...(await plain.walk(""))]).slice(1)).toEqual([
    'a file 0644 0:0 "same"',
    "b file 0644 0:0 = a",
    "c file 0644 0:0 = a",
  ]);
  const replaced = new RootfsView([layer(links), layer(said('a file 0600 0:0 "other"'))]);
  const expected = ['a file 0600 0:0 "other"', 'b file 0644 0:0 "same"', "c file 0644 0:0 = b"];
  expect(formatEntries([...(await replaced.walk(""))]).slice(1)).toEqual(expected);
  const looked = await Promise.all(["a", "b", "c"].map(async (path) => (await replaced.lstat(path))!));
  expect(formatEntries(looked)).toEqual(expected);
});

test("an opaque directory of a layer is an ordinary directory of the view", async () => {
  const view = new RootfsView([
    layer(said('d/old file 0644 0:0 "o"')),
    layer(said("d opaque", 'd/new file 0644 0:0 "n"')),
  ]);
  expect(await view.lstat("d")).not.toHaveProperty("opaque");
  expect([...(await view.walk("d"))].map((entry) => [entry.path, "opaque" in entry])).toEqual([
    ["d", false],
    ["d/new", false],
  ]);
});

test("walk leaves out what keep says: a skipped directory is still entered, a pruned one is not", async () => {
  const view = new RootfsView([
    layer(said("a dir 0755 0:0", 'a/f file 0644 0:0 "f"', "b dir 0755 0:0", 'b/f file 0644 0:0 "f"')),
  ]);
  const seen: string[] = [];
  const entries = await view.walk("", (path) => {
    seen.push(path);
    return path === "a" ? "skip" : path === "b" ? "prune" : "keep";
  });
  expect(Array.from(entries, ({ path }) => path)).toEqual(["", "a/f"]);
  expect(seen).toEqual(["", "a", "a/f", "b"]);
});

test("bytes are asked of the layer that has the file", async () => {
  const lower: LayerSource = {
    ...layer(said('a file 0644 0:0 "a"', 'b file 0644 0:0 "b"')),
    locate: async () => ({ kind: "host", path: "/lower" }),
  };
  const upper: LayerSource = {
    ...layer(said('b file 0644 0:0 "B"')),
    locate: async () => ({ kind: "host", path: "/upper" }),
  };
  const view = new RootfsView([lower, upper]);
  const place = async (path: string) => {
    const { bytes: _bytes, ...entry } = (await view.lstat(path))!;
    return view.locate(entry);
  };
  expect(await place("a")).toEqual({ kind: "host", path: "/lower" });
  expect(await place("b")).toEqual({ kind: "host", path: "/upper" });
});
