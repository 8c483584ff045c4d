// Directory ⇄ tar ⇄ list: nothing of a tree is lost on any way, with GNU tar as a second opinion.
import * as fc from "fast-check";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { MS_NODEV, lgetxattr, lsetxattr, mount } from "../../../src/base/libc.ts";
import { writeLayer } from "../../../src/layer/blob.ts";
import { materializeLayer } from "../../../src/layer/materialize.ts";
import { packLayer } from "../../../src/layer/pack.ts";
import { scanUpper } from "../../../src/layer/scan.ts";
import { listLayer, unpackLayer } from "../../../src/layer/unpack.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";
import { gather, inSlices } from "../../unit/layer/raw-tar.ts";
import { makeTree, shapes, type Shape } from "./random-tree.ts";
import { facts, openRig } from "./rig.ts";

const TRUSTED = { xattrNamespace: "trusted" } as const;
const SHAPE: Shape = {
  kind: "file",
  name: "f",
  parent: 0,
  size: 10,
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtimeNs: 1_700_000_000_123_456_789n,
  target: "a",
  xattr: undefined,
  isOpaque: false,
};
/** One of every kind, with the attributes that are lost most easily. */
const HOSTILE: readonly Shape[] = [
  { ...SHAPE, kind: "dir", name: "d", mode: 0o3777, isOpaque: true },
  { ...SHAPE, name: "setuid", mode: 0o6755, uid: 1000, gid: 4_294_967_294 },
  { ...SHAPE, name: "n".repeat(240), parent: 1 },
  { ...SHAPE, name: "\udcff", parent: 1, xattr: Buffer.from("a\0\n=b") },
  { ...SHAPE, kind: "sparse", name: "sparse" },
  { ...SHAPE, kind: "symlink", name: "dangling", target: "/no/such/\udcfe", uid: 5 },
  { ...SHAPE, kind: "fifo", name: "fifo", mode: 0o600 },
  { ...SHAPE, kind: "char", name: "null", mode: 0o666 },
  { ...SHAPE, kind: "block", name: "disk", uid: 3_000_000 },
  { ...SHAPE, kind: "whiteout", name: "gone" },
  { ...SHAPE, kind: "link", name: "again", parent: 1 },
  { ...SHAPE, kind: "dir", name: "closed", mode: 0, mtimeNs: -1n },
];

test("apply(pack(scan(tree))) = tree, for any tree (C09, T01–T05, T15–T18)", async () => {
  const property = fc.asyncProperty(shapes, async (list) => {
    using rig = openRig();
    mkdirSync(rig.path("a"));
    makeTree(rig.path("a"), list);
    const scanned = await scanUpper(rig.path("a"), TRUSTED);
    const tar = await gather(packLayer(scanned));
    const unpacked = await unpackLayer(inSlices(tar, 70_001), rig.path("b"), TRUSTED);
    const again = await scanUpper(rig.path("b"), TRUSTED);
    expect(facts(again)).toEqual(facts(scanned));
    expect(unpacked.entries).toEqual(facts(scanned));
    expect(await listLayer(inSlices(tar))).toEqual({ ...unpacked, skippedDevices: undefined });
    await materializeLayer(scanned, rig.path("c"), TRUSTED);
    expect(facts(await scanUpper(rig.path("c"), TRUSTED))).toEqual(facts(scanned));
  });
  await fc.assert(property, { numRuns: 60, examples: [[HOSTILE]] });
});

test("T01: layer bytes do not depend on the order of directories, umask, time zone, owner of the process", async () => {
  const build = async (order: readonly string[]): Promise<Buffer> => {
    using rig = openRig();
    for (const name of order) writeFileSync(rig.path(name), name);
    for (const name of order) chmodSync(rig.path(name), 0o644);
    const entries = await scanUpper(rig.dir, TRUSTED);
    return await gather(packLayer(entries, { clampMtime: 1 }));
  };
  // The last two are the other way round by their bytes, which is how Node lists them.
  const names = ["b", "a", "a-b", "é", "Z", "10", "9", "Ａ", "😀"];
  const first = await build(names);
  const [umask, zone] = [process.umask(0o077), process.env["TZ"]];
  process.env["TZ"] = "Asia/Kathmandu";
  try {
    expect((await build(names.toReversed())).equals(first)).toBe(true);
  } finally {
    process.umask(umask);
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  }
});

