import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { costOf, halfLifeMs, worthOf, type Appraised } from "../../../src/store/worth.ts";
import { digestFor, tempStore, writeFiles, type TempStore } from "../../support/store/temp-store.ts";

const MIB = 1024 * 1024;
const DAY = 24 * 60 * 60_000;

const thing = (own: Partial<Appraised> = {}): Appraised => ({
  bytes: 10 * MIB,
  idleMs: 0,
  uses: 0,
  recovery: { kind: "step", durationMs: 60_000 },
  ...own,
});

test("GC04: worth is the seconds that a byte saves, halved by every half-life without use", () => {
  expect(worthOf(thing())).toBeCloseTo(60 / (10 * MIB), 12);
  expect(worthOf(thing({ bytes: 20 * MIB }))).toBeCloseTo(worthOf(thing()) / 2, 12);
  expect(worthOf(thing({ recovery: { kind: "step", durationMs: 120_000 } }))).toBeCloseTo(2 * worthOf(thing()), 12);
  expect(worthOf(thing({ idleMs: 3 * DAY }))).toBeCloseTo(worthOf(thing()) / 2, 12);
  expect(halfLifeMs(0)).toBe(3 * DAY);
  expect(halfLifeMs(3)).toBe(9 * DAY);
  expect(worthOf(thing({ idleMs: 9 * DAY, uses: 3 }))).toBeCloseTo(worthOf(thing()) / 2, 12);
});

test("GC04: a cheap big thing goes before a dear small one that is older; what nobody needs goes first", () => {
  const fetched = worthOf(thing({ bytes: 2000 * MIB, recovery: { kind: "registry" } }));
  const compiled = worthOf(thing({ idleMs: 6 * DAY }));
  expect(fetched).toBeLessThan(compiled);
  expect(worthOf(thing({ recovery: { kind: "unpack" } }))).toBeLessThan(
    worthOf(thing({ recovery: { kind: "registry" } })),
  );
  expect(worthOf(thing({ recovery: { kind: "none" } }))).toBe(0);
});

test("costs have a floor, and unpacking is a part of fetching", () => {
  expect(costOf({ bytes: 0, recovery: { kind: "step", durationMs: 0 } })).toBe(20);
  expect(costOf({ bytes: 300e6, recovery: { kind: "unpack" } })).toBeCloseTo(2000);
  expect(costOf({ bytes: 300e6, recovery: { kind: "registry" } })).toBeCloseTo(17_000);
  expect(costOf({ bytes: 300e6, recovery: { kind: "rate", bytesPerSecond: 100e6 } })).toBeCloseTo(3000);
});

async function addLayer(temp: TempStore, name: string, durationMs: number, idleMs: number): Promise<string> {
  const { layers, records, paths } = temp.store;
  const { id } = layers.create({ createdBy: name });
  await layers.adoptDirectory(id, writeFiles(join(paths.tmp, name), { file: Buffer.alloc(MIB, name) }));
  records.put({ key: digestFor(name), layerId: id, kind: "step", parts: [], slot: name, durationMs });
  using database = new DatabaseSync(paths.database);
  for (const table of ["layers WHERE id", "records WHERE layer_id"]) {
    const [name = "", column = ""] = table.split(" WHERE ");
    database.prepare(`UPDATE ${name} SET last_used_ms = last_used_ms - ? WHERE ${column} = ?`).run(idleMs, id);
  }
  return id;
}

test("GC04: under a limit the step that took a minute outlives the one that took none, though it is older", async () => {
  using temp = tempStore();
  const dear = await addLayer(temp, "make", 60_000, DAY);
  const cheap = await addLayer(temp, "touch", 100, 0);
  const { total } = await temp.store.diskUsage();
  const { removed } = await temp.store.prune({ maxSize: total - MIB / 2 });
  expect(removed.map(({ id }) => id)).toEqual([cheap]);
  expect(temp.store.layers.get(dear)).toBeDefined();
});

test("GC04: a layer is as likely to be used as the build that is made of it, though nobody looked at the layer itself", async () => {
  using temp = tempStore();
  const below = await addLayer(temp, "below", 1000, 30 * DAY);
  const alone = await addLayer(temp, "alone", 1000, 20 * DAY);
  temp.store.records.putResult(digestFor("build"), {
    manifest: { mediaType: "m", digest: digestFor("m"), size: 1 },
    manifestBytes: Buffer.from("{}"),
    configBytes: Buffer.from("{}"),
    layerIds: [below],
  });
  const { total } = await temp.store.diskUsage();
  const { removed } = await temp.store.prune({ maxSize: total - MIB / 2 });
  expect(removed.map(({ id }) => id)).toEqual([alone]);
});

test("GC04: a directory that its own blob can give back goes before anything that has to run again", async () => {
  using temp = tempStore();
  const packed = await addLayer(temp, "packed", 60_000, 0);
  const blob = temp.store.content.put(Buffer.alloc(MIB / 2, "blob"));
  temp.store.layers.addBlob(packed, { compression: "gzip", digest: blob, size: MIB / 2 });
  const other = await addLayer(temp, "other", 50_000, DAY);
  const { total } = await temp.store.diskUsage();
  const { removed } = await temp.store.prune({ maxSize: total - MIB / 2 });
  expect(removed.map(({ id }) => id)).toEqual([packed]);
  expect([temp.store.layers.get(packed)?.hasDirectory, temp.store.content.has(blob)]).toEqual([false, true]);
  expect([
    temp.store.records.find(digestFor("packed"))?.layerId,
    temp.store.layers.directory(other) !== undefined,
  ]).toEqual([packed, true]);
});
