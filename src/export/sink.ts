// Where an output's bytes go: a file that appears whole, a pipe or device that is there, or standard output.
import { createWriteStream } from "node:fs";
import { realpath, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { randomName } from "../base/clock.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { makeDirectories } from "../base/make-directories.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { exportFailure } from "./failure.ts";

export type WriteChunk = (chunk: Uint8Array) => Promise<void>;

/**
 * Writes `chunks` to `path` ("-" = `writeStdout`). A file is replaced only when it is complete; what was there before stays on failure.
 * A symlink is followed; a pipe or a device is written to. Fails with "export".
 */
export async function writeOutput(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  writeStdout: WriteChunk | undefined,
): Promise<void> {
  if (path === "-") {
    if (!writeStdout)
      throw new BuildError("usage", "there is no standard output to write to", { help: "give a file with dest=PATH" });
    for await (const chunk of chunks) {
      await writeStdout(chunk).catch((error: unknown) => {
        throw exportFailure(error, "cannot write to standard output");
      });
    }
    return;
  }
  try {
    const target = await findTarget(path);
    if (target.isReplaceable) await writeWhole(target.path, chunks);
    else await pipeline(chunks, createWriteStream(target.path, { flags: "w" }));
  } catch (error) {
    throw exportFailure(error, `cannot write ${path}`);
  }
}

async function findTarget(path: string): Promise<{ readonly path: string; readonly isReplaceable: boolean }> {
  try {
    const there = await stat(path);
    if (there.isDirectory())
      throw new BuildError("export", `cannot write ${path}: it is a directory`, { help: "give the path of a file" });
    return { path: there.isFile() ? await realpath(path) : path, isReplaceable: there.isFile() };
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    return { path, isReplaceable: true };
  }
}

async function writeWhole(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const temp = `${path}.${randomName(4)}.tmp`;
  try {
    makeDirectories(dirname(path));
    await pipeline(chunks, createWriteStream(temp, { flags: "wx" }));
    await rename(temp, path);
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}
