// The solver's cache over the store's records and layers.
import { msOfIso } from "../base/clock.ts";
import type { Digest } from "../oci/digest.ts";
import type { LayerFaces } from "../rootfs/layer-faces.ts";
import type { CacheElsewhere, CacheIndex, CacheRecord, NewRecord } from "../solve/services.ts";
import type { Store } from "../store/store.ts";
import { differingNames } from "../cache/step-parts.ts";
import type { CacheImports } from "./cache-imports.ts";
import { stepParts } from "./step-parts.ts";

export interface CacheIndexOptions {
  readonly store: Store;
  readonly faces: LayerFaces;
  readonly imports: CacheImports | undefined;
  /** SOURCE_DATE_EPOCH is set. */
  readonly hasEpoch: boolean;
}

export function cacheIndex(options: CacheIndexOptions): CacheIndex {
  const { store, faces, imports } = options;
  const { records } = store;
  return {
    ...(imports ? { elsewhere: cacheElsewhere(imports, options) } : {}),
    find(key: Digest): CacheRecord | undefined {
      const record = records.find(key);
      const layer = record && faces.fromStore(record.layerId);
      if (!record || !layer) return undefined;
      return { layer, isDurable: layer.isDurable(), createdMs: record.createdMs };
    },
    knowsOp: (op) => records.duration(op) !== undefined,
    put({ key, op, layer, parts, slot, durationMs, createdMs }: NewRecord): void {
      const age = createdMs === undefined ? {} : { createdMs };
      records.put({ key, layerId: layer.id, kind: "step", parts, slot, durationMs, ...age });
      if (durationMs > 0) records.setDuration(op, durationMs);
    },
    fateOf(key) {
      const eviction = records.evictionOf(key);
      if (eviction) return { kind: "evicted", ...eviction };
      return records.has(key) ? { kind: "lost" } : { kind: "unknown" };
    },
    durationOf: (op) => records.duration(op),
    durationOfKey: (key) => records.find(key)?.durationMs,
  };
}

/** What other machines have made, as layers of this store: their other keys lead to them from now on, too. */
function cacheElsewhere(imports: CacheImports, { store, faces, hasEpoch }: CacheIndexOptions): CacheElsewhere {
  const { records } = store;
  return {
    async find(key, createdBy) {
      const found = await imports.find(key);
      if (!found) return undefined;
      const { keys, layer: cached, durationMs } = found.step;
      const { diffId, contentId, createdAt } = cached;
      const createdMs = msOfIso(createdAt) ?? 0;
      const layer = faces.fromCache({ blob: found.blob, diffId, contentId, createdAt, createdBy });
      for (const other of keys)
        if (other !== key && records.find(other)?.layerId !== layer.id)
          records.put({ key: other, layerId: layer.id, kind: "step", parts: [], slot: "", durationMs, createdMs });
      return { layer, durationMs, createdMs };
    },
    async findByOp(step, build) {
      const found = await imports.findByOp(step, build, { hasEpoch });
      if (!found) return undefined;
      const { blob, diffId, createdAt } = found;
      const createdBy = step.meta.instruction;
      // What is in it is not known before it is fetched: as of a base image's layer, the diffID has to do.
      const layer = faces.fromCache({ blob, diffId, contentId: diffId, createdAt, createdBy });
      return { layer, durationMs: 0, createdMs: msOfIso(createdAt) ?? 0 };
    },
    knowsOp: (op) => imports.knowsOp(op),
    async changedParts(vertex, parts) {
      const now = stepParts({ vertex, parts });
      const before = await imports.stepLike(now);
      return before && differingNames(before.parts, now.parts);
    },
  };
}
