import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { defaultStoreRoot, storeError } from "../../../src/store/layout.ts";
import { openStore } from "../../../src/store/store.ts";
import { digestFor, putImage, tempStore, type TempStore } from "../../support/store/temp-store.ts";

function fill(temp: TempStore): void {
  const { layers, records, images } = temp.store;
  const { id: layerId } = layers.create({ createdBy: "RUN" });
  for (let i = 0; i < 200; i++)
    records.put({
      key: digestFor(`k${i}`),
      layerId,
      kind: "definition",
      parts: [{ name: "n", value: "v".repeat(50) }],
      slot: "s",
      durationMs: 1,
    });
  images.set("docker.io/library/app:1", putImage(temp.store, Buffer.from("l")).manifest);
}

test("pain 13: a file that is no database is set aside, said once, and the store goes on empty but with its images", () => {
  using temp = tempStore();
  fill(temp);
  temp.store[Symbol.dispose]();
  writeFileSync(
    temp.store.paths.database,
    "this is not a database, and it is long enough to be looked at as one".repeat(50),
  );
  const store = temp.open();
  expect(store.records.find(digestFor("k1"))).toBeUndefined();
  expect(temp.notices).toEqual([expect.stringContaining("tsbuild.db.damaged-") as string]);
  expect(readdirSync(temp.root).filter((name) => name.includes("damaged"))).toHaveLength(1);
  expect(store.images.get("docker.io/library/app:1")).toBeDefined();
  temp.open().layers.create({ createdBy: "works" });
  expect(temp.notices).toHaveLength(1);
});

test("pain 13: damage that shows while the store is in use is a miss, and writing goes on", () => {
  using temp = tempStore();
  fill(temp);
  temp.store[Symbol.dispose]();
  const fd = openSync(temp.store.paths.database, "r+");
  const pages = statSync(temp.store.paths.database).size / 4096;
  const garbage = Buffer.alloc(4096, 0xa5);
  for (let page = 1; page < pages; page++) writeSync(fd, garbage, 0, 4096, page * 4096);
  closeSync(fd);
  const store = temp.open();
  const other = temp.open();
  expect(store.records.find(digestFor("k1"))).toBeUndefined();
  const layer = store.transaction(() => store.layers.create({ createdBy: "RUN" }));
  expect(other.layers.get(layer.id)?.createdBy).toBe("RUN");
  expect(temp.notices).toHaveLength(1);
});

test("pain 13: a truncated database, and one of zero bytes", () => {
  for (const size of [5000, 512, 0]) {
    using temp = tempStore();
    fill(temp);
    temp.store[Symbol.dispose]();
    const fd = openSync(temp.store.paths.database, "r+");
    ftruncateSync(fd, size);
    closeSync(fd);
    const store = temp.open();
    store.records.find(digestFor("k1"));
    const { id } = store.layers.create({ createdBy: "RUN" });
    expect(store.layers.get(id)).toBeDefined();
  }
});

test("random damage anywhere in the database is a miss or a notice, never another error", () => {
  let seed = 1;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  using temp = tempStore();
  fill(temp);
  temp.store[Symbol.dispose]();
  const intact = readFileSync(temp.store.paths.database);
  for (let round = 0; round < 60; round++) {
    const damaged = Buffer.from(intact);
    for (let i = 0; i < 20; i++) damaged[random(round % 3 === 0 ? 100 : damaged.length)] = random(256);
    writeFileSync(temp.store.paths.database, damaged);
    using store = openStore(temp.root, { onNotice: () => undefined });
    for (let i = 0; i < 200; i += 10) void store.records.find(digestFor(`k${i}`))?.parts;
    // Together: whichever of them meets the damage, both are in the database that takes its place.
    const { id } = store.transaction(() => {
      const layer = store.layers.create({ createdBy: "RUN" });
      store.records.put({ key: digestFor("new"), layerId: layer.id, kind: "c", parts: [], slot: "s", durationMs: 1 });
      return layer;
    });
    expect(store.records.find(digestFor("new"))?.layerId).toBe(id);
  }
});

test("a transaction happens wholly or not at all", () => {
  using temp = tempStore();
  const { store } = temp;
  expect(() =>
    store.transaction(() => {
      store.layers.create({ createdBy: "one", diffId: digestFor("d") });
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(store.layers.findByDiffId(digestFor("d"))).toBeUndefined();
});

test("a store of a newer tsbuild is left alone", () => {
  using temp = tempStore();
  temp.store[Symbol.dispose]();
  using other = new DatabaseSync(temp.store.paths.database);
  other.exec("PRAGMA user_version = 999");
  for (const mode of ["write", "read"] as const) expect(() => temp.open(mode)).toThrow(/written by a newer tsbuild/);
});

test("reading needs no store and changes nothing", async () => {
  using temp = tempStore();
  fill(temp);
  const root = join(temp.root, "absent");
  using absent = openStore(root, { mode: "read", onNotice: () => undefined });
  expect([absent.images.list(), (await absent.diskUsage()).total]).toEqual([[], 0]);
  expect(readdirSync(temp.root)).not.toContain("absent");
  const reader = temp.open("read");
  expect(reader.images.list()).toHaveLength(1);
  expect(reader.records.find(digestFor("k1"))?.parts).toHaveLength(1);
  expect(() => reader.layers.create({ createdBy: "no" })).toThrow(expect.objectContaining({ code: "store" }) as Error);
  await expect(reader.openLease({ kind: "build" })).rejects.toMatchObject({ code: "store" });
});

test("an unusable place is an error of code store with a remedy", () => {
  using temp = tempStore();
  writeFileSync(join(temp.root, "file"), "");
  mkdirSync(join(temp.root, "x"));
  expect(() => openStore(join(temp.root, "file/below"), { onNotice: () => undefined })).toThrow(
    expect.objectContaining({ code: "store", help: expect.stringContaining("TSBUILD_ROOT") as string }) as Error,
  );
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  expect(storeError(full, "/r")).toMatchObject({
    code: "store",
    message: "cannot write to the store at /r: the disk is full",
    help: expect.stringContaining("tsbuild prune") as string,
  });
});

test("the root is TSBUILD_ROOT, else root's, else the user's", () => {
  expect(defaultStoreRoot({ TSBUILD_ROOT: "/x", HOME: "/h" }, 0)).toBe("/x");
  expect(defaultStoreRoot({ HOME: "/h" }, 0)).toBe("/var/lib/tsbuild");
  expect(defaultStoreRoot({ HOME: "/h" }, 1000)).toBe("/h/.local/share/tsbuild");
  expect(defaultStoreRoot({ HOME: "/h", XDG_DATA_HOME: "/d" }, 1000)).toBe("/d/tsbuild");
  expect(defaultStoreRoot({}, 1000)).toBeUndefined();
});