test("GNU tar unpacks our tar to the same tree, and we its, in both of its formats", async () => {
  using rig = openRig();
  for (const name of ["a", "b"]) mkdirSync(rig.path(name));
  const kept = HOSTILE.filter(({ kind, name }) => kind !== "whiteout" && name !== "\udcff");
  makeTree(
    rig.path("a"),
    kept.map((shape) => ({ ...shape, isOpaque: false, mode: shape.mode | (shape.kind === "dir" ? 0o700 : 0) })),
  );
  const scanned = await scanUpper(rig.path("a"), TRUSTED);
  writeFileSync(rig.path("ours.tar"), await gather(packLayer(scanned)));
  const flags = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
  execFileSync("tar", ["-xpf", rig.path("ours.tar"), "-C", rig.path("b"), ...flags], { stdio: "pipe" });
  expect(facts(await scanUpper(rig.path("b"), TRUSTED))).toEqual(facts(scanned));

  for (const format of ["pax", "gnu"]) {
    const names = readdirSync(rig.path("a"));
    const tar = execFileSync("tar", ["-c", `--format=${format}`, "--numeric-owner", "-C", rig.path("a"), ...names], {
      maxBuffer: 1 << 28,
    });
    const { entries } = await listLayer(inSlices(tar));
    expect(entries).toEqual(facts(scanned).map((entry) => (format === "pax" ? entry : inWholeSeconds(entry))));
  }
});

/** GNU's own format has no fractions; times before 1970 round down. */
function inWholeSeconds(entry: LayerEntry): LayerEntry {
  if (entry.type === "whiteout") return entry;
  const second = 1_000_000_000n;
  const over = ((entry.mtimeNs % second) + second) % second;
  return { ...entry, mtimeNs: entry.mtimeNs - over };
}

test("file capabilities survive a change of owner (T16)", async () => {
  using rig = openRig();
  for (const name of ["a", "b"]) mkdirSync(rig.path(name));
  writeFileSync(rig.path("a/ping"), "#!");
  lsetxattr(rig.path("a/ping"), "security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex"));
  const [entry] = await scanUpper(rig.path("a"), TRUSTED);
  const tar = await gather(packLayer([{ ...entry!, uid: 7, gid: 7, mode: 0o4755 } as LayerEntry]));
  await unpackLayer(inSlices(tar), rig.path("b"), TRUSTED);
  expect(await scanUpper(rig.path("b"), TRUSTED)).toMatchObject([
    { uid: 7, mode: 0o4755, xattrs: (entry as { xattrs: object }).xattrs },
  ]);
  expect(lgetxattr(rig.path("b/ping"), "security.capability")).toHaveLength(20);
});

test("a file system that holds no attributes is no reason to fail (T16)", async () => {
  using rig = openRig();
  for (const name of ["a", "b"]) mkdirSync(rig.path(name));
  writeFileSync(rig.path("a/ping"), "#!");
  lsetxattr(rig.path("a/ping"), "user.text", Buffer.from("x"));
  const scanned = await scanUpper(rig.path("a"), TRUSTED);
  expect(scanned).toMatchObject([{ xattrs: { "user.text": Uint8Array.of(120) } }]);
  mount("ramfs", rig.owns(rig.path("b")), "ramfs", MS_NODEV, "mode=755");
  expect(() => lsetxattr(rig.path("b"), "user.text", Buffer.from("x"))).toThrow(/ENOTSUP/);
  await unpackLayer(inSlices(await gather(packLayer(scanned))), rig.path("b/unpacked"), TRUSTED);
  await materializeLayer(scanned, rig.path("b/written"), TRUSTED);
  for (const name of ["unpacked", "written"]) expect(readFileSync(rig.path(`b/${name}/ping`), "utf8")).toBe("#!");
});

