// What the registry tests push and pull: images of random layers, a client on a clock that moves only when something sleeps.
import { randomBytes } from "node:crypto";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
import type { Descriptor, Index, Manifest } from "../../../src/oci/image.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST } from "../../../src/oci/media-type.ts";
import { parseReference, type Reference } from "../../../src/oci/reference.ts";
import { RegistryClient, type RegistryClientOptions } from "../../../src/registry/client.ts";
import type { RetryClock } from "../../../src/registry/retry.ts";

/** A clock whose sleeps take no time and are recorded. */
export interface FakeClock extends RetryClock {
  readonly slept: number[];
  advance(ms: number): void;
}

export function fakeClock(startMs: number = Date.UTC(2026, 0, 1)): FakeClock {
  let now = startMs;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    advance: (ms) => {
      now += ms;
    },
    random: () => 0,
    sleep(ms, signal) {
      signal?.throwIfAborted();
      slept.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
}

/** A client and what it asked for, as `METHOD path status`. */
export interface Observed extends Disposable {
  readonly client: RegistryClient;
  readonly requests: string[];
}

export function observe(options: RegistryClientOptions = {}): Observed {
  const requests: string[] = [];
  const client = new RegistryClient({
    clock: fakeClock(),
    ...options,
    onRequest: (method, url, status) => requests.push(`${method} ${new URL(url).pathname} ${status}`),
  });
  return { client, requests, [Symbol.dispose]: () => client[Symbol.dispose]() };
}

export interface Blob {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

export function randomBlob(size: number, mediaType: string = OCI_LAYER): Blob {
  return blobOf(randomBytes(size), mediaType);
}

export function blobOf(bytes: Buffer, mediaType: string = OCI_LAYER): Blob {
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

/** Opens a blob as the store does: in pieces, from an offset. `count.sent` is what was asked of it. */
export function opener(
  { bytes }: Blob,
  count: { sent: number } = { sent: 0 },
): (offset: number) => AsyncIterable<Uint8Array> {
  return async function* open(offset) {
    for (let at = offset; at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      count.sent += piece.length;
      yield piece;
    }
  };
}

const PIECE = 64 * 1024;

export interface Sample {
  readonly config: Blob;
  readonly layers: readonly Blob[];
  readonly manifest: Blob;
}

export function sampleImage(layerSizes: readonly number[], extra: Partial<Manifest> = {}): Sample {
  const config = blobOf(
    Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", at: randomBytes(8).toString("hex") })),
    OCI_CONFIG,
  );
  const layers = layerSizes.map((size) => randomBlob(size));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    ...extra,
  };
  return { config, layers, manifest: blobOf(Buffer.from(JSON.stringify(manifest)), OCI_MANIFEST) };
}

export function sampleIndex(images: readonly { readonly image: Sample; readonly architecture: string }[]): Blob {
  const index: Index = {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: images.map(({ image, architecture }) => ({
      ...image.manifest.descriptor,
      platform: { os: "linux", architecture },
    })),
  };
  return blobOf(Buffer.from(JSON.stringify(index)), OCI_INDEX);
}

export async function pushSample(
  client: RegistryClient,
  reference: Reference,
  { config, layers, manifest }: Sample,
): Promise<void> {
  await Promise.all([config, ...layers].map((blob) => client.pushBlob(reference, blob.descriptor, opener(blob))));
  await client.pushManifest(reference, manifest.bytes, manifest.descriptor.mediaType);
}

export async function readAll(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function referenceTo(host: string, name: string): Reference {
  const reference = parseReference(`${host}/${name}`);
  if (!reference) throw new Error(`${host}/${name} is no reference`);
  return reference;
}

export function withDigest({ registry, repository }: Reference, digest: Digest): Reference {
  return { registry, repository, digest };
}
