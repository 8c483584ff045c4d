// What a COPY or ADD writes again as it is below: BuildKit's differ leaves it out of the layer, and so does the plan.
import { describe, expect, test } from "vitest";
import { copyManifest, formatEntries, MemoryTree, parseEntries } from "./golden.ts";
import { copy, copyAction, options, SOURCE } from "./rig.ts";

describe("T01 T07 T20 what is there already, equal in all but the time of a directory, is no change", () => {
  const below = [
    "n dir 0755 0:0",
    "n/b dir 0720 1:2 @9",
    ...SOURCE.slice(2, 7).map((line) => line.replace("a/", "n/")),
  ];

  test("a layer says only what is new or other, and the way to it", async () => {
    expect(await copy({ from: ["a"] }, SOURCE.slice(0, 7), below)).toEqual([]);
    const other = SOURCE.slice(0, 7).map((line) => line.replace('"deep"', '"other"'));
    expect(await copy({ from: ["a"] }, other, below)).toEqual([
      "n dir 0755 0:0",
      "n/b dir 0720 1:2",
      "n/b/c dir 0730 1:3",
      "n/b/c/e dir 0755 0:0",
      'n/b/c/e/f file 0644 0:0 "other"',
    ]);
    for (const [from, to] of [
      ["0:0", "1:0"],
      ["0644", "0600"],
      ["0:0", "0:0 @7"],
    ] as const) {
      const changed = SOURCE.slice(0, 7).map((line) => (line.startsWith("a/b/g ") ? line.replace(from, to) : line));
      expect((await copy({ from: ["a"] }, changed, below)).at(-1)).toMatch(/^n\/b\/g /);
    }
    expect(await copy({ from: ["a/b/g"], dest: "/n/b/" }, SOURCE, below)).toEqual([]);
    expect((await copy({ from: ["a/b/g"], dest: "/n/b/", chown: "5" }, SOURCE, below)).length).toBe(3);
  });

  test("what an earlier source of the same COPY changed, and a later one put back, is not", async () => {
    const sources = ["x dir 0755 0:0", 'x/f file 0644 0:0 "x"', "y dir 0755 0:0", 'y/f file 0644 0:0 "y"'];
    const there = ["n dir 0755 0:0", 'n/f file 0644 0:0 "y"'];
    expect(await copy({ from: ["x", "y"] }, sources, there)).toEqual([]);
    expect(await copy({ from: ["y", "x"] }, sources, there)).toEqual(["n dir 0755 0:0", 'n/f file 0644 0:0 "x"']);
  });

  test("T04 names of one file are said together: where one is new, and where they were files of their own", async () => {
    const linked = ['f file 0644 0:0 "x"', "g file 0644 0:0 = f"];
    const said = ["n dir 0755 0:0", 'n/f file 0644 0:0 "x"', "n/g file 0644 0:0 = n/f"];
    const [dir = "", first = "", second = ""] = said;
    expect(await copy({ from: ["/"] }, linked, said)).toEqual([]);
    expect(await copy({ from: ["/"] }, linked, [dir, first])).toEqual(said);
    expect(await copy({ from: ["/"] }, linked, [dir, first, second.replace("= n/f", '"x"')])).toEqual(said);
  });

  test("an archive's members likewise", async () => {
    const archive = new MemoryTree(
      parseEntries(["d dir 0755 0:0", 'd/f file 0644 0:0 "f"', "d/l symlink 0777 0:0 -> f"]),
    );
    const text = { from: ["top"], unpack: "auto", dest: "/n/" } as const;
    const there = ["n dir 0755 0:0", "n/d dir 0755 0:0", 'n/d/f file 0644 0:0 "f"', "n/d/l symlink 0777 0:0 -> f"];
    const unpacked = async (lines: readonly string[]): Promise<string[]> => {
      const openArchive = async () => archive;
      return formatEntries(await copyManifest(copyAction(text), { ...options(SOURCE, lines), openArchive }));
    };
    expect(await unpacked(there)).toEqual([]);
    expect(await unpacked(there.slice(0, 3))).toEqual([there[0], there[1], there[3]]);
  });
});
