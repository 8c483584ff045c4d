// What a file's identity is made of (reference Q20–Q22).
import { expect, test } from "vitest";
import { decodeName } from "../../../src/base/file-name.ts";
import { treeDigest } from "../../../src/tree/digest.ts";
import type { Entry, LayerEntry } from "../../../src/tree/entry.ts";

const dir = (path: string): Entry => ({ path, type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n });
const file = (path: string, change: Partial<Entry> = {}): Entry => ({
  ...dir(path),
  type: "file",
  mode: 0o644,
  size: 1,
  sha256: "00",
  ...change,
});

test("names that differ in a byte that is no UTF-8 have different digests", () => {
  const digests = [0xfe, 0xff].map((byte) => treeDigest([dir(decodeName(Buffer.of(0x61, byte)))]));
  expect(digests[0]).not.toBe(digests[1]);
});

test("Q20, T6, T13: content, type, mode, owner, attributes, device and link count; time and place of the bytes do not", () => {
  const device = (devMinor: number, devMajor = 1): Entry => ({ ...dir("a"), type: "char", devMajor, devMinor });
  const trees: readonly (readonly LayerEntry[])[] = [
    [file("a")],
    [file("a", { sha256: "01" })],
    [file("a", { mode: 0o755 })],
    [file("a", { mode: 0o4644 })],
    [file("a", { uid: 1 })],
    [file("a", { gid: 1 })],
    [file("a", { xattrs: { "security.capability": Buffer.of(1) } })],
    [file("a", { xattrs: { "security.capability": Buffer.of(2) } })],
    [file("a", { xattrs: { "user.x": Buffer.of(1) } })],
    [file("b")],
    [file("a"), file("b")],
    [file("a"), file("b", { hardlink: "a" })],
    [dir("a")],
    [{ ...dir("a"), mode: 0o700 }],
    [{ ...dir("a"), opaque: true }],
    [{ path: "a", type: "whiteout" }],
    [{ ...dir("a"), type: "fifo" }],
    [device(1)],
    [device(2)],
    [device(2, 2)],
    [],
  ];
  expect(new Set(trees.map(treeDigest)).size).toBe(trees.length);
  const bytes = { kind: "host", path: "/elsewhere" } as const;
  expect(treeDigest([file("a", { mtimeNs: 5n, bytes })])).toBe(treeDigest([file("a")]));
});

test("Q21: a directory is its entries by their paths, empty ones too", () => {
  const trees = [
    [dir("a"), file("a/b"), file("c")],
    [dir("a"), file("a/c"), file("b")],
    [dir("a"), file("b"), file("c")],
    [dir("a"), dir("a/b"), file("c")],
    [file("a/b"), file("c")],
  ];
  expect(new Set(trees.map(treeDigest)).size).toBe(trees.length);
});

test("Q22, T3: links by their text", () => {
  const link = (linkname: string): Entry => ({ ...dir("l"), type: "symlink", mode: 0o777, linkname });
  expect(treeDigest([link("a")])).not.toBe(treeDigest([link("b")]));
});
