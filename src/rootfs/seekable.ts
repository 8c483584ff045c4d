// A layer's blob in eStargz form: known by facts of its own, because its tar, and so its diffID, is another than the layer's.
import type { Store } from "../store/store.ts";
import type { PackedLayer } from "./layer.ts";

export interface SeekableSource {
  readonly store: Store;
  readonly level: number | undefined;
  /** Feeds the layer's tar to `read`. */
  readonly readTar: <T>(read: (tar: AsyncIterable<Uint8Array>) => Promise<T>) => Promise<T>;
  readonly signal: AbortSignal;
}

/** Packs, and notes the result as `key`. */
export async function packSeekable(
  key: string,
  { store, level, readTar, signal }: SeekableSource,
): Promise<PackedLayer> {
  const { writeEstargz } = await import("../layer/estargz.ts");
  await using ingest = await store.content.ingest();
  const { diffId, digest, size, annotations } = await readTar((tar) =>
    writeEstargz(tar, { level, write: (bytes) => ingest.write(bytes), signal }),
  );
  await ingest.commit({ digest, size });
  const packed = { digest, size, diffId, compression: "gzip", annotations } as const;
  store.records.putBlob("estargz", key, Buffer.from(JSON.stringify(packed)));
  return packed;
}

/** What was packed as `key`, if its blob is here. */
export function knownSeekable({ records, content }: Store, key: string): PackedLayer | undefined {
  const fact = records.getBlob("estargz", key);
  if (!fact) return undefined;
  const packed = JSON.parse(Buffer.from(fact.value).toString()) as PackedLayer;
  return content.has(packed.digest, packed.size) ? packed : undefined;
}
