// The text of a .dockerignore: what is a comment, what a pattern, what an error.
import { describe, expect, test } from "vitest";
import { renderDiagnostic } from "../../../src/diagnostics/render.ts";
import { parseDockerignore } from "../../../src/frontend/dockerignore.ts";

const parse = (text: string): ReturnType<typeof parseDockerignore> =>
  parseDockerignore({ path: ".dockerignore", text });

describe("parseDockerignore (I02)", () => {
  test("BOM, comments, blanks, CRLF, leading slashes, negations and cleaning", () => {
    const { matcher, diagnostics } = parse(
      "\uFEFF# c\r\n\r\n  /a/b/../c/ \r\n!  /x\r\n #not a comment\n./d\n/\n!\t./y/\n",
    );
    expect(diagnostics).toEqual([]);
    expect(matcher.patterns.map(({ text, line, isNegated }) => [text, line, isNegated])).toEqual([
      ["a/c", 3, false],
      ["x", 4, true],
      ["#not a comment", 5, false],
      ["d", 6, false],
      ["/", 7, false],
      ["y", 8, true],
    ]);
  });

  test("a pattern that starts with ! after cleaning is still negated once", () => {
    expect(parse("!!a\n").matcher.patterns).toMatchObject([{ text: "!a", isNegated: true }]);
  });

  test("bad lines are shown where they are", () => {
    const { diagnostics, matcher } = parse("ok\n!\n  a[b \n");
    expect(matcher.excludes("ok")).toBe(true);
    expect(diagnostics.map((one) => renderDiagnostic(one, { color: false, width: 80 })).join("\n")).toBe(
      [
        '.dockerignore:2:1: error: failed parsing .dockerignore: illegal exclusion pattern: "!" [InvalidIgnorePattern]',
        "--------------------",
        "   1 |     ok",
        "   2 | >>> !",
        "     |     ^",
        "   3 |       a[b",
        "--------------------",
        "  help: put a pattern after the !",
        ".dockerignore:3:1: error: failed parsing .dockerignore: syntax error in pattern [InvalidIgnorePattern]",
        "--------------------",
        "   1 |     ok",
        "   2 |     !",
        "   3 | >>>   a[b",
        "     |     ^^^^^^",
        "--------------------",
        "  help: close the bracket, or write \\[ for a literal one",
      ].join("\n"),
    );
  });
});
