// Limits of RUN from the command line to the step's cgroup (reference S12, S13, U20). What the flags say: test/unit/cli/resources.test.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(async () => {
  expect(rig.leftovers()).toEqual([]);
  await rig[Symbol.asyncDispose]();
});

/** The same limit where either layout has it, below the step's own group. */
const LOOK =
  "cd /sys/fs/cgroup; { cat memory/memory.limit_in_bytes || cat memory.max; cat cpuset/cpuset.cpus || cat cpuset.cpus; } 2> /dev/null";

test("S12: limits are the step's, and in no key", async () => {
  const context = rig.context({ Dockerfile: `FROM busybox\nRUN { ${LOOK}; } > /limits\n` });
  const build = async (...limits: string[]): Promise<string | undefined> => {
    const { stderr } = await rig.must(["--progress", "rawjson", "-o", "limited", ...limits, context]);
    return [...rig.outcomes(stderr)].find(([name]) => name.includes("RUN"))?.[1];
  };
  expect(await build("--resource", "memory=100m,cpuset-cpus=0")).toBe("ran");
  expect(readFileSync(join(rig.root, "limited/limits"), "utf8")).toBe(`${String(100 * 2 ** 20)}\n0\n`);
  expect(await build("--memory", "200m")).toBe("cached");
  expect(await build()).toBe("cached");
});

test("S13: a step that runs into its limit says so, with the limit and what to raise", async () => {
  const hog = "x=$(head -c 300000000 /dev/zero | tr '\\0' x)";
  const context = rig.context({ Dockerfile: `FROM busybox\nRUN ${hog}\n` });
  const { code, stderr } = await rig.tsbuild(["--memory", "64m", "--memory-swap", "64m", context]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/Dockerfile:2:\d+: error: the step ran out of memory and was killed/);
  expect(stderr).toMatch(/exit code: \d+: OOM killed \(limit 67108864 bytes\), cannot allocate memory/);
  expect(stderr).toContain("raise --memory");
});
