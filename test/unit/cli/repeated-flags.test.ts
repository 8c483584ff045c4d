import { expect, test } from "vitest";
import { parseBuildArguments } from "../../../src/cli/build-args.ts";

const parse = async (...words: string[]) => {
  const parsed = await parseBuildArguments(words, "/w", {});
  if (typeof parsed === "string") throw new Error("help");
  return parsed;
};

test("options that may repeat keep every value, in order", async () => {
  const words = [
    "-t",
    "a",
    "--tag=b,c",
    "-o",
    "type=cacheonly",
    "-o",
    "out",
    "--build-arg",
    "X=1",
    "--build-arg=Y=2",
    ".",
  ];
  const { build } = await parse(...words);
  expect(build.tags).toEqual(["a", "b,c"]);
  expect(build.outputs.map(({ kind }) => kind)).toEqual(["cacheonly", "local"]);
  expect([...build.buildArgs]).toEqual([
    ["X", "1"],
    ["Y", "2"],
  ]);
});

test("of options with one value the last counts", async () => {
  const { build, progress } = await parse("--target", "a", "--target=b", "--progress=tty", "--progress", "plain", ".");
  expect(build.target).toBe("b");
  expect(progress).toBe("plain");
});

test('"-" is a value', async () => {
  const { build } = await parse("-o", "-", "-f", "-", "--output", "-", "--metadata-file=m", ".");
  expect(build.outputs).toEqual([
    { kind: "tar", dest: "-" },
    { kind: "tar", dest: "-" },
  ]);
  expect([build.dockerfile, build.context]).toEqual(["-", "."]);
  expect((await parse("-t", "x", "-")).build.context).toBe("-");
});
