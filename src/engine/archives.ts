// Archives as trees: ADD's, and contexts that come as one. Extracted into the build's own temporary directory, seen through their entries.
import { BuildError } from "../diagnostics/build-error.ts";
import { openArchive } from "../layer/archive.ts";
import type { ArchiveTree } from "../solve/file/archive.ts";
import type { FileBytes } from "../tree/entry.ts";
import type { Tree } from "../tree/tree.ts";
import { listedTree } from "./listed-tree.ts";

/** Opens a file as an archive; undefined where it is none. What the archive only implies is made by who lays it over a directory, where nothing is there yet. */
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

export interface ArchiveContextOptions {
  /** An empty directory that goes with the build. */
  readonly tempDir: string;
  /** What it is called in messages. */
  readonly name: string;
  readonly signal: AbortSignal;
}

/** A context that came as an archive. */
export interface ArchiveContext {
  readonly tree: Tree;
  /** Seconds since the epoch of the newest regular file; undefined where there is none (A31). */
  readonly newest: number | undefined;
}

/** Opens a file or a stream that looks like an archive as a context (X02, X04). Fails with "source" where it is none after all, with "content" where it is damaged. */
export async function openArchiveContext(
  source: string | AsyncIterable<Uint8Array>,
  { tempDir, name, signal }: ArchiveContextOptions,
): Promise<ArchiveContext> {
  const archive = await openArchive(source, { tempDir, signal });
  if (!archive) {
    throw new BuildError("source", `${name} is no archive that can be read`, {
      help: "give a tar archive, plain or compressed by gzip, bzip2, xz or zstd",
    });
  }
  // What an archive says of its root counts for nothing, as for ADD.
  const entries = archive.entries.filter(({ path }) => path !== "");
  let newestNs: bigint | undefined;
  for (const { type, mtimeNs } of entries)
    if (type === "file" && (newestNs === undefined || mtimeNs > newestNs)) newestNs = mtimeNs;
  const newest = newestNs === undefined ? undefined : Number(newestNs / 1_000_000_000n);
  return { tree: listedTree(entries), newest };
}
