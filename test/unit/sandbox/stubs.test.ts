// What is made for mounts goes again, and nothing else does: reference S60, T21. Root and upper directory are one here; over a base image: integration/sandbox/mounts.test.ts.
import { existsSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { utimensNoFollow } from "../../../src/base/libc.ts";
import { MountStubs } from "../../../src/sandbox/stubs.ts";

let root = "";
let stubs: MountStubs;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsbuild-stubs-"));
  mkdirSync(join(root, "rootfs/etc"), { recursive: true });
  stubs = new MountStubs(join(root, "rootfs"), join(root, "rootfs"));
});
afterEach(() => rmSync(root, { recursive: true }));

const at = (path: string): string => join(root, "rootfs", path);
const file = (target: string): string => stubs.prepare({ target, isDirectory: false });
const directory = (target: string): string => stubs.prepare({ target, isDirectory: true });
const times = (path: string): readonly bigint[] => {
  const { atimeNs, mtimeNs } = lstatSync(at(path), { bigint: true });
  return [atimeNs, mtimeNs];
};

test("S60, T21: targets and the directories above them go; those that were there keep both times, to the nanosecond", () => {
  const [atimeNs, mtimeNs] = [1_000_000_000_123_456_789n, 1_500_000_000_987_654_321n];
  const before = [atimeNs, mtimeNs];
  for (const path of ["etc", ""]) utimensNoFollow(at(path), { atimeNs, mtimeNs });
  expect([file("/etc/token"), directory("/run/a/b"), file("/run/a/key")]).toEqual([
    "/etc/token",
    "/run/a/b",
    "/run/a/key",
  ]);
  expect([lstatSync(at("etc/token")).isFile(), lstatSync(at("run/a/b")).isDirectory()]).toEqual([true, true]);
  expect([times("etc"), times("")]).toEqual([before, before]);
  stubs.remove();
  expect([times("etc"), times("")]).toEqual([before, before]);
  expect(["etc/token", "run", "etc"].map((path) => existsSync(at(path)))).toEqual([false, false, true]);
});

test("S60: what was there is no stub", () => {
  writeFileSync(at("etc/token"), "");
  mkdirSync(at("empty"));
  expect([file("/etc/token"), directory("/empty")]).toEqual(["/etc/token", "/empty"]);
  stubs.remove();
  expect([existsSync(at("etc/token")), existsSync(at("empty"))]).toEqual([true, true]);
});

test("S60: what is not empty any more stays, and so does what the step has put in its place", () => {
  for (const name of ["filled", "replaced", "gone"]) file(`/etc/${name}`);
  directory("/opt/dir");
  writeFileSync(at("etc/filled"), "x");
  // The old one still exists, so that the new one is sure to be another.
  renameSync(at("etc/replaced"), join(root, "old"));
  writeFileSync(at("etc/replaced"), "");
  rmSync(at("etc/gone"));
  writeFileSync(at("opt/dir/own"), "");
  stubs.remove();
  expect(["etc/filled", "etc/replaced", "opt/dir/own"].map((path) => existsSync(at(path)))).toEqual([true, true, true]);
});

test("S60, T29: a link that the step has put above a stub leads the removal nowhere", () => {
  directory("/opt/dir");
  renameSync(at("opt"), join(root, "opt"));
  symlinkSync(join(root, "opt"), at("opt"));
  stubs.remove();
  expect(existsSync(join(root, "opt/dir"))).toBe(true);
});
