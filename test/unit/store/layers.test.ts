import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { digestFor, tempStore, writeFiles } from "../../support/store/temp-store.ts";

test("a layer keeps what it is told, and is found by what it contains", () => {
  using temp = tempStore();
  const { layers } = temp.store;
  const origin = {
    reference: "docker.io/library/debian",
    descriptor: { mediaType: "m", digest: digestFor("blob"), size: 7 },
  };
  const layer = layers.create({ createdBy: "RUN make", createdAt: "2026-01-02T03:04:05.678Z", origin });
  expect(layer).toMatchObject({ createdBy: "RUN make", createdAt: "2026-01-02T03:04:05.678Z", origin });
  expect(layer.id).toMatch(/^[0-9a-v]{13}$/);
  layers.setTreeDigest(layer.id, digestFor("tree"));
  layers.setDiffId(layer.id, digestFor("diff"), 1024);
  layers.addBlob(layer.id, { compression: "gzip", digest: digestFor("gz"), size: 10 });
  layers.addBlob(layer.id, { compression: "zstd", digest: digestFor("zst"), size: 9 });
  layers.addBlob(layer.id, { compression: "gzip", digest: digestFor("gz2"), size: 11 });
  const id = layer.id;
  expect(layers.findByTreeDigest(digestFor("tree"))).toMatchObject({
    id,
    diffId: digestFor("diff"),
    uncompressedSize: 1024,
  });
  expect([layers.findByDiffId(digestFor("diff")), layers.findByBlob(digestFor("zst"))]).toMatchObject([{ id }, { id }]);
  expect(layers.blob(id, "gzip")).toEqual({ compression: "gzip", digest: digestFor("gz2"), size: 11 });
  expect(layers.blobs(id)).toHaveLength(2);
  expect(layers.obtainByDiffId({ createdBy: "x", diffId: digestFor("diff") }).id).toBe(id);
});

test("RG16: repositories that hold a blob are remembered and forgotten", () => {
  using temp = tempStore();
  const { layers } = temp.store;
  layers.addBlobSource(digestFor("a"), "r.example/one");
  layers.addBlobSource(digestFor("a"), "r.example/two");
  layers.addBlobSource(digestFor("a"), "r.example/one");
  expect([...layers.blobSources(digestFor("a"))].sort()).toEqual(["r.example/one", "r.example/two"]);
  layers.forgetBlobSource(digestFor("a"), "r.example/one");
  expect(layers.blobSources(digestFor("a"))).toEqual(["r.example/two"]);
});

test("a directory is adopted whole; who comes second keeps the first one's", async () => {
  using temp = tempStore();
  const { layers, paths } = temp.store;
  const { id } = layers.create({ createdBy: "COPY" });
  expect(layers.directory(id)).toBeUndefined();
  await layers.adoptDirectory(id, writeFiles(join(paths.tmp, "a"), { "etc/x": "1" }));
  await layers.adoptDirectory(id, writeFiles(join(paths.tmp, "b"), { "etc/x": "2" }));
  expect(readFileSync(join(layers.directory(id)!, "etc/x"), "utf8")).toBe("1");
  expect(readdirSync(paths.tmp)).toEqual([]);
  rmSync(layers.directory(id)!, { recursive: true });
  expect(layers.directory(id)).toBeUndefined();
});

test("pain 13: a process that died between the rename and the row: the next one takes the directory over", async () => {
  using temp = tempStore();
  const { layers, paths } = temp.store;
  const { id } = layers.create({ createdBy: "COPY" });
  writeFiles(join(paths.layers, id, "diff"), { x: "whole" });
  expect(layers.directory(id)).toBeUndefined();
  await layers.adoptDirectory(id, writeFiles(join(paths.tmp, "a"), { x: "again" }));
  expect(readFileSync(join(layers.directory(id)!, "x"), "utf8")).toBe("whole");
});

test("an entry list is kept with its layer and is a miss when damaged", () => {
  using temp = tempStore();
  const { layers, paths } = temp.store;
  const { id } = layers.create({ createdBy: "COPY" });
  expect(layers.readEntries(id)).toBeUndefined();
  layers.writeEntries(id, [{ path: "gone", type: "whiteout" }]);
  expect(layers.readEntries(id)).toEqual([{ path: "gone", type: "whiteout" }]);
  expect(layers.get(id)?.hasEntries).toBe(true);
  writeFileSync(join(paths.layers, id, "entries"), "TSBENT1\nnonsense");
  expect(layers.readEntries(id)).toBeUndefined();
});

test("pain 13: a digest that was flipped inside the database is not believed", () => {
  using temp = tempStore();
  const { layers, paths } = temp.store;
  const { id } = layers.create({ createdBy: "COPY", diffId: digestFor("diff"), treeDigest: digestFor("tree") });
  layers.addBlob(id, { compression: "gzip", digest: digestFor("gz"), size: 10 });
  using other = new DatabaseSync(paths.database);
  for (const [table, column] of [
    ["layers", "diff_id"],
    ["layer_blobs", "digest"],
  ])
    other.exec(`UPDATE ${table} SET ${column} = replace(${column}, substr(${column}, 40, 1), 'f')`);
  expect(layers.get(id)).toMatchObject({ treeDigest: digestFor("tree") });
  expect(layers.get(id)?.diffId).toBeUndefined();
  expect(layers.blobs(id)).toEqual([]);
});

test("detaching takes a layer away at once", async () => {
  using temp = tempStore();
  const { layers, paths, records } = temp.store;
  const { id } = layers.create({ createdBy: "COPY" });
  await layers.adoptDirectory(id, writeFiles(join(paths.tmp, "a"), { x: "1" }));
  records.put({ key: digestFor("k"), layerId: id, kind: "definition", parts: [], slot: "s", durationMs: 1 });
  const gone = temp.store.transaction(() => layers.detach(id));
  expect([layers.get(id), layers.directory(id), records.find(digestFor("k"))]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(existsSync(join(gone!, "diff/x"))).toBe(true);
  expect(records.lastOfSlot("s")?.layerId).toBe(id);
});