test("a blob with several gzip blocks is what gzip and zstd programs read", async () => {
  using rig = openRig();
  writeFileSync(rig.path("f"), Buffer.alloc(6 * 2 ** 20, "0123456789abcde\n"));
  const entries = await scanUpper(rig.dir, TRUSTED);
  for (const compression of ["gzip", "zstd"] as const) {
    const chunks: Buffer[] = [];
    const written = await writeLayer(entries, { compression, write: (chunk) => void chunks.push(Buffer.from(chunk)) });
    const out = execFileSync(compression, ["-dc"], { input: Buffer.concat(chunks), maxBuffer: 1 << 28 });
    expect(out.length).toBe(written.uncompressedSize);
    expect((await listLayer(inSlices(out))).diffId).toBe(written.diffId);
  }
});

test("whiteouts made of attributes, as overlayfs has them where devices are forbidden", async () => {
  using rig = openRig();
  for (const namespace of ["trusted", "user"] as const) {
    const dir = rig.path(namespace);
    mkdirSync(dir);
    mkdirSync(`${dir}/d`);
    writeFileSync(`${dir}/d/gone`, "");
    lsetxattr(`${dir}/d/gone`, `${namespace}.overlay.whiteout`, new Uint8Array());
    lsetxattr(`${dir}/d`, `${namespace}.overlay.opaque`, Buffer.from("x"));
    const entries = await scanUpper(dir, { xattrNamespace: namespace });
    expect(entries).toMatchObject([
      { path: "d", type: "dir" },
      { path: "d/gone", type: "whiteout" },
    ]);
    expect(entries[0]).not.toHaveProperty("opaque");
  }
});

test("what changes, vanishes, or makes no sense by itself is a clear error (T14, T19, C09)", async () => {
  using rig = openRig();
  mkdirSync(rig.path("a"));
  writeFileSync(rig.path("a/f"), "");
  lsetxattr(rig.path("a/f"), "trusted.overlay.metacopy", Buffer.from(""));
  await expect(scanUpper(rig.path("a"), TRUSTED)).rejects.toMatchObject({
    code: "runtime",
    message: /"\/f".*trusted\.overlay\.metacopy/,
  });
  mkdirSync(rig.path("b"));
  mkdirSync(rig.path("b/d"));
  lsetxattr(rig.path("b/d"), "user.overlay.redirect", Buffer.from("/x"));
  await expect(scanUpper(rig.path("b"), { xattrNamespace: "user" })).rejects.toMatchObject({ code: "runtime" });
  expect(facts(await scanUpper(rig.path("b"), TRUSTED))).toMatchObject([{ path: "d", type: "dir" }]);
});

test("a socket is in no layer (T03, C09)", async () => {
  using rig = openRig();
  writeFileSync(rig.path("f"), "");
  const server = createServer().listen(rig.path("socket"));
  try {
    await once(server, "listening");
    expect(readdirSync(rig.dir).sort()).toEqual(["f", "socket"]);
    expect((await scanUpper(rig.dir, TRUSTED)).map(({ path }) => path)).toEqual(["f"]);
  } finally {
    server.close();
  }
});

test.each([
  ["changed", (path: string) => writeFileSync(path, "x", { flag: "r+" })],
  ["vanished", (path: string) => rmSync(path)],
])("a file that has %s while it is read fails the scan by its name (T19)", async (what, change) => {
  using rig = openRig();
  writeFileSync(rig.path("f"), "");
  // Long enough for several turns of the event loop; holes cost no disk.
  truncateSync(rig.path("f"), 300 * 2 ** 20);
  const scan = scanUpper(rig.dir, TRUSTED);
  change(rig.path("f"));
  await expect(scan).rejects.toMatchObject({
    code: "runtime",
    message: `"/f" ${what} while the step's changes were read`,
  });
});
