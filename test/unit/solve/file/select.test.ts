// Which files a COPY takes: wildcards, what is missing, what is excluded.
import { expect, test } from "vitest";
import { BuildError } from "../../../../src/diagnostics/build-error.ts";
import type { Tree } from "../../../../src/tree/tree.ts";
import { copyManifest, formatEntries, MemoryTree, parseEntries } from "./golden.ts";
import { copy, copyAction, options, SOURCE } from "./rig.ts";

test("C07, AD03 the name of a download is no pattern", async () => {
  const source = { kind: "path", input: 0, pattern: "[x]*", isWildcardAllowed: false } as const;
  const action = { ...copyAction({ from: [] }), sources: [source] };
  const input = ['[x]* file 0600 0:0 "d"', 'x file 0600 0:0 "x"'];
  expect(formatEntries(await copyManifest(action, options(input)))).toEqual([
    "n dir 0755 0:0",
    'n/[x]* file 0600 0:0 "d"',
  ]);
});

test("C07 a wildcard in what is a file matches nothing; what is not there is named where links lead to it", async () => {
  const input = ['f file 0644 0:0 "f"', "l symlink 0777 0:0 -> f", "gone symlink 0777 0:0 -> d/none", "d dir 0755 0:0"];
  for (const pattern of ["f/*", "l/*"])
    expect(await copy({ from: [pattern, "f"] }, input)).toContain('n/f file 0644 0:0 "f"');
  const failing = async (pattern: string, message: string): Promise<void> =>
    await expect(copy({ from: [pattern] }, input)).rejects.toThrow(message);
  await failing("none/*", "lstat /none: no such file or directory");
  await failing("gone/*", "lstat /d/none: no such file or directory");
  await failing("l/x/*", "lstat /f/x: not a directory");
});

test("C07 what is no pattern fails, and says so as BuildKit does; a slash within a class divides nothing", async () => {
  const input = ['a file 0644 0:0 "a"', "d dir 0755 0:0", 'd/[b file 0644 0:0 "b"'];
  const failure = (pattern: string, label: string) =>
    expect(copyManifest(copyAction({ from: [pattern] }), { ...options(input), labels: [label] })).rejects;
  for (const pattern of ["[a", "d/[b", "[]", "*[-]", "[/a", "d/*\\"]) {
    await failure(pattern, "the build context").toMatchObject({
      code: "source",
      message: `invalid includepatterns: [${pattern}]: syntax error in pattern`,
      summary: `"${pattern}" is no pattern for file names`,
    });
    await failure(pattern, 'stage "s"').toThrow(
      "failed to calculate checksum of ref stage::s: syntax error in pattern",
    );
  }
  expect(await copy({ from: ["d/[[]b"] }, input)).toContain('n/[b file 0644 0:0 "b"');
  expect(await copy({ from: ["[a,/]"] }, input)).toContain('n/a file 0644 0:0 "a"');
});

test("C07 a source that is missing is named as BuildKit names it, with the nearest name that is there", async () => {
  const error = await copy({ from: ["a/bb"] }, SOURCE).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(BuildError);
  expect(error).toMatchObject({
    message: 'failed to compute cache key: failed to calculate checksum of ref context: "/a/bb": not found',
    summary: 'there is no "a/bb" in context',
    help: 'did you mean "a/b"?',
  });
});

test.for([
  ["the build context", "local::context", 'there is no "none" in the build context'],
  ['stage "a b"', "stage::a::b", 'there is no "/none" in stage "a b"'],
  ["image alpine:3", "image::alpine:3", 'there is no "/none" in image alpine:3'],
])("C07 in %s the ref of what is missing is %s", async ([label, ref, summary]) => {
  const source = { ...options(["d dir 0755 0:0"]), labels: [label!] };
  await expect(copyManifest(copyAction({ from: ["none"] }), source)).rejects.toMatchObject({
    message: `failed to compute cache key: failed to calculate checksum of ref ${ref}: "/none": not found`,
    summary,
  });
});

test("C14 an --exclude for what a wildcard matches is relative to the directory that the wildcard is in", async () => {
  const input = ["d dir 0755 0:0", 'd/f file 0644 0:0 "f"', "e dir 0755 0:0", "e/d dir 0755 0:0"];
  input.push('e/d/f file 0644 0:0 "f"', 'e/d/g file 0644 0:0 "g"');
  const taken = async (pattern: string, exclude: string): Promise<string[]> =>
    (await copy({ from: [pattern], exclude: [exclude] }, input)).slice(1).map((line) => line.split(" ")[0]!);
  expect(await taken("e/d/*", "f")).toEqual(["n/g"]);
  expect(await taken("e/d/*", "d/f")).toEqual(["n/f", "n/g"]);
  expect(await taken("e/d/*", "e/d/f")).toEqual(["n/f", "n/g"]);
  expect(await taken("e/*/f", "d/f")).toEqual([]);
  expect(await taken("*/f", "f")).toEqual(["n/f"]);
});

class WatchedTree extends MemoryTree {
  readonly read: string[] = [];

  override walk(start: string, keep: Parameters<Tree["walk"]>[1] = () => "keep"): ReturnType<MemoryTree["walk"]> {
    return super.walk(start, (path, isDirectory) => {
      const verdict = keep(path, isDirectory);
      if (isDirectory && verdict !== "prune") this.read.push(path);
      return verdict;
    });
  }
}

test.for([
  ["top", [], ""],
  ["a/b/g", [], "a a/b"],
  ["a/b/c/f", [], "a a/b a/b/c"],
  ["*/b/g", [], "a a/b"],
  ["a/b*/f", [], "a a/b a/b2"],
  ["a/**/f", ["a/b/c"], "a a/b a/b2 a/b2/c"],
  ["a/b", ["a/b", "!a/b/c/e"], "a a/b a/b/c a/b/c/e"],
  ["a/b**/f", [], "a a/b a/b/c a/b/c/e a/b2 a/b2/c"],
] as const)("C13, T36: of a tree %s with --exclude %j reads no directory in vain", async ([pattern, exclude, read]) => {
  const tree = new WatchedTree(parseEntries(SOURCE));
  const action = copyAction({ from: [pattern], parents: true, exclude: [...exclude] });
  await copyManifest(action, { ...options([]), inputs: [tree] });
  expect(tree.read.filter((path) => path !== "").join(" ")).toBe(read);
});

test("C13, C14: what --exclude takes back of a directory that --parents names is copied", async () => {
  const exclude = ["a/b", "!a/b/c/e"];
  const lines = await copy({ from: ["a/b"], parents: true, exclude }, SOURCE);
  expect(lines.map((line) => line.split(" ")[0])).toEqual(["n", "n/a", "n/a/b", "n/a/b/c", "n/a/b/c/e", "n/a/b/c/e/f"]);
});
