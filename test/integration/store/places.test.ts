// Stores in awkward places: full, read-only, somebody else's, with mounts inside. Needs root.
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mount, MS_BIND, MS_RDONLY, MS_REMOUNT, umount } from "../../../src/base/libc.ts";
import { openStore } from "../../../src/store/store.ts";
import { putImage, tempStore, writeFiles } from "../../support/store/temp-store.ts";

const quiet = { onNotice: (): void => undefined };

test("a full disk is an error of code store, and the store works again when there is room", async () => {
  const root = mkdtempSync(join(tmpdir(), "tsbuild-full-"));
  mount("tmpfs", root, "tmpfs", 0, "size=3m");
  try {
    using store = openStore(root, quiet);
    const big = async (): Promise<void> => {
      await using ingest = await store.content.ingest({ resumeKey: "big" });
      for (let i = 0; i < 100; i++) await ingest.write(Buffer.alloc(100_000, "x"));
    };
    await expect(big()).rejects.toMatchObject({
      code: "store",
      message: expect.stringContaining("disk is full") as string,
    });
    expect(readdirSync(store.paths.tmp)).toEqual([]);
    writeFileSync(join(root, "filler"), Buffer.alloc(2_000_000));
    const fill = (): void => {
      for (let i = 0; i < 10_000; i++) store.records.putBlob("k", `${i}`, Buffer.alloc(4000));
    };
    expect(fill).toThrow(expect.objectContaining({ code: "store" }) as Error);
    rmSync(join(root, "filler"));
    const { manifest } = putImage(store, Buffer.from("fits"));
    store.images.set("docker.io/library/app:1", manifest);
    expect(store.images.list()).toHaveLength(1);
  } finally {
    umount(root);
    rmSync(root, { recursive: true });
  }
});

test("a read-only store can be read, and says so when it should be written", () => {
  using temp = tempStore();
  const { manifest } = putImage(temp.store, Buffer.from("layer"));
  temp.store.images.set("docker.io/library/app:1", manifest);
  temp.store[Symbol.dispose]();
  mount(temp.root, temp.root, undefined, MS_BIND);
  mount(undefined, temp.root, undefined, MS_BIND | MS_REMOUNT | MS_RDONLY);
  try {
    const reader = temp.open("read");
    expect(reader.images.get("docker.io/library/app:1")?.manifest).toEqual(manifest);
    expect(() => temp.open().layers.create({ createdBy: "x" })).toThrow(
      expect.objectContaining({ code: "store", help: expect.stringContaining("TSBUILD_ROOT") as string }) as Error,
    );
    reader[Symbol.dispose]();
  } finally {
    umount(temp.root);
  }
});

test("a store of another user is refused with a remedy", () => {
  using temp = tempStore();
  chmodSync(temp.root, 0o777);
  chownSync(temp.root, 4711, 4711);
  process.seteuid?.(65534);
  try {
    expect(() => openStore(temp.root, quiet)).toThrow(/belongs to uid 4711, and this is uid 65534/);
  } finally {
    process.seteuid?.(0);
  }
});

test("what a dead build left mounted is never emptied through the mount", async () => {
  using temp = tempStore();
  const { store } = temp;
  const precious = writeFiles(join(temp.root, "precious"), { file: "1" });
  const dead = writeFiles(join(store.paths.leases, "build-dead"), { lock: "" });
  const target = join(dead, "tmp/rootfs");
  mkdirSync(target, { recursive: true });
  mount(precious, target, undefined, MS_BIND);
  try {
    await store.sweep(() => Promise.resolve());
    expect(existsSync(join(precious, "file"))).toBe(true);
    expect(temp.notices).toEqual([expect.stringContaining("is still mounted") as string]);
  } finally {
    umount(target);
  }
  expect(await store.sweep(() => Promise.resolve())).toBe(1);
  expect([existsSync(join(precious, "file")), existsSync(dead)]).toEqual([true, false]);
});
