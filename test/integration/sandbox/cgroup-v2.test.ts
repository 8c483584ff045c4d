// A machine that has cgroup v2 alone: every step in a group of its own there, counted and removed. S03, S12, S13.
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

const LAUNCHER = resolve(import.meta.dirname, "../../../src/bin/tsbuild");

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

/** Runs words where the v2 tree is all that is mounted. */
function underV2(words: readonly string[]): string {
  const script =
    'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && "$@" 2>&1 && find /sys/fs/cgroup -name "tsbuild*" -o -name "run"';
  const env = { ...process.env, TSBUILD_ROOT: rig.store };
  return execFileSync("unshare", ["--mount", "sh", "-ec", script, "sh", ...words], { encoding: "utf8", env });
}

test("a step runs in a v2 group of its own, which is gone afterwards", () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN cat /proc/self/cgroup && ls /sys/fs/cgroup\n" });
  const output = underV2([LAUNCHER, "--progress", "plain", "-o", "type=cacheonly", context]);
  // The namespace of groups makes its own group the root.
  expect(output).toMatch(/ 0::\/$/m);
  expect(output).toMatch(/ cgroup\.procs$/m);
  expect(output).not.toMatch(/^\/sys\/fs\/cgroup/m);
});

test("S13: a step was killed for want of memory where its own v2 group counts a kill; without groups, where SIGKILL ended it", () => {
  const source = resolve(import.meta.dirname, "../../../src/sandbox/cgroup.ts");
  const program = `import { oomVerdict } from ${JSON.stringify(source)};
    const verdict = (countedPath, exitCode, limit) => {
      const layout = countedPath === undefined ? "none" : "v2";
      const cgroup = { specPath: countedPath, directories: [], countedPath };
      return oomVerdict({ layout, cgroup, exitCode, limit, killsBefore: -1 });
    };
    console.log(JSON.stringify([
      verdict("/hit", 1, 64), verdict("/spared", 137, 64), verdict("/hit", 0, 64), verdict("/gone", 137, 64),
      verdict(undefined, 137), verdict(undefined, 1),
    ]));`;
  const script = `mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && mkdir hit spared
    printf "oom 2\\noom_kill 2\\n" > hit/memory.events; printf "oom 2\\noom_kill 0\\n" > spared/memory.events
    exec "$@"`;
  const words = [process.execPath, "--input-type=module", "-e", program];
  const output = execFileSync("unshare", ["--mount", "sh", "-ec", script, "sh", ...words], { encoding: "utf8" });
  const spared = { oomKilled: false };
  expect(JSON.parse(output)).toEqual([
    { oomKilled: true, oomLimit: 64 },
    spared,
    spared,
    spared,
    { oomKilled: true },
    spared,
  ]);
});

test("a failed step is no out-of-memory kill, and the doctor finds the layout", () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN exit 137\n" });
  const output = underV2(["sh", "-c", `"$0" "$1" || "$0" doctor`, LAUNCHER, context]);
  expect(output).toContain("exit code: 137");
  expect(output).not.toContain("memory");
  expect(output).toContain("ok  cgroups: v2");
  expect(output).not.toMatch(/^NO/m);
});
