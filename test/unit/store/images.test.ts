import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Index } from "../../../src/oci/image.ts";
import { putImage, tempStore } from "../../support/store/temp-store.ts";

const A = "docker.io/library/app:1";
const B = "docker.io/library/app:2";

function indexOf(root: string): readonly (string | undefined)[][] {
  const index = JSON.parse(readFileSync(join(root, "content/index.json"), "utf8")) as Index;
  return index.manifests.map(({ digest, annotations = {} }) => [
    digest,
    annotations["org.opencontainers.image.ref.name"],
    annotations["io.containerd.image.name"],
  ]);
}

test("N09: index.json says what the table says", () => {
  using temp = tempStore();
  const { images } = temp.store;
  const one = putImage(temp.store, Buffer.from("one")).manifest;
  const two = putImage(temp.store, Buffer.from("two")).manifest;
  images.set(A, one);
  images.set(B, two);
  expect(images.list().map((image) => image.name)).toEqual([A, B]);
  expect(indexOf(temp.root)).toEqual([
    [one.digest, A, A],
    [two.digest, B, B],
  ]);
  images.set(A, two);
  expect(images.get(A)?.manifest).toEqual(two);
  expect(images.untagged().map((image) => image.manifest.digest)).toEqual([one.digest]);
  expect(indexOf(temp.root)).toEqual([
    [two.digest, A, A],
    [two.digest, B, B],
    [one.digest, undefined, undefined],
  ]);
  expect([images.remove(A), images.remove(A)]).toEqual([true, false]);
  expect(images.removeManifest(one.digest)).toBe(true);
  expect(indexOf(temp.root)).toEqual([[two.digest, B, B]]);
});

test("an untagged image that gets a name is no longer untagged", () => {
  using temp = tempStore();
  const { manifest } = putImage(temp.store, Buffer.from("one"));
  temp.store.images.addUntagged(manifest);
  temp.store.images.addUntagged(manifest);
  expect(temp.store.images.untagged()).toHaveLength(1);
  temp.store.images.set(A, manifest);
  expect(temp.store.images.untagged()).toEqual([]);
});

test("pain 13: after the database is lost, the names come back from index.json", () => {
  using temp = tempStore();
  const { manifest } = putImage(temp.store, Buffer.from("one"));
  const annotated = { ...manifest, annotations: { "org.example": "kept" } };
  temp.store.images.set(A, annotated);
  temp.store[Symbol.dispose]();
  for (const suffix of ["", "-wal", "-shm"]) rmSync(temp.store.paths.database + suffix, { force: true });
  const again = temp.open();
  expect(again.images.list()).toMatchObject([{ name: A, manifest: annotated }]);
  expect(again.images.get(A)?.manifest).toEqual(annotated);
});

test("an index.json that was damaged is written anew", () => {
  using temp = tempStore();
  const { manifest } = putImage(temp.store, Buffer.from("one"));
  temp.store.images.set(A, manifest);
  writeFileSync(join(temp.root, "content/index.json"), "{");
  temp.store.images.repairIndex();
  expect(indexOf(temp.root)).toEqual([[manifest.digest, A, A]]);
});
