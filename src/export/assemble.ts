// An image's config and manifest from the plan and its layers. Pure: the same input gives the same bytes. (image-spec config.md, manifest.md; reference N01–N11, HI01–HI15.)
import { isoOfMs, msOfIso } from "../base/clock.ts";
import { encodeGoJson } from "../base/go-json.ts";
import type { ImagePlan } from "../graph/image-plan.ts";
import { digestOf, type Digest } from "../oci/digest.ts";
import type { Descriptor, DescriptorPlatform, HistoryEntry, ImageConfig, Manifest } from "../oci/image.ts";
import { DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST, type ImageFormat } from "../oci/media-type.ts";

/** One layer, ready to be named by a manifest. */
export interface AssembledLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** RFC 3339; the time in the history. */
  readonly createdAt: string;
  /** The vertex that made it; undefined = a layer of the base image. */
  readonly vertex?: Digest;
  /** What the history says of it where nothing else does. */
  readonly description: string;
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
    platform: descriptorPlatform(plan),
  };
  return { config, configDescriptor, manifest, manifestDescriptor, layers };
}

/** What an index says of the image (N02). */
function descriptorPlatform({ platform: { os, architecture, variant, osVersion } }: ImagePlan): DescriptorPlatform {
  return {
    architecture,
    os,
    ...(osVersion === undefined ? {} : { "os.version": osVersion }),
    ...(variant === undefined ? {} : { variant }),
  };
}

function imageConfig(plan: ImagePlan, layers: readonly AssembledLayer[], createdAt: string): ImageConfig {
  const own = ownHistory(plan, layers, createdAt);
  const history = fittedHistory([...plan.baseHistory, ...own], layers);
  const created = (plan.epoch === undefined ? undefined : timeOfEpoch(plan.epoch)) ?? latest(history) ?? createdAt;
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

/** Entries that this build adds: all from the epoch, else one without a layer takes the time of the layer before it, or of the one after it. */
function ownHistory(plan: ImagePlan, layers: readonly AssembledLayer[], createdAt: string): HistoryEntry[] {
  const timeOf = new Map(layers.map((layer) => [layer.vertex, layer.createdAt]));
  const firstVertex = plan.history.find((entry) => entry.vertex !== undefined)?.vertex;
  let time = timeOf.get(firstVertex) ?? createdAt;
  return plan.history.map((entry) => {
    if (entry.vertex !== undefined) time = timeOf.get(entry.vertex) ?? time;
    return {
      created: plan.epoch === undefined ? time : timeOfEpoch(plan.epoch),
      created_by: entry.createdBy,
      comment: entry.comment,
      ...(entry.vertex === undefined ? { empty_layer: true } : {}),
    };
  });
}

/** A history with as many layers as there are: bases may say nothing of theirs, or too much (HI15). */
function fittedHistory(history: readonly HistoryEntry[], layers: readonly AssembledLayer[]): HistoryEntry[] {
  let count = 0;
  const fitted = history.map((entry): HistoryEntry => {
    if (entry.empty_layer === true || count++ < layers.length) return entry;
    return { ...entry, empty_layer: true };
  });
  const missing = layers.slice(Math.min(count, layers.length)).map(({ createdAt, description }) => {
    return { created: createdAt, created_by: description, comment: "buildkit.exporter.image.v0" };
  });
  return [...fitted, ...missing];
}

/** Whole seconds have no fraction, as Go writes them. */
function timeOfEpoch(epoch: number): string {
  return isoOfMs(epoch * 1000).replace(".000Z", "Z");
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
