// `tsbuild cache rm`: what a person names goes, and with it everything by which a build would find it, so that the step runs again.
import { BuildError } from "../diagnostics/build-error.ts";
import { entriesNamed } from "./cache-entries.ts";
import { prune, type PruneResult } from "./gc.ts";
import type { GcContext } from "./removal.ts";
import { measureUsage, type UsageItem } from "./usage.ts";

export interface RemoveResult extends PruneResult {
  /** Named, but needed by an image or in use. */
  readonly kept: readonly UsageItem[];
}

/** Removes what `words` name: keys, instructions, ids. Fails with "usage" where a word names nothing; then nothing is removed. */
export async function removeNamed(context: GcContext, words: readonly string[]): Promise<RemoveResult> {
  const usage = await measureUsage(context);
  const named = words.flatMap((word) => {
    const found = entriesNamed(context, usage, word);
    if (found.length > 0) return found;
    throw new BuildError("usage", `nothing in the cache is called ${JSON.stringify(word)}`, {
      help: "give a key, an instruction as it is written, an id, or a cache mount's id: tsbuild cache du --verbose lists them",
    });
  });
  const ids = new Set(named.map(({ id }) => id));
  const layers = new Set(named.filter(({ kind }) => kind === "layer").map(({ id }) => id));
  context.database.transaction(() => {
    for (const id of layers) context.records.forgetLayer(id);
  });
  const result = await prune(context, { select: ({ id }) => ids.has(id) });
  const removed = new Set(result.removed.map(({ id }) => id));
  return { ...result, kept: named.filter(({ id }) => !removed.has(id)) };
}
