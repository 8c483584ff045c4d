// eStargz as its readers see it: the footer leads to the table, the table to each piece of each file, and a plain gzip reader finds the tar.
import { createHash, randomBytes } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { writeEstargz, type WrittenEstargz } from "../../../src/layer/estargz.ts";
import { archive, inSlices, member, pax, record } from "./raw-tar.ts";

const BIG = randomBytes((1 << 22) + 1000);
const TAR = archive(
  { name: "d/", mode: 0o1755, uid: 5, gid: 6, mtimeNs: 1_500_000_000_600_000_000n },
  { name: "d/.wh.gone" },
  { name: "d/big", data: BIG, mode: 0o4711 },
  { name: "d/empty" },
  { name: "d/hard", type: "1", linkname: "d/big" },
  { name: "d/small", data: "small", xattrs: { "user.x": Buffer.from("value") } },
  { name: "d/link", type: "2", linkname: "../target" },
  { name: "dev", type: "3", devMajor: 1, devMinor: 3 },
  { name: "fifo", type: "6" },
  { name: "last", data: "last" },
);

async function squeeze(tar: Uint8Array, slice?: number, level?: number): Promise<[Buffer, WrittenEstargz]> {
  const chunks: Uint8Array[] = [];
  const written = await writeEstargz(inSlices(tar, slice), { level, write: (bytes) => void chunks.push(bytes) });
  return [Buffer.concat(chunks), written];
}

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

interface Line {
  readonly name: string;
  readonly type: string;
  readonly offset?: number;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
  readonly chunkDigest?: string;
  readonly digest?: string;
  readonly size?: number;
}

/** The table, found as a reader finds it. */
function tableOf(blob: Buffer): { readonly lines: readonly Line[]; readonly json: Buffer } {
  const footer = blob.subarray(-51);
  expect(gunzipSync(footer)).toHaveLength(0);
  expect(footer.subarray(0, 16)).toEqual(Buffer.from("1f8b080400000000 00ff1a005347 1600".replaceAll(" ", ""), "hex"));
  expect(footer.toString("latin1", 32, 38)).toBe("STARGZ");
  const offset = Number.parseInt(footer.toString("latin1", 16, 32), 16);
  const tar = gunzipSync(blob.subarray(offset));
  expect(tar.toString("latin1", 0, 17)).toBe("stargz.index.json");
  const json = tar.subarray(512, 512 + Number.parseInt(tar.toString("latin1", 124, 135), 8));
  return { lines: (JSON.parse(json.toString()) as { readonly entries: readonly Line[] }).entries, json };
}

/** The first bytes of the gzip member at `offset`: it is read alone. */
function pieceAt(blob: Buffer, offset: number, next: number): Buffer {
  return gunzipSync(blob.subarray(offset, next));
}

test("E22, N10: the table leads to each piece, its digests hold, and the whole unpacks to the tar and the table", async () => {
  const [blob, { diffId, digest, size, annotations }] = await squeeze(TAR);
  const { lines, json } = tableOf(blob);
  const whole = gunzipSync(blob);
  expect(whole.subarray(0, TAR.length).equals(TAR)).toBe(true);
  expect([diffId, digest, size]).toEqual([sha256(whole), sha256(blob), blob.length]);
  expect(annotations).toEqual({
    "containerd.io/snapshot/stargz/toc.digest": sha256(json),
    "io.containers.estargz.uncompressed-size": String(whole.length),
  });
  const contents: Readonly<Record<string, Buffer>> = {
    "d/big": BIG,
    "d/small": Buffer.from("small"),
    last: Buffer.from("last"),
  };
  const offsets = lines.flatMap(({ offset }) => offset ?? []);
  expect(offsets).toHaveLength(4);
  for (const { name, type, offset, chunkOffset = 0, chunkSize, chunkDigest, digest: whole } of lines) {
    if (offset === undefined) continue;
    const next = offsets[offsets.indexOf(offset) + 1] ?? blob.length;
    const content = contents[name]!;
    const piece = content.subarray(chunkOffset, chunkOffset + (chunkSize ?? content.length));
    expect(pieceAt(blob, offset, next).subarray(0, piece.length).equals(piece)).toBe(true);
    expect(chunkDigest).toBe(sha256(piece));
    if (type === "reg") expect(whole).toBe(sha256(content));
  }
});

test("N10: every kind of entry, named as the format names it", async () => {
  const [blob] = await squeeze(TAR);
  const lines = tableOf(blob).lines.map(({ offset: _offset, digest: _digest, chunkDigest: _chunk, ...line }) => line);
  expect(lines).toEqual([
    { name: "d/", type: "dir", modtime: "2017-07-14T02:40:01Z", mode: 0o1755, uid: 5, gid: 6 },
    { name: "d/.wh.gone", type: "reg", mode: 0o644 },
    { name: "d/big", type: "reg", size: BIG.length, mode: 0o4711, chunkSize: 1 << 22 },
    { name: "d/big", type: "chunk", chunkOffset: 1 << 22 },
    { name: "d/empty", type: "reg", mode: 0o644 },
    { name: "d/hard", type: "hardlink", linkName: "d/big", mode: 0o644 },
    { name: "d/small", type: "reg", size: 5, mode: 0o644, xattrs: { "user.x": "dmFsdWU=" } },
    { name: "d/link", type: "symlink", linkName: "../target", mode: 0o644 },
    { name: "dev", type: "char", mode: 0o644, devMajor: 1, devMinor: 3 },
    { name: "fifo", type: "fifo", mode: 0o644 },
    { name: "last", type: "reg", size: 4, mode: 0o644 },
  ]);
});

test("E22, T06: the bytes do not depend on how the tar is cut, and change with the level", async () => {
  const [blob] = await squeeze(TAR, TAR.length);
  for (const slice of [4_099, 65_536, 1_000_003]) expect((await squeeze(TAR, slice))[0].equals(blob)).toBe(true);
  expect((await squeeze(TAR, undefined, 0))[0].length).toBeGreaterThan(TAR.length);
});

test("N10: the last piece of a file tells its size only where that is a whole piece's", async () => {
  const [blob] = await squeeze(archive({ name: "whole", data: Buffer.alloc(1 << 22) }));
  expect(tableOf(blob).lines).toMatchObject([{ name: "whole", size: 1 << 22, chunkSize: 1 << 22 }]);
});

test("E23: the level is 6 where none is asked for", async () => {
  const text = Array.from({ length: 20_000 }, (_, i) => `line ${String((i * 7919) % 4096)}\n`).join("");
  const tar = archive({ name: "text", data: text });
  const sizes = await Promise.all(
    [undefined, 6, 9].map(async (level) => (await squeeze(tar, undefined, level))[0].length),
  );
  expect(sizes[0]).toBe(sizes[1]);
  expect(sizes[0]).not.toBe(sizes[2]);
});

test("T07: a layer without entries has an empty table", async () => {
  const [blob] = await squeeze(archive());
  expect(tableOf(blob).lines).toEqual([]);
  expect(gunzipSync(blob).subarray(0, 1024)).toEqual(Buffer.alloc(1024));
});

test("E22: a file that has the table's name is refused, damage too", async () => {
  for (const name of ["stargz.index.json", "./stargz.index.json"])
    await expect(squeeze(archive({ name }))).rejects.toMatchObject({ code: "unsupported" });
  await expect(squeeze(TAR.subarray(0, 700))).rejects.toMatchObject({ code: "content" });
  const long = "x".repeat(300);
  const [blob] = await squeeze(archive(pax(record("path", long)), member({ name: "short", data: "a" })));
  expect(tableOf(blob).lines[0]?.name).toBe(long);
});
