import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { AcquiredCacheMount, CacheMountOptions } from "../../../src/store/cache-mounts.ts";
import { tempStore, type TempStore } from "../../support/store/temp-store.ts";

function acquire(temp: TempStore, options: Partial<CacheMountOptions> = {}): Promise<AcquiredCacheMount> {
  return temp.open().acquireCacheMount({ id: "/root/.npm", sharing: "shared", ...options });
}

async function release(...mounts: readonly AcquiredCacheMount[]): Promise<void> {
  for (const mount of mounts) await mount[Symbol.asyncDispose]();
}

test("M20, M25, Q34: a cache is global by id and initial content, and persists", async () => {
  using temp = tempStore();
  const first = await acquire(temp);
  writeFileSync(join(first.path, "file"), "kept");
  await release(first);
  const again = await acquire(temp);
  expect([first.isNew, again.isNew, again.path]).toEqual([true, false, first.path]);
  const otherId = await acquire(temp, { id: "other" });
  const otherSeed = await acquire(temp, { seed: "sha256:1 mode=700" });
  expect(new Set([again.path, otherId.path, otherSeed.path]).size).toBe(3);
  await release(again, otherId, otherSeed);
});

test("M21, Q34: shared users are in one directory, private ones each in their own, and free ones are used again", async () => {
  using temp = tempStore();
  const [one, two] = [await acquire(temp), await acquire(temp)];
  expect(two.path).toBe(one.path);
  const [three, four] = [await acquire(temp, { sharing: "private" }), await acquire(temp, { sharing: "private" })];
  expect(new Set([one.path, three.path, four.path]).size).toBe(3);
  await release(one, two, three, four);
  const again = await acquire(temp, { sharing: "private" });
  expect([again.path, again.isNew]).toEqual([one.path, false]);
  await release(again);
});

test("M21, Q34: locked users wait for one another and can give up", async () => {
  using temp = tempStore();
  const first = await acquire(temp, { sharing: "locked" });
  const controller = new AbortController();
  const given = acquire(temp, { sharing: "locked", signal: controller.signal });
  const { promise: told, resolve } = Promise.withResolvers<string>();
  const second = acquire(temp, { sharing: "locked", onWait: resolve });
  expect(await told).toContain("pid");
  controller.abort(new Error("cancelled"));
  await expect(given).rejects.toThrow("cancelled");
  await release(first);
  const mount = await second;
  expect(mount.path).toBe(first.path);
  await release(mount);
});

test("M22, M24: initial content is there before anybody sees the directory, and a failed filling leaves nothing", async () => {
  using temp = tempStore();
  let runs = 0;
  const prepare = async (directory: string): Promise<void> => {
    await Promise.resolve();
    if (++runs === 1) throw new Error("no space");
    writeFileSync(join(directory, "seed"), `${runs}`);
  };
  await expect(acquire(temp, { prepare })).rejects.toThrow("no space");
  expect(readdirSync(temp.store.paths.mounts)).toEqual([]);
  const all = await Promise.all([acquire(temp, { prepare }), acquire(temp, { prepare }), acquire(temp, { prepare })]);
  expect(all.map((mount) => readFileSync(join(mount.path, "seed"), "utf8"))).toEqual(["2", "2", "2"]);
  expect(all.filter((mount) => mount.isNew)).toHaveLength(1);
  await release(...all);
});

test("Q30: a fresh start leaves the old directory to those who are in it", async () => {
  using temp = tempStore();
  const old = await acquire(temp);
  const fresh = await acquire(temp, { isFresh: true });
  const next = await acquire(temp);
  expect([fresh.isNew, fresh.path === old.path, next.path]).toEqual([true, false, fresh.path]);
  await release(old, fresh, next);
});

test("a cache directory that was removed by hand is made again", async () => {
  using temp = tempStore();
  const first = await acquire(temp, { sharing: "locked" });
  await release(first);
  for (const name of readdirSync(temp.store.paths.mounts))
    rmSync(join(temp.store.paths.mounts, name), { recursive: true });
  const again = await acquire(temp, { sharing: "locked" });
  expect(again.isNew).toBe(true);
  await release(again);
});
