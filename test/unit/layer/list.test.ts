// What a layer tar says, read without writing anything.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { LayerEntry } from "../../../src/tree/entry.ts";
import { listLayer } from "../../../src/layer/unpack.ts";
import { HOSTILE_TARS } from "./hostile-tars.ts";
import { archive, END, inSlices, member, patched, pax, record } from "./raw-tar.ts";

const list = async (tar: Uint8Array, slice?: number): Promise<LayerEntry[]> =>
  (await listLayer(inSlices(tar, slice))).entries;
const brief = (entries: readonly LayerEntry[]): string[] =>
  entries.map((entry) => {
    const tail =
      entry.type === "whiteout"
        ? ""
        : `${entry.opaque ? " opaque" : ""}${entry.hardlink === undefined ? "" : ` = ${entry.hardlink}`}`;
    return `${entry.path} ${entry.type}${tail}`;
  });

test.each(HOSTILE_TARS)("AD02, T18: $name", async ({ tar, refused, inside }) => {
  for (const slice of [tar.length, 511, 7]) {
    if (slice === 7 && tar.length > 1e5) continue;
    const read = list(tar, slice);
    if (refused)
      await expect(read).rejects.toMatchObject({
        name: "BuildError",
        code: "content",
        message: expect.stringMatching(refused) as string,
      });
    else expect((await read).map((entry) => entry.path)).toEqual(inside);
  }
});

test("whatever the slices, the same entries, sizes, digests", async () => {
  const content = Buffer.from("0123456789".repeat(300));
  const tar = archive(
    { name: "d/", mode: 0o755 },
    { name: "d/f", data: content, uid: 3_000_000, mtimeNs: 1_500_000_001n },
    { name: "e" },
  );
  const whole = await listLayer(inSlices(tar));
  expect(whole.diffId).toBe(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
  expect(whole.entries[1]).toMatchObject({
    path: "d/f",
    size: 3000,
    uid: 3_000_000,
    mtimeNs: 1_500_000_001n,
    sha256: createHash("sha256").update(content).digest("hex"),
  });
  for (const slice of [1, 13, 512, 1000]) expect(await listLayer(inSlices(tar, slice))).toEqual(whole);
});

test("whiteouts hide what is below, never what the layer itself has, in any order (T7, T11)", async () => {
  const wh = (name: string) => ({ name, mode: 0 });
  expect(brief(await list(archive(wh(".wh.gone"), wh("d/.wh.x"))))).toEqual(["d/x whiteout", "gone whiteout"]);
  for (const members of [
    [wh(".wh.f"), { name: "f" }],
    [{ name: "f" }, wh(".wh.f")],
  ])
    expect(brief(await list(archive(...members)))).toEqual(["f file"]);
  for (const members of [
    [wh(".wh.d"), { name: "d/" }, { name: "d/f" }],
    [{ name: "d/" }, wh(".wh.d"), { name: "d/f" }],
    [wh(".wh.d"), { name: "d/f" }],
    [{ name: "d/f" }, wh("d/.wh..wh..opq")],
  ])
    expect(brief(await list(archive(...members)))).toEqual(["d dir opaque", "d/f file"]);
  expect(brief(await list(archive(wh(".wh..wh..opq"), { name: "f" })))).toEqual([" dir opaque", "f file"]);
  expect(brief(await list(archive(wh(".wh..wh.aufs"), wh(".wh..wh.plnk/1.2"), { name: "f" })))).toEqual(["f file"]);
  expect(brief(await list(archive({ name: "gone", type: "3" })))).toEqual(["gone whiteout"]);
});

test("the last of several members with one name holds, also as the target of links (T15)", async () => {
  const twice = archive(
    { name: "a", data: "old" },
    { name: "b", type: "1", linkname: "a" },
    { name: "a", data: "newer" },
  );
  const entries = await list(twice);
  expect(brief(entries)).toEqual(["a file", "b file"]);
  expect(entries).toMatchObject([{ size: 5 }, { size: 3 }]);
  // The first name in order is the file, whichever the archive had as the link.
  expect(brief(await list(archive({ name: "z" }, { name: "a", type: "1", linkname: "/z" })))).toEqual([
    "a file",
    "z file = a",
  ]);
  expect(brief(await list(archive({ name: "d/" }, { name: "d/f" }, { name: "d" }, { name: "d/" })))).toEqual(["d dir"]);
  expect(brief(await list(archive({ name: "d/" }, { name: "d/f" }, { name: "d/", mode: 0o700 })))).toEqual([
    "d dir",
    "d/f file",
  ]);
  expect(brief(await list(archive({ name: "a" }, { name: "a", type: "1", linkname: "a" })))).toEqual(["a file"]);
});

test("directories that only hold something are told apart from described ones", async () => {
  const layer = await listLayer(inSlices(archive({ name: "usr/bin/x" }, { name: "etc/" }, { name: "etc/y" })));
  expect(brief(layer.entries)).toEqual(["etc dir", "etc/y file", "usr/bin/x file"]);
  expect(layer.impliedDirectories).toEqual(["usr", "usr/bin"]);
});

test("GNU long names, global headers, base-256 numbers, v7 directories, missing end", async () => {
  const long = `${"n".repeat(180)}/${"m".repeat(180)}`;
  const gnu = [
    member({ name: "@", type: "L", data: `${long}\0` }),
    member({ name: "@", type: "K", data: `${long}\0` }),
  ];
  const global = pax(record("mtime", "5.25") + record("path", "ignored") + record("comment", "git"), "g");
  const bigUid = patched(member({ name: "uid" }), 108, Buffer.from([0x80, 0, 0, 0, 0x01, 0, 0, 0]));
  const v7 = patched(member({ name: "v7/", type: "0" }), 156, "\0");
  const entries = await list(
    Buffer.concat([...gnu, member({ name: "short", type: "2", linkname: "t" }), global, bigUid, v7]),
  );
  expect(brief(entries)).toEqual([`${long} symlink`, "uid file", "v7 dir"]);
  expect(entries).toMatchObject([{ linkname: long }, { uid: 0x1000000, mtimeNs: 5_250_000_000n }, { mode: 0o644 }]);
  expect(await list(Buffer.alloc(0))).toEqual([]);
  expect(await list(END)).toEqual([]);
});

test("devices in GNU's own format keep their numbers; nothing is taken for a whiteout by that", async () => {
  const gnu = patched(member({ name: "null", type: "3", devMajor: 1, devMinor: 3 }), 257, "ustar  \0");
  expect(await list(archive(gnu))).toMatchObject([{ type: "char", devMajor: 1, devMinor: 3 }]);
});

test("values of attributes are bytes; only those that images carry are kept (T03)", async () => {
  const xattrs = {
    "security.capability": Buffer.from([1, 0, 0, 2, 10, 61]),
    "user.note": Buffer.from("a\nb=\0c"),
    "trusted.overlay.opaque": Buffer.from("y"),
    "user.overlay.whiteout": Buffer.from(""),
    "security.selinux": Buffer.from("x"),
    "system.posix_acl_access": Buffer.from("x"),
  };
  const [entry] = await list(archive({ name: "f", xattrs }));
  expect(entry).toMatchObject({
    xattrs: {
      "security.capability": Uint8Array.of(1, 0, 0, 2, 10, 61),
      "user.note": new Uint8Array(Buffer.from("a\nb=\0c")),
    },
  });
  expect(Object.keys((entry as { xattrs: object }).xattrs)).toHaveLength(2);
});

test("an aborted signal ends the reading with its reason", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(listLayer(inSlices(archive({ name: "a" })), { signal })).rejects.toThrow("enough");
});
