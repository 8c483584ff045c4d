// A cache inside an image: `moby.buildkit.cache.v0` of its config holds records whose layers are the image's own (reference G02).
// The member has BuildKit's form, which it reads and finds nothing in, and beside it what ours needs.
import { parseDigest, type Digest } from "../oci/digest.ts";
import type { Descriptor, ImageConfig } from "../oci/image.ts";
import { layerCompression } from "../oci/media-type.ts";
import { parseBuildKitInline, type BuildKitCache, type BuildKitLayer } from "./buildkit/config.ts";
import type { CacheDocument, CachedStep } from "./document.ts";

/** The member of the image's config. */
export const INLINE_MEMBER = "moby.buildkit.cache.v0";

/** A step whose layer is layer number `layer` of the image, counted from 0. */
export interface InlineStep {
  readonly keys: readonly Digest[];
  readonly op: Digest;
  readonly layer: number;
  readonly contentId: Digest;
  /** RFC 3339. */
  readonly createdAt: string;
}

/** Base64 of the records; the same steps give the same text. */
export function encodeInline(steps: readonly InlineStep[], layerCount: number): string {
  const layers = Array.from({ length: layerCount }, (_, index) => ({ parent: index - 1 }));
  const records = steps.map(({ keys, layer, createdAt }) => ({ digest: keys[0], layers: [{ layer, createdAt }] }));
  return Buffer.from(JSON.stringify({ layers, records, tsbuild: { version: 1, steps } })).toString("base64");
}

/** The records in an image's config; undefined where it has none of ours. */
export function decodeInline(layers: readonly Descriptor[], config: ImageConfig): CacheDocument | undefined {
  const text = (config as { readonly [INLINE_MEMBER]?: unknown })[INLINE_MEMBER];
  if (typeof text !== "string") return undefined;
  try {
    const { tsbuild } = JSON.parse(Buffer.from(text, "base64").toString("utf8")) as {
      readonly tsbuild?: { readonly version: number; readonly steps: readonly InlineStep[] };
    };
    if (tsbuild?.version !== 1) return undefined;
    const steps = tsbuild.steps.map((step) => cachedStep(step, layers, config));
    return { entries: [{ steps, mounts: [], createdMs: 0, lastUsedMs: 0 }] };
  } catch {
    return undefined;
  }
}

/** The records that BuildKit has left in an image's config; undefined where they are damaged. */
export function decodeBuildKitInline(layers: readonly Descriptor[], config: ImageConfig): BuildKitCache | undefined {
  const text = (config as { readonly [INLINE_MEMBER]?: unknown })[INLINE_MEMBER];
  const known = layers.map(({ mediaType, digest, size }, index) => ({
    blob: { mediaType, digest, size },
    diffId: parseDigest(config.rootfs?.diff_ids?.[index] ?? ""),
  }));
  const isWhole = known.every(
    ({ blob, diffId }) =>
      diffId !== undefined && layerCompression(blob.mediaType) !== undefined && parseDigest(blob.digest) !== undefined,
  );
  if (typeof text !== "string" || !isWhole) return undefined;
  return parseBuildKitInline(Buffer.from(text, "base64"), known as readonly BuildKitLayer[]);
}

function cachedStep(step: InlineStep, layers: readonly Descriptor[], { rootfs }: ImageConfig): CachedStep {
  const { mediaType, digest, size } = layers[step.layer] ?? {};
  const diffId = parseDigest(rootfs.diff_ids[step.layer] ?? "");
  const [contentId, op] = [parseDigest(step.contentId), parseDigest(step.op)];
  const keys = step.keys.map((key) => parseDigest(key));
  const isWhole =
    mediaType !== undefined &&
    layerCompression(mediaType) !== undefined &&
    digest !== undefined &&
    size !== undefined &&
    keys.every((key) => key !== undefined) &&
    !Number.isNaN(Date.parse(step.createdAt));
  if (!isWhole || !diffId || !contentId || !op) throw new Error("damaged");
  const layer = { blob: { mediaType, digest, size }, diffId, contentId, createdAt: step.createdAt };
  return { keys, op, layer, durationMs: 0 };
}
