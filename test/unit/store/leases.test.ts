import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statfsSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { areChildrenSpread } from "../../../src/base/libc.ts";
import { digestFor, tempStore, writeFiles } from "../../support/store/temp-store.ts";

const noReap = (): Promise<void> => Promise.resolve();

test("a lease gives temporary places and takes them back", async () => {
  using temp = tempStore();
  {
    await using lease = await temp.store.openLease({ kind: "build" });
    writeFiles(lease.tempDirectory("upper"), { "a/b": "1" });
    expect(readdirSync(lease.tmp)).toEqual([expect.stringMatching(/^upper-/) as string]);
  }
  expect(readdirSync(temp.store.paths.leases)).toEqual([]);
});

test("builds lie apart on file systems that can be told so: beside what was just removed, ext4 takes four times as long to make a file", () => {
  using temp = tempStore();
  const { leases, layers } = temp.store.paths;
  const isExt = statfsSync(leases).type === 0xef53;
  const isSpread = (path: string): boolean => {
    const fd = openSync(path, "r");
    try {
      return areChildrenSpread(fd);
    } finally {
      closeSync(fd);
    }
  };
  expect([isSpread(leases), isSpread(layers)]).toEqual([isExt, false]);
});

test("T50: what is gone cannot be pinned; what is pinned is known to be there", async () => {
  using temp = tempStore();
  const { store } = temp;
  await using lease = await store.openLease({ kind: "build" });
  const { id } = store.layers.create({ createdBy: "RUN" });
  const digest = store.content.put(Buffer.from("b"));
  expect([lease.pin("layer", id), lease.pin("layer", id), lease.pin("layer", "gone")]).toEqual([true, true, false]);
  expect([lease.pin("blob", digest), lease.pin("blob", digestFor("none"))]).toEqual([true, false]);
  expect(lease.pin("blob", digestFor("coming"), { isComing: true })).toBe(true);
});

test("names that are not UTF-8 are removed too", async () => {
  using temp = tempStore();
  {
    await using lease = await temp.store.openLease({ kind: "build" });
    const name = Buffer.concat([Buffer.from(`${lease.tmp}/`), Buffer.from([0x66, 0xff, 0xfe])]);
    mkdirSync(name);
    writeFileSync(Buffer.concat([name, Buffer.from([0x2f, 0xe9])]), "x");
  }
  expect(temp.notices).toEqual([]);
  expect(readdirSync(temp.store.paths.leases)).toEqual([]);
});

test("the sweep leaves the living alone: leases, ingests, what is being born", async () => {
  using temp = tempStore();
  const { store } = temp;
  await using lease = await store.openLease({ kind: "build" });
  await using ingest = await store.content.ingest();
  await ingest.write(Buffer.from("half"));
  mkdirSync(join(store.paths.leases, ".new-build-x/tmp"), { recursive: true });
  writeFileSync(join(store.paths.tmp, "put-x"), "");
  expect(await temp.open().sweep(noReap)).toBe(0);
  expect(existsSync(lease.tmp)).toBe(true);
  expect((await ingest.commit()).size).toBe(4);
});

test("the sweep removes the leavings of the dead, after reaping; what cannot be reaped stays", async () => {
  using temp = tempStore();
  const { store } = temp;
  const { leases, tmp } = store.paths;
  writeFiles(join(leases, "build-dead"), { lock: "", "tmp/upper/x": "1" });
  writeFiles(join(leases, "build-busy"), { lock: "", "tmp/x": "1" });
  writeFiles(tmp, { "ingest-dead": "half", "gone-x/diff/y": "1", "resume-young": "half" });
  const seen: string[] = [];
  const reap = (directory: string): Promise<void> => {
    seen.push(directory);
    return directory.endsWith("busy") ? Promise.reject(new Error("umount: target is busy")) : Promise.resolve();
  };
  expect(await store.sweep(reap)).toBe(3);
  expect(seen.sort()).toEqual([join(leases, "build-busy"), join(leases, "build-dead")]);
  expect([readdirSync(leases), readdirSync(tmp)]).toEqual([["build-busy"], ["resume-young"]]);
  expect(temp.notices).toEqual([expect.stringContaining("umount: target is busy") as string]);
  utimesSync(join(tmp, "resume-young"), 1, 1);
  expect(await store.sweep(noReap)).toBe(2);
  expect([readdirSync(leases), readdirSync(tmp)]).toEqual([[], []]);
});

test("two sweepers do not disturb each other", async () => {
  using temp = tempStore();
  const other = temp.open();
  for (let i = 0; i < 20; i++)
    writeFiles(join(temp.store.paths.leases, `build-${i}`), { lock: "", "tmp/a": "1", "tmp/b": "2" });
  const reaped: string[] = [];
  const reap = async (directory: string): Promise<void> => {
    reaped.push(directory);
    await Promise.resolve();
  };
  await Promise.all([temp.store.sweep(reap), other.sweep(reap)]);
  expect(new Set(reaped).size).toBe(20);
  expect(readdirSync(temp.store.paths.leases)).toEqual([]);
  expect(temp.notices).toEqual([]);
});
