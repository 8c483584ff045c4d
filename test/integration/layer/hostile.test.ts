// Hostile archives against a real disk: after each, everything outside the directory is as it was.
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openArchive } from "../../../src/layer/archive.ts";
import { scanUpper } from "../../../src/layer/scan.ts";
import { unpackLayer } from "../../../src/layer/unpack.ts";
import { HOSTILE_TARS } from "../../unit/layer/hostile-tars.ts";
import { archive, inSlices } from "../../unit/layer/raw-tar.ts";
import { facts, openRig } from "./rig.ts";

test.each(HOSTILE_TARS)("AD02: $name", async ({ tar, refused }) => {
  using rig = openRig();
  // Three levels, so that what climbs lands where we look.
  for (const name of ["x", "x/y", "spool"]) mkdirSync(rig.path(name));
  writeFileSync(rig.path("sentinel"), "untouched");
  const before = [outside(rig.dir), statSync("/etc/passwd").mtimeMs];
  const unpacking = unpackLayer(inSlices(tar, 4096), rig.path("x/y/z"), { xattrNamespace: "trusted" });
  if (refused)
    await expect(unpacking).rejects.toMatchObject({
      code: "content",
      message: expect.stringMatching(refused) as string,
    });
  else {
    const { entries, impliedDirectories } = await unpacking;
    const onDisk = await scanUpper(rig.path("x/y/z"), { xattrNamespace: "trusted" });
    const described = onDisk.filter((entry) => !impliedDirectories.includes(entry.path));
    expect(facts(described)).toEqual(entries.filter((entry) => entry.path !== ""));
  }
  expect([outside(rig.dir), statSync("/etc/passwd").mtimeMs]).toEqual(before);
  await openArchive(inSlices(tar), { tempDir: rig.path("spool") }).catch((error: unknown) => {
    expect(error).toMatchObject({ code: "content" });
  });
  expect(readdirSync(rig.path("spool")).every((name) => /^\d+$/.test(name))).toBe(true);
});

function outside(dir: string): unknown {
  return [readdirSync(dir), readdirSync(`${dir}/x`), readFileSync(`${dir}/sentinel`, "utf8")];
}

test("a directory that is not empty, or is a symlink's target, is not unpacked into", async () => {
  using rig = openRig();
  mkdirSync(rig.path("real"));
  writeFileSync(rig.path("real/kept"), "kept");
  symlinkSync("real", rig.path("link"));
  for (const name of ["real", "link"])
    await expect(
      unpackLayer(inSlices(archive({ name: "kept", data: "new" })), rig.path(name), { xattrNamespace: "trusted" }),
    ).rejects.toThrow(/not empty/);
  expect(readFileSync(rig.path("real/kept"), "utf8")).toBe("kept");
});
