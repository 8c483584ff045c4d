// The ceiling of --cache-max-size, with real builds: it holds while they run, and they succeed (pain 3).
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

/** Builds of how many bytes under which ceiling; the numbers of pain 3 are 20, 30 MB, 200 MB. */
const BUILDS = Number(process.env["TSBUILD_TEST_CEILING_BUILDS"] ?? 6);
const LAYER = Number(process.env["TSBUILD_TEST_CEILING_LAYER"] ?? 8_000_000);
const CEILING = Number(process.env["TSBUILD_TEST_CEILING_SIZE"] ?? 40_000_000);

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/**
 * The largest of {@link bytesOf}, asked as often as it can be until `work` has ended. Files that go meanwhile are no error. What moves while it is asked
 * (a step's files become a layer) would count twice for du, so each inode counts once.
 */
async function peakOf(work: Promise<unknown>): Promise<number> {
  const done = new AbortController();
  const ended = work.finally(() => {
    done.abort();
  });
  let peak = 0;
  while (!done.signal.aborted) {
    peak = Math.max(peak, bytesOf(rig.store));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  return Math.max(peak, bytesOf(rig.store));
}

function bytesOf(path: string): number {
  const script = `find ${path} -xdev -printf '%i %s\\n' 2>/dev/null | sort -u | awk '{sum += $2} END {printf "%d", sum}'`;
  return Number(execFileSync("sh", ["-c", script], { encoding: "utf8" }));
}

function unique(seed: string, size: number): string {
  return rig.context({
    Dockerfile: `FROM busybox\nARG SEED=${seed}\nRUN echo $SEED; dd if=/dev/urandom of=/big bs=100000 count=${Math.floor(size / 100_000)}\n`,
  });
}

test(
  "pain 3: builds of unique layers never take the store past its ceiling, and never fail",
  { timeout: 600_000 },
  async () => {
    const peaks: number[] = [];
    for (let i = 0; i < BUILDS; i++) {
      const build = rig.must(["--cache-max-size", String(CEILING), "-t", "app", unique(`serial-${i}`, LAYER)]);
      peaks.push(await peakOf(build));
    }
    expect(Math.max(...peaks)).toBeLessThanOrEqual(CEILING);
    expect(bytesOf(rig.store)).toBeLessThan(CEILING);
    // Each of them was another layer, so the first ones had to make room.
    expect(Math.max(...peaks)).toBeGreaterThan(CEILING / 2);
    expect((await rig.must(["run", "app", "ls", "/big"])).stdout).toBe("/big\n");
  },
);

test(
  "pain 3: builds at the same time share one ceiling: they wait for each other rather than fail",
  { timeout: 600_000 },
  async () => {
    writeFileSync(join(rig.store, "config.json"), JSON.stringify({ cacheMaxSize: CEILING }));
    // Two, because where more hold a part each and all wait, the youngest gives up.
    const builds = Array.from({ length: 2 }, (_, i) =>
      rig.must(["-o", "type=cacheonly", unique(`parallel-${i}`, LAYER)]),
    );
    expect(await peakOf(Promise.all(builds))).toBeLessThanOrEqual(CEILING);
    expect(bytesOf(rig.store)).toBeLessThan(CEILING);
  },
);

test("pain 3: a step that needs more than the ceiling is stopped, and the error says the sizes and the remedy", async () => {
  await rig.must(["rmi", "app"]);
  const { code, stderr } = await rig.tsbuild(["--cache-max-size", "30m", unique("too-big", 1_000_000_000)]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/RUN echo .* needs .*MB more, but .*MB of the 31.5MB that --cache-max-size allows/);
  expect(stderr).toMatch(/Dockerfile:3/);
  expect(stderr).toMatch(/help: allow at least \d+/);
  expect(bytesOf(rig.store)).toBeLessThan(32_000_000);
});
