// `--call` and the text forms that scripts know from docker buildx.
import { expect, test } from "vitest";
import { columns, goJson } from "../../../src/cli/call/go-text.ts";
import { locationOf } from "../../../src/cli/call/location.ts";
import { parseCall } from "../../../src/cli/call/request.ts";

test.each([
  ["check", false, { name: "check", format: "text", ignoresStatus: false }],
  ["lint,format=json", false, { name: "check", format: "json", ignoresStatus: false }],
  ["build", true, { name: "check", format: "text", ignoresStatus: false }],
  ["check,format=json,ignorestatus=1", true, { name: "check", format: "json", ignoresStatus: true }],
  ["check,ignorestatus=t", false, { name: "check", format: "text", ignoresStatus: true }],
  ["check,ignorestatus=true,ignorestatus=0", false, { name: "check", format: "text", ignoresStatus: false }],
  ["outline,ignorestatus=false", false, { name: "outline", format: "text", ignoresStatus: false }],
])("K45: %s (--check %s)", (text, isCheck, expected) => {
  expect(parseCall(text, isCheck)).toEqual(expected);
});

test.each([
  ["bogus", false, "unsupported request frontend.bogus"],
  ["toString", false, "unsupported request frontend.toString"],
  ["targets", true, "--check and --call=targets exclude each other"],
  ["check,ignorestatus=maybe", false, 'invalid value "maybe" for ignorestatus'],
])("K48: %s (--check %s) is refused", (text, isCheck, message) => {
  expect(() => parseCall(text, isCheck)).toThrow(message);
});

test("K46: a range for each line, and the number of the text where it is not the first", () => {
  const [main, other] = [
    { path: "Dockerfile", text: "FROM a\n" },
    { path: "ONBUILD of a", text: "RUN a \\\n  b\n" },
  ] as const;
  const ranges = [1, 2].map((line) => ({ start: { line }, end: { line } }));
  expect(locationOf({ source: main, first: 1, last: 1 }, [main, other])).toEqual({ ranges: ranges.slice(0, 1) });
  expect(locationOf({ source: other, first: 1, last: 2 }, [main, other])).toEqual({ sourceIndex: 1, ranges });
});

test("JSON as Go writes it: HTML characters and line separators are escaped", () => {
  expect(goJson({ a: "<&>\u2028é", b: [], c: {}, d: null })).toBe(
    '{\n  "a": "\\u003c\\u0026\\u003e\\u2028é",\n  "b": [],\n  "c": {},\n  "d": null\n}\n',
  );
});

test("columns count characters, and the last cell is not padded", () => {
  const rows = [
    ["A", "BB", "C"],
    ["éé", "", ""],
    ["😀", "b", "cc"],
  ];
  expect(columns(rows, 3)).toBe("A    BB   C\néé        \n😀    b    cc\n");
});
