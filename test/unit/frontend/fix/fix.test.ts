// `check --fix`: what is certain is corrected, what is not stays, and the images stay the same.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Diagnostic } from "../../../../src/diagnostics/diagnostic.ts";
import { fixableIn, fixDockerfile } from "../../../../src/engine/check-fix.ts";
import { isSameDockerfile } from "../../../../src/engine/check-equivalence.ts";
import { applyFixes } from "../../../../src/frontend/fix.ts";
import { parseDockerfile } from "../../../../src/frontend/parser.ts";
import { dockerfileText } from "../format/random-dockerfile.ts";

const parse = (text: string) => parseDockerfile({ path: "Dockerfile", text });

async function fixed(text: string): Promise<string> {
  return (await fixDockerfile({ path: "Dockerfile", text }, (file) => fixableIn(file, undefined))).text;
}

test.each([
  ["K01, K02: names of stages and AS", "FROM a as Bb\nFROM Bb\n", "FROM a AS bb\nFROM Bb\n"],
  ["K02, K04: the majority decides, AS follows", "from a AS b\nrun c\nUSER d\n", "from a as b\nrun c\nuser d\n"],
  ["K03: empty continuations", "FROM a\nRUN b \\\n\n  c \\\n \n\n  d\n", "FROM a\nRUN b \\\n  c \\\n  d\n"],
  [
    "K13: legacy pairs where they mean the same",
    "FROM a\nENV b c\nENV d e f\nENV g $h\n",
    "FROM a\nENV b=c\nENV d e f\nENV g $h\n",
  ],
  ["K21, K22: two fixes in one word", "FROM a\nEXPOSE 1.2.3.4:5:6/UDP\n", "FROM a\nEXPOSE 6/udp\n"],
  ["P06: what is silenced", "# check=skip=ConsistentInstructionCasing\nFROM a\nuser b\n", undefined],
  [
    "K32: what is silenced for one instruction",
    "FROM a\n# check=skip=LegacyKeyValueFormat // why\nENV b c\n",
    undefined,
  ],
  ["a text with errors", "FROM a\nuser b\nCOPPY c\n", undefined],
  ["K07, K08: what would change the image", "FROM a\nMAINTAINER b\nCMD c\n", undefined],
])("%s", async (_name, text, expected) => {
  expect(await fixed(text)).toBe(expected ?? text);
});

test("of overlapping fixes the first counts", () => {
  const source = { path: "Dockerfile", text: "abcdef" };
  const fix = (start: number, end: number, text: string): Diagnostic => ({
    code: "X",
    severity: "warning",
    message: "",
    span: { source, start, end },
    fix: { span: { source, start, end }, text },
  });
  const fixes = [fix(3, 5, "-"), fix(1, 4, "+"), fix(5, 5, "!"), fix(5, 6, "?")];
  const { text, applied } = applyFixes(source, fixes);
  expect([text, applied]).toEqual(["a+e!f", [fixes[1], fixes[2]]]);
});

test("a fix that would change an image is left out, the others are not", async () => {
  const source = { path: "Dockerfile", text: "FROM a\nuser b\nENV c=d\n" };
  const { text, fixed: applied } = await fixDockerfile(source, (file) => {
    const at = file.source.text.indexOf("d\n");
    const span = { source: file.source, start: at, end: at + 1 };
    const harmful: Diagnostic = { code: "X", severity: "warning", message: "", span, fix: { span, text: "e" } };
    return at < 0 ? [] : [...fixableIn(file, undefined), harmful];
  });
  expect(text).toBe("FROM a\nUSER b\nENV c=d\n");
  expect(applied.map(({ code }) => code)).toEqual(["ConsistentInstructionCasing"]);
});

describe("two texts are the same Dockerfile", () => {
  const isSame = (a: string, b: string) => isSameDockerfile(parse(a).dockerfile, parse(b).dockerfile);

  test.each([
    [
      "blanks, comments, names of stages in another case",
      "FROM a AS B\nENV b=c\n",
      "# x\nfrom  a as b\nENV  b='c'\n",
      true,
    ],
    ["a command", "FROM a\nRUN b\n", "FROM a\nRUN c\n", false],
    ["a config", "FROM a\nUSER b\n", "FROM a\nUSER c\n", false],
    ["history", "FROM a\nENV b=c\n", "FROM a\nENV b=x b=c\n", false],
    ["the author", "FROM a\nMAINTAINER b\n", "FROM a\nMAINTAINER c\n", false],
    ["a base image", "FROM a\n", "FROM b\n", false],
    ["a stage that only its name can build", "FROM a AS b\nRUN x\nFROM c\n", "FROM a AS b\nRUN y\nFROM c\n", false],
    ["the names that can be built", "FROM a AS b\nFROM c\n", "FROM a AS d\nFROM c\n", false],
  ])("%s", async (_name, before, after, expected) => {
    expect(await isSame(before, after)).toBe(expected);
  });
});

test("a fixed Dockerfile is the same one, and has nothing more to fix", async () => {
  await fc.assert(
    fc.asyncProperty(dockerfileText(), async (text) => {
      const after = await fixed(text);
      fc.pre(after !== text);
      expect(await isSameDockerfile(parse(text).dockerfile, parse(after).dockerfile)).toBe(true);
      expect(await fixed(after)).toBe(after);
    }),
    { numRuns: 100 },
  );
}, 60_000);
