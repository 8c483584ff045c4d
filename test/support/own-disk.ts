// A file system of its own for one directory: what is on it is all that was written there, so that the kernel's own count judges how much that is.
// Walks cannot judge it while builds run: what moves meanwhile is seen twice or not at all.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface OwnDisk extends Disposable {
  /** Bytes in use, without what the empty file system takes itself. */
  usedBytes(): number;
}

/** Mounts an ext4 file system of `size` bytes at `path`, which is made; where there are no loop devices one in memory. Needs root. */
export function mountDisk(path: string, size: number): OwnDisk {
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-disk-"));
  mkdirSync(path, { recursive: true });
  if (existsSync("/dev/loop-control")) mountImage(join(folder, "image"), path, size);
  else execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
  const used = (): number => {
    const { blocks, bfree, bsize } = statfsSync(path);
    return (blocks - bfree) * bsize;
  };
  const empty = used();
  return {
    usedBytes: () => used() - empty,
    [Symbol.dispose]: () => {
      execFileSync("umount", [path]);
      rmSync(folder, { recursive: true });
    },
  };
}

function mountImage(image: string, path: string, size: number): void {
  writeFileSync(image, "");
  truncateSync(image, size);
  execFileSync("mkfs.ext4", ["-q", "-m", "0", image]);
  execFileSync("mount", ["-o", "loop", image, path]);
}
