// What the fixtures cannot hold: --parents, where tsbuild means something else than BuildKit 0.25, and how the work is done.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { comparePaths, parentPath } from "../../../../src/base/container-path.ts";
import { RootfsView, type LayerSource } from "../../../../src/rootfs/view.ts";
import { planCopy } from "../../../../src/solve/file/copy.ts";
import type { Entry, LayerEntry } from "../../../../src/tree/entry.ts";
import { copyManifest, formatEntries, MemoryTree, parseEntries } from "./golden.ts";
import { copy, copyAction, layerOf, options, SOURCE, type CopyText } from "./rig.ts";

const { signal } = new AbortController();

describe("C13 --parents", () => {
  const parents = (...from: string[]): CopyText => ({ from, parents: true });
  const paths = async (text: CopyText, below?: readonly string[]): Promise<string[]> =>
    (await copy(text, SOURCE, below)).map((line) => line.split(" ")[0]!);

  test("directories on the way to a file are copied with their attributes, the destination is root's", async () => {
    expect(await copy(parents("/a/b/c/f", "top"), SOURCE)).toEqual([
      "n dir 0755 0:0",
      "n/a dir 0710 1:1",
      "n/a/b dir 0720 1:2",
      "n/a/b/c dir 0730 1:3",
      'n/a/b/c/f file 0640 1:4 "f"',
      'n/top file 0644 0:0 "top"',
    ]);
  });

  test("a directory that is there takes the mode of the source and keeps its owner", async () => {
    expect(await copy(parents("a/b/g"), SOURCE, ["n dir 0700 9:9", "n/a dir 0700 9:8"])).toEqual([
      "n dir 0700 9:9",
      "n/a dir 0710 9:8",
      "n/a/b dir 0720 1:2",
      'n/a/b/g file 0644 0:0 "g"',
    ]);
  });

  test.for([
    [
      "a/b**/f",
      ["n", "n/a", "n/a/b", "n/a/b/c", "n/a/b/c/e", "n/a/b/c/e/f", "n/a/b/c/f", "n/a/b2", "n/a/b2/c", "n/a/b2/c/f"],
    ],
    ["a/b/./c", ["n", "n/c", "n/c/e", "n/c/e/f", "n/c/f"]],
    ["/a/b/c/.", ["n", "n/a", "n/a/b", "n/a/b/c", "n/a/b/c/e", "n/a/b/c/e/f", "n/a/b/c/f"]],
    ["a/./b/./c/f", ["n", "n/b", "n/b/c", "n/b/c/f"]],
    ["a/b/c/./", ["n", "n/e", "n/e/f", "n/f"]],
    ["./a/b/g", ["n", "n/a", "n/a/b", "n/a/b/g"]],
    ["a/./*/c/f", ["n", "n/b", "n/b/c", "n/b/c/f", "n/b2", "n/b2/c", "n/b2/c/f"]],
    ["a/b*/./c/**/f", ["n", "n/c", "n/c/e", "n/c/e/f", "n/c/f"]],
    [
      "**/f",
      ["n", "n/a", "n/a/b", "n/a/b/c", "n/a/b/c/e", "n/a/b/c/e/f", "n/a/b/c/f", "n/a/b2", "n/a/b2/c", "n/a/b2/c/f"],
    ],
    ["a/**/e", ["n", "n/a", "n/a/b", "n/a/b/c", "n/a/b/c/e", "n/a/b/c/e/f"]],
    ["*/g", ["n"]],
    ["a/b*/g", ["n", "n/a", "n/a/b", "n/a/b/g"]],
    ["a/l", ["n", "n/a", "n/a/l"]],
  ] as const)("%s takes %j", async ([pattern, expected]) => {
    expect(await paths(parents(pattern))).toEqual(expected);
  });

  test("a path without wildcards must be there, and not only behind a symlink", async () => {
    const failure = {
      code: "source",
      message: expect.stringContaining('of ref context: "/a/zz": not found') as string,
    };
    await expect(copy(parents("a/zz"), SOURCE)).rejects.toMatchObject(failure);
    await expect(copy(parents("a/./zz"), SOURCE)).rejects.toMatchObject(failure);
    await expect(copy(parents("a/l/g"), SOURCE)).rejects.toThrow('"/a/l/g": not found');
  });

  test("T32 --exclude is relative to the pivot, and what is excluded need not be copied to exist", async () => {
    expect(await paths({ ...parents("a/./b"), exclude: ["b/c"] })).toEqual(["n", "n/b", "n/b/g"]);
    expect(await paths({ ...parents("a/b/g"), exclude: ["a/b"] })).toEqual(["n"]);
  });

  test("--chown and --chmod reach the directories that are made", async () => {
    const lines = await copy({ ...parents("a/b/g"), chown: "7:8", chmod: "0750" }, SOURCE, [
      "n dir 0755 0:0",
      "n/a dir 0700 9:9",
    ]);
    expect(lines).toEqual(["n dir 0755 0:0", "n/a dir 0710 9:9", "n/a/b dir 0750 7:8", 'n/a/b/g file 0750 7:8 "g"']);
  });
});

