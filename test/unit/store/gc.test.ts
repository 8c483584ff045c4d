import { existsSync, linkSync, lstatSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
import { goalOf } from "../../../src/store/gc.ts";
import { digestFor, putImage, tempStore, writeFiles, type TempStore } from "../../support/store/temp-store.ts";

const MIB = 1024 * 1024;

/** Allocated bytes below `path`, each inode once: what `du` says. */
function du(path: string): number {
  const seen = new Set<number>();
  let total = statSync(path).blocks * 512;
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    const stat = lstatSync(join(entry.parentPath, entry.name));
    if (!seen.has(stat.ino)) total += stat.blocks * 512;
    seen.add(stat.ino);
  }
  return total;
}

/** A layer with a directory of `size` bytes, a blob and a record, last used `age` ms ago. */
async function addLayer(temp: TempStore, name: string, size: number, age = 0): Promise<{ id: string; blob: Digest }> {
  const { layers, records, content, paths } = temp.store;
  const { id } = layers.create({ createdBy: name });
  await layers.adoptDirectory(id, writeFiles(join(paths.tmp, name), { file: Buffer.alloc(size, name) }));
  layers.writeEntries(id, []);
  const blob = content.put(Buffer.from(`blob of ${name}`));
  layers.addBlob(id, { compression: "gzip", digest: blob, size: 8 });
  records.put({ key: digestFor(name), layerId: id, kind: "definition", parts: [], slot: name, durationMs: 1 });
  using database = new DatabaseSync(paths.database);
  database.prepare("UPDATE layers SET last_used_ms = last_used_ms - ? WHERE id = ?").run(age, id);
  return { id, blob };
}

test("pain 3: usage agrees with du, hard links, cache mounts, logs and all", async () => {
  using temp = tempStore();
  const { store } = temp;
  const { id } = await addLayer(temp, "a", 3 * MIB);
  linkSync(join(store.layers.directory(id)!, "file"), join(store.layers.directory(id)!, "again"));
  putImage(store, Buffer.alloc(MIB, "z"));
  const mount = await store.acquireCacheMount({ id: "c", sharing: "shared" });
  writeFileSync(join(mount.path, "x"), Buffer.alloc(MIB));
  await mount[Symbol.asyncDispose]();
  using log = store.openStepLog("b", "1");
  log.write(Buffer.alloc(200_000));
  await using lease = await store.openLease({ kind: "build" });
  writeFiles(lease.tempDirectory("up"), { y: Buffer.alloc(MIB) });
  writeFiles(join(temp.root, "sandbox"), { filter: Buffer.alloc(MIB) });
  const { total, items } = await store.diskUsage();
  const real = du(temp.root);
  expect(Math.abs(total - real) / real).toBeLessThan(0.01);
  expect(items.find((item) => item.id === id)).toMatchObject({ kind: "layer", description: "a" });
  const again = await store.acquireCacheMount({ id: "c", sharing: "shared" });
  writeFileSync(join(again.path, "y"), Buffer.alloc(4 * MIB));
  await again[Symbol.asyncDispose]();
  expect((await store.diskUsage()).total - total).toBeGreaterThan(3.9 * MIB);
});

test("pain 3: the ceiling holds, the least recently used go first: directories that their blobs can give back, then layers, blobs and records", async () => {
  using temp = tempStore();
  const { store } = temp;
  const old = await addLayer(temp, "old", 2 * MIB, 3000);
  const middle = await addLayer(temp, "middle", 2 * MIB, 2000);
  const young = await addLayer(temp, "young", 2 * MIB, 1000);
  const dry = await store.prune({ maxSize: 5 * MIB, dryRun: true });
  expect(dry.removed.map((item) => item.id)).toEqual([old.id]);
  expect(store.layers.get(old.id)).toBeDefined();
  const { removed, freed, total } = await store.prune({ maxSize: 5 * MIB });
  expect(removed.map((item) => item.id)).toEqual([old.id]);
  expect(freed).toBeGreaterThan(1.9 * MIB);
  expect(total).toBeLessThan(5 * MIB);
  expect(Math.abs(du(temp.root) - total) / total).toBeLessThan(0.01);
  expect([store.layers.directory(old.id), store.records.find(digestFor("old"))?.layerId]).toEqual([undefined, old.id]);
  expect([store.layers.directory(middle.id), store.layers.directory(young.id)].every(Boolean)).toBe(true);
  await store.prune({ maxSize: 1 });
  expect([store.content.has(old.blob), store.records.find(digestFor("old"))]).toEqual([false, undefined]);
});

