// The calls of base/libc that need root: mounts and namespaces, in a process of their own because they change what the whole process sees.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openRig } from "./rig.ts";

test("a mount in a namespace of its own is seen there, and nowhere else; setns leads back", () => {
  using rig = openRig();
  mkdirSync(rig.path("m"));
  const libc = join(import.meta.dirname, "../../../src/base/libc.ts");
  writeFileSync(
    rig.path("main.ts"),
    `
import { openSync, readdirSync, writeFileSync } from "node:fs";
const libc = await import(${JSON.stringify(libc)});
const before = openSync("/proc/thread-self/ns/mnt", "r");
libc.unshare(libc.CLONE_NEWNS);
libc.mount(undefined, "/", undefined, libc.MS_REC | libc.MS_PRIVATE);
libc.mount("tmpfs", "m", "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "size=1m,mode=700");
writeFileSync("m/inside", "");
libc.mount(undefined, "m", undefined, libc.MS_REMOUNT | libc.MS_BIND | libc.MS_RDONLY);
const codes = [];
for (const attempt of [() => writeFileSync("m/more", ""), () => libc.umount("m/inside"), () => libc.mount("x", "m", "no-such-type", 0)]) {
  try { attempt(); codes.push("none"); } catch (error) { codes.push(error.code); }
}
const seen = readdirSync("m");
libc.setns(before, libc.CLONE_NEWNS);
process.chdir(${JSON.stringify(rig.dir)});
writeFileSync("result.json", JSON.stringify({ seen, codes, after: readdirSync("m") }));
`,
  );
  execFileSync(process.execPath, ["main.ts"], { cwd: rig.dir });
  expect(JSON.parse(readFileSync(rig.path("result.json"), "utf8"))).toEqual({
    seen: ["inside"],
    codes: ["EROFS", "EINVAL", "ENODEV"],
    after: [],
  });
  expect(readdirSync(rig.path("m"))).toEqual([]);
});
