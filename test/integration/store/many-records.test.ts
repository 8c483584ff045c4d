// A store of ten thousand layers (pain 35): a build in which nothing changed reads no more of it than of a small one.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { digestOf } from "../../../src/oci/digest.ts";
import { seal, sealBytes } from "../../../src/store/sealed.ts";
import { openRig, type Rig } from "../../support/rig.ts";

const PROJECT = resolve(import.meta.dirname, "../../..");
const COUNT = 10_000;
/** Sparse, so that the store has 50 GB of blobs that take no disk. */
const BLOB_SIZE = 5_000_000;

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Layers with records, parts, blobs and directories that no build asks for. */
function fillStore(): void {
  using database = new DatabaseSync(join(rig.store, "tsbuild.db"));
  const layer = database.prepare(
    "INSERT INTO layers (id, tree_digest, diff_id, has_dir, has_entries, created_at, created_by, last_used_ms) VALUES (?, ?, ?, 1, 1, '', ?, ?)",
  );
  const blob = database.prepare("INSERT INTO layer_blobs VALUES (?, 'gzip', ?, ?)");
  const record = database.prepare("INSERT INTO records VALUES (?, ?, 'step', ?, ?, 5000, ?, 3)");
  const part = database.prepare("INSERT INTO record_parts VALUES (?, ?)");
  const duration = database.prepare("INSERT INTO durations VALUES (?, 5000, ?)");
  const parts = sealBytes(zstdCompressSync(JSON.stringify([{ name: "command", value: "x".repeat(500) }])));
  const now = Date.now();
  database.exec("BEGIN");
  for (let i = 0; i < COUNT; i++) {
    const id = `synthetic${i}`;
    const digest = digestOf(`blob ${i}`);
    layer.run(id, seal(digestOf(`tree ${i}`)), seal(digestOf(`diff ${i}`)), `RUN step ${i}`, now);
    blob.run(id, seal(digest), BLOB_SIZE);
    for (const kind of ["definition", "content"]) record.run(digestOf(`${kind} ${i}`), id, `slot ${i}`, now, now);
    part.run(digestOf(`definition ${i}`), parts);
    duration.run(digestOf(`op ${i}`), now);
    mkdirSync(join(rig.store, "layers", id, "diff"), { recursive: true });
    const path = join(rig.store, "content/blobs/sha256", digest.slice("sha256:".length));
    writeFileSync(path, "");
    truncateSync(path, BLOB_SIZE);
  }
  database.exec("COMMIT");
}

/** System calls of an unchanged build, by name. */
function callsOf(context: string): ReadonlyMap<string, number> {
  const log = join(rig.root, "trace");
  const node = join(PROJECT, "node_modules/.bin/node");
  const command = [
    node,
    "--disable-warning=ExperimentalWarning",
    join(PROJECT, "src/bin.ts"),
    "-q",
    "-t",
    "app",
    context,
  ];
  const { status, stderr } = spawnSync(
    "strace",
    ["-f", "-qq", "-s", "0", "-o", log, "-e", "trace=file,pread64,getdents64", ...command],
    {
      env: { PATH: process.env["PATH"], HOME: rig.root, TSBUILD_ROOT: rig.store },
      encoding: "utf8",
    },
  );
  expect(status, stderr).toBe(0);
  const counts = new Map<string, number>();
  for (const [, name = ""] of readFileSync(log, "utf8").matchAll(/^\d+ +(\w+)\(/gm))
    counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

test("pain 35: 10,000 layers and 50 GB beside it cost an unchanged build nothing", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN echo 1 > /1\nCOPY a /a\nRUN cat /a > /b\n", a: "a" });
  await rig.must(["-q", "-t", "app", context]);
  callsOf(context);
  const before = callsOf(context);
  fillStore();
  const after = callsOf(context);
  for (const [name, count] of after) {
    // A deeper B-tree is a page more per look-up.
    const allowed = name === "pread64" ? 60 : 5;
    expect(count - (before.get(name) ?? 0), name).toBeLessThanOrEqual(allowed);
  }
  const usage = JSON.parse((await rig.must(["cache", "du", "--format", "json"])).stdout) as {
    items: readonly unknown[];
  };
  expect(usage.items.length).toBeGreaterThan(2 * COUNT);
});
