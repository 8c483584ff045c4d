// The layer tar: bytes that depend on the entries only, in forms that every reader takes.
import { hash } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Header } from "tar/header";
import { afterEach, beforeEach, expect, test } from "vitest";
import { packLayer, type PackOptions } from "../../../src/layer/pack.ts";
import { encodeHeader } from "../../../src/layer/tar-header.ts";
import { listLayer } from "../../../src/layer/unpack.ts";
import { datedNs } from "../../../src/tree/dated.ts";
import type { Entry, LayerEntry } from "../../../src/tree/entry.ts";
import { gather, inSlices } from "./raw-tar.ts";

const SECOND = 1_000_000_000n;

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tsbuild-pack-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function entry(path: string, rest: Partial<Entry> = {}): Entry {
  const base = { path, type: "file", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeNs: 1_700_000_000n * SECOND } as const;
  return { ...base, ...rest };
}

function inline(path: string, text: string, rest: Partial<Entry> = {}): Entry {
  const data = Buffer.from(text);
  return entry(path, {
    size: data.length,
    sha256: hash("sha256", data, "hex"),
    bytes: { kind: "inline", data },
    ...rest,
  });
}

const pack = (entries: readonly LayerEntry[], options?: PackOptions): Promise<Buffer> =>
  gather(packLayer(entries, options));

/** Type flag and name of each header block, in order. */
function headers(tar: Buffer): string[] {
  const out: string[] = [];
  for (let at = 0; at < tar.length;) {
    const header = new Header(tar, at);
    if (header.nullBlock) break;
    expect(header.cksumValid).toBe(true);
    out.push(`${header.typeKey} ${header.path}`);
    at += 512 * (1 + Math.ceil((header.size ?? 0) / 512));
  }
  return out;
}

test("no entries give 1024 zero bytes (T07)", async () => {
  expect(await pack([])).toEqual(Buffer.alloc(1024));
});

test("order, whiteouts, opaque marker, links, trailing slashes (T01, T02, T04, T05)", async () => {
  const first = inline("d/f", "hello");
  const tar = await pack([
    { ...entry("d", { type: "dir", mode: 0o1777 }), opaque: true },
    first,
    { ...first, path: "d/g", hardlink: "d/f" },
    { path: "d-gone", type: "whiteout" },
    entry("l", { type: "symlink", mode: 0o777, linkname: "../../x" }),
    entry("m", { type: "symlink", mode: 0o777, linkname: "../../x", hardlink: "l" }),
  ]);
  expect(headers(tar)).toEqual(["5 d/", "0 d/.wh..wh..opq", "0 d/f", "1 d/g", "0 .wh.d-gone", "2 l", "1 m"]);
  const marker = new Header(tar, 512);
  expect([marker.mode, marker.uid, marker.size, marker.mtime?.getTime(), marker.uname]).toEqual([0, 0, 0, 0, ""]);
  // Names of users and groups: a number means the same everywhere.
  for (let at = 0; at < 3 * 512; at += 512) expect(tar.subarray(at + 265, at + 329)).toEqual(Buffer.alloc(64));
  const link = new Header(tar, 4 * 512);
  expect([link.linkpath, link.size]).toEqual(["d/f", 0]);
  const whiteout = new Header(tar, 5 * 512);
  expect([whiteout.mode, whiteout.uid, whiteout.size, whiteout.mtime?.getTime()]).toEqual([0, 0, 0, 0]);
  const names = [6, 7].map((block) => new Header(tar, block * 512).linkpath);
  expect(names).toEqual(["../../x", "l"]);
  expect(tar.subarray(-1024)).toEqual(Buffer.alloc(1024));
});

test("PAX records only where USTAR cannot say it, as Go decides (T18, T02)", () => {
  const base = { name: "f", type: "0", mode: 0o4755, uid: 0, gid: 0, size: 0, mtimeNs: 0n } as const;
  const records = (rest: object): string => {
    const bytes = encodeHeader({ ...base, ...rest });
    return bytes.length === 512 ? "" : bytes.subarray(512, 512 + new Header(bytes).size!).toString();
  };
  expect(records({})).toBe("");
  expect(records({ name: "n".repeat(100) })).toBe("");
  expect(records({ name: "n".repeat(101) })).toBe(`111 path=${"n".repeat(101)}\n`);
  expect(records({ name: `${"p".repeat(155)}/${"n".repeat(100)}` })).toBe("");
  expect(records({ name: `${"p".repeat(156)}/${"n".repeat(100)}` })).toMatch(/^267 path=/);
  expect(records({ name: "é" })).toBe("11 path=é\n");
  expect(records({ linkname: "t".repeat(100), type: "2" })).toBe("");
  expect(records({ linkname: "t".repeat(101), type: "2" })).toMatch(/^115 linkpath=t/);
  expect(records({ uid: 2097151, gid: 2097151, size: 8 * 2 ** 30 - 1 })).toBe("");
  expect(records({ uid: 2097152, gid: 4294967294 })).toBe("18 gid=4294967294\n15 uid=2097152\n");
  expect(records({ size: 8 * 2 ** 30 })).toBe("19 size=8589934592\n");
  expect(records({ mtimeNs: 1_700_000_000n * SECOND })).toBe("");
  expect(records({ mtimeNs: 1_700_000_000n * SECOND + 120_000_000n })).toBe("23 mtime=1700000000.12\n");
  expect(records({ mtimeNs: -1n })).toBe("22 mtime=-0.000000001\n");
  expect(records({ xattrs: { "user.a": Buffer.from("x\ny") } })).toBe("27 SCHILY.xattr.user.a=x\ny\n");
  const header = new Header(encodeHeader({ ...base, mtimeNs: 1_700_000_000n * SECOND + 1n }), 1024);
  expect([header.mode, header.mtime?.getTime(), header.path]).toEqual([0o4755, 1_700_000_000_000, "f"]);
});

