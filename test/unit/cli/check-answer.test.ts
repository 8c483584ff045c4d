// The answer to `--check` where warnings come from more than one text: the Dockerfile, and triggers of its base image.
import { expect, test } from "vitest";
import { checkJson, checkText } from "../../../src/cli/call/check-answer.ts";
import { BuildError } from "../../../src/diagnostics/build-error.ts";
import { createDiagnostic } from "../../../src/diagnostics/catalog.ts";
import type { SourceFile } from "../../../src/diagnostics/source.ts";
import type { CheckReport, CheckWarning } from "../../../src/index.ts";

const main: SourceFile = { path: "sub/Dockerfile", text: "FROM a\nMAINTAINER b\n" };
const trigger: SourceFile = { path: "ONBUILD of a", text: "MAINTAINER c\n" };

function warning(source: SourceFile, line: number): CheckWarning {
  const span = { source, start: 0, end: 1 };
  return {
    diagnostic: createDiagnostic("MaintainerDeprecated", span, `at ${line}`),
    lines: { source, first: line, last: line },
  };
}

const report: CheckReport = {
  source: main,
  warnings: [warning(main, 2), warning(trigger, 1), warning(main, 1)],
  hints: [],
  error: undefined,
};
const failed = { cause: new BuildError("source", "no"), lines: undefined };

test("K42: the text has the warnings by file and line, and an empty line before an error", () => {
  const text = checkText(report, "D");
  expect(text.match(/^at .*$|^\S+(?: of a)?:\d$|^Check .*$/gm)).toEqual([
    "Check complete, 3 warnings have been found!",
    "at 1",
    "ONBUILD of a:1",
    "at 1",
    "D:1",
    "at 2",
    "D:2",
  ]);
  expect(checkText({ ...report, error: failed }, "D")).toBe(`${text}\n`);
  expect(checkText({ ...report, warnings: [], error: failed }, "D")).toBe("");
});

test("K42, K46: the JSON has them as they were found, each text by its name in its folder", () => {
  const { warnings, sources } = JSON.parse(checkJson(report)) as {
    readonly warnings: readonly { readonly detail: string; readonly location: { readonly sourceIndex?: number } }[];
    readonly sources: readonly { readonly filename: string }[];
  };
  expect(warnings.map(({ detail, location }) => [detail, location.sourceIndex])).toEqual([
    ["at 2", undefined],
    ["at 1", 1],
    ["at 1", undefined],
  ]);
  expect(sources.map(({ filename }) => filename)).toEqual(["Dockerfile", "ONBUILD of a"]);
});
