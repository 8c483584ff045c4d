// Compressed layers: the same bytes on every number of cores, readable by everybody's decoder.
import { createHash, randomBytes } from "node:crypto";
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { emptyLayer, readLayer, writeLayer } from "../../../src/layer/blob.ts";
import { compress, decompress, type CompressOptions } from "../../../src/layer/compress.ts";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
import { gather, inSlices } from "./raw-tar.ts";

/** 9 MiB + a bit, half of it random: several blocks of both formats. */
const SAMPLE = Buffer.concat([randomBytes(1 << 22), Buffer.alloc(5 * 2 ** 20 + 77, "some text that repeats. ")]);
const DECODERS = { gzip: gunzipSync, zstd: zstdDecompressSync } as const;
const KINDS = ["gzip", "zstd"] as const;

const squeeze = (bytes: Uint8Array, options: CompressOptions, slice?: number): Promise<Buffer> =>
  gather(compress(inSlices(bytes, slice), options));
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test.each(KINDS)("T06: %s bytes do not depend on cores or on how the input is cut", async (compression) => {
  const expected = sha(await squeeze(SAMPLE, { compression, level: 1, parallelism: 1 }, 1 << 20));
  for (const [parallelism, slice] of [
    [2, 1 << 16],
    [8, 1_000_003],
    [undefined, SAMPLE.length],
  ] as const)
    expect(sha(await squeeze(SAMPLE, { compression, level: 1, parallelism }, slice))).toBe(expected);
});

test.each(KINDS)("%s is what other decoders read, at every level, for any size", async (compression) => {
  for (const size of [0, 1, 1 << 20, (1 << 20) + 1, (1 << 22) + 5]) {
    const bytes = SAMPLE.subarray(SAMPLE.length - size);
    expect(DECODERS[compression](await squeeze(bytes, { compression, level: 1 })).equals(bytes)).toBe(true);
  }
  const text = SAMPLE.subarray(-200_000);
  for (const level of compression === "gzip" ? [0, 1, 6, 9] : [1, 3, 19])
    expect(DECODERS[compression](await squeeze(text, { compression, level })).equals(text)).toBe(true);
});

test("T06: gzip is one member without name and time, and about as small as in one piece", async () => {
  const bytes = SAMPLE.subarray(-3_000_000);
  const ours = await squeeze(bytes, { compression: "gzip" });
  expect(ours.subarray(0, 10)).toEqual(Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]));
  expect(ours.readUInt32LE(ours.length - 4)).toBe(bytes.length);
  expect(ours.length).toBeLessThan(gzipSync(bytes).length * 1.02 + 64);
});

test("gzip stores what does not get smaller and deflates what does, on every number of cores alike", async () => {
  const noise = randomBytes(3 << 20);
  // A block that is half text is worth it.
  const mixed = Buffer.concat([randomBytes(1 << 19), Buffer.alloc(1 << 19, "the other half says the same again. ")]);
  const bytes = Buffer.concat([noise, mixed, SAMPLE.subarray(-300_000)]);
  const ours = await squeeze(bytes, { compression: "gzip" });
  expect(gunzipSync(ours).equals(bytes)).toBe(true);
  expect(ours.length).toBeLessThan(noise.length * 1.001 + (1 << 19) * 1.01 + 10_000);
  // Stored, so to be found as it is: by its first bytes, after the headers of the file and of the block.
  expect(ours.indexOf(noise.subarray(0, 1000))).toBe(15);
  for (const parallelism of [1, 2, 8])
    expect(sha(await squeeze(bytes, { compression: "gzip", parallelism }, 77_777))).toBe(sha(ours));
  // Who names a level gets it, also where the slices that are looked at are all noise.
  const unlucky = Buffer.alloc(1 << 20, "text between the slices. ");
  for (let at = 0; at < unlucky.length; at += 1 << 16) randomBytes(1 << 12).copy(unlucky, at);
  expect((await squeeze(unlucky, { compression: "gzip" })).length).toBeGreaterThan(unlucky.length);
  expect((await squeeze(unlucky, { compression: "gzip", level: 6 })).length).toBeLessThan(unlucky.length / 8);
});

test("a level that the compression does not have is refused", async () => {
  for (const [compression, level] of [
    ["gzip", 10],
    ["gzip", -1],
    ["zstd", 0],
    ["zstd", 23],
    ["gzip", 1.5],
  ] as const)
    await expect(squeeze(Buffer.of(1), { compression, level })).rejects.toMatchObject({
      code: "usage",
      help: /from \d to \d/,
    });
});