test("what is packed is read back the same", async () => {
  const entries: LayerEntry[] = [
    entry("dev", { type: "dir", mode: 0o755 }),
    entry("dev/null", { type: "char", mode: 0o666, devMajor: 1, devMinor: 3 }),
    entry("dev/sda", { type: "block", mode: 0o660, gid: 6, devMajor: 8, devMinor: 1048575 }),
    inline("e\udcff\u{1f600}", "name of bytes that are no UTF-8"),
    inline("f", "x".repeat(700), { uid: 4_000_000_000, mtimeNs: -1_500_000_001n, mode: 0o6711 }),
    entry("fifo", { type: "fifo" }),
    entry("l", { type: "symlink", mode: 0o777, linkname: `${"é".repeat(80)}/\udc80` }),
    { path: "z", type: "whiteout" },
  ];
  const read = await listLayer(inSlices(await pack(entries)));
  expect(read.entries).toEqual(entries.map((each) => ("bytes" in each ? { ...each, bytes: undefined } : each)));
});

test("files of all sizes around the chunks, from the host, by `locate`", async () => {
  const chunk = 1 << 19;
  const entries: Entry[] = [];
  for (const size of [0, 1, 511, 512, 513, chunk - 512, chunk - 511, chunk, chunk + 1, 3 * chunk + 7]) {
    const path = String(size).padStart(9, "0");
    const data = Buffer.alloc(size, `${size}.`);
    writeFileSync(join(dir, path), data);
    entries.push(entry(path, { size, sha256: hash("sha256", data, "hex") }));
  }
  const locate = ({ path }: Entry) => ({ kind: "host", path: join(dir, path) }) as const;
  const kept = await pack(entries, { locate });
  expect((await listLayer(inSlices(kept))).entries).toEqual(entries);
  // Chunks whose memory is used again hold the same bytes until the next is asked for.
  const copies: Buffer[] = [];
  for await (const bytes of packLayer(entries, { locate: async (each) => locate(each), reuseChunks: true }))
    copies.push(Buffer.from(bytes));
  expect(Buffer.concat(copies).equals(kept)).toBe(true);
});

test("a file that is not what was hashed fails the layer by name", async () => {
  const path = join(dir, "f");
  const large = 1 << 20;
  for (const size of [4, large]) {
    const fresh = (): Entry => {
      rmSync(path, { force: true });
      writeFileSync(path, Buffer.alloc(size, "a"));
      return entry("f", {
        size,
        sha256: hash("sha256", Buffer.alloc(size, "a"), "hex"),
        bytes: { kind: "host", path },
      });
    };
    const failure: unknown = expect.objectContaining({ code: "source", message: `"${path}" changed during the build` });
    for (const change of [
      () => writeFileSync(path, Buffer.alloc(size, "b")),
      () => truncateSync(path, size - 1),
      () => rmSync(path),
      () => {
        rmSync(path);
        symlinkSync("/etc/passwd", path);
      },
    ]) {
      const each = fresh();
      change();
      await expect(pack([each])).rejects.toEqual(failure);
    }
    expect((await pack([fresh()])).length).toBeGreaterThan(size);
  }
});

test("times are clamped, whiteouts are not there to be clamped (T05)", async () => {
  const early = entry("a", { mtimeNs: 5n * SECOND + 1n });
  const tar = await pack([early, entry("b"), { path: "c", type: "whiteout" }], { clampMtime: 9 });
  const { entries } = await listLayer(inSlices(tar));
  expect(entries).toMatchObject([{ mtimeNs: 5n * SECOND + 1n }, { mtimeNs: 9n * SECOND }, { type: "whiteout" }]);
  expect(new Header(tar, tar.length - 3 * 512)).toMatchObject({ path: ".wh.c", mtime: new Date(0) });
});

test("Q37: a directory that WORKDIR dated for one epoch is dated anew for a later one; its time in a file, or another's, is not", async () => {
  const [own, file] = [entry("a", { type: "dir", mtimeNs: datedNs(5) }), entry("b", { mtimeNs: datedNs(5) })];
  const [others, old] = [
    entry("c", { type: "dir", mtimeNs: 5n * SECOND }),
    entry("d", { type: "dir", mtimeNs: datedNs(-5) }),
  ];
  const times = async (clampMtime?: number) => {
    const { entries } = await listLayer(inSlices(await pack([own, file, others, old], { clampMtime })));
    return entries.map((each) => each.type !== "whiteout" && each.mtimeNs);
  };
  expect(await times(9)).toEqual([9n * SECOND, datedNs(5), 5n * SECOND, 9n * SECOND]);
  expect(await times()).toEqual([datedNs(5), datedNs(5), 5n * SECOND, datedNs(-5)]);
});

test("what no layer can hold is refused", async () => {
  await expect(pack([entry("d/.wh.x")])).rejects.toMatchObject({
    code: "unsupported",
    message: /cannot hold "d\/.wh.x"/,
  });
  await expect(pack([entry("b"), entry("a")])).rejects.toThrow(/out of order/);
  await expect(pack([entry("a"), entry("b", { hardlink: "c" })])).rejects.toThrow(/links to what is not there/);
});
