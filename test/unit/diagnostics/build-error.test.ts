// Where a failure points, once its instruction is known (reference L08).
import { expect, test } from "vitest";
import { BuildError, locate, type BuildErrorCode } from "../../../src/diagnostics/build-error.ts";
import { spanText } from "../../../src/diagnostics/source.ts";

function pointedAt(code: BuildErrorCode, text: string, word: string): string {
  const span = { source: { path: "Dockerfile", text }, start: 0, end: text.length };
  return spanText((locate(new BuildError(code, "x", { details: { word } }), span) as BuildError).span!);
}

test.each([
  ["RUN echo start && mkdri -p /app", "mkdri", "mkdri"],
  ["RUN x=$(mkdri);echo", "mkdri", "mkdri"],
  ["RUN cd /;mkdri&&true", "mkdri", "mkdri"],
  ['RUN ["/opt/tool", "-v"]', "/opt/tool", "/opt/tool"],
  ['RUN echo a"b', '"b', '"b'],
  ["RUN mkdri a && mkdri b", "mkdri", undefined],
  ["RUN /opt/mkdri || amkdri || mkdri.sh", "mkdri", undefined],
  ["RUN $TOOL", "mkdri", undefined],
])("L08: of %j, where %j failed, %j is marked", (text, word, marked = text) => {
  expect(pointedAt("command", text, word)).toBe(marked);
});

test("L08: the ref of a git source is marked with its #, a path with the ./ before it", () => {
  expect(pointedAt("source", "ADD http://h/lib.git#v9 /src", "#v9")).toBe("#v9");
  expect(pointedAt("source", "ADD http://h/lib.git#v9:sub /src", "#v9")).toBe("#v9");
  expect(pointedAt("source", "COPY ./a/b /src", "a/b")).toBe("./a/b");
});
