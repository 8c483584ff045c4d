// Real overlayfs mounts, as root and in a user namespace: what a process changes is what the layer says, and our faces mount as what they were.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MNT_DETACH, MS_NODEV, mount, umount } from "../../../src/base/libc.ts";
import { packLayer } from "../../../src/layer/pack.ts";
import { scanUpper } from "../../../src/layer/scan.ts";
import { unpackLayer } from "../../../src/layer/unpack.ts";
import { gather, inSlices } from "../../unit/layer/raw-tar.ts";
import { facts, openRig, type Rig } from "./rig.ts";

const BASE = `
mkdir -p etc usr/lib var/cache opt/app keep; echo old >etc/conf; echo gone >etc/gone; echo a >opt/app/a; echo b >opt/app/b
ln -s usr/lib lib; ln -s etc dir-link; echo 1 >var/cache/one; echo x >keep/x; echo plain >file; chmod 1777 var/cache
ln keep/x keep/y; mkdir to-link to-file; touch to-link/in to-file/in
mkdir -m 0750 own; touch own/in; chown 5:6 own
`;
/** Every way a name can change its meaning (T11, T12, T13, T15). */
const STEP = `
echo new >etc/conf; rm etc/gone; rm -r opt/app; mkdir opt/app; echo c >opt/app/c
rm -r to-link; ln -s etc to-link; rm -r to-file; echo file >to-file; rm file; mkdir file; touch file/in
rm dir-link; mkdir dir-link; touch dir-link/in; ln -sfn usr/bin lib; chmod 600 keep/x; chown 7:8 var/cache
mkdir -p new/deep; echo n >new/deep/n; ln new/deep/n new/n2; mkfifo new/fifo; mknod new/null c 1 3; rm -r var/cache/one; touch var/.hidden own/new
`;

test("a step's upper directory is the layer that another machine unpacks to the same tree (S66, T01, T04, T05, T11–T13, T15, T20)", async () => {
  using rig = openOverlayRig();
  for (const name of ["base", "upper", "work", "merged"]) mkdirSync(rig.path(name));
  shell(rig.path("base"), BASE);
  overlay(rig, "merged", ["base"], "upper");
  shell(rig.path("merged"), STEP);
  const expected = describeTree(rig.path("merged"));
  umount(rig.path("merged"), MNT_DETACH);

  const entries = await scanUpper(rig.path("upper"), { xattrNamespace: "trusted" });
  const paths = entries.map((entry) =>
    entry.type === "whiteout" ? `-${entry.path}` : `${entry.opaque ? "!" : ""}${entry.path}`,
  );
  expect(paths.join(" ")).toBe(
    "!dir-link dir-link/in etc etc/conf -etc/gone !file file/in keep keep/x lib " +
      "new new/deep new/deep/n new/fifo new/n2 new/null opt !opt/app opt/app/c own own/new to-file to-link " +
      "var var/.hidden var/cache -var/cache/one",
  );
  expect(entries.flatMap((entry) => (entry.type !== "whiteout" && entry.hardlink) || [])).toEqual(["new/deep/n"]);
  const tar = await gather(packLayer(entries));
  expect(tar.includes("overlay.")).toBe(false);
  await unpackLayer(inSlices(tar), rig.path("face"), { xattrNamespace: "trusted" });
  overlay(rig, "merged", ["face", "base"]);
  expect(describeTree(rig.path("merged"))).toBe(expected);
});

test("a step that changes nothing, or only reads, leaves an empty layer (T07, T20)", async () => {
  using rig = openOverlayRig();
  for (const name of ["base", "upper", "work", "merged"]) mkdirSync(rig.path(name));
  shell(rig.path("base"), BASE);
  overlay(rig, "merged", ["base"], "upper");
  shell(rig.path("merged"), "cat etc/conf >/dev/null; ls -R . >/dev/null; touch x; rm x");
  expect(await scanUpper(rig.path("upper"), { xattrNamespace: "trusted" })).toEqual([]);
});

