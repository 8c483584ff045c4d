// A file system of its own for one directory: what is on it is all that was written there, so that the kernel's own count judges how much that is.
// Walks cannot judge it while builds run: what moves meanwhile is seen twice or not at all.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface OwnDisk extends Disposable {
  /** Bytes in use, without what the empty file system takes itself. */
  usedBytes(): number;
}

/** Mounts an ext4 file system of `size` bytes at `path`, which is made. Needs root, loop devices and mkfs.ext4. */
export function mountDisk(path: string, size: number): OwnDisk {
  const image = join(mkdtempSync(join(tmpdir(), "tsbuild-disk-")), "image");
  writeFileSync(image, "");
  truncateSync(image, size);
  execFileSync("mkfs.ext4", ["-q", "-m", "0", image]);
  mkdirSync(path, { recursive: true });
  execFileSync("mount", ["-o", "loop", image, path]);
  const used = (): number => {
    const { blocks, bfree, bsize } = statfsSync(path);
    return (blocks - bfree) * bsize;
  };
  const empty = used();
  return {
    usedBytes: () => used() - empty,
    [Symbol.dispose]: () => {
      execFileSync("umount", [path]);
      rmSync(join(image, ".."), { recursive: true });
    },
  };
}

/** Whether this machine lets {@link mountDisk} do so. */
export function canMountDisk(): boolean {
  try {
    const place = mkdtempSync(join(tmpdir(), "tsbuild-disk-"));
    mountDisk(place, 16 << 20)[Symbol.dispose]();
    rmSync(place, { recursive: true });
    return true;
  } catch {
    return false;
  }
}
