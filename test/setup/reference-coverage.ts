// `npm run coverage:reference`: every row of fixtures/reference/rows.txt with the tests that name it; fails where a row has none.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { coverage, parseRows } from "../support/reference-rows.ts";

const PROJECT = join(import.meta.dirname, "../..");
/** Tests shown of one row; the others are counted. */
const SHOWN = 3;

interface ListedTest {
  readonly name: string;
  readonly file: string;
}

const list = execFileSync("vitest", ["list", "--config", "test/vitest.config.ts", "--json"], {
  cwd: PROJECT,
  encoding: "utf8",
  maxBuffer: 1 << 28,
});
const tests = (JSON.parse(list) as readonly ListedTest[]).map(
  ({ name, file }) => `${relative(join(PROJECT, "test"), file)}: ${name}`,
);
const rows = parseRows(readFileSync(join(PROJECT, "fixtures/reference/rows.txt"), "utf8"));
const bare: string[] = [];

for (const [{ id, words, isLater }, names] of coverage(rows, tests)) {
  if (names.length === 0) bare.push(id);
  console.log(`${id.padEnd(5)} ${words}${isLater ? " (later: refused)" : ""}`);
  for (const name of names.slice(0, SHOWN)) console.log(`        ${name}`);
  if (names.length > SHOWN) console.log(`        and ${String(names.length - SHOWN)} more`);
}
console.log(`\n${String(rows.length - bare.length)} of ${String(rows.length)} rows are named by a test`);
if (bare.length > 0) console.log(`no test names ${bare.join(" ")}`);
process.exitCode = bare.length === 0 ? 0 : 1;