test("pain 1: what was removed is remembered with when and why, until it is made again", async () => {
  using temp = tempStore();
  const { store } = temp;
  const before = Date.now();
  await addLayer(temp, "asked", MIB, 9000);
  await store.prune();
  await addLayer(temp, "old", MIB, 9000);
  await store.prune({ olderThanMs: 5000 });
  await addLayer(temp, "crowded out", 2 * MIB);
  await store.prune({ maxSize: 1, reason: "ceiling" });
  const evictions = ["asked", "old", "crowded out"].map((name) => store.records.evictionOf(digestFor(name)));
  expect(evictions.map((eviction) => eviction?.reason)).toEqual(["pruned", "age", "ceiling"]);
  expect(evictions.every((eviction) => eviction!.atMs >= before && eviction!.atMs <= Date.now())).toBe(true);
  expect(store.records.evictionOf(digestFor("never made"))).toBeUndefined();
  await addLayer(temp, "old", MIB);
  expect(store.records.evictionOf(digestFor("old"))).toBeUndefined();
});

test("pain 1: what is remembered of evictions is bounded, the oldest go", () => {
  using temp = tempStore();
  const { store } = temp;
  using database = new DatabaseSync(store.paths.database);
  const insert = database.prepare("INSERT INTO records VALUES (?, ?, 'step', 's', 0, 0, 0, 0)");
  database.exec("BEGIN");
  for (let i = 0; i < 10_200; i++) insert.run(digestFor(`k${i}`), `l${i}`);
  database.exec("COMMIT");
  store.transaction(() => {
    for (let i = 0; i < 10_200; i++) store.records.noteEviction(`l${i}`, "ceiling");
  });
  const known = Array.from({ length: 10_200 }, (_, i) => store.records.evictionOf(digestFor(`k${i}`))).filter(Boolean);
  expect(known.length).toBeLessThan(10_070);
  expect(store.records.evictionOf(digestFor("k10199"))).toBeDefined();
});

test("T50: a lease keeps its layers and blobs, whatever prune is asked for", async () => {
  using temp = tempStore();
  const { store } = temp;
  const { id, blob } = await addLayer(temp, "used", MIB);
  const image = putImage(store, Buffer.from("layer"));
  {
    await using lease = await temp.open().openLease({ kind: "build" });
    lease.pin("layer", id);
    lease.pin("image", image.manifest.digest);
    await store.prune({ all: true });
    expect([store.layers.directory(id) !== undefined, store.content.has(blob)]).toEqual([true, true]);
    expect([store.content.has(image.layer), store.content.has(image.manifest.digest)]).toEqual([true, true]);
  }
  await store.prune({ all: true });
  expect([store.layers.get(id), store.content.list()]).toEqual([undefined, []]);
});

test("T50: what is pinned or named after the collector has made its plan stays as well", async () => {
  using temp = tempStore();
  const { store } = temp;
  const [one, two] = [await addLayer(temp, "one", MIB, 2000), await addLayer(temp, "two", MIB, 1000)];
  const image = putImage(store, Buffer.from("layer"));
  const builder = temp.open();
  await using lease = await builder.openLease({ kind: "build" });
  // Called before each removal, which makes it the worst moment for a pin.
  const throwIfAborted = (): void => {
    lease.pin("layer", two.id);
    builder.images.addUntagged(image.manifest);
  };
  await store.prune({ all: true, signal: { throwIfAborted } as AbortSignal });
  expect([store.layers.get(one.id), store.layers.directory(two.id) !== undefined]).toEqual([undefined, true]);
  expect(store.content.has(image.layer)).toBe(true);
});

test("an image keeps its blobs; a directory that can be unpacked again goes, one that is all there is stays", async () => {
  using temp = tempStore();
  const { store } = temp;
  const { manifest, layer } = putImage(store, Buffer.from("layer bytes"));
  store.images.set("docker.io/library/app:1", manifest);
  const packed = await addLayer(temp, "packed", MIB);
  store.layers.addBlob(packed.id, { compression: "uncompressed", digest: layer, size: 11 });
  const bare = await addLayer(temp, "bare", MIB);
  const manifestOfBare = Buffer.from(
    JSON.stringify({ layers: [{ digest: digestFor("nowhere"), size: 1, mediaType: "m" }] }),
  );
  store.layers.addBlob(bare.id, { compression: "uncompressed", digest: digestFor("nowhere"), size: 1 });
  store.images.set("docker.io/library/bare:1", {
    mediaType: "m",
    digest: store.content.put(manifestOfBare),
    size: manifestOfBare.length,
  });
  await store.prune({ all: true });
  expect([store.layers.get(packed.id)?.hasDirectory, store.content.has(layer)]).toEqual([false, true]);
  expect(store.layers.directory(bare.id)).toBeDefined();
  expect(store.records.find(digestFor("packed"))).toBeDefined();
  store.images.remove("docker.io/library/app:1");
  await store.prune({ all: true });
  expect([store.layers.get(packed.id), store.content.has(layer)]).toEqual([undefined, false]);
});

test("a blob of two layers goes with the second", async () => {
  using temp = tempStore();
  const { store } = temp;
  const one = await addLayer(temp, "one", MIB, 2000);
  const two = await addLayer(temp, "two", MIB, 1000);
  store.layers.addBlob(two.id, { compression: "zstd", digest: one.blob, size: 11 });
  await store.prune({ olderThanMs: 1500 });
  expect([store.layers.get(one.id), store.content.has(one.blob)]).toEqual([undefined, true]);
  await store.prune();
  expect(store.content.has(one.blob)).toBe(false);
});

