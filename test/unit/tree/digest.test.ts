import { expect, test } from "vitest";
import { decodeName } from "../../../src/base/file-name.ts";
import { treeDigest } from "../../../src/tree/digest.ts";
import type { Entry } from "../../../src/tree/entry.ts";

const dir = (path: string): Entry => ({ path, type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n });

test("names that differ in a byte that is no UTF-8 have different digests", () => {
  const digests = [0xfe, 0xff].map((byte) => treeDigest([dir(decodeName(Buffer.of(0x61, byte)))]));
  expect(digests[0]).not.toBe(digests[1]);
});