describe("other than BuildKit 0.25", () => {
  test("C14 --exclude also leaves out what a wildcard matches (BuildKit's documentation; its code does not, moby/buildkit#5489)", async () => {
    const input = [
      'home.txt file 0644 0:0 "t"',
      'home.md file 0644 0:0 "m"',
      "homes dir 0755 0:0",
      'homes/x.txt file 0644 0:0 "x"',
    ];
    expect(await copy({ from: ["hom*"], exclude: ["*.txt"] }, input)).toEqual([
      "n dir 0755 0:0",
      'n/home.md file 0644 0:0 "m"',
    ]);
    expect(await copy({ from: ["hom*"], exclude: ["homes"] }, input)).not.toContain('n/x.txt file 0644 0:0 "x"');
    expect(await copy({ from: ["home.txt"], exclude: ["*.txt"] }, input)).toContain('n/home.txt file 0644 0:0 "t"');
  });

  test("C14 an --exclude that is no pattern is named", async () => {
    await expect(copy({ from: ["."], exclude: ["ok", "[a"] }, ['f file 0644 0:0 "f"'])).rejects.toMatchObject({
      code: "source",
      message: "invalid excludepatterns: [ok [a]: syntax error in pattern",
      help: 'write "[a" as a .dockerignore pattern',
    });
  });

  test("T32 --exclude does not trip over a symlink that leads nowhere (moby/buildkit#4946)", async () => {
    const input = ['a file 0644 0:0 "a"', "dead symlink 0777 0:0 -> nope"];
    expect(await copy({ from: ["."], exclude: ["a"] }, input)).toEqual([
      "n dir 0755 0:0",
      "n/dead symlink 0777 0:0 -> nope",
    ]);
  });

  test("C09 a block device stays one", async () => {
    expect(await copy({ from: ["d"] }, ["d dir 0755 0:0", "d/b block 0660 0:6 7,0"])).toContain(
      "n/b block 0660 0:6 7,0",
    );
  });

  test("C10 numbers above 2^31 are numbers, those that are no id are refused", async () => {
    const input = ['f file 0644 0:0 "f"'];
    expect(await copy({ from: ["f"], chown: "4294967294" }, input)).toContain(
      'n/f file 0644 4294967294:4294967294 "f"',
    );
    for (const chown of ["-1", "4294967295", "0:4294967296"]) {
      await expect(copy({ from: ["f"], chown }, input)).rejects.toMatchObject({ code: "source" });
    }
  });

  test("AD02 T28 a directory of an archive goes through a symlink to a directory, as newer BuildKits do, and does not replace it", async () => {
    const archive = parseEntries(["bin dir 0700 1:1", 'bin/x file 0600 1:1 "x"']);
    const open = {
      ...options(
        ['a.tar file 0644 0:0 "a"'],
        ["usr dir 0755 0:0", "usr/bin dir 0755 0:0", "bin symlink 0777 0:0 -> usr/bin"],
      ),
    };
    const layer = await copyManifest(copyAction({ from: ["a.tar"], dest: "/", unpack: "auto" }), {
      ...open,
      openArchive: async () => ({ walk: async () => archive, locate: async (entry) => entry.bytes! }),
    });
    expect(formatEntries(layer)).toEqual(["usr dir 0755 0:0", "usr/bin dir 0700 1:1", 'usr/bin/x file 0600 1:1 "x"']);
  });
});

