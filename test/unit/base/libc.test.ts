// The calls that need no privilege. Mounts, device nodes and namespaces are in test/integration/layer.
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as libc from "../../../src/base/libc.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tsbuild-libc-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("a failure is an Error like Node's own", () => {
  const path = join(dir, "absent");
  expect(() => libc.llistxattr(path)).toThrow(
    expect.objectContaining({
      code: "ENOENT",
      errno: -2,
      syscall: "llistxattr",
      path,
      message: `ENOENT: no such file or directory, llistxattr '${path}'`,
    }),
  );
  expect(() => libc.umount(join(dir, "absent"))).toThrow(expect.objectContaining({ syscall: "umount" }));
});

test("times are set to the nanosecond, on a symlink itself, also before 1970 and after 2038", () => {
  const [file, link] = [join(dir, "file"), join(dir, "link")];
  writeFileSync(file, "x");
  symlinkSync("file", link);
  const before = lstatSync(file, { bigint: true });
  for (const mtimeNs of [1_700_000_000_123_456_789n, 0n, -1n, -1_500_000_001n, 4_102_444_800_000_000_007n]) {
    libc.utimensNoFollow(link, { mtimeNs });
    expect(lstatSync(link, { bigint: true }).mtimeNs).toBe(mtimeNs);
  }
  expect(lstatSync(file, { bigint: true }).mtimeNs).toBe(before.mtimeNs);
  libc.utimensNoFollow(file, { mtimeNs: 5n, atimeNs: 7n });
  libc.utimensNoFollow(file, { mtimeNs: 6n });
  const after = lstatSync(file, { bigint: true });
  expect([after.mtimeNs, after.atimeNs]).toEqual([6n, 7n]);
});

test("attributes: list, read, replace, remove; absent is undefined, not an error", () => {
  const file = join(dir, "file");
  writeFileSync(file, "x");
  expect(libc.lgetxattr(file, "user.a")).toBeUndefined();
  try {
    libc.lsetxattr(file, "user.a", Buffer.from([0, 1, 255]));
  } catch (error) {
    // tmpfs of older kernels keeps no user attributes.
    if ((error as NodeJS.ErrnoException).code === "ENOTSUP") return;
    throw error;
  }
  libc.lsetxattr(file, "user.empty", new Uint8Array());
  expect([...libc.llistxattr(file)].filter((name) => name.startsWith("user.")).sort()).toEqual([
    "user.a",
    "user.empty",
  ]);
  expect(libc.lgetxattr(file, "user.a")).toEqual(Uint8Array.of(0, 1, 255));
  expect(libc.lgetxattr(file, "user.empty")).toEqual(new Uint8Array());
  libc.lsetxattr(file, "user.a", Buffer.from("b"));
  libc.lremovexattr(file, "user.empty");
  expect(libc.lgetxattr(file, "user.a")).toEqual(new Uint8Array([98]));
  expect(() => libc.lremovexattr(file, "user.empty")).toThrow(expect.objectContaining({ code: "ENODATA" }));
});

test("flock excludes other open descriptions and is freed by close", () => {
  const file = join(dir, "lock");
  writeFileSync(file, "");
  const [a, b] = [openSync(file, "r"), openSync(file, "r")];
  expect(libc.tryFlock(a, "shared")).toBe(true);
  expect(libc.tryFlock(b, "shared")).toBe(true);
  expect(libc.tryFlock(b, "exclusive")).toBe(false);
  libc.funlock(b);
  libc.funlock(a);
  expect(libc.tryFlock(b, "exclusive")).toBe(true);
  expect(libc.tryFlock(a, "shared")).toBe(false);
  closeSync(b);
  expect(libc.tryFlock(a, "shared")).toBe(true);
  closeSync(a);
  expect(() => libc.tryFlock(a, "shared")).toThrow(expect.objectContaining({ code: "EBADF", syscall: "flock" }));
});

test("named pipes are made, and holes beyond 4 GiB are found", () => {
  libc.mkfifo(join(dir, "pipe"), 0o600);
  expect(lstatSync(join(dir, "pipe")).isFIFO()).toBe(true);
  const fd = openSync(join(dir, "sparse"), "w+");
  const far = 5 * 2 ** 30;
  writeSync(fd, "data", far);
  ftruncateSync(fd, far + 2 ** 20);
  const data = libc.seekData(fd, 0)!;
  // A file system without holes may say that all is data.
  expect(data === 0 || data === far).toBe(true);
  expect(libc.seekHole(fd, far)).toBeGreaterThan(far);
  expect(libc.seekData(fd, far + 2 ** 20)).toBeUndefined();
  closeSync(fd);
});

test("a path may be bytes that are no UTF-8", () => {
  const path = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xfe])]);
  libc.mkfifo(path, 0o644);
  libc.utimensNoFollow(path, { mtimeNs: 9n });
  expect(lstatSync(path, { bigint: true }).mtimeNs).toBe(9n);
});
