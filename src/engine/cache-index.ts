// The solver's cache over the store's records and layers.
import type { Digest } from "../oci/digest.ts";
import type { LayerFaces } from "../rootfs/layer-faces.ts";
import type { CacheIndex, CacheRecord, NewRecord } from "../solve/services.ts";
import type { Store } from "../store/store.ts";

export function cacheIndex(store: Store, faces: LayerFaces): CacheIndex {
  const { records } = store;
  return {
    find(key: Digest): CacheRecord | undefined {
      const record = records.find(key);
      const layer = record && faces.fromStore(record.layerId);
      if (!record || !layer) return undefined;
      return {
        layer,
        isDurable: layer.isDurable(),
        get parts() {
          return record.parts;
        },
      };
    },
    knowsOp: (op) => records.duration(op) !== undefined,
    put({ key, op, layer, parts, slot, durationMs }: NewRecord): void {
      records.put({ key, layerId: layer.id, kind: "step", parts, slot, durationMs });
      if (durationMs > 0) records.setDuration(op, durationMs);
    },
    lastOfSlot(slot) {
      const record = records.lastOfSlot(slot);
      return record && { parts: record.parts, layer: faces.fromStore(record.layerId) };
    },
    durationOf: (op) => records.duration(op),
  };
}
