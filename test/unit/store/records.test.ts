import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { digestFor, tempStore } from "../../support/store/temp-store.ts";

test("T5, Q35: what was put under a key is found under that key, with its named parts", () => {
  using temp = tempStore();
  const { layers, records } = temp.store;
  const { id: layerId } = layers.create({ createdBy: "RUN make" });
  const parts = [
    { name: "instruction", value: "RUN make" },
    { name: "file src/a.ts", value: "0644 abc" },
  ];
  records.put({ key: digestFor("k"), layerId, kind: "definition", parts, slot: "Dockerfile#3", durationMs: 12.5 });
  const found = temp.open().records.find(digestFor("k"));
  expect(found).toMatchObject({ layerId, kind: "definition", slot: "Dockerfile#3", durationMs: 12.5, uses: 0 });
  expect(found?.parts).toEqual(parts);
  expect(records.find(digestFor("other"))).toBeUndefined();
  records.remove(digestFor("k"));
  expect(records.find(digestFor("k"))).toBeUndefined();
});

test("a record without its layer is a miss", () => {
  using temp = tempStore();
  temp.store.records.put({
    key: digestFor("k"),
    layerId: "gone",
    kind: "definition",
    parts: [],
    slot: "s",
    durationMs: 1,
  });
  expect(temp.store.records.find(digestFor("k"))).toBeUndefined();
  expect(temp.store.records.lastOfSlot("s")).toMatchObject({ layerId: "gone" });
});

test("pain 1: a miss is compared with the newest record of its slot", () => {
  using temp = tempStore();
  const { layers, records } = temp.store;
  const { id: layerId } = layers.create({ createdBy: "RUN" });
  for (const [key, kind] of [
    ["1", "definition"],
    ["2", "content"],
    ["3", "definition"],
    ["4", "content"],
  ] as const)
    records.put({ key: digestFor(key), layerId, kind, parts: [{ name: "n", value: key }], slot: "s", durationMs: 1 });
  expect(records.lastOfSlot("s")?.parts).toEqual([{ name: "n", value: "4" }]);
  expect(records.lastOfSlot("s", "definition")?.parts).toEqual([{ name: "n", value: "3" }]);
  expect(records.lastOfSlot("t")).toBeUndefined();
});

test("durations, results and facts are kept; damage in a result is a miss", () => {
  using temp = tempStore();
  const { records, paths } = temp.store;
  records.setDuration("op", 1500);
  expect([records.duration("op"), records.duration("none")]).toEqual([1500, undefined]);
  const result = {
    manifest: { mediaType: "m", digest: digestFor("m"), size: 3 },
    manifestBytes: Buffer.from("{m}"),
    configBytes: Buffer.from("{c}"),
    layerIds: ["a", "b"],
  };
  records.putResult(digestFor("k"), result);
  expect(records.findResult(digestFor("k"))).toEqual(result);
  records.putBlob("tag", "debian:12", Buffer.from("sha256:1"));
  expect(Buffer.from(records.getBlob("tag", "debian:12")!.value).toString()).toBe("sha256:1");
  expect(records.getBlob("git", "debian:12")).toBeUndefined();
  using other = new DatabaseSync(paths.database);
  other.exec("UPDATE results SET value = CAST(replace(CAST(value AS TEXT), '3', '4') AS BLOB)");
  expect(records.findResult(digestFor("k"))).toBeUndefined();
});

test("facts of a kind are bounded, the least recently used go", () => {
  using temp = tempStore();
  temp.store.transaction(() => {
    for (let i = 0; i < 2200; i++) temp.store.records.putBlob("tag", `n${i}`, Buffer.from("v"));
  });
  const kept = Array.from({ length: 2200 }, (_, i) => temp.store.records.getBlob("tag", `n${i}`)).filter(Boolean);
  expect(kept.length).toBeLessThan(2070);
  expect(temp.store.records.getBlob("tag", "n2199")).toBeDefined();
  expect(temp.store.records.getBlob("tag", "n0")).toBeUndefined();
});
