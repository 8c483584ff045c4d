// Files of entry lists, of one part and of many.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readEntryFile, writeEntryFile } from "../../../src/store/entry-file.ts";
import { encodeEntries } from "../../../src/store/entry-list.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "tsbuild-entry-file-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const entries = Array.from({ length: 20_000 }, (_, i): LayerEntry => ({
  path: `d/f${i}`,
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: i,
  mtimeNs: BigInt(i),
  sha256: i.toString(16).padStart(64, "0"),
  ...(i % 1000 === 1 ? { hardlink: `d/f${i - 1}` } : {}),
}));

function write(name: string, list: readonly LayerEntry[], partedFrom?: number): string {
  const path = join(root, name);
  const fd = openSync(path, "w");
  writeEntryFile(fd, list, partedFrom);
  closeSync(fd);
  return path;
}

test("a list comes back, whether it is written in parts or not; no file is no list", () => {
  expect(readEntryFile(write("whole", entries, Infinity))).toEqual(entries);
  expect([...readEntryFile(write("parts", entries, 1))!]).toEqual(entries);
  expect([...readEntryFile(write("none", [], 0))!]).toEqual([]);
  expect(readEntryFile(join(root, "nothing"))).toBeUndefined();
  const old = join(root, "old");
  writeFileSync(old, encodeEntries(entries.slice(0, 3)));
  expect(readEntryFile(old)).toEqual(entries.slice(0, 3));
});

test("pain 13: a long list that is damaged or cut anywhere is none", () => {
  const path = write("damaged", entries, 1);
  const good = readFileSync(path);
  for (let at = 0; at < good.length; at += Math.ceil(good.length / 61)) {
    const bad = Buffer.from(good);
    bad[at]! ^= 0x10;
    writeFileSync(path, bad);
    expect(readEntryFile(path), `byte ${at}`).toBeUndefined();
    writeFileSync(path, good.subarray(0, at));
    expect(readEntryFile(path), `cut at ${at}`).toBeUndefined();
  }
  for (let at = 8; at < 16; at++) {
    const bad = Buffer.from(good);
    bad[at]! ^= 0xff;
    writeFileSync(path, bad);
    expect(readEntryFile(path), `byte ${at}`).toBeUndefined();
  }
});
