// Replacing a file of the user's.
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { rewriteFile } from "../../../src/base/fs-atomic.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tsbuild-fs-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

test("mode and link stay, the text is replaced, and nothing else is left", () => {
  const [file, link] = [join(folder, "file"), join(folder, "link")];
  writeFileSync(file, "old");
  chmodSync(file, 0o4642);
  symlinkSync("file", link);
  rewriteFile(link, "new");
  expect([readFileSync(file, "utf8"), statSync(file).mode & 0o7777]).toEqual(["new", 0o4642]);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(["file", "link"]);
});

test("a file that is not there is not made", () => {
  expect(() => {
    rewriteFile(join(folder, "none"), "new");
  }).toThrow("ENOENT");
  expect(readdirSync(folder)).toEqual([]);
});
