// Flags and build arguments that ask the builder for something beside the Dockerfile, as the build takes them.
import { expect, test } from "vitest";
import { parseBuildArguments } from "../../../src/cli/build-args.ts";

type Parsed = Exclude<Awaited<ReturnType<typeof parseBuildArguments>>, string>;

async function parse(line: string, environment: Readonly<Record<string, string>> = {}): Promise<Parsed> {
  const words = line.split(" ").filter((word) => word !== "");
  const parsed = await parseBuildArguments([...words, "."], "/w", environment);
  if (typeof parsed === "string") throw new Error("help");
  return parsed;
}

const INLINE = "--build-arg BUILDKIT_INLINE_CACHE";
test.each([
  ["", false],
  [`${INLINE}=1`, true],
  [`${INLINE}=True`, true],
  [`${INLINE}=0`, false],
  [`${INLINE}=`, false],
  [`${INLINE}=yes`, false],
  [`${INLINE}=0 ${INLINE}=1`, true],
  [`${INLINE}=1 ${INLINE}=0`, false],
  [INLINE, false],
  [`${INLINE}=0 --cache-to type=inline`, true],
])("A25: %j asks for an inline cache: %s", async (line, expected) => {
  expect((await parse(line)).build.inlineCache).toBe(expected);
});

test("A25: a name alone has the value of the environment, which alone asks for nothing", async () => {
  const environment = { BUILDKIT_INLINE_CACHE: "1" };
  expect((await parse(INLINE, environment)).build.inlineCache).toBe(true);
  expect((await parse("", environment)).build.inlineCache).toBe(false);
});

test.each([
  ["--provenance", "--provenance"],
  ["--provenance=true", "--provenance"],
  ["--provenance=mode=max,version=v0.2", "--provenance"],
  ["--sbom", "--sbom"],
  ["--sbom=generator=scanner", "--sbom"],
  ["--attest type=provenance,mode=min", "--attest"],
  ["--attest type=sbom,disabled=false", "--attest"],
  ["--attest type=sbom,disabled", "--attest"],
  ["--attest type=sbom,disabled=true --attest type=provenance", "--attest"],
])("PV01–PV03, SB01: %s is refused", async (line, flag) => {
  await expect(parse(line)).rejects.toMatchObject({
    code: "unsupported",
    message: `${flag} is not built yet`,
    help: expect.stringMatching(/^leave it out/) as unknown,
  });
});

test.each([
  "--provenance=false",
  "--provenance=0",
  "--sbom=F",
  "--attest type=sbom,disabled=true",
  "--attest type=provenance,mode=max,disabled=1",
  "--attest disabled=T,type=sbom",
])("PV01, PV03, SB01: %s switches off what is not built", async (line) => {
  expect((await parse(line)).build.context).toBe(".");
});
