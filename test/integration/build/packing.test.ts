// How layers become blobs: the same bytes whatever does the work, and each once.
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** A context of 10 MB, half of it text and half of it noise, so that there are blocks that are deflated and blocks that are stored. */
function context(dockerfile: string): string {
  const made = rig.context({ Dockerfile: dockerfile, text: "a line of text\n".repeat(350_000) });
  writeFileSync(join(made, "noise"), randomBytes(5 << 20));
  return made;
}

/** Inodes of the blobs of a store that are as big as layers: a blob that was written again has another one. */
function bigBlobs(store: string): bigint[] {
  const folder = join(store, "content/blobs/sha256");
  const stats = readdirSync(folder).map((name) => statSync(join(folder, name), { bigint: true }));
  return stats.filter(({ size }) => size > 1n << 20n).map(({ ino }) => ino);
}

test("T06: an image's digest does not depend on how many threads compress its layers", async () => {
  const files = context("FROM scratch\nCOPY text noise /\n");
  const digests = new Set<string>();
  for (const threads of ["1", "2", "8"]) {
    const metadata = join(rig.root, `metadata-${threads}.json`);
    const store = join(rig.root, `s${threads}`);
    const env = { UV_THREADPOOL_SIZE: threads, TSBUILD_ROOT: store, SOURCE_DATE_EPOCH: "0" };
    await rig.must(["-q", "-t", "threads", "--metadata-file", metadata, files], { env });
    expect(bigBlobs(store)).toHaveLength(1);
    digests.add((JSON.parse(readFileSync(metadata, "utf8")) as Record<string, string>)["containerimage.digest"]!);
  }
  expect(digests.size).toBe(1);
});

test("pain 18: a layer that was packed once is not packed again for another image", async () => {
  const env = { TSBUILD_ROOT: join(rig.root, "once") };
  const files = context("FROM scratch\nCOPY text noise /\n");
  await rig.must(["-q", "-t", "one", files], { env });
  const before = bigBlobs(env.TSBUILD_ROOT);
  expect(before).toHaveLength(1);
  writeFileSync(join(files, "Dockerfile"), "FROM scratch AS base\nCOPY text noise /\nFROM base\nLABEL two=2\n");
  await rig.must(["-q", "-t", "two", files], { env });
  await rig.must(["-q", "-o", `type=oci,dest=${join(rig.root, "two.tar")}`, files], { env });
  expect(bigBlobs(env.TSBUILD_ROOT)).toEqual(before);
});
