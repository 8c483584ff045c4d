// Links in a tree are followed as if its root were "/": trap T29, reference S67.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resolveInRoot } from "../../../src/sandbox/root-path.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsbuild-root-"));
  mkdirSync(join(root, "a/b"), { recursive: true });
  writeFileSync(join(root, "a/file"), "");
  symlinkSync("/a/b", join(root, "abs"));
  symlinkSync("../../../../a", join(root, "a/b/up"));
  symlinkSync("loop", join(root, "loop"));
  symlinkSync("/not/there", join(root, "dangling"));
});
afterEach(() => rmSync(root, { recursive: true }));

const resolve = (path: string): string => {
  const { existing, missing } = resolveInRoot(root, path);
  return [existing, ...missing.map((name) => `+${name}`)].filter((part) => part !== "").join("/");
};

test.each([
  ["/", ""],
  ["", ""],
  ["/a//./b/", "a/b"],
  ["/abs", "a/b"],
  ["abs/up/file", "a/file"],
  ["/abs/..", "a"],
  ["/../../a", "a"],
  ["/abs/new/x", "a/b/+new/+x"],
  ["/dangling/x", "+not/+there/+x"],
  ["/new/../a", "a"],
  ["/new/x/../y", "+new/+y"],
])("%j is %j", (path, expected) => {
  expect(resolve(path)).toBe(expected);
});

test("circles and files in the way are errors", () => {
  expect(() => resolve("/loop")).toThrow(expect.objectContaining({ code: "ELOOP" }));
  expect(() => resolve("/a/file/x")).toThrow(expect.objectContaining({ code: "ENOTDIR" }));
});

test("no path leads out", () => {
  const part = fc.constantFrom("a", "b", "abs", "up", "..", ".", "", "dangling", "x");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const { existing, missing } = resolveInRoot(root, parts.join("/"));
      expect(existing.split("/")).not.toContain("..");
      expect(missing).not.toContain("..");
    }),
  );
});
