// Lists in columns say what the list of the same objects says.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { LayerEntry } from "../../../src/tree/entry.ts";
import { EntryCollector, PackedEntries } from "../../../src/tree/packed-entries.ts";
import { anyLayerEntry } from "../../support/layer-entries.ts";

/** Paths are relative. */
const anyEntry = anyLayerEntry.map((entry) => ({ ...entry, path: entry.path.replace(/^\/+/u, "") }));

test("entries come back as they were, in order and by number", () => {
  fc.assert(
    fc.property(fc.array(anyEntry), (entries) => {
      const packed = new PackedEntries();
      for (const entry of entries) packed.push(entry);
      expect([...packed]).toEqual(entries);
      expect(packed.length).toBe(entries.length);
      for (const [row, entry] of entries.entries()) {
        expect(packed.at(row)).toEqual(entry);
        expect(packed.pathOf(row)).toBe(entry.path);
      }
      expect(packed.at(entries.length)).toBeUndefined();
    }),
  );
});

test("what is at a path may be learnt later, change, and be forgotten", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEntry, fc.array(fc.option(anyEntry), { maxLength: 3 }))), (rows) => {
      const packed = new PackedEntries();
      for (const [{ path }] of rows) packed.reserve(path);
      const last = rows.map(([{ path }, changes], row) => {
        expect(packed.isSet(row)).toBe(false);
        let entry: LayerEntry | undefined;
        for (const change of changes) packed.set(row, (entry = change ? { ...change, path } : undefined));
        return entry;
      });
      expect(rows.map((_, row) => packed.at(row))).toEqual(last);
      expect(rows.map(([{ path }]) => path)).toEqual(rows.map((_, row) => packed.pathOf(row)));
    }),
  );
});

test("issue 4: many entries of many directories and owners, over all parts of the columns", () => {
  const entryOf = (i: number): LayerEntry => ({
    path: `d${i % 7}/${"long".repeat(i % 40)}é${i}`,
    type: "file",
    mode: 0o644,
    uid: i % 70_000,
    gid: 1,
    size: i,
    mtimeNs: BigInt(i),
    sha256: i.toString(16).padStart(64, "0"),
  });
  const collected = new EntryCollector(1_000);
  for (let i = 0; i < 20_000; i++) collected.push(entryOf(i));
  const list = collected.list();
  expect(Array.isArray(list)).toBe(false);
  expect(list.length).toBe(20_000);
  for (const i of [0, 999, 1_000, 8_191, 8_192, 16_383, 16_384, 19_999]) expect(list.at(i)).toEqual(entryOf(i));
  let i = 0;
  for (const entry of list) if (entry.path !== entryOf(i++).path) expect.fail(`entry ${i - 1} is ${entry.path}`);
});

test("issue 4: an entry of an ordinary context takes less than 80 bytes", () => {
  const count = 131_072;
  const before = process.memoryUsage().arrayBuffers;
  const packed = new PackedEntries();
  for (let i = 0; i < count; i++) {
    const sha256 = i.toString(16).padStart(64, "0");
    const path = `files/d${Math.floor(i / 100)}/module-${i % 100}.js`;
    packed.push({ path, type: "file", mode: 0o644, uid: 0, gid: 0, size: i, mtimeNs: BigInt(i), sha256 });
  }
  expect((process.memoryUsage().arrayBuffers - before) / count).toBeLessThan(80);
  expect(packed.at(count - 1)?.path).toBe("files/d1310/module-71.js");
});
