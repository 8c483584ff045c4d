// Any entry that a layer may have, for property tests.
import * as fc from "fast-check";
import { decodeName } from "../../src/base/file-name.ts";
import type { LayerEntry } from "../../src/tree/entry.ts";

/** Names are bytes; not all of them are UTF-8. */
const path = fc.oneof(
  fc.stringMatching(/^[^\0]{0,12}$/u).filter((text) => text.isWellFormed()),
  fc.uint8Array({ min: 1, maxLength: 6 }).map(decodeName),
);
const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/);

export const anyLayerEntry: fc.Arbitrary<LayerEntry> = fc.oneof(
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
  // What most entries are.
  fc.record({
    path,
    type: fc.constantFrom("file", "dir"),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.nat(3),
    gid: fc.nat(3),
    size: fc.nat(Number.MAX_SAFE_INTEGER),
    mtimeNs: fc.bigInt({ min: 0n, max: 2n ** 62n }),
    sha256,
  }),
);
