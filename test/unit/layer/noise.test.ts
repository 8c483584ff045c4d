import { randomBytes } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { compress } from "../../../src/layer/compress.ts";
import { runsOf } from "../../../src/layer/noise.ts";
import { gather, inSlices } from "./raw-tar.ts";

const KIB = 1024;
const text = (size: number): Buffer => Buffer.alloc(size, "source code and prose. ");
const lengths = (...pieces: readonly Buffer[]): number[] =>
  runsOf(Buffer.concat(pieces)).map(({ length }) => length / KIB);

test("a block is cut where noise begins and ends, and put together again it is the block", () => {
  const block = Buffer.concat([randomBytes(128 * KIB), text(256 * KIB), randomBytes(192 * KIB), text(64 * KIB)]);
  expect(lengths(block)).toEqual([128, 256, 192, 64]);
  expect(Buffer.concat(runsOf(block)).equals(block)).toBe(true);
});

test("what is all of one kind stays in one piece; nothing has no pieces", () => {
  expect(lengths(randomBytes(1024 * KIB))).toEqual([1024]);
  expect(lengths(text(1024 * KIB))).toEqual([1024]);
  expect(lengths()).toEqual([]);
});

test("a part that is noise only in part is none, and neither are too few bytes to tell", () => {
  expect(lengths(randomBytes(80 * KIB), text(176 * KIB))).toEqual([64, 192]);
  expect(lengths(randomBytes(64 * KIB), randomBytes(KIB))).toEqual([64, 1]);
});

test("T06: gzip of noise among text has the bytes of neither deflated noise nor stored text, however many cores there are", async () => {
  const noise = randomBytes(512 * KIB);
  // What follows says some of it again: that may refer to the end of the noise, and must not to its start.
  const echo = Buffer.concat([noise.subarray(16 * KIB, 17 * KIB), noise.subarray(-1000)]);
  const bytes = Buffer.concat([text(128 * KIB), noise, echo, text(700 * KIB), randomBytes(900 * KIB)]);
  const squeeze = (level: number | undefined, parallelism: number): Promise<Buffer> =>
    gather(compress(inSlices(bytes, 77_777), { compression: "gzip", level, parallelism }));
  const ours = await squeeze(undefined, 1);
  expect(gunzipSync(ours).equals(bytes)).toBe(true);
  expect(ours.length).toBeLessThan((await squeeze(6, 1)).length * 1.001);
  for (const parallelism of [2, 8]) expect((await squeeze(undefined, parallelism)).equals(ours)).toBe(true);
});
