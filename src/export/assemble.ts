// An image's config and manifest from the plan and its layers. Pure: the same input gives the same bytes. (image-spec config.md, manifest.md; reference N01–N11, HI01–HI15.)
import { isoOfMs, msOfIso } from "../base/clock.ts";
import type { ImagePlan } from "../graph/image-plan.ts";
import { digestOf, type Digest } from "../oci/digest.ts";
import type { Descriptor, HistoryEntry, ImageConfig, Manifest } from "../oci/image.ts";
import { DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST, type ImageFormat } from "../oci/media-type.ts";

/** One layer, ready to be named by a manifest. */
export interface AssembledLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** RFC 3339; the time in the history. */
  readonly createdAt: string;
  /** The vertex that made it; undefined = a layer of the base image. */
  readonly vertex?: Digest;
}

export interface AssembleOptions {
  readonly format: ImageFormat;
  /** RFC 3339, for an image in which nothing else has a time. */
  readonly createdAt: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** More members of the config, by name. */
  readonly members?: Readonly<Record<string, string>>;
}

export interface AssembledImage {
  readonly config: Uint8Array;
  readonly configDescriptor: Descriptor;
  readonly manifest: Uint8Array;
  readonly manifestDescriptor: Descriptor;
  readonly layers: readonly AssembledLayer[];
}

/** Config and manifest of `plan` with these layers, bottom first. */
export function assembleImage(
  plan: ImagePlan,
  layers: readonly AssembledLayer[],
  options: AssembleOptions,
): AssembledImage {
  const config = encodeGoJson({ ...imageConfig(plan, layers, options.createdAt), ...options.members });
  const isOci = options.format === "oci";
  const configDescriptor: Descriptor = {
    mediaType: isOci ? OCI_CONFIG : DOCKER_CONFIG,
    digest: digestOf(config),
    size: config.length,
  };
  const manifestValue: Manifest = {
    schemaVersion: 2,
    mediaType: isOci ? OCI_MANIFEST : DOCKER_MANIFEST,
    config: configDescriptor,
    layers: layers.map((layer) => layer.descriptor),
    ...(Object.keys(options.annotations).length > 0 ? { annotations: sortedRecord(options.annotations) } : {}),
  };
  const manifest = encodeGoJson(manifestValue, 2);
  const manifestDescriptor: Descriptor = {
    mediaType: manifestValue.mediaType,
    digest: digestOf(manifest),
    size: manifest.length,
  };
  return { config, configDescriptor, manifest, manifestDescriptor, layers };
}

function imageConfig(plan: ImagePlan, layers: readonly AssembledLayer[], createdAt: string): ImageConfig {
  const own = ownHistory(plan, layers, createdAt);
  const history = [...plan.baseHistory, ...own];
  const created = epochIso(plan.epoch) ?? latest(history) ?? createdAt;
  const { os, architecture, variant, osVersion } = plan.platform;
  const base = plan.base?.config;
  const features = base?.["os.features"];
  const author = plan.author ?? base?.author;
  return {
    architecture,
    config: plan.config,
    created,
    ...(author === undefined ? {} : { author }),
    history,
    os,
    ...(osVersion === undefined ? {} : { "os.version": osVersion }),
    ...(features === undefined ? {} : { "os.features": features }),
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    ...(variant === undefined ? {} : { variant }),
  };
}

/** Entries that this build adds. One without a layer takes the time of the layer before it, else of the one after it. */
function ownHistory(plan: ImagePlan, layers: readonly AssembledLayer[], createdAt: string): HistoryEntry[] {
  const timeOf = new Map(layers.map((layer) => [layer.vertex, layer.createdAt]));
  const firstVertex = plan.history.find((entry) => entry.vertex !== undefined)?.vertex;
  let time = timeOf.get(firstVertex) ?? createdAt;
  return plan.history.map((entry) => {
    if (entry.vertex !== undefined) time = timeOf.get(entry.vertex) ?? time;
    return {
      created: clampToEpoch(time, plan.epoch),
      created_by: entry.createdBy,
      comment: entry.comment,
      ...(entry.vertex === undefined ? { empty_layer: true } : {}),
    };
  });
}

function clampToEpoch(time: string, epoch: number | undefined): string {
  const ms = msOfIso(time);
  return epoch !== undefined && ms !== undefined && ms > epoch * 1000 ? isoOfMs(epoch * 1000) : time;
}

function epochIso(epoch: number | undefined): string | undefined {
  return epoch === undefined ? undefined : isoOfMs(epoch * 1000);
}

function latest(history: readonly HistoryEntry[]): string | undefined {
  let best: string | undefined;
  for (const { created } of history) {
    if (created === undefined || msOfIso(created) === undefined) continue;
    if (best === undefined || msOfIso(created)! > msOfIso(best)!) best = created;
  }
  return best;
}

function sortedRecord(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** JSON as Go's encoder writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped. Digests of images depend on it. */
export function encodeGoJson(value: unknown, indent = 0): Uint8Array {
  const text = JSON.stringify(value, undefined, indent).replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return Buffer.from(text);
}
