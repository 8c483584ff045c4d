// Reads what the worth of things is made of: recorded durations, where layers can be fetched, and which layers whole builds are made of. Decides nothing.
import { nowMs } from "../base/clock.ts";
import { parseDigest, type Digest } from "../oci/digest.ts";
import type { Database } from "./database.ts";
import type { RecordTable } from "./records.ts";
import { unseal } from "./sealed.ts";
import type { UsageItem, UsageKind } from "./usage.ts";
import { worthOf, type Recovery } from "./worth.ts";

export interface AppraisalContext {
  readonly database: Database;
  readonly records: RecordTable;
}

/** What can be removed in one go: a thing, or only the directory of a layer whose blob can be unpacked again. */
export interface Candidate {
  readonly item: UsageItem;
  readonly part: "whole" | "directory";
  readonly worth: number;
}

interface LayerFacts {
  readonly durationMs: number;
  readonly lastUsedMs: number;
  readonly uses: number;
}

/** Bytes per second at which things other than layers can be had again. A context's index stands for files to hash, a mount for downloads and compiling. */
const RATES: Readonly<Partial<Record<UsageKind, number>>> = {
  blob: 20e6,
  source: 10e6,
  mount: 5e6,
  log: 1e6,
  context: 0.2e6,
  // Cannot be had again, and is small.
  record: 0.05e6,
  other: 0.2e6,
};

/** The items as candidates, the least valuable first. `isPartial`: directories that can be unpacked again are candidates of their own. */
export function appraise(
  context: AppraisalContext,
  items: readonly UsageItem[],
  options: { readonly isPartial: boolean; readonly hasBlob: (digest: Digest) => boolean },
): readonly Candidate[] {
  const now = nowMs();
  const layers = layerFacts(context.database);
  inheritUse(context.records, layers);
  const fetchable = idsOf(context.database, "SELECT id FROM layers WHERE origin IS NOT NULL");
  const packed = options.isPartial ? packedLayers(context.database, options.hasBlob) : new Set<string>();
  const candidates = items.flatMap((item): Candidate[] => {
    const facts = item.kind === "layer" ? layers.get(item.id) : undefined;
    const idleMs = now - Math.max(item.lastUsedMs, facts?.lastUsedMs ?? 0);
    const uses = Math.max(item.uses, facts?.uses ?? 0);
    const worth = (recovery: Recovery): number => worthOf({ bytes: item.size, idleMs, uses, recovery });
    const whole: Candidate = { item, part: "whole", worth: worth(recoveryOf(item, facts, fetchable)) };
    if (!packed.has(item.id)) return [whole];
    return [{ item, part: "directory", worth: worth({ kind: "unpack" }) }, whole];
  });
  return candidates.sort((a, b) => a.worth - b.worth || a.item.lastUsedMs - b.item.lastUsedMs);
}

function recoveryOf(item: UsageItem, facts: LayerFacts | undefined, fetchable: ReadonlySet<string>): Recovery {
  if (item.kind === "layer") {
    if (fetchable.has(item.id)) return { kind: "registry" };
    return facts ? { kind: "step", durationMs: facts.durationMs } : { kind: "none" };
  }
  const bytesPerSecond = RATES[item.kind];
  return bytesPerSecond === undefined ? { kind: "none" } : { kind: "rate", bytesPerSecond };
}

/** By layer: the dearest of the records that lead to it, and when one was last used. */
function layerFacts(database: Database): Map<string, LayerFacts> {
  const rows = database.all<{ layer_id: string; duration: number; used: number; uses: number }>(
    "SELECT layer_id, max(duration_ms) AS duration, max(last_used_ms) AS used, max(uses) AS uses FROM records GROUP BY layer_id",
  );
  return new Map(
    rows.map((row) => [row.layer_id, { durationMs: row.duration, lastUsedMs: row.used, uses: row.uses }] as const),
  );
}

/** A build that found its whole result looked at none of its layers; and without one layer the others of the build are worth less. */
function inheritUse(records: RecordTable, layers: Map<string, LayerFacts>): void {
  for (const { layerIds, lastUsedMs } of records.results())
    for (const id of layerIds) {
      const known = layers.get(id) ?? { durationMs: 0, lastUsedMs: 0, uses: 0 };
      layers.set(id, { ...known, lastUsedMs: Math.max(known.lastUsedMs, lastUsedMs) });
    }
}

function idsOf(database: Database, sql: string): ReadonlySet<string> {
  return new Set(database.all<{ id: string }>(sql).map(({ id }) => id));
}

/** Layers with a directory and a blob. */
function packedLayers(database: Database, hasBlob: (digest: Digest) => boolean): ReadonlySet<string> {
  const rows = database.all<{ id: string; digest: string }>(
    "SELECT id, digest FROM layers JOIN layer_blobs ON layer_id = id WHERE has_dir = 1",
  );
  const isThere = (sealed: string): boolean => {
    const digest = parseDigest(unseal(sealed) ?? "");
    return digest !== undefined && hasBlob(digest);
  };
  return new Set(rows.filter(({ digest }) => isThere(digest)).map(({ id }) => id));
}
