// What a cache that BuildKit has exported says (reference G20–G22): records, each a step by its key and the records that it was made from, and the layers that they led to.
// It came from outside: anything that is not of this form is refused whole.
import { parseDigest, type Digest } from "../../oci/digest.ts";
import type { Descriptor } from "../../oci/image.ts";
import { layerCompression } from "../../oci/media-type.ts";

export interface BuildKitLayer {
  readonly blob: Descriptor;
  readonly diffId: Digest;
}

/** What a step led to. */
export interface BuildKitResult {
  /** Layers by number, bottom first; of one alone those below it are its parents. */
  readonly layers: readonly number[];
  /** RFC 3339. */
  readonly createdAt: string;
}

export interface BuildKitLink {
  /** Digest of the paths that are seen of the input; "" = not limited. */
  readonly selector: string;
  /** The record, by number. */
  readonly record: number;
}

export interface BuildKitRecord {
  /** The step's key without its inputs. */
  readonly digest: Digest;
  /** Input → the records that it may be. */
  readonly inputs: readonly (readonly BuildKitLink[])[];
  /** Newest first; none where the export left the layers out. */
  readonly results: readonly BuildKitResult[];
}

export interface BuildKitCache {
  /** `parent`: the layer below, by number; -1 = none. Without loops. */
  readonly layers: readonly { readonly layer: BuildKitLayer; readonly parent: number }[];
  readonly records: readonly BuildKitRecord[];
}

/** More than any export has; what is bigger was not made by BuildKit. */
const MAX_ROWS = 100_000;

/** Reads the config of a cache; `blobs` are the layers of its manifest. Undefined where it is not of this form. */
export function parseBuildKitConfig(bytes: Uint8Array, blobs: readonly Descriptor[]): BuildKitCache | undefined {
  return parsed(bytes, (value) => {
    const { layers, records } = object(value);
    return readCache(readLayers(rows(layers ?? []), blobs), rows(records ?? []));
  });
}

/** Reads the records in an image's config, whose layers are the image's own: `layers`, bottom first. */
export function parseBuildKitInline(bytes: Uint8Array, layers: readonly BuildKitLayer[]): BuildKitCache | undefined {
  return parsed(bytes, (value) =>
    readCache(
      layers.map((layer, index) => ({ layer, parent: index - 1 })),
      rows(value),
    ),
  );
}

/** All layers of a result, bottom first; the last one is the step's own. */
export function layersOf({ layers }: BuildKitCache, result: BuildKitResult): readonly BuildKitLayer[] {
  if (result.layers.length !== 1) return result.layers.map((at) => layers[at]!.layer);
  const chain: BuildKitLayer[] = [];
  for (let at = result.layers[0]!; at !== -1; at = layers[at]!.parent) chain.push(layers[at]!.layer);
  return chain.reverse();
}

function parsed(bytes: Uint8Array, read: (value: unknown) => BuildKitCache): BuildKitCache | undefined {
  try {
    return read(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch {
    return undefined;
  }
}

function readLayers(wire: readonly unknown[], blobs: readonly Descriptor[]): BuildKitCache["layers"] {
  const known = new Map(blobs.map((blob) => [blob.digest, blob]));
  return wire.map((row) => {
    const { blob, parent = 0, annotations } = object(row);
    const descriptor = known.get(digest(blob));
    if (!descriptor) throw new Error("no such blob");
    const diffId = descriptor.annotations?.["containerd.io/uncompressed"] ?? object(annotations ?? {})["diffID"];
    const layer = { blob: readBlob(descriptor), diffId: digest(diffId) };
    return { layer, parent: parent === -1 ? -1 : rowNumber(parent, wire.length) };
  });
}

function readCache(layers: BuildKitCache["layers"], wire: readonly unknown[]): BuildKitCache {
  checkLoops(layers);
  const at = (value: unknown) => rowNumber(value, layers.length);
  const records = wire.map((row): BuildKitRecord => {
    const { digest: key, inputs, layers: tops, chains } = object(row);
    const results = [
      ...rows(tops ?? []).map((result) => readResult(object(result), ({ layer = 0 }) => [at(layer)])),
      ...rows(chains ?? []).map((result) => readResult(object(result), (chain) => rows(chain["layers"]).map(at))),
    ];
    return {
      digest: digest(key),
      inputs: rows(inputs ?? []).map((links) => rows(links ?? []).map((link) => readLink(object(link), wire.length))),
      results: results
        .filter((result) => result.layers.length > 0)
        .sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt)),
    };
  });
  return { layers, records };
}

/** A layer that lies on itself would never end. */
function checkLoops(layers: BuildKitCache["layers"]): void {
  const isSound = new Uint8Array(layers.length);
  for (let start = 0; start < layers.length; start++) {
    const way: number[] = [];
    const seen = new Set<number>();
    for (let at = start; at !== -1 && isSound[at] === 0; at = layers[at]!.parent) {
      if (seen.has(at)) throw new Error("a loop");
      seen.add(at);
      way.push(at);
    }
    for (const at of way) isSound[at] = 1;
  }
}

function readResult(
  wire: Record<string, unknown>,
  layersIn: (wire: Record<string, unknown>) => readonly number[],
): BuildKitResult {
  const { createdAt } = wire;
  if (typeof createdAt !== "string" || Number.isNaN(Date.parse(createdAt))) throw new Error("no time");
  return { layers: layersIn(wire), createdAt };
}

function readLink({ selector = "", link = 0 }: Record<string, unknown>, count: number): BuildKitLink {
  if (typeof selector !== "string") throw new Error("no selector");
  return { selector, record: rowNumber(link, count) };
}

function readBlob({ mediaType, digest: name, size }: Descriptor): Descriptor {
  if (layerCompression(mediaType) === undefined) throw new Error("no layer");
  if (!Number.isSafeInteger(size) || size < 0) throw new Error("no size");
  return { mediaType, digest: digest(name), size };
}

function object(value: unknown): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("no object");
  return value as Record<string, unknown>;
}

function rows(value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length > MAX_ROWS) throw new Error("no list");
  return value;
}

function rowNumber(value: unknown, count: number): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value < count) return value;
  throw new Error("no such row");
}

function digest(value: unknown): Digest {
  const parsed = typeof value === "string" ? parseDigest(value) : undefined;
  if (parsed === undefined) throw new Error("no digest");
  return parsed;
}
