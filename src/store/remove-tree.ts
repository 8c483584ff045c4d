// Removes a tree of files by the bytes of its names, which in images need not be UTF-8 (fs.rm would leave those behind). Refuses to reach through mounts.
import { readdirSync, readFileSync, rmdirSync, unlinkSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError } from "../diagnostics/build-error.ts";

/** Names removed between two turns of the event loop: about 5 ms. */
const BATCH = 256;
const SLASH = Buffer.from("/");

/** Removes `path` and everything below. What is gone already is no error; a mount below is one (code "store"), and then nothing is removed. */
export async function removeTree(path: string): Promise<void> {
  const mounted = mountsUnder(path)[0];
  if (mounted !== undefined)
    throw new BuildError("store", `cannot remove ${path}: ${mounted} is still mounted`, {
      help: `run \`umount ${mounted}\``,
    });
  const progress = { count: 0 };
  await removeDirectory(Buffer.from(path), progress);
}

async function removeDirectory(path: Buffer, progress: { count: number }): Promise<void> {
  let entries;
  try {
    entries = readdirSync(path, { encoding: "buffer", withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (isErrno(error, "ENOTDIR")) return removeName(path);
    throw error;
  }
  for (const entry of entries) {
    const child = Buffer.concat([path, SLASH, entry.name]);
    if (entry.isDirectory()) await removeDirectory(child, progress);
    else removeName(child);
    if (++progress.count % BATCH === 0) await setImmediate();
  }
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

function removeName(path: Buffer): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** Mount points at or below `path` that this process sees, deepest first. */
export function mountsUnder(path: string): readonly string[] {
  const found: string[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const point = line
      .split(" ", 5)[4]
      ?.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
    if (point !== undefined && (point === path || point.startsWith(`${path}/`))) found.push(point);
  }
  return found.reverse();
}
