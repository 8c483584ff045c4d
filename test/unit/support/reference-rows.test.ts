import { expect, test } from "vitest";
import { coverage, parseRows, rowsNamed } from "../../support/reference-rows.ts";

/** Names of tests → the rows that they name. They stand here and not in the names of tests of their own, which would count. */
const NAMES: readonly (readonly [name: string, ids: string])[] = [
  ["S01 S02: root has fourteen capabilities", "S01 S02"],
  ["apply(pack(scan(tree))) = tree (C09, T01–T03, T15–T16)", "C09 T01 T02 T03 T15 T16"],
  ["K09–K11: one, T9–T11: two", "K09 K10 K11 T10 T11 T9"],
  ["AD06–AD08: a range with its letters twice", "AD06 AD07 AD08"],
  ["1.14: plain keeps the lines of a step together", "1.14"],
  ["SHA256, 1.143, v1.12, x.E05, E05x, E051 and sha-256 are no rows", ""],
];

test("rows are named one by one and by ranges", () => {
  expect(NAMES.map(([name]) => [...rowsNamed(name)].sort().join(" "))).toEqual(NAMES.map(([, ids]) => ids));
});

test("a row without a test is found, a row of later is a row all the same", () => {
  const rows = parseRows("# words\n\nE05 local\nPV01 later: mode\nQ01 image\n");
  expect(rows[1]).toEqual({ id: "PV01", words: "mode", isLater: true });
  const found = coverage(rows, ["E05, E06: files", "PV01: refused"]);
  expect([...found].map(([{ id }, names]) => [id, names.length])).toEqual([
    ["E05", 1],
    ["PV01", 1],
    ["Q01", 0],
  ]);
});

test("a line that is no row and an id that comes twice are errors", () => {
  expect(() => parseRows("E5")).toThrow("no row: E5");
  expect(() => parseRows("E05 later: ")).toThrow("no row");
  expect(() => parseRows("E05 a\nE05 b")).toThrow("row E05 comes twice");
});
