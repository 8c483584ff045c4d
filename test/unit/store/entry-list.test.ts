import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeEntries, encodeEntries } from "../../../src/store/entry-list.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";
import { anyLayerEntry } from "../../support/layer-entries.ts";

test("entries come back as they were", () => {
  fc.assert(
    fc.property(fc.array(anyLayerEntry), (entries) => {
      expect(decodeEntries(encodeEntries(entries))).toEqual(entries);
    }),
  );
});

test("pain 13: a damaged or cut list is a miss, never other entries", () => {
  const entries: LayerEntry[] = Array.from({ length: 50 }, (_, i) => ({
    path: `etc/file-${i}`,
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: i,
    mtimeNs: 1n,
    sha256: "ab".repeat(32),
  }));
  const file = encodeEntries(entries);
  for (let at = 0; at < file.length; at++) {
    const damaged = Uint8Array.from(file);
    damaged[at]! ^= 0x10;
    expect([undefined, entries]).toContainEqual(decodeEntries(damaged));
    if (at % 7 === 0) expect(decodeEntries(file.subarray(0, at))).toBeUndefined();
  }
});
