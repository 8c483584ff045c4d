// Several processes on one store: nothing torn, nobody in anybody's way, whatever is killed when.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { checkLayer, faultsOf, keyFor } from "../../support/store/store-content.ts";
import { tempStore } from "../../support/store/temp-store.ts";
import { startWorker } from "../../support/store/worker-process.ts";

const noReap = (): Promise<void> => Promise.resolve();

test("pain 13: eight processes that make the same steps at the same time make them once each", async () => {
  using temp = tempStore();
  const workers = Array.from({ length: 8 }, (_, i) => startWorker(temp.root, "build", "30", `${i * 4}`));
  await Promise.all(workers.map((worker) => worker.ended()));
  const { store } = temp;
  expect(faultsOf(store)).toEqual([]);
  for (let n = 0; n < 30; n++) checkLayer(store, store.records.find(keyFor(n))!.layerId, n, { mayBePacked: false });
  expect(store.images.list()).toHaveLength(30);
  expect(readdirSync(store.paths.layers)).toHaveLength(30);
  expect([readdirSync(store.paths.leases), readdirSync(store.paths.tmp)]).toEqual([[], []]);
});

test("T50: a collector that runs all the time never takes what a build has pinned", async () => {
  using temp = tempStore();
  using elsewhere = tempStore();
  const stop = join(elsewhere.root, "stop");
  await using collector = startWorker(temp.root, "prune", stop);
  await collector.line("ready");
  const workers = Array.from({ length: 6 }, (_, i) => startWorker(temp.root, "build", "25", `${i * 4}`, "no-names"));
  await Promise.all(workers.map((worker) => worker.ended()));
  // Not killed: between a face's going and the row's saying so, a layer has neither, which is a miss and no fault of pins.
  writeFileSync(stop, "");
  await collector.ended();
  expect(faultsOf(temp.store)).toEqual([]);
  expect((await temp.store.prune({ maxSize: 1_000_000 })).total).toBeLessThanOrEqual(1_000_000);
});

test("pain 13: killed anywhere while writing, the store is whole, and the sweep leaves nothing of the dead", async () => {
  using temp = tempStore();
  for (let round = 0; round < 12; round++) {
    await using worker = startWorker(temp.root, "churn", `${round * 100}`);
    await worker.line("ready");
    await setTimeout(round * 7);
    await worker.kill();
    const store = temp.open();
    expect(faultsOf(store)).toEqual([]);
    expect(await store.sweep(noReap)).toBeGreaterThan(0);
    // A small file that was about to be renamed has no lock and goes after ten minutes.
    const left = readdirSync(store.paths.tmp).filter((name) => !name.startsWith("put-"));
    expect([readdirSync(store.paths.leases), left]).toEqual([[], []]);
  }
  expect(temp.notices).toEqual([]);
  await temp.store.prune({ all: true });
});

test("Q32: a lock excludes other processes; no increment is lost", async () => {
  using temp = tempStore();
  const file = join(temp.root, "counter");
  writeFileSync(file, "0");
  const workers = Array.from({ length: 5 }, () => startWorker(temp.root, "count", file, "40"));
  await Promise.all(workers.map((worker) => worker.ended()));
  expect(readFileSync(file, "utf8")).toBe("200");
  expect(readdirSync(temp.store.paths.locks)).toEqual([]);
});

test("pain 11: who waits for a lock is told for whom, and gets it when that process is killed", async () => {
  using temp = tempStore();
  await using worker = startWorker(temp.root, "hold-lock", "step");
  await worker.line("held");
  const { promise: told, resolve } = Promise.withResolvers<string>();
  const lock = temp.store.lock("step", { mode: "exclusive", onWait: resolve });
  expect(await told).toBe(`worker ${worker.pid}`);
  await worker.kill();
  await (await lock)[Symbol.asyncDispose]();
});

test("a dead build's lease, pins and half-written blobs go; its resumable download stays", async () => {
  using temp = tempStore();
  const { store } = temp;
  await using worker = startWorker(temp.root, "hold-lease");
  const [, directory = "", layer = ""] = (await worker.line("held")).split(" ");
  expect(await store.sweep(noReap)).toBe(0);
  await store.prune({ all: true });
  expect(store.layers.get(layer)).toBeDefined();
  await worker.kill();
  const reaped: string[] = [];
  await store.sweep((each) => Promise.resolve(void reaped.push(each)));
  expect(reaped).toEqual([directory]);
  expect(readdirSync(store.paths.leases)).toEqual([]);
  expect(readdirSync(store.paths.tmp)).toEqual([expect.stringMatching(/^resume-/) as string]);
  await using again = await store.content.ingest({ resumeKey: "k" });
  expect(again.offset).toBe(50_000);
  await store.prune({ all: true });
  expect(store.layers.get(layer)).toBeUndefined();
});

test("Q34, M21: cache mounts between processes", async () => {
  using temp = tempStore();
  await using first = startWorker(temp.root, "hold-mount", "locked");
  const path = (await first.line("held")).slice(5);
  await using waiting = startWorker(temp.root, "hold-mount", "locked");
  await waiting.line("waiting");
  await using apart = startWorker(temp.root, "hold-mount", "private");
  expect((await apart.line("held")).slice(5)).not.toBe(path);
  await first.kill();
  expect((await waiting.line("held")).slice(5)).toBe(path);
});

test("M22: a cache mount whose filling was killed is filled anew", async () => {
  using temp = tempStore();
  await using worker = startWorker(temp.root, "fill-mount");
  await worker.line("filling");
  const mount = temp.store.acquireCacheMount({ id: "c", sharing: "shared" });
  await worker.kill();
  await using acquired = await mount;
  expect([acquired.isNew, readdirSync(acquired.path)]).toEqual([true, []]);
  expect(readdirSync(temp.store.paths.mounts)).toHaveLength(1);
});
