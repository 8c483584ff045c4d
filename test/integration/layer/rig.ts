// A scratch folder, and what the tests here compare layers by.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { umount, MNT_DETACH } from "../../../src/base/libc.ts";
import { isErrno } from "../../../src/base/fs-atomic.ts";
import type { LayerEntry } from "../../../src/tree/entry.ts";

export interface Rig extends Disposable {
  readonly dir: string;
  path(name: string): string;
  /** A mount point to be freed at the end. */
  owns(mountPoint: string): string;
}

export function openRig(): Rig {
  const dir = mkdtempSync(join(tmpdir(), "tsbuild-layer-"));
  const mounts: string[] = [];
  return {
    dir,
    path: (name) => join(dir, name),
    owns: (mountPoint) => {
      mounts.push(mountPoint);
      return mountPoint;
    },
    [Symbol.dispose]: () => {
      for (const mountPoint of mounts.reverse()) {
        try {
          umount(mountPoint, MNT_DETACH);
        } catch (error) {
          if (!isErrno(error, "EINVAL") && !isErrno(error, "ENOENT")) throw error;
        }
      }
      // By bytes: names here need not be UTF-8.
      rmSync(Buffer.from(dir), { recursive: true, force: true });
    },
  };
}

/** Entries without where their bytes are. */
export function facts(entries: readonly LayerEntry[]): LayerEntry[] {
  return entries.map((entry) => {
    if (entry.type === "whiteout") return entry;
    const { bytes: _, ...rest } = entry;
    return rest;
  });
}