test("S66, S71: in a user namespace: whiteouts, opaque directories, devices that cannot be made", async () => {
  using rig = openOverlayRig();
  for (const name of ["base", "upper", "work", "merged"]) mkdirSync(rig.path(name));
  shell(rig.path("base"), BASE);
  overlay(rig, "merged", ["base"], "upper");
  shell(rig.path("merged"), STEP);
  const expected = describeTree(rig.path("merged"));
  umount(rig.path("merged"), MNT_DETACH);
  const entries = await scanUpper(rig.path("upper"), { xattrNamespace: "trusted" });
  writeFileSync(rig.path("layer.tar"), await gather(packLayer(entries)));
  writeFileSync(rig.path("unpack.ts"), rootlessScript(join(import.meta.dirname, "../../../src/layer")));
  const script = `"$0" unpack.ts
    mount -t overlay overlay -o userxattr,lowerdir=rootless:base merged
    cd merged; ${DESCRIBE}`;
  const out = execFileSync("sh", ["-ec", IN_USER_NAMESPACE, script, process.execPath], { cwd: rig.dir });
  expect(withoutDevice(out.toString())).toBe(withoutDevice(expected));
  const result = JSON.parse(readFileSync(rig.path("result.json"), "utf8")) as { skipped: string[]; scanned: string[] };
  expect(result.skipped).toEqual(["new/null"]);
  expect(result.scanned).toEqual(
    facts(entries)
      .map(({ path, type }) => `${type} ${path}`)
      .filter((line) => line !== "char new/null"),
  );
});

/** Runs $0 as a script in a user namespace whose ids are the same as outside, so that only what needs the first namespace is missing. */
const IN_USER_NAMESPACE = `
unshare --user true
mkfifo up down
unshare --user --mount sh -ec 'echo >up; read _ <down; rm up down; '"$0" "$1" &
read _ <up
echo 0 0 65536 >/proc/$!/uid_map; echo 0 0 65536 >/proc/$!/gid_map; echo >down
wait $!
`;

/** A program for another process: unpacks, scans what it made, says what it saw. */
function rootlessScript(source: string): string {
  return `
import { createReadStream, writeFileSync } from "node:fs";
const { unpackLayer } = await import(${JSON.stringify(`${source}/unpack.ts`)});
const { scanUpper } = await import(${JSON.stringify(`${source}/scan.ts`)});
const user = { xattrNamespace: "user" };
const { skippedDevices } = await unpackLayer(createReadStream("layer.tar"), "rootless", user);
const scanned = (await scanUpper("rootless", user)).map(({ path, type }) => type + " " + path);
writeFileSync("result.json", JSON.stringify({ skipped: skippedDevices, scanned }));
`;
}

function withoutDevice(text: string): string {
  return text.replace(/^\.\/new\/null .*\n/m, "");
}

/** overlayfs cannot have its upper directory on every file system: a tmpfs of our own has no surprises. */
function openOverlayRig(): Rig {
  const rig = openRig();
  mount("tmpfs", rig.owns(rig.dir), "tmpfs", MS_NODEV, "mode=755");
  return rig;
}

function overlay(rig: Rig, target: string, lower: readonly string[], upper?: string): void {
  const lowers = lower.map((name) => rig.path(name)).join(":");
  const upperPart =
    upper === undefined
      ? ""
      : `,upperdir=${rig.path(upper)},workdir=${rig.path("work")},redirect_dir=off,metacopy=off,index=off`;
  mount("overlay", rig.owns(rig.path(target)), "overlay", 0, `lowerdir=${lowers}${upperPart}`);
}

function shell(cwd: string, script: string): void {
  execFileSync("sh", ["-ec", script], { cwd });
}

/** Name, type, mode, owner, links, link target, size of files; then content. */
const DESCRIBE = `find . -printf '%p %y %#m %U %G %l %Y ' \\( -type f -printf '%s %T@ ' -exec md5sum {} \\; -o -printf '\\n' \\) | sort`;

function describeTree(dir: string): string {
  return execFileSync("sh", ["-ec", DESCRIBE], { cwd: dir }).toString();
}
