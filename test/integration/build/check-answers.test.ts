// tsbuild's answers about every Dockerfile of fixtures/checks are those that docker buildx gave (recorded by test/compare/checks.ts): the same warnings at the same lines, the exit code,
// and the text of the error within what tsbuild says of it.
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CHECKS, checkCases, answersIn, wordsOf } from "../../compare/check-answers.ts";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

describe("K01–K22, K30–K34, K40–K46", () => {
  test.for(checkCases())("%s", async (name) => {
    const recorded = readFileSync(join(CHECKS, name, "answers.txt"), "utf8");
    const context = rig.context({});
    cpSync(join(CHECKS, name), context, { recursive: true });
    for (const { question, answer, code, error } of answersIn(recorded)) {
      const given = await rig.tsbuild([...wordsOf(question), "."], { cwd: context });
      const shown = withoutHints(given.stdout);
      if (error === "" || error.startsWith("lint violation")) {
        expect(headOf(shown), question).toBe(headOf(answer));
        expect(partsOf(shown).toSorted(), question).toEqual(partsOf(answer).toSorted());
      }
      // BuildKit stops at the first error; tsbuild goes on, so that it says all that BuildKit says and more
      else for (const part of partsOf(answer)) expect(shown, question).toContain(part);
      expect(sortedRules(given.stderr)).toContain(sortedRules(error).replace(/ \(did you mean .*\)$/, ""));
      // 2 and 3 are finer than docker's 1
      expect(Math.min(given.code ?? 70, 1), question).toBe(code);
    }
  });
});

/** What stands before the warnings: the count; all of an answer that has none. */
function headOf(answer: string): string {
  return answer.split(/\nWARNING: |^ {2}"warnings": \[/m, 1)[0]!;
}

/** BuildKit's order of rules comes from a map. */
function sortedRules(text: string): string {
  return text.replace(/(?<=lint violation found for rules: )[\w, ]*/g, (rules) => rules.split(", ").sort().join(", "));
}

/** The warnings and the error of an answer, each as it is written; counts and commas between them depend on how many there are. */
function partsOf(answer: string): readonly string[] {
  if (!answer.startsWith("{"))
    return answer
      .split(/\n(?=WARNING: )/)
      .slice(1)
      .map((part) => part.trimEnd());
  return [...answer.matchAll(/^ {4}\{\n {6}"ruleName"(?:.*\n)*?(?= {4}\})|^ {2}"buildError"(?:.*\n)*/gm)].map(
    ([part]) => sortedRules(part),
  );
}

/** Only tsbuild has them. */
function withoutHints(stdout: string): string {
  const text = stdout
    .replace(/\nHINT: (?:.*\n)*?-{20}\n(?:.*\n)*?-{20}\n/g, "")
    .replace(/^ {2}"hints": \[\n(?:.*\n)*? {2}\],\n/m, "");
  return text === "" ? "" : `${text.trimEnd()}\n`;
}