test("Q34: prune leaves cache mounts unless asked, and never one that is in use", async () => {
  using temp = tempStore();
  const { store } = temp;
  const used = await store.acquireCacheMount({ id: "used", sharing: "shared" });
  await (await store.acquireCacheMount({ id: "free", sharing: "shared" }))[Symbol.asyncDispose]();
  await store.prune();
  expect(readdirSync(store.paths.mounts)).toHaveLength(2);
  const { removed } = await store.prune({ all: true });
  expect(removed.map((item) => item.description)).toEqual(["free"]);
  expect(existsSync(used.path)).toBe(true);
  const { id } = await addLayer(temp, "a", MIB);
  const byType = async (): Promise<string[]> =>
    (await store.pruneFiltered(["type=exec.cachemount"], {})).removed.map(({ description }) => description);
  expect(await byType()).toEqual([]);
  await used[Symbol.asyncDispose]();
  expect(await byType()).toEqual(["used"]);
  expect([existsSync(used.path), store.layers.get(id) !== undefined]).toEqual([false, true]);
});

test("what a lost database knew of is counted, and removed when no build can be using it", async () => {
  using temp = tempStore();
  await addLayer(temp, "a", MIB);
  await (await temp.store.acquireCacheMount({ id: "c", sharing: "shared" }))[Symbol.asyncDispose]();
  {
    await using download = await temp.store.content.ingest({ resumeKey: "k" });
    await download.write(Buffer.alloc(MIB));
  }
  temp.store[Symbol.dispose]();
  writeFileSync(temp.store.paths.database, Buffer.alloc(100_000, "no database"));
  const store = temp.open();
  {
    await using _ = await store.openLease({ kind: "build" });
    await store.prune();
    expect(readdirSync(store.paths.layers)).toHaveLength(1);
  }
  expect((await store.diskUsage()).items.filter(({ kind }) => kind === "stray").length).toBeGreaterThan(2);
  const { total } = await store.prune();
  expect([store.paths.layers, store.paths.mounts, store.paths.tmp].map((path) => readdirSync(path))).toEqual([
    [],
    [],
    [],
  ]);
  expect(readdirSync(temp.root).filter((name) => name.includes("damaged"))).toEqual([]);
  expect(Math.abs(du(temp.root) - total) / total).toBeLessThan(0.01);
});

test("untagged images are dropped, and their blobs with them", async () => {
  using temp = tempStore();
  const { store } = temp;
  const one = putImage(store, Buffer.from("one"));
  const two = putImage(store, Buffer.from("two"));
  store.images.set("docker.io/library/app:1", one.manifest);
  store.images.set("docker.io/library/app:1", two.manifest);
  await store.prune();
  expect(store.images.untagged()).toEqual([]);
  expect([store.content.has(one.layer), store.content.has(two.layer)]).toEqual([false, true]);
  expect(store.content.has(digestOf("two"))).toBe(true);
});

test("GC03: down to the ceiling, lower where the disk needs it, never below what is reserved", () => {
  const goal = (options: Parameters<typeof goalOf>[0]): number => goalOf(options, 100, () => 30);
  expect(goal({})).toBe(0);
  expect(goal({ maxSize: 80 })).toBe(80);
  expect(goal({ maxSize: 80, minFreeSpace: 50 })).toBe(80);
  expect(goal({ maxSize: 90, minFreeSpace: 50 })).toBe(80);
  expect(goal({ minFreeSpace: 50 })).toBe(80);
  expect(goal({ minFreeSpace: 20 })).toBe(100);
  expect(goal({ minFreeSpace: 90, reservedSpace: 60 })).toBe(60);
  expect(goal({ reservedSpace: 60 })).toBe(60);
});

test("pain 3: records of builds and the files their steps saw are counted, and go for their age or for room, but not because everything goes", async () => {
  using temp = tempStore();
  const { store } = temp;
  store.builds.write("old", "what a build was like");
  store.fileLists.write("seen", "what a step saw");
  const countOf = async (): Promise<number> =>
    (await store.diskUsage()).items.filter(({ kind }) => kind === "record").length;
  expect(await countOf()).toBe(2);
  await store.prune({ all: true });
  expect(await countOf()).toBe(2);
  await store.prune({ olderThanMs: 60_000 });
  expect(await countOf()).toBe(2);
  const long = new Date(Date.now() - 120_000);
  utimesSync(join(store.paths.builds, "old"), long, long);
  await store.prune({ olderThanMs: 60_000 });
  expect([store.builds.names(), store.fileLists.names()]).toEqual([[], ["seen"]]);
  await store.prune({ maxSize: 0 });
  expect(await countOf()).toBe(0);
});
