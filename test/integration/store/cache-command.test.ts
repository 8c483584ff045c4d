// `tsbuild cache`: what it says the store takes is what du says, and what it says it freed is what went (pain 3, Z06, Z07).
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CacheUsage } from "../../../src/index.ts";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
let context: string;
beforeAll(async () => {
  rig = await openRig();
  context = rig.context({
    Dockerfile:
      "FROM busybox\nRUN --mount=type=cache,target=/root/.npm,id=npm dd if=/dev/zero of=/root/.npm/f bs=1M count=2\nRUN dd if=/dev/urandom of=/big bs=1M count=6\nRUN dd if=/dev/urandom of=/bigger bs=1M count=9\nCOPY data /data\n",
    data: "x".repeat(100_000),
  });
  await rig.must(["-t", "app", context]);
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Allocated bytes, as du says. */
function du(): number {
  return Number(execFileSync("du", ["-s", "-B1", rig.store], { encoding: "utf8" }).split("\t")[0]);
}

async function usage(
  ...flags: readonly string[]
): Promise<{ readonly total: number; readonly items: CacheUsage["entries"] }> {
  const { stdout } = await rig.must(["cache", "du", "--format", "json", ...flags]);
  return JSON.parse(stdout) as { total: number; items: CacheUsage["entries"] };
}

/** The RUN steps that a build of the context runs. */
async function ran(): Promise<readonly string[]> {
  const { stderr } = await rig.must(["--progress", "rawjson", "-t", "app", context]);
  return [...rig.outcomes(stderr)]
    .filter(([name, outcome]) => name.includes("RUN") && outcome === "ran")
    .map(([name]) => name);
}

test("pain 3, Z06: du agrees with du within 1 %, by kind, step, image and mount, as text, JSON and a picture", async () => {
  const { total, items } = await usage();
  expect(Math.abs(total - du()) / du()).toBeLessThan(0.01);
  expect(items.find(({ description }) => description.includes("/bigger"))).toMatchObject({
    kind: "layer",
    type: "regular",
    isShared: true,
  });
  const text = async (...flags: readonly string[]) => (await rig.must(["cache", "du", ...flags])).stdout;
  expect(await text()).toMatch(/KIND +COUNT +SIZE +RECLAIMABLE\n[\s\S]*layer +\d+[\s\S]*\nTotal: +[\d.]+MB\n/);
  expect(await text("--by", "step")).toMatch(/\n[\d.]+MB +[\d.]+s .*of=\/bigger/);
  expect(await text("--by", "image")).toMatch(/docker.io\/library\/app:latest +[\d.]+MB/);
  expect(await text("--by", "mount")).toMatch(/\nnpm +\w+ +2\.\d+MB/);
  expect(await text("--verbose")).toContain("LAST ACCESSED");
  expect((await rig.must(["du"])).stdout).toBe(await text());
  await rig.must(["cache", "du", "--treemap", join(rig.root, "map.svg")]);
  expect(readFileSync(join(rig.root, "map.svg"), "utf8")).toMatch(/^<svg [\s\S]*of=\/bigger[\s\S]*<\/svg>\n$/);
});

test("buildx#931: cache mounts are listed and removed by id", async () => {
  expect((await rig.must(["cache", "mounts"])).stdout).toMatch(/\nnpm +\w+ +2\.\d+MB +\d/);
  expect(await rig.tsbuild(["cache", "mounts", "rm", "nmp"])).toMatchObject({ code: 2 });
  expect((await rig.must(["cache", "mounts", "rm", "npm"])).stdout).toMatch(/^removed 1, freed 2\.\d+MB\n$/);
  expect((await rig.must(["cache", "mounts"])).stdout).not.toContain("npm");
});

test("rm takes a step by its words or its key away: it runs again, and nothing else does", async () => {
  expect(await ran()).toEqual([]);
  await rig.must(["cache", "rm", "RUN dd if=/dev/urandom of=/big bs=1M count=6"]);
  expect(await ran()).toEqual([expect.stringContaining("of=/big ")]);
  const { code, stderr } = await rig.tsbuild(["cache", "rm", "RUN no such step"]);
  expect(code).toBe(2);
  expect(stderr).toContain('nothing in the cache is called "RUN no such step"');
});

test("pain 3, Z07: prune frees what it says, by filter, and says nothing it does not do", async () => {
  await rig.must(["rmi", "app"]);
  const before = await usage();
  const [, said = "", unit = ""] =
    /^freed ([\d.]+)(\w?B); /.exec(
      (await rig.must(["cache", "prune", "-f", "--filter", "description~=/bigger", "--filter", "type=regular"])).stdout,
    ) ?? [];
  const after = await usage();
  expect(unit).toBe("MB");
  expect(Math.abs(before.total - after.total - Number(said) * 1e6)).toBeLessThan(100_000);
  expect(after.items.some(({ description }) => description.includes("/bigger"))).toBe(false);
  expect(after.items.some(({ description }) => description.includes("of=/big "))).toBe(true);
  expect(
    (await rig.must(["cache", "prune", "--filter", "type=source.local", "--dry-run", "--verbose"])).stdout,
  ).toMatch(/context/);
  await rig.must(["cache", "prune", "-af", "--keep-duration", "1h"]);
  expect((await usage()).items.some(({ description }) => description.includes("of=/big "))).toBe(true);
  await rig.must(["cache", "prune", "-af", "--max-used-space", "4m"]);
  expect((await usage()).total).toBeLessThan(4 * 1024 * 1024);
  for (const words of [["--filter", "unitl=1h"], ["--max-used-space", "lots"], ["--keep-duration", "soon"], ["--fore"]])
    expect(await rig.tsbuild(["cache", "prune", ...words]), words.join(" ")).toMatchObject({ code: 2 });
});
