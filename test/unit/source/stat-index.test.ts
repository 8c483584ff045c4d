// The stat index of many files: what is written is read again, and damage anywhere makes it an empty one.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { FileStamp } from "../../../src/source/file-stamp.ts";
import { StatIndex, type StatIndexOptions } from "../../../src/source/stat-index.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "tsbuild-stat-index-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const stampOf = (index: number): FileStamp => {
  return { size: 1n, mtimeNs: BigInt(index), ctimeNs: 1n, ino: BigInt(index), mode: 0o100644n, dev: 1n };
};

test.each([10, 10_000])("%i files: kept, and damage anywhere is an empty index", async (count) => {
  const path = join(root, `${count}`);
  const written = await StatIndex.open(path);
  for (let i = 0; i < count; i++)
    written.record(`files/${i}`, stampOf(i), { sha256: i.toString(16).padStart(64, "0") }, Date.now());
  await written.save();
  const index = await StatIndex.open(path);
  expect(index.size).toBe(count);
  expect(index.find("files/7", stampOf(7))).toEqual({ sha256: "7".padStart(64, "0") });
  expect(index.find("files/7", stampOf(8))).toBeUndefined();
  const good = readFileSync(path);
  for (let at = 0; at < good.length; at += Math.ceil(good.length / 17)) {
    const bad = Buffer.from(good);
    bad[at]! ^= 0x10;
    writeFileSync(path, bad);
    expect((await StatIndex.open(path)).size, `byte ${at}`).toBe(0);
    writeFileSync(path, good.subarray(0, at));
    expect((await StatIndex.open(path)).size, `cut at ${at}`).toBe(0);
  }
  writeFileSync(path, good.subarray(0, 30));
  expect((await StatIndex.open(path)).size).toBe(0);
});

test.each([
  ["in memory", {}],
  ["issue 4: in files, as for a million", { maxInMemory: 0, keptParts: 0 }],
])(
  "a path that changed has one row, an unchanged one keeps its own, and names of any script are found: %s",
  async (where, options) => {
    const path = join(root, `replaced ${where.slice(0, 5)}`);
    const names = ["a", "né", "日本", "日本/x", "a/b", ...Array.from({ length: 9_000 }, (_, i) => `many/${i}`)];
    const hex = (i: number): string => i.toString(16).padStart(64, "0");
    const first = await StatIndex.open(path, options);
    names.forEach((name, i) => first.record(name, stampOf(i), { sha256: hex(i) }, Date.now()));
    first.record("with", stampOf(1), { sha256: "", xattrs: { "user.k": Buffer.from("v") } }, Date.now());
    await first.save();
    const second = await StatIndex.open(path, options);
    expect(second.find("né", stampOf(99))).toBeUndefined();
    second.record("né", stampOf(99), { sha256: hex(99) }, Date.now());
    await second.save();
    const third = await StatIndex.open(path, options);
    expect(third.size).toBe(names.length + 1);
    expect(third.find("né", stampOf(1))).toBeUndefined();
    expect(third.find("né", stampOf(99))).toEqual({ sha256: hex(99) });
    for (const [i, name] of names.entries())
      if (name !== "né") expect(third.find(name, stampOf(i))).toEqual({ sha256: hex(i) });
    expect(third.find("with", stampOf(1))?.xattrs).toEqual({ "user.k": new Uint8Array(Buffer.from("v")) });
    expect(third.find("nobody", stampOf(1))).toBeUndefined();
  },
);

test("issue 4: an index in files is byte for byte the one in memory, is read by it, and leaves nothing beside itself", async () => {
  const folder = join(root, "beside");
  const write = async (name: string, options: StatIndexOptions): Promise<Buffer> => {
    const path = join(folder, name);
    for (const round of [1, 2]) {
      const index = await StatIndex.open(path, options);
      for (let i = 0; i < 10_000; i++) {
        const stamp = stampOf(i % 3 === 0 ? i * round : i);
        if (index.find(`d${i % 9}/é${i}`, stamp)) continue;
        index.record(`d${i % 9}/é${i}`, stamp, { sha256: i.toString(16).padStart(64, "0") }, Date.now());
      }
      await index.save();
      index.forget();
    }
    return readFileSync(path);
  };
  const plain = await write("plain", {});
  expect((await write("long", { maxInMemory: 0, keptParts: 1 })).equals(plain)).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(["long", "plain"]);
});

test("pain 13: damage anywhere makes a long index an empty one, too", async () => {
  const path = join(root, "long damaged");
  const written = await StatIndex.open(path, { keptParts: 0 });
  for (let i = 0; i < 9_000; i++) written.record(`files/${i}`, stampOf(i), { sha256: "ab".repeat(32) }, Date.now());
  await written.save();
  const good = readFileSync(path);
  for (let at = 0; at < good.length; at += Math.ceil(good.length / 17)) {
    const bad = Buffer.from(good);
    bad[at]! ^= 0x10;
    writeFileSync(path, bad);
    const index = await StatIndex.open(path, { maxInMemory: 0 });
    expect(index.size, `byte ${at}`).toBe(0);
  }
});
