// ADD's archives as trees: extracted into the build's own temporary directory, seen through their entries.
import { BuildError } from "../diagnostics/build-error.ts";
import { openArchive } from "../layer/archive.ts";
import type { ArchiveTree } from "../solve/file/archive.ts";
import type { FileBytes } from "../tree/entry.ts";

/** Opens a file as an archive; undefined where it is none. */
export async function openArchiveTree(
  bytes: FileBytes,
  tempDir: string,
  signal: AbortSignal,
): Promise<ArchiveTree | undefined> {
  const source = bytes.kind === "host" ? bytes.path : once(bytes.data);
  const archive = await openArchive(source, { tempDir, signal });
  if (!archive) return undefined;
  return {
    walk: () => Promise.resolve(archive.entries),
    locate: (entry) => {
      if (entry.bytes) return Promise.resolve(entry.bytes);
      throw new BuildError("content", `"${entry.path}" of an archive has no bytes`);
    },
  };
}

async function* once(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}
