// The stat index of many files: what is written is read again, and damage anywhere makes it an empty one.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { FileStamp } from "../../../src/source/file-stamp.ts";
import { StatIndex } from "../../../src/source/stat-index.ts";

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
  }
});
