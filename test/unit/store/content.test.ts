import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
import { collect, tempStore } from "../../support/store/temp-store.ts";

const HELLO = Buffer.from("hello");

test("N09: an empty store is a valid OCI layout", () => {
  using temp = tempStore();
  expect(JSON.parse(readFileSync(join(temp.root, "content/oci-layout"), "utf8"))).toEqual({
    imageLayoutVersion: "1.0.0",
  });
  expect(JSON.parse(readFileSync(join(temp.root, "content/index.json"), "utf8"))).toMatchObject({
    schemaVersion: 2,
    manifests: [],
  });
});

test("a small blob is stored once, read back verified, and healed when it is put again", async () => {
  using temp = tempStore();
  const { content } = temp.store;
  const digest = content.put(HELLO);
  expect(digest).toBe(digestOf(HELLO));
  expect(content.put(HELLO)).toBe(digest);
  expect([content.has(digest), content.has(digest, 5), content.has(digest, 4)]).toEqual([true, true, false]);
  expect(Buffer.from(content.read(digest))).toEqual(HELLO);
  expect(await collect(content.open(digest))).toEqual(HELLO);
  writeFileSync(content.blobPath(digest), "hellO");
  content.put(HELLO);
  expect(Buffer.from(content.read(digest))).toEqual(HELLO);
  expect(readdirSync(temp.store.paths.tmp)).toEqual([]);
});

test("pain 13: a damaged blob is an error at the end of reading, set aside, and then a miss", async () => {
  using temp = tempStore();
  const { content } = temp.store;
  const bytes = Buffer.alloc(1_000_000, "x");
  const digest = content.put(bytes);
  bytes[999_999] = 0;
  for (const read of [() => collect(content.open(digest)), () => Promise.resolve().then(() => content.read(digest))]) {
    writeFileSync(content.blobPath(digest), bytes);
    await expect(read()).rejects.toMatchObject({ code: "content" });
    expect(content.has(digest)).toBe(false);
  }
  await expect(collect(content.open(digest))).rejects.toMatchObject({ code: "content" });
  expect(content.readIfIntact(digest)).toBeUndefined();
});

test("a blob above the limit is not read into memory", () => {
  using temp = tempStore();
  const digest = temp.store.content.put(HELLO);
  expect(() => temp.store.content.read(digest, 4)).toThrow(/has 5 bytes, more than the 4/);
});

test("an ingested blob appears at commit, verified, and not before", async () => {
  using temp = tempStore();
  const { content } = temp.store;
  const digest = digestOf(HELLO);
  {
    await using ingest = await content.ingest({ expected: { digest, size: 5 } });
    await ingest.write(HELLO.subarray(0, 2));
    await ingest.write(HELLO.subarray(2));
    expect([ingest.offset, content.has(digest)]).toEqual([5, false]);
    expect(await ingest.commit()).toEqual({ digest, size: 5 });
  }
  expect(content.has(digest, 5)).toBe(true);
  expect(readdirSync(temp.store.paths.tmp)).toEqual([]);
});

test.each([
  ["another digest", { digest: digestOf("other") }, /does not match what was promised: its digest is sha256:2cf24dba/],
  ["fewer bytes", { size: 6 }, /it has 5 bytes, not 6/],
  ["more bytes", { size: 4 }, /longer than the 4 bytes/],
])("an ingest that gets %s than promised fails and leaves nothing, resumable or not", async (_, expected, message) => {
  using temp = tempStore();
  for (const resumeKey of ["a", undefined]) {
    const attempt = async (): Promise<void> => {
      await using ingest = await temp.store.content.ingest({
        expected,
        ...(resumeKey === undefined ? {} : { resumeKey }),
      });
      await ingest.write(HELLO);
      await ingest.commit();
    };
    await expect(attempt()).rejects.toMatchObject({
      code: "content",
      message: expect.stringMatching(message) as string,
    });
  }
  expect(readdirSync(temp.store.paths.tmp)).toEqual([]);
  expect(temp.store.content.list()).toEqual([]);
});

test("pain 5: a broken download goes on where it stopped; a second one at the same time does not disturb it", async () => {
  using temp = tempStore();
  const { content } = temp.store;
  const digest = digestOf(HELLO);
  {
    await using first = await content.ingest({ expected: { digest }, resumeKey: "k" });
    await first.write(HELLO.subarray(0, 3));
    await using other = await content.ingest({ expected: { digest }, resumeKey: "k" });
    expect(other.offset).toBe(0);
  }
  await using again = await content.ingest({ expected: { digest }, resumeKey: "k" });
  expect(again.offset).toBe(3);
  await again.write(HELLO.subarray(3));
  await again.commit();
  expect(Buffer.from(content.read(digest))).toEqual(HELLO);
});

test("a server without ranges: restart forgets what was there", async () => {
  using temp = tempStore();
  const { content } = temp.store;
  {
    await using first = await content.ingest({ resumeKey: "k" });
    await first.write(Buffer.from("garbage"));
  }
  await using again = await content.ingest({ resumeKey: "k" });
  expect(again.offset).toBe(7);
  await again.restart();
  await again.write(HELLO);
  expect((await again.commit({ digest: digestOf(HELLO) })).size).toBe(5);
});

test("an ingest that is not resumable leaves nothing behind", async () => {
  using temp = tempStore();
  {
    await using ingest = await temp.store.content.ingest();
    await ingest.write(HELLO);
  }
  expect(readdirSync(temp.store.paths.tmp)).toEqual([]);
});

test("sha512 blobs of other tools are taken as they are named", async () => {
  using temp = tempStore();
  const { content } = temp.store;
  const digest = `sha512:${createHash("sha512").update(HELLO).digest("hex")}` as Digest;
  await using ingest = await content.ingest({ expected: { digest } });
  await ingest.write(HELLO);
  await ingest.commit();
  expect(Buffer.from(content.read(digest))).toEqual(HELLO);
  expect(content.list().map((blob) => blob.digest)).toEqual([digest]);
});
