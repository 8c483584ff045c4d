import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeName } from "../../../src/base/file-name.ts";
import { decodeEntries, encodeEntries } from "../../../src/store/entry-list.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";

/** Names are bytes; not all of them are UTF-8. */
const path = fc.oneof(
  fc.stringMatching(/^[^\0]{0,12}$/u).filter((text) => text.isWellFormed()),
  fc.uint8Array({ min: 1, maxLength: 6 }).map(decodeName),
);
const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/);
const entry: fc.Arbitrary<LayerEntry> = fc.oneof(
  fc.record({ path, type: fc.constant("whiteout" as const) }),
  fc.record(
    {
      path,
      type: fc.constantFrom("file", "dir", "symlink", "char", "block", "fifo"),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: fc.nat(0xffffffff),
      gid: fc.nat(0xffffffff),
      size: fc.nat(Number.MAX_SAFE_INTEGER),
      mtimeNs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      sha256,
      linkname: path,
      hardlink: path,
      devMajor: fc.nat(),
      devMinor: fc.nat(),
      xattrs: fc.dictionary(fc.stringMatching(/^[a-z.]{1,8}$/), fc.uint8Array()),
      opaque: fc.constant(true as const),
    },
    { requiredKeys: ["path", "type", "mode", "uid", "gid", "size", "mtimeNs"] },
  ),
);

test("entries come back as they were", () => {
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
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
