// The checks that the text alone shows, and what silences them: reference 2.1, 2.2. Whole files are in fixtures/dockerfiles/lint.
import { describe, expect, test } from "vitest";
import { positionAt, spanText } from "../../../src/diagnostics/source.ts";
import type { ParseResult } from "../../../src/frontend/ast.ts";
import { applyChecks, parseCheckOptions } from "../../../src/frontend/lint/check-directive.ts";
import { lint } from "../../../src/frontend/lint/lint.ts";
import { inFindingOrder } from "../../../src/frontend/lint/finding-order.ts";
import { parseDockerfile, parseTrigger } from "../../../src/frontend/parser.ts";

function parse(text: string): ParseResult {
  return parseDockerfile({ path: "Dockerfile", text });
}

describe("check directives", () => {
  test("K30: options and their errors", () => {
    expect(parseCheckOptions("skip=A, B;error=true;experimental=all")).toEqual({
      skip: new Set(["A", "B"]),
      experimental: "all",
      failsBuild: true,
    });
    expect(parseCheckOptions("foo")).toEqual({ message: 'invalid check option "foo"' });
    expect(parseCheckOptions("bar=1")).toEqual({ message: 'invalid check option "bar"' });
    expect(parseCheckOptions("skip=A;error=zz")).toEqual({
      message: 'failed to parse check option "error=zz": strconv.ParseBool: parsing "zz": invalid syntax',
    });
  });

  test("K30: no more than three parts, the rest is of the last; rules by their exact names; nothing is allowed to be said", () => {
    const more = parseCheckOptions("skip=A;error=false;experimental=B;skip=C");
    expect(more).toEqual({ skip: new Set(["A"]), experimental: new Set(["B;skip=C"]), failsBuild: false });
    expect(parseCheckOptions(" ")).toEqual({ skip: new Set(), experimental: new Set(), failsBuild: false });
    const { dockerfile } = parse("# check=skip=maintainerdeprecated\nFROM a\nMAINTAINER me\n");
    expect(applyChecks(dockerfile, lint(dockerfile)).diagnostics).toHaveLength(1);
  });

  test("K04: the majority decides, of two equal halves upper case; mixed case is wrong beside either", () => {
    const casing = (text: string): string[] =>
      lint(parse(text).dockerfile)
        .filter(({ code }) => code === "ConsistentInstructionCasing")
        .map(({ message }) => message);
    const wrong = (word: string, majority: string) =>
      `Command '${word}' should match the case of the command majority (${majority})`;
    expect(casing("from a\nLABEL b=c\n")).toEqual([wrong("from", "uppercase")]);
    expect(casing("from a\nlabel b=c\nLABEL d=e\n")).toEqual([wrong("LABEL", "lowercase")]);
    expect(casing("from a\nLabel b=c\n")).toEqual([wrong("Label", "lowercase")]);
    // Global arguments have no say.
    expect(casing("ARG A=1\nARG B\nfrom a\nlabel b=c\n")).toEqual([]);
  });

  test.each([
    ["K05", "FROM x AS a\nFROM x AS b\nFROM x AS A\n", ['Duplicate stage name "a", stage names should be unique']],
    ["K06", "FROM x AS scratch\n", ['Stage name should not use the same name as reserved stage "scratch"']],
    ["K06", "FROM x AS context\n", ['Stage name should not use the same name as reserved stage "context"']],
    ["K08", "FROM x\nMAINTAINER me\n", ["Maintainer instruction is deprecated in favor of using label"]],
    ["K12", 'FROM x\nCMD ["a"]\nFROM x\nCMD ["b"]\n', []],
    ["K13", "FROM x\nLABEL a b\n", ['"LABEL key=value" should be used instead of legacy "LABEL key value" format']],
  ])("%s: %j", (_row, text, expected) => {
    const found = lint(parse(text).dockerfile).filter(({ code }) => code !== "StageNameCasing");
    expect(found.map(({ message }) => message)).toEqual(expected);
  });

  test.each([
    ["FROM x\nRUN a \\\n\n  b \\\n# c", 5],
    ["FROM x\nRUN a \\\n# c\n\n", 4],
    ["FROM x\nRUN a \\\n\n  b\n", 4],
  ])("K03: of %j line %i is told, the instruction's last", (text, line) => {
    const spans = lint(parse(text).dockerfile).map(({ code, span }) => [
      code,
      positionAt(span.source, span.start).line,
    ]);
    expect(spans).toEqual([["NoEmptyContinuation", line]]);
  });

  test("K12: of several CMD, ENTRYPOINT or HEALTHCHECK of a stage every one but the last is told, where it stands", () => {
    for (const [name, rest] of [
      ["CMD", '["a"]'],
      ["ENTRYPOINT", '["a"]'],
      ["HEALTHCHECK", "NONE"],
    ] as const) {
      const line = `${name} ${rest}\n`;
      const message = `Multiple ${name} instructions should not be used in the same stage because only the last one will be used`;
      const found = lint(parse(`FROM x\n${line}RUN y\n${line}${line}`).dockerfile);
      expect(found.map((one) => [one.message, positionAt(one.span.source, one.span.start).line])).toEqual([
        [message, 2],
        [message, 4],
      ]);
    }
  });

  test("K20, K33: a comment above a stage or an argument that does not begin with its name, where the rule is asked for", () => {
    const found = (text: string): readonly string[] => {
      const { dockerfile } = parse(text);
      return applyChecks(dockerfile, lint(dockerfile)).diagnostics.map(({ message }) => message);
    };
    const file =
      "# what it is\nFROM x AS a\n# what it says\nARG b\n# b is right\nARG b\n# far away\n\nARG c\n# ended\n#\nARG d\n";
    expect(found(file)).toEqual([]);
    expect(found(`# check=experimental=InvalidDefinitionDescription\n\n${file}`)).toEqual([
      "Comment for FROM should follow the format: `# a <description>`",
      "Comment for ARG should follow the format: `# b <description>`",
      // An empty comment ends it; an empty line does not, whatever BuildKit's page says.
      "Comment for ARG should follow the format: `# c <description>`",
    ]);
  });

  test("K31: an override replaces the directive", () => {
    const { dockerfile } = parse("# check=skip=all\nFROM a\nMAINTAINER me\n");
    const found = lint(dockerfile);
    expect(applyChecks(dockerfile, found).diagnostics).toEqual([]);
    const override = parseCheckOptions("error=true");
    expect("message" in override ? override : applyChecks(dockerfile, found, override).failure).toBe(
      "lint violation found for rules: MaintainerDeprecated",
    );
    // a wrong directive is not read then
    const wrong = parse("# check=bogus=1\nFROM a\n").dockerfile;
    expect(applyChecks(wrong, []).found.map(({ code }) => code)).toEqual(["InvalidCheckOption"]);
    expect("message" in override ? override : applyChecks(wrong, [], override).found).toEqual([]);
  });

  test("O12: triggers are looked at one by one right after the FROM that runs them, for BuildKit's checks only", () => {
    const { dockerfile } = parse("FROM a\nENV a b\nCMD c\n");
    const [stage] = dockerfile.stages;
    const triggers = ["CMD d", "RUN <<E\nx\ny\nE", "ENV e f", "CMD g"].flatMap((text, index) => {
      const { instruction } = parseTrigger(text, "ONBUILD of a", { runBy: stage!.from.span, index });
      return instruction ?? [];
    });
    const found = lint(dockerfile, () => true, { shellBases: new Set(), triggers: new Map([[0, triggers]]) });
    const shown = inFindingOrder(dockerfile, found).map(({ code, span }) => [code, spanText(span)]);
    expect(shown).toEqual([
      ["JSONArgsRecommended", "CMD d"],
      ["LegacyKeyValueFormat", "ENV e f"],
      ["MultipleInstructionsDisallowed", "CMD d"],
      ["JSONArgsRecommended", "CMD g"],
      ["LegacyKeyValueFormat", "ENV a b"],
      ["MultipleInstructionsDisallowed", "CMD g"],
      ["JSONArgsRecommended", "CMD c"],
    ]);
  });

  test("K34: checks of stages that are not needed are left out, checks of the file are not", () => {
    const { dockerfile } = parse("FROM a AS X\nENV a b\nFROM b\nENV c d\n");
    const codes = lint(dockerfile, ({ index }) => index === 1).map(({ code, span }) => `${code}@${span.start}`);
    expect(codes).toEqual(["StageNameCasing@10", "LegacyKeyValueFormat@27"]);
  });
});
