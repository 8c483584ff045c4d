// Upper directories as a build might leave them, made from plain descriptions so that fast-check can shrink them. Needs root.
import * as fc from "fast-check";
import { chmodSync, linkSync, lchownSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { lsetxattr, mkfifo, mknod, S_IFBLK, S_IFCHR, utimensNoFollow } from "../../../src/base/libc.ts";
import { hostPath } from "../../../src/base/file-name.ts";

export interface Shape {
  readonly kind: "file" | "dir" | "symlink" | "fifo" | "char" | "block" | "whiteout" | "link" | "sparse";
  readonly name: string;
  /** Which of the directories made so far it goes into. */
  readonly parent: number;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly target: string;
  readonly xattr: Uint8Array | undefined;
  readonly isOpaque: boolean;
}

const name = fc.oneof(
  fc.stringMatching(/^[a-c]{1,2}$/),
  fc.constantFrom("a-b", "a.b", "A", "é", "名", "😀", "sp ace", "new\nline", "back\\slash", "\udcff\udc80", "-rf", "~"),
  fc.integer({ min: 90, max: 250 }).map((length) => "n".repeat(length)),
);
const id = fc.oneof(fc.constantFrom(0, 1000, 2_097_151, 2_097_152, 4_294_967_294), fc.nat(70_000));
const mtimeNs = fc.oneof(
  fc.constantFrom(0n, -1n, -1_500_000_000n, 1_700_000_000_000_000_000n, 4_102_444_800_000_000_001n),
  fc.bigInt(0n, 2_000_000_000_000_000_000n),
);

export const shapes: fc.Arbitrary<readonly Shape[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(
      "file",
      "file",
      "file",
      "dir",
      "dir",
      "symlink",
      "fifo",
      "char",
      "block",
      "whiteout",
      "link",
      "sparse",
    ),
    name,
    parent: fc.nat(),
    size: fc.oneof(fc.constantFrom(0, 1, 511, 512, 513, 600_000), fc.nat(5000)),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: id,
    gid: id,
    mtimeNs,
    target: fc.constantFrom("a", "/etc/passwd", "../../..", "é", `${"long/".repeat(40)}x`, "\udcfe"),
    xattr: fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined }),
    isOpaque: fc.boolean(),
  }),
  { maxLength: 25 },
);

/** Makes what `list` describes below `dir`; names that are taken are left out. */
export function makeTree(dir: string, list: readonly Shape[]): void {
  const directories = [""];
  const files: string[] = [];
  const described: (readonly [string, Shape])[] = [];
  for (const shape of list) {
    const parent = directories[shape.parent % directories.length]!;
    const path = parent === "" ? shape.name : `${parent}/${shape.name}`;
    if (Buffer.byteLength(path) > 2000) continue;
    try {
      makeOne(`${dir}/${path}`, shape, files);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
      throw error;
    }
    if (shape.kind === "dir") directories.push(path);
    if (shape.kind === "file") files.push(`${dir}/${path}`);
    if (shape.kind !== "whiteout" && shape.kind !== "link") described.push([`${dir}/${path}`, shape]);
  }
  for (const [path, shape] of described.reverse()) describe(hostPath(path), shape);
}

function makeOne(path: string, shape: Shape, files: readonly string[]): void {
  const host = hostPath(path);
  const content = Buffer.alloc(shape.size, path);
  switch (shape.kind) {
    case "file":
      return writeFileSync(host, content, { flag: "wx" });
    case "sparse":
      writeFileSync(host, "head", { flag: "wx" });
      return truncateSync(host, 3 * 2 ** 20 + shape.size);
    case "dir":
      mkdirSync(host);
      return;
    case "symlink":
      return symlinkSync(hostPath(shape.target), host);
    case "fifo":
      return mkfifo(host, 0o600);
    case "char":
      return mknod(host, S_IFCHR | 0o600, 1, 3);
    case "block":
      return mknod(host, S_IFBLK | 0o600, 259, 1_048_575);
    case "whiteout":
      return mknod(host, S_IFCHR, 0, 0);
    case "link":
      if (files.length > 0) linkSync(hostPath(files[shape.parent % files.length]!), host);
  }
}

function describe(host: string | Buffer, shape: Shape): void {
  lchownSync(host, shape.uid, shape.gid);
  if (shape.kind !== "symlink") chmodSync(host, shape.mode);
  if (shape.kind === "dir" && shape.isOpaque) lsetxattr(host, "trusted.overlay.opaque", Buffer.from("y"));
  if (shape.xattr && (shape.kind === "dir" || shape.kind === "file")) lsetxattr(host, "user.note", shape.xattr);
  utimensNoFollow(host, { mtimeNs: shape.mtimeNs });
}
