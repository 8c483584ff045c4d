// `tsbuild fmt`: the canonical form means what the text meant, and is its own canonical form.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSameDockerfile } from "../../../../src/engine/check-equivalence.ts";
import { formatDockerfile } from "../../../../src/frontend/format.ts";
import { parseDockerfile } from "../../../../src/frontend/parser.ts";
import { dockerfileText } from "./random-dockerfile.ts";

const fixtures = join(import.meta.dirname, "../../../../fixtures");
const texts = readdirSync(fixtures, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith("/Dockerfile"))
  .map((path) => [path, readFileSync(join(fixtures, path), "utf8")] as const)
  .filter(([, text]) => hasNoErrors(text));

function hasNoErrors(text: string): boolean {
  return parse(text).diagnostics.every(({ severity }) => severity !== "error");
}

function parse(text: string): ReturnType<typeof parseDockerfile> {
  return parseDockerfile({ path: "Dockerfile", text });
}

function format(text: string): string {
  return formatDockerfile({ path: "Dockerfile", text });
}

/** The AST without places, without the blanks between words, without the case of names. */
function meaning(text: string): unknown {
  const { dockerfile } = parse(text);
  const omitted = new Set(["span", "valueSpan", "bodySpan", "source", "original", "emptyContinuation"]);
  const shown = JSON.stringify(dockerfile, (key, value: unknown) => {
    if (omitted.has(key)) return undefined;
    if ((key !== "keyword" && key !== "as") || value === null || typeof value !== "object") return value;
    return (value as { readonly text: string }).text.toUpperCase();
  });
  return JSON.parse(shown);
}

describe("fixtures", () => {
  test("there are some", () => {
    expect(texts.length).toBeGreaterThan(20);
  });

  test.each(texts)("%s keeps its meaning, and is formatted once", async (_path, text) => {
    const formatted = format(text);
    expect(meaning(formatted)).toEqual(meaning(text));
    expect(await isSameDockerfile(parse(text).dockerfile, parse(formatted).dockerfile)).toBe(true);
    expect(format(formatted)).toBe(formatted);
  });
});

test("names, blanks, continuations, comments, empty lines, arrays, heredocs", async () => {
  const folder = join(fixtures, "format");
  const text = readFileSync(join(folder, "Dockerfile"), "utf8");
  await expect(format(text)).toMatchFileSnapshot(join(folder, "formatted"));
});

test.each([
  [
    "a comment after an empty first line stays no directive (P02)",
    "\n\n# escape=`\nFROM a\n",
    "\n# escape=`\nFROM a\n",
  ],
  ["an empty line before the first instruction goes", "\n\nFROM a", "FROM a\n"],
  ["CRLF stays CRLF, the byte order mark goes", "\uFEFFfrom  a\r\n\r\n\r\nuser x", "FROM a\r\n\r\nUSER x\r\n"],
  ["`--` still ends the flags (L09)", "FROM a\nrun  --   --x\n", "FROM a\nRUN -- --x\n"],
  [
    "an escape at the end of a line does not join two lines (L04)",
    "FROM a\nrun x\\\u00a0\n",
    "FROM a\nRUN x\\\u00a0\n",
  ],
  ["an escape alone in front of an instruction", "FROM a\n\\\n# c\n run  x\n", "FROM a\n\\\n# c\n run  x\n"],
])("%s", (_name, text, formatted) => {
  expect(format(text)).toBe(formatted);
});

describe("generated Dockerfiles", () => {
  test("keep their meaning, and are formatted once", async () => {
    await fc.assert(
      fc.asyncProperty(dockerfileText(), async (text) => {
        fc.pre(hasNoErrors(text));
        const formatted = format(text);
        expect(meaning(formatted)).toEqual(meaning(text));
        expect(await isSameDockerfile(parse(text).dockerfile, parse(formatted).dockerfile)).toBe(true);
        expect(format(formatted)).toBe(formatted);
        if (!text.includes("<<")) expect(formatted).not.toMatch(/\n\r?\n\r?\n/);
      }),
      { numRuns: 300 },
    );
  }, 60_000);
});
