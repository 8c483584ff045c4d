// What earlier builds were like, out of the store: their records, and the lists of files that steps saw.
import { digestHex, digestOf } from "../oci/digest.ts";
import type { PastBuilds, PastStep } from "../solve/services.ts";
import { decodeEntries, encodeEntries } from "../store/entry-list.ts";
import type { Store } from "../store/store.ts";
import { parseRecordName, type BuildRecord, type StepRecord } from "./build-record.ts";
import { arrayOf } from "../tree/sequence.ts";

/** Builds of one Dockerfile and target, the latest first. Nothing is read before it is asked for. */
export function pastBuilds(store: Store, scope: string): PastBuilds {
  return {
    *steps() {
      for (const record of readRecords(store, (name) => name.scope === scope))
        yield record.steps.flatMap((step) => pastStep(step) ?? []);
    },
    contentId: (layer) => store.layers.get(layer)?.treeDigest,
    hasFiles: (value) => store.fileLists.touch(listName(value)),
    files(value) {
      const bytes = store.fileLists.read(listName(value));
      return bytes && decodeEntries(bytes);
    },
    keepFiles(value, entries) {
      try {
        store.fileLists.write(listName(value), encodeEntries(arrayOf(entries)));
      } catch {
        // The next explanation will name no file; no build fails for that.
      }
    },
    layerFiles: (layer) => store.layers.readEntries(layer),
  };
}

/** Recorded builds that `isWanted` by their names, the latest first; damaged ones are left out. */
export function* readRecords(
  store: Store,
  isWanted: (name: { readonly ref: string; readonly scope: string }) => boolean = () => true,
): Generator<BuildRecord> {
  for (const name of store.builds.names()) {
    const parsed = parseRecordName(name);
    if (!parsed || !isWanted(parsed)) continue;
    const bytes = store.builds.read(name);
    const record = bytes && parseRecord(bytes);
    if (record) yield record;
  }
}

function parseRecord(bytes: Uint8Array): BuildRecord | undefined {
  const record = JSON.parse(Buffer.from(bytes).toString()) as { readonly version: number };
  return record.version === 1 ? (record as BuildRecord) : undefined;
}

function pastStep({ name, stage, instruction, op, key, parts, outcome, layer }: StepRecord): PastStep | undefined {
  if (key === undefined || parts === undefined || outcome === "not-run" || outcome === "cancelled") return undefined;
  return {
    name,
    stage,
    instruction,
    op,
    key,
    parts,
    outcome: outcome === "kept" ? "cached" : outcome,
    ...(layer === undefined ? {} : { layer }),
  };
}

function listName(value: string): string {
  return digestHex(digestOf(value)).slice(0, 32);
}
