// What `source` of a mount names in a stage: reference M11, M22.
import { expect, test } from "vitest";
import { findMounted, selectMountedFiles } from "../../../src/solve/mounted-files.ts";
import { MemoryTree, parseEntries } from "./file/golden.ts";

const tree = new MemoryTree(
  parseEntries([
    " dir 0755 0:0",
    "abs symlink 0777 0:0 -> /data/in",
    "climb symlink 0777 0:0 -> ../../../data",
    "data dir 0750 3:4",
    'data/in file 0644 0:0 "inside"',
    "host symlink 0777 0:0 -> /../../etc/shadow",
    "loop symlink 0777 0:0 -> loop",
  ]),
);

test("M11, M22: links of a source are followed inside of what it is from, never above", async () => {
  const top = async (source: string) => (await selectMountedFiles(tree, source, "stage")).top?.path;
  expect(await top("/abs")).toBe("data/in");
  expect(await top("climb")).toBe("data");
  expect(await top("climb/in")).toBe("data/in");
  expect(await top("../../data")).toBe("data");
  expect((await selectMountedFiles(tree, "climb", "stage")).below.map(({ path }) => path)).toEqual(["in"]);
});

test("M11, M22: what only this machine has at the end of a link is not found", async () => {
  for (const source of ["/host", "/none", "data/in/below"])
    await expect(selectMountedFiles(tree, source, "stage")).rejects.toThrow("not found");
  await expect(selectMountedFiles(tree, "loop", "stage")).rejects.toThrow();
});

test("M11: of what a whole image lacks BuildKit speaks as of a command that failed, unless a link leads nowhere", async () => {
  const message = async (source: string, args?: readonly string[]) =>
    findMounted(tree, source, "the mounted image", args).catch((error: unknown) => (error as Error).message);
  const failed = (why: string): string => `process "sh" did not complete successfully: ${why}`;
  expect(await message("/none", ["sh"])).toBe(failed("open /none: no such file or directory"));
  expect(await message("data/in/below", ["sh"])).toBe(failed("lstat /data/in/below: not a directory"));
  expect(await message("/host", ["sh"])).toMatch(/"\/host": not found$/);
  expect(await message("/none")).toMatch(/"\/none": not found$/);
  expect(await findMounted(tree, "abs", "the mounted image", ["sh"])).toMatchObject({ path: "data/in" });
});
