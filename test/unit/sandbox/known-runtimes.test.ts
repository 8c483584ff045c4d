// What runtimes have said of themselves is believed as long as the program's file is the same; a damaged file is an empty one.
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { KnownRuntimes } from "../../../src/sandbox/known-runtimes.ts";
import { temporaryFolder } from "../../compare/cases.ts";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const CRUN = { name: "crun", version: "1.8.1" };

function program(name: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, "a program");
  return path;
}

test("known is what was kept, by another one that reads the same directory too, until the program is another", () => {
  const directory = join(folder.path, "kept");
  const [crun, runc] = [program("crun"), program("runc")];
  const known = new KnownRuntimes(directory);
  expect(known.find(crun)).toBeUndefined();
  known.keep(crun, CRUN);
  known.keep(runc, { name: "runc", version: "1.1.5" });
  expect(new KnownRuntimes(directory).find(crun)).toEqual(CRUN);
  expect(new KnownRuntimes(directory).find(runc)).toEqual({ name: "runc", version: "1.1.5" });
  expect(statSync(join(directory, "runtimes.json")).mode & 0o777).toBe(0o600);
  writeFileSync(crun, "another program");
  expect(known.find(crun)).toBeUndefined();
  expect(known.find(runc)).toBeDefined();
});

test.each(["", "{", "null", "[]", '"text"', '{"PATH":{"file":"SAME","name":7,"version":"1"}}', '{"PATH":null}'])(
  "a file that says %s is an empty one, and is written anew",
  (text) => {
    const path = program("damaged");
    const { size, mtimeMs, ino } = statSync(path);
    const directory = join(folder.path, "damaged-kept");
    mkdirSync(directory, { recursive: true });
    writeFileSync(
      join(directory, "runtimes.json"),
      text.replace("PATH", path).replace("SAME", `${size}:${mtimeMs}:${ino}`),
    );
    const known = new KnownRuntimes(directory);
    expect(known.find(path)).toBeUndefined();
    known.keep(path, CRUN);
    expect(known.find(path)).toEqual(CRUN);
    expect(JSON.parse(readFileSync(join(directory, "runtimes.json"), "utf8"))).toHaveProperty([path]);
  },
);

test("where nothing can be kept, nothing fails", () => {
  const path = program("lonely");
  const known = new KnownRuntimes(join(program("a-file"), "below"));
  known.keep(path, CRUN);
  expect(known.find(path)).toBeUndefined();
});