test.each(KINDS)(
  "%s of several members or frames is read to the end; damage and early ends are seen",
  async (compression) => {
    const encode = compression === "gzip" ? gzipSync : zstdCompressSync;
    const both = Buffer.concat([encode(Buffer.from("one ")), encode(Buffer.from("two"))]);
    for (const slice of [1, 7, both.length])
      expect((await gather(decompress(inSlices(both, slice), { compression }))).toString()).toBe("one two");
    const skippable = compression === "zstd" ? Buffer.from("\x5a\x2a\x4d\x18\x03\0\0\0abc", "latin1") : Buffer.alloc(0);
    const mixed = Buffer.concat([skippable, both, skippable, encode(SAMPLE), encode(Buffer.alloc(0))]);
    for (const slice of [65_536, mixed.length])
      expect(sha(await gather(decompress(inSlices(mixed, slice), { compression })))).toBe(
        sha(Buffer.concat([Buffer.from("one two"), SAMPLE])),
      );
    const blob = await squeeze(SAMPLE.subarray(0, 1 << 21), { compression });
    const flipped = Buffer.from(blob);
    flipped[blob.length >> 1]! ^= 0xff;
    for (const bad of [flipped, blob.subarray(0, -9), blob.subarray(0, 1000), Buffer.from("no such format")])
      await expect(gather(decompress(inSlices(bad, 65_536), { compression }))).rejects.toMatchObject({
        code: "content",
        message: new RegExp(`the ${compression} data of a layer is damaged`),
      });
  },
);

test("an error of the source is the one that comes out; stopping early ends everything", async () => {
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield gzipSync(SAMPLE).subarray(0, 100_000);
    throw new Error("connection lost");
  };
  await expect(gather(decompress(broken(), { compression: "gzip" }))).rejects.toThrow("connection lost");
  await expect(gather(compress(broken(), { compression: "gzip" }))).rejects.toThrow("connection lost");
  let isClosed = false;
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* inSlices(gzipSync(SAMPLE), 10_000);
    } finally {
      isClosed = true;
    }
  };
  for await (const _ of decompress(watched(), { compression: "gzip" })) break;
  expect(isClosed).toBe(true);
});

test("T06, T07: an empty layer in each compression has both its identities", async () => {
  const zeros = Buffer.alloc(1024);
  const plain = await emptyLayer("uncompressed");
  expect(plain).toMatchObject({ diffId: digestOf(zeros), digest: digestOf(zeros), uncompressedSize: 1024 });
  for (const compression of KINDS) {
    const layer = await emptyLayer(compression);
    expect(layer).toMatchObject({ diffId: digestOf(zeros), digest: digestOf(layer.bytes) });
    expect(DECODERS[compression](layer.bytes)).toEqual(zeros);
  }
});

test("a blob that is not what was promised is refused at its end", async () => {
  const { bytes, digest, diffId } = await emptyLayer("gzip");
  const wrong = `sha256:${"0".repeat(64)}` as Digest;
  const read = (expectedDigest?: Digest, expectedDiffId?: Digest): Promise<Buffer> =>
    gather(readLayer(inSlices(bytes), { compression: "gzip", expectedDigest, expectedDiffId }));
  expect(await read(digest, diffId)).toEqual(Buffer.alloc(1024));
  await expect(read(wrong)).rejects.toMatchObject({
    code: "content",
    message: `the blob of a layer is ${digest}, expected ${wrong}`,
  });
  await expect(read(digest, wrong)).rejects.toMatchObject({
    code: "content",
    message: /uncompressed content of a layer is/,
  });
});

test("a failing writer and an aborted signal end the writing with their reason", async () => {
  const entries = [{ path: "d", type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n }] as const;
  const write = (): Promise<void> => Promise.reject(new Error("disk full"));
  await expect(writeLayer(entries, { compression: "gzip", write })).rejects.toThrow("disk full");
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(writeLayer(entries, { compression: "gzip", write: () => undefined, signal })).rejects.toThrow("enough");
});

test.each(KINDS)("%s: what was read of it costs no memory, long before the collector looks", async (compression) => {
  const block = randomBytes(1 << 20);
  async function* source(): AsyncGenerator<Buffer> {
    for (let i = 0; i < 40; i++) yield block;
  }
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for await (const _ of compress(source(), { compression, level: 1, parallelism: 1, reuseChunks: true }))
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  // A block, what it becomes, and what the reader has: of zstd 4 MiB each.
  expect(most).toBeLessThan((compression === "gzip" ? 6 : 18) << 20);
});
