// Where an output's bytes go: a file that appears whole, or standard output.
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { once } from "node:events";
import { finished } from "node:stream/promises";
import { dirname } from "node:path";
import { randomName } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";

export type WriteChunk = (chunk: Uint8Array) => Promise<void>;

/** Writes `chunks` to `path` ("-" = `writeStdout`). A file is replaced only when it is complete; what was there before stays on failure. */
export async function writeOutput(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  writeStdout: WriteChunk | undefined,
): Promise<void> {
  if (path === "-") {
    if (!writeStdout)
      throw new BuildError("usage", "there is no standard output to write to", { help: "give a file with dest=PATH" });
    for await (const chunk of chunks) await writeStdout(chunk);
    return;
  }
  const temp = `${path}.${randomName(4)}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const stream = createWriteStream(temp, { flags: "wx" });
    await once(stream, "open");
    for await (const chunk of chunks) if (!stream.write(chunk)) await once(stream, "drain");
    stream.end();
    await finished(stream);
    await rename(temp, path);
  } catch (error) {
    await rm(temp, { force: true });
    if (error instanceof BuildError) throw error;
    throw new BuildError("export", `cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}
