// A store on a disk with no room: the step or the output that found out says so, and the store works on as soon as less is asked of it.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openRig } from "../../support/rig.ts";

test("a full disk fails the build in words, whether the step or the export meets it, and the next build works", async () => {
  await using rig = await openRig();
  await rig.must([
    "-o",
    `type=oci,tar=false,dest=${join(rig.root, "base")}`,
    rig.context({ Dockerfile: "FROM busybox\n" }),
  ]);
  const disk = join(rig.root, "disk");
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", disk]);
  try {
    const build = (command: string) =>
      rig.tsbuild(
        [
          "--build-context",
          `busybox=oci-layout://${join(rig.root, "base")}`,
          rig.context({ Dockerfile: `FROM busybox\nRUN ${command}\n` }),
        ],
        { env: { TSBUILD_ROOT: join(disk, "s") } },
      );
    const step = await build("dd if=/dev/urandom of=/big bs=1M count=40");
    expect(step).toMatchObject({ code: 1 });
    expect(step.stderr).toContain("No space left on device");
    const output = await build("dd if=/dev/urandom of=/big bs=1M count=12");
    expect(output).toMatchObject({ code: 1 });
    expect(output.stderr).toMatch(/error: .*the disk is full/);
    expect(output.stderr).toContain("help: ");
    expect(await build("echo fine")).toMatchObject({ code: 0 });
  } finally {
    execFileSync("umount", [disk]);
  }
});
