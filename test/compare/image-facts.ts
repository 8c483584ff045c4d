// What an image says of itself, from an OCI layout: config, history and the entries of each layer, without times and digests of blobs.
// The same shape is what `--record` keeps in fixtures/images/<case>/expected.json.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { readTar, type TarEntry } from "./read-tar.ts";

/** Every file of a prepared context has this time, seconds since 1970: where a file of a layer has it, the builder kept it. */
export const CONTEXT_TIME: number = 1_577_934_245;

/** Path → one line on what is there, in the order of the layer. */
export type LayerFacts = Readonly<Record<string, string>>;

export interface ImageFacts {
  readonly config: Readonly<Record<string, unknown>>;
  readonly history: readonly Readonly<Record<string, unknown>>[];
  /** A layer of a known base image is its name. */
  readonly layers: readonly (string | LayerFacts)[];
}

/** The layers that are not just a name. */
export function newLayers(facts: ImageFacts): LayerFacts[] {
  return facts.layers.filter((layer) => typeof layer !== "string");
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

interface Config extends Readonly<Record<string, unknown>> {
  readonly history?: readonly Readonly<Record<string, unknown>>[];
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] | null };
}

interface OpenImage {
  readonly config: Config;
  readonly layers: readonly Descriptor[];
  blob(descriptor: Descriptor): Buffer;
}

/** diffIDs of an image's layers. */
export function diffIdsOf(layout: string): readonly string[] {
  return openImage(layout).config.rootfs.diff_ids ?? [];
}

/** Digest of the one manifest in an OCI layout. */
export function manifestDigestOf(layout: string): string {
  return manifestOf(layout).digest;
}

/** Facts of the one image in an OCI layout. `bases`: diffID → name of the base image it is from. Throws where blob, digest, size or diffID disagree. */
export function imageFacts(layout: string, bases: ReadonlyMap<string, string>): ImageFacts {
  const image = openImage(layout);
  const { history = [], rootfs, created: _, ...config } = image.config;
  const diffIds = rootfs.diff_ids ?? [];
  if (rootfs.type !== "layers" || diffIds.length !== image.layers.length)
    throw new Error(`${image.layers.length} layers, but ${diffIds.length} diff_ids`);
  const layers = image.layers.map((descriptor, at) => {
    const diffId = diffIds[at]!;
    const tar = uncompressed(descriptor, image.blob(descriptor));
    if (digest(tar) !== diffId) throw new Error(`layer ${at} is ${digest(tar)}, its diff_id says ${diffId}`);
    return bases.get(diffId) ?? layerFacts(readTar(tar));
  });
  return { config, history: history.map(withoutTime), layers };
}

function withoutTime(entry: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { created: _created, ...rest } = entry;
  return rest;
}

function openImage(layout: string): OpenImage {
  const blob = (descriptor: Descriptor): Buffer => {
    const bytes = readFileSync(join(layout, "blobs", descriptor.digest.replace(":", "/")));
    if (bytes.length !== descriptor.size || digest(bytes) !== descriptor.digest)
      throw new Error(`the blob ${descriptor.digest} has other bytes or another size`);
    return bytes;
  };
  const manifest = json<{ config: Descriptor; layers: readonly Descriptor[] | null }>(blob(manifestOf(layout)));
  return { config: json<Config>(blob(manifest.config)), layers: manifest.layers ?? [], blob };
}

function manifestOf(layout: string): Descriptor {
  const { manifests } = json<{ manifests: readonly Descriptor[] }>(readFileSync(join(layout, "index.json")));
  if (manifests.length !== 1) throw new Error(`${manifests.length} manifests in ${layout}/index.json, expected one`);
  return manifests[0]!;
}

function json<T>(bytes: Buffer): T {
  return JSON.parse(bytes.toString()) as T;
}

function digest(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function uncompressed({ mediaType }: Descriptor, bytes: Buffer): Buffer {
  if (mediaType.endsWith("gzip")) return gunzipSync(bytes);
  return mediaType.endsWith("zstd") ? zstdDecompressSync(bytes) : bytes;
}

function layerFacts(entries: readonly TarEntry[]): LayerFacts {
  const facts: Record<string, string> = {};
  for (const entry of entries) {
    if (entry.path in facts) throw new Error(`${entry.path} is twice in one layer`);
    facts[entry.path] = describe(entry);
  }
  return facts;
}

function describe(entry: TarEntry): string {
  const words = [entry.type, entry.mode.toString(8).padStart(4, "0"), `${entry.uid}:${entry.gid}`];
  if (entry.type === "file") words.push(contentWord(entry.content));
  if (entry.target !== "") words.push(`-> ${entry.target}`);
  if (entry.device !== "") words.push(entry.device);
  for (const [name, value] of [...entry.xattrs].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    words.push(`${name}=${value.toString("hex")}`);
  // Directories change as files are put into them: there BuildKit has its clock, and tsbuild the time below or a fixed one.
  if (entry.mtime === CONTEXT_TIME && entry.type !== "directory") words.push("time of the context");
  return words.join(" ");
}

/** Short text as it is, so that a difference can be read. */
function contentWord(content: Buffer): string {
  const text = content.toString();
  return content.length <= 400 && Buffer.from(text).equals(content) && !text.includes("\0")
    ? JSON.stringify(text)
    : `${content.length} bytes ${digest(content)}`;
}