test("T17 setuid, setgid and sticky stay, on what is copied and on what it is copied into, with --chown too", async () => {
  const input = ["d dir 0755 0:0", 'd/f file 6755 1:2 "f"', "d/s dir 3775 3:4"];
  expect(await copy({ from: ["d"], dest: "/n" }, input)).toEqual([
    "n dir 0755 0:0",
    'n/f file 6755 1:2 "f"',
    "n/s dir 3775 3:4",
  ]);
  expect(await copy({ from: ["d"], dest: "/n", chown: "7:8" }, input)).toEqual([
    "n dir 0755 7:8",
    'n/f file 6755 7:8 "f"',
    "n/s dir 3775 7:8",
  ]);
  expect(await copy({ from: ["d/f"], dest: "/t/" }, input, ["t dir 1777 5:6"])).toEqual([
    "t dir 1777 5:6",
    't/f file 6755 1:2 "f"',
  ]);
});

test("T16 file capabilities come along from context and stage, with --chown too", async () => {
  const xattrs = { "security.capability": Buffer.from("cap") };
  const input = parseEntries(['ping file 0755 3:4 "#!"']).map((entry) => ({ ...entry, xattrs }));
  for (const owner of [{}, { chown: "7:8" }]) {
    const open = { ...options([]), inputs: [new MemoryTree(input)] };
    const layer = await copyManifest(copyAction({ from: ["ping"], ...owner }), open);
    expect(layer.at(-1)).toMatchObject({ path: "n/ping", xattrs });
  }
});

test("T11 a directory that an archive removes and makes again hides what was in it", async () => {
  const below = ["d dir 0700 1:1", 'd/old file 0644 0:0 "o"', "d/sub dir 0700 2:2"];
  const archive = parseEntries(['d file 0644 0:0 "a file now"', "d dir 0755 0:0", 'd/sub/new file 0644 0:0 "n"']);
  const layer = await copyManifest(copyAction({ from: ["a.tar"], dest: "/", unpack: "always" }), {
    ...options(['a.tar file 0644 0:0 "a"'], below),
    openArchive: async () => ({ walk: async () => archive, locate: async (entry) => entry.bytes! }),
  });
  expect(formatEntries(layer)).toEqual(["d dir 0755 0:0 opaque", "d/sub dir 0755 0:0", 'd/sub/new file 0644 0:0 "n"']);
});

test("T11 what an archive itself made, took away and made again hides nothing, for nothing was there", async () => {
  const made = ["d dir 0700 0:0", 'd/old file 0644 0:0 "o"'];
  const archive = parseEntries([...made, 'd file 0644 0:0 "a file"', "d dir 0755 0:0", 'd/new file 0644 0:0 "n"']);
  const layer = await copyManifest(copyAction({ from: ["a.tar"], dest: "/", unpack: "always" }), {
    ...options(['a.tar file 0644 0:0 "a"'], ['other file 0644 0:0 "o"']),
    openArchive: async () => ({ walk: async () => archive, locate: async (entry) => entry.bytes! }),
  });
  expect(formatEntries(layer)).toEqual(["d dir 0755 0:0", 'd/new file 0644 0:0 "n"']);
});

test.each([
  ["/f/q/", "lstat /f/q"],
  ["/f/q/r", "lstat /f/q"],
  ["/f/q", "mkdir /f"],
  ["/f/", "mkdir /f"],
  ["/l", "lstat /f/zz"],
  ["/l/q", "lstat /f/zz"],
  ["/l/q/", "lstat /f/zz/q"],
  ["/l/q/r", "lstat /f/zz/q"],
  ["/up/q/", "lstat /f/a/b/q"],
  ["/up/q", "lstat /f/a"],
  ["/file/q/", "lstat /f/q"],
])("C03 a file on the way to %s: BuildKit's words are %s, ours name the file", async (dest, call) => {
  const links = ["l symlink 0777 0:0 -> /f/zz", "up symlink 0777 0:0 -> ../f/./a/b", "file symlink 0777 0:0 -> f"];
  const below = ['f file 0644 0:0 "f"', ...links];
  await expect(copy({ from: ["a"], dest }, ['a file 0644 0:0 "a"'], below)).rejects.toMatchObject({
    message: `${call}: not a directory`,
    summary: "/f is not a directory in this stage, and one is needed there",
  });
});

test("T07 a name that would be a whiteout in the layer is refused", async () => {
  await expect(copy({ from: ["d"] }, ["d dir 0755 0:0", 'd/.wh.x file 0644 0:0 ""'])).rejects.toMatchObject({
    code: "unsupported",
  });
});

