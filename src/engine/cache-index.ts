// The solver's cache over the store's records and layers.
import { msOfIso } from "../base/clock.ts";
import type { Digest } from "../oci/digest.ts";
import type { LayerFaces } from "../rootfs/layer-faces.ts";
import type { CacheElsewhere, CacheIndex, CacheRecord, NewRecord } from "../solve/services.ts";
import type { Store } from "../store/store.ts";
import { differingNames } from "../cache/step-parts.ts";
import type { CacheImports } from "./cache-imports.ts";
import { stepParts } from "./step-parts.ts";

export function cacheIndex(store: Store, faces: LayerFaces, imports: CacheImports | undefined): CacheIndex {
  const { records } = store;
  return {
    ...(imports ? { elsewhere: cacheElsewhere(store, faces, imports) } : {}),
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
function cacheElsewhere({ records }: Store, faces: LayerFaces, imports: CacheImports): CacheElsewhere {
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
    knowsOp: (op) => imports.knowsOp(op),
    async changedParts(vertex, parts) {
      const now = stepParts({ vertex, parts });
      const before = await imports.stepLike(now);
      return before && differingNames(before.parts, now.parts);
    },
  };
}
