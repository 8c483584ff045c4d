// What a mistake is called in plain words, where a person has to look, and what to write instead: the planner's part (reference L08).
import { expect, test } from "vitest";
import { BuildError } from "../../../src/diagnostics/build-error.ts";
import { spanText } from "../../../src/diagnostics/source.ts";
import { plan } from "./rig.ts";

async function told(text: string): Promise<readonly (string | undefined)[]> {
  const { diagnostics } = await plan(text);
  const { summary, help, focus, span } = diagnostics.find(({ severity }) => severity === "error")!;
  return [spanText(focus ?? span), summary, help];
}

test.each([
  ["WORKDIR /srv/${NAME", "${NAME", "write /srv/${NAME}"],
  ["WORKDIR /${A:-${B}", "${A", "close the variable with }"],
  ["WORKDIR ${A}/${B:-x}/${C", "${C", "write ${A}/${B:-x}/${C}"],
])("V02: of %j %j is marked", async (line, marked, help) => {
  expect(await told(`FROM busybox\n${line}\n`)).toEqual([marked, `"${marked}" has no closing "}"`, help]);
});

test.each([
  ["COPY --chmod=+rwz a /", "z"],
  ["COPY --chmod=u+r,g-y a /", "y"],
  ["ENV M=+rwz\nCOPY --chmod=$M a /", "$M"],
])("C11: of %j %j is marked", async (lines, marked) => {
  expect((await told(`FROM busybox\n${lines}\n`))[0]).toBe(marked);
});

test.each([
  ["ARG V\nFROM a:$V", "change line 1 to ARG V=<tag>, or give --build-arg V=<tag>"],
  ["# base\nARG V=\nFROM a:$V", "change line 2 to ARG V=<tag>, or give --build-arg V=<tag>"],
  ["ARG W=1 V\nFROM a:$V", "write V=<tag> in line 1, or give --build-arg V=<tag>"],
  ["FROM a:$V", "write ARG V=<tag> before the first FROM"],
])("F05: %j is mended where the argument is declared", async (text, help) => {
  expect((await told(text))[2]).toBe(help);
});

async function failure(text: string, details = { status: 404 } as BuildError["details"]): Promise<BuildError> {
  const onResolve = (reference: string): void => {
    if (reference.includes("busybox")) return;
    throw new BuildError("image", "nothing", { summary: "it is not there", help: "as it was", details });
  };
  return (await plan(text, { onResolve }).catch((error: unknown) => error)) as BuildError;
}

const AND_WHY = "and no image of that name could be fetched: it is not there";

test.each([
  ["FROM busybox AS build\nFROM busybox\nCOPY --from=biuld /a /a", "biuld", 'did you mean the stage "build"?'],
  [
    "FROM busybox AS build\nFROM busybox\nCOPY --from=compile /a /a",
    "compile",
    'the only stage with a name is "build": write COPY --from=build …',
  ],
  [
    "FROM busybox AS build\nFROM busybox\nRUN --mount=from=compile,target=/m true",
    "compile",
    'the only stage with a name is "build": write from=build …',
  ],
  [
    "FROM busybox AS build\nFROM busybox AS lint\nCOPY --from=compile /a /a",
    "compile",
    "name a stage of this Dockerfile: build, lint",
  ],
])("F03, F10: of %j the main text says why the image is not there", async (text, name, help) => {
  expect(await failure(text)).toMatchObject({ summary: `no stage is called "${name}", ${AND_WHY}`, help });
});

test("F06: what a FROM asks for and its image does not have is marked at the flag", async () => {
  const platforms = ["linux/arm64", "linux/s390x"];
  const error = await failure("FROM --platform=linux/386 other\n", { status: 404, platforms });
  expect([spanText(error.focus!), error.help]).toEqual([
    "--platform=linux/386",
    "write FROM --platform=linux/arm64 … (or linux/s390x), or use an image that has linux/386",
  ]);
  const plain = await failure("FROM other\n", { status: 404, platforms });
  expect([spanText(plain.focus ?? plain.span!), plain.help]).toEqual(["other", "as it was"]);
});