test("C09 hard links are regrouped when a later source replaces the first name", async () => {
  const input = [
    "d dir 0755 0:0",
    'd/a file 0644 0:0 "same"',
    "d/b file 0644 0:0 = d/a",
    "d/c file 0644 0:0 = d/a",
    'a file 0600 0:0 "other"',
  ];
  expect(await copy({ from: ["d", "a"] }, input)).toEqual([
    "n dir 0755 0:0",
    'n/a file 0600 0:0 "other"',
    'n/b file 0644 0:0 "same"',
    "n/c file 0644 0:0 = n/b",
  ]);
});

describe("T04 names of one symbolic link or pipe", () => {
  const linked = [
    ...parseEntries(["d dir 0755 0:0", "d/l symlink 0777 0:0 -> x", "d/p fifo 0644 0:0"]),
    ...parseEntries(["d/m symlink 0777 0:0 -> x", "d/q fifo 0644 0:0"]).map((entry, at) => ({
      ...entry,
      hardlink: ["d/l", "d/p"][at]!,
    })),
  ].toSorted((a, b) => comparePaths(a.path, b.path));
  const linksOf = (layer: readonly LayerEntry[]) =>
    layer.flatMap((entry) => ("hardlink" in entry ? `${entry.path} = ${entry.hardlink}` : []));

  test("C09 are each their own in a copy, as in BuildKit's", async () => {
    const given = { below: undefined, inputs: [new MemoryTree(linked)], signal };
    const layer = await copyManifest(copyAction({ from: ["d"], dest: "/e/q/" }), given);
    expect(layer.map(({ path }) => path)).toEqual(["e", "e/q", "e/q/l", "e/q/m", "e/q/p", "e/q/q"]);
    expect(linksOf(layer)).toEqual([]);
  });

  test("AD02 stay one where an archive has them, wherever it is unpacked", async () => {
    const layer = await copyManifest(copyAction({ from: ["a.tar"], dest: "/e", unpack: "always" }), {
      ...options(['a.tar file 0644 0:0 "a"'], []),
      openArchive: async () => ({ walk: async () => linked, locate: async (entry) => entry.bytes! }),
    });
    expect(linksOf(layer)).toEqual(["e/d/m = e/d/l", "e/d/q = e/d/p"]);
  });
});

test("C09 extended attributes are kept; a directory that is there keeps its own beside them", async () => {
  const xattrs = (entries: Entry[], path: string, name: string): Entry[] =>
    entries.map((entry) => (entry.path === path ? { ...entry, xattrs: { [name]: Buffer.from(name) } } : entry));
  const input = xattrs(parseEntries(["d dir 0755 0:0", "d/s dir 0755 0:0"]), "d/s", "user.new");
  const below = xattrs(parseEntries(["n dir 0755 0:0", "n/s dir 0755 0:0"]), "n/s", "user.old");
  const layer = await copyManifest(copyAction({ from: ["d"] }), {
    below: new RootfsView([layerOf(below)]),
    inputs: [new MemoryTree(input)],
    signal,
  });
  const [, directory] = layer as Entry[];
  expect(Object.keys(directory!.xattrs!).sort()).toEqual(["user.new", "user.old"]);
});

test("the plan of a copy asks nobody where bytes are, and lists no layer that cannot matter", async () => {
  const asked: string[] = [];
  const counted = (name: string, lines: readonly string[]): LayerSource => {
    const entries = parseEntries(lines).map(({ bytes: _bytes, ...entry }) => entry);
    return {
      entries: async () => (asked.push(`list ${name}`), entries),
      locate: async ({ path }) => (asked.push(`locate ${path}`), { kind: "host", path: `/x/${path}` }),
    };
  };
  const source = new RootfsView([counted("source", ["d dir 0755 0:0", 'd/f file 0644 0:0 "f"'])]);
  const upper = layerOf([{ ...parseEntries(["app dir 0700 1:1"])[0]!, opaque: true }]);
  const below = new RootfsView([counted("base", ["etc dir 0755 0:0"]), upper]);
  const plan = await planCopy(copyAction({ from: ["d"], dest: "/app/" }), { below, inputs: [source], signal });
  expect(asked).toEqual(["list source"]);
  expect(Array.from(plan.entries, (entry) => entry.path)).toEqual(["app", "app/f"]);
  expect(await plan.place(1)).toEqual({ kind: "host", path: "/x/d/f" });
  expect(asked).toEqual(["list source", "locate d/f"]);
});

test("an aborted signal stops the work with its own reason", async () => {
  const reason = new Error("enough");
  const aborted = { ...options(SOURCE), signal: AbortSignal.abort(reason) };
  await expect(planCopy(copyAction({ from: ["a"] }), aborted)).rejects.toBe(reason);
});

const treeLines = fc
  .uniqueArray(
    fc.array(fc.constantFrom("a", "b", "a-b", "s"), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/")),
    { maxLength: 12 },
  )
  .map((files) => {
    const paths = new Set(files);
    for (const path of files) for (let at = parentPath(path); at !== ""; at = parentPath(at)) paths.add(at);
    const isDirectory = (path: string): boolean => [...paths].some((other) => other.startsWith(`${path}/`));
    return [...paths]
      .sort()
      .map((path) => (isDirectory(path) ? `${path} dir 0711 3:4` : `${path} file 0644 5:6 ${JSON.stringify(path)}`));
  });

test("any copied tree shows at its destination, and the layer is in order: sorted, each path once, parents first", async () => {
  await fc.assert(
    fc.asyncProperty(treeLines, treeLines, async (input, belowLines) => {
      const below = parseEntries(belowLines.map((line) => `n/${line}`));
      const base = below.length === 0 ? [] : [layerOf([...parseEntries(["n dir 0700 1:1"]), ...below])];
      const copyFrom = { below: new RootfsView(base), inputs: [new MemoryTree(parseEntries(input))], signal };
      const layer = await copyManifest(copyAction({ from: ["/"] }), copyFrom).catch((error: unknown) => {
        expect((error as Error).message).toMatch(/^cannot (?:copy to non-directory|replace to directory)/);
        return undefined;
      });
      if (!layer) return;
      expect(await copyManifest(copyAction({ from: ["/"] }), { ...copyFrom, segmentFrom: 2 })).toEqual(layer);
      const paths = layer.map(({ path }) => path);
      expect(new Set(paths).size).toBe(paths.length);
      for (const [i, path] of paths.entries())
        if (path !== "n") expect(paths.indexOf(parentPath(path))).toBeLessThan(i);
      for (const path of paths) expect(path === "n" || paths.includes(parentPath(path))).toBe(true);
      const after = new RootfsView([...base, layerOf(layer)]);
      const shown = formatEntries([...(await after.walk("n"))].slice(1));
      const wanted = formatEntries(parseEntries(input.map((line) => `n/${line}`)));
      expect(shown).toEqual(expect.arrayContaining(wanted));
      const kept = formatEntries(below).filter(
        (line) => !wanted.some((other) => other.split(" ")[0] === line.split(" ")[0]),
      );
      expect(shown).toEqual(expect.arrayContaining(kept));
      expect(shown.length).toBe(wanted.length + kept.length);
    }),
    { numRuns: 200 },
  );
});

test("what is copied as it lies is the same layer as what is copied one by one, also where several sources overlap", async () => {
  const sources = fc.array(treeLines, { minLength: 1, maxLength: 4 });
  const extra = fc.record({
    chown: fc.constantFrom(undefined, "7:8"),
    exclude: fc.constantFrom([], ["**/b"], ["a/*"]),
  });
  await fc.assert(
    fc.asyncProperty(sources, treeLines, extra, async (all, belowLines, { chown, exclude }) => {
      const lines = all.flatMap((tree, i) => [`s${i} dir 0755 0:0`, ...tree.map((line) => `s${i}/${line}`)]);
      const inputs = [new MemoryTree(parseEntries(lines).toSorted((a, b) => comparePaths(a.path, b.path)))];
      const below = new RootfsView([layerOf(parseEntries(belowLines.map((line) => `n/${line}`)))]);
      const from = all.map((_, i) => `s${i}`);
      const action = { ...copyAction({ from, dest: "/n/" }), exclude, ...(chown === undefined ? {} : { chown }) };
      const copy = (segmentFrom: number) =>
        copyManifest(action, { below, inputs, signal, segmentFrom }).catch(
          (error: unknown) => (error as Error).message,
        );
      const plain = await copy(1_000_000);
      expect(await copy(1)).toEqual(plain);
      expect(await copy(3)).toEqual(plain);
    }),
    { numRuns: 200 },
  );
});
