// What a cache says, written and read; what is kept of it (pain 33).
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeCache, encodeCache } from "../../../src/cache/cache-manifest.ts";
import {
  blobsOf,
  encodeDocument,
  isCheaperToMake,
  parseDocument,
  withEntry,
  type CacheEntry,
} from "../../../src/cache/document.ts";
import { digestOf } from "../../../src/oci/digest.ts";
import type { Descriptor } from "../../../src/oci/image.ts";

const TAR = "application/vnd.oci.image.layer.v1.tar+gzip";

/** An entry with one layer per name, each of `size` bytes. */
function entry(names: string, size = 100, lastUsedMs = 0): CacheEntry {
  const steps = names.split("").map((name) => ({
    keys: [digestOf(`key ${name}`)],
    op: digestOf("op"),
    layer: {
      blob: { mediaType: TAR, digest: digestOf(name), size },
      diffId: digestOf(`diff ${name}`),
      contentId: digestOf(`content ${name}`),
      createdAt: "2026-01-01T00:00:00.000Z",
    },
    durationMs: name.charCodeAt(0),
  }));
  const pack = {
    id: digestOf(names),
    blob: { mediaType: TAR, digest: digestOf(`pack ${names}`), size: 10 },
    diffId: digestOf("d"),
  };
  const mounts = [{ pool: "0".repeat(32), id: "/m", mode: 0o755, uid: 0, gid: 0, packs: [pack] }];
  return { steps, mounts, createdMs: lastUsedMs, lastUsedMs };
}

test("what is written is read; equal steps of several entries are written once", () => {
  const document = { entries: [entry("abc", 100, 2), entry("ab", 100, 1)] };
  const bytes = encodeDocument(document);
  expect(parseDocument(bytes)).toEqual(document);
  const wire = JSON.parse(Buffer.from(bytes).toString()) as { layers: unknown[]; steps: unknown[] };
  expect([wire.layers.length, wire.steps.length]).toEqual([3, 3]);
});

test("no bytes make it throw, and nothing half-read comes out", () => {
  const bytes = Buffer.from(encodeDocument({ entries: [entry("abc")] }));
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
      const damaged = Buffer.from(bytes);
      damaged[at] = value;
      const read = parseDocument(damaged);
      for (const { digest } of read ? blobsOf(read) : []) expect(digest).toMatch(/^sha(256|512):[0-9a-f]+$/);
    }),
  );
  for (const text of ["", "{}", "null", "[]", '{"version":1}', '{"version":2,"layers":[],"steps":[],"entries":[]}'])
    expect(parseDocument(Buffer.from(text))).toBeUndefined();
});

test("pain 33: one export alone, or as many as keep and max-size allow", () => {
  const before = { entries: [entry("ab"), entry("ac"), entry("ad")] };
  const names = (kept: { entries: readonly CacheEntry[] }) => kept.entries.map(({ steps }) => steps.length);
  expect(names(withEntry(before, entry("ax"), {}))).toEqual([2]);
  expect(names(withEntry(before, entry("ax"), { keep: 3 }))).toEqual([2, 2, 2]);
  expect(names(withEntry(before, entry("ac"), { keep: 9 }))).toEqual([2, 2, 2]);
  // Its own 210 bytes, then 110 more for each: the shared layer counts once.
  expect(names(withEntry(before, entry("ax"), { maxSize: 430 }))).toEqual([2, 2, 2]);
  expect(names(withEntry(before, entry("ax"), { maxSize: 429 }))).toEqual([2, 2]);
  // Too large by itself: what saves the most time stays.
  const [small] = withEntry(before, entry("abz"), { maxSize: 205 }).entries;
  expect(small!.steps.map(({ durationMs }) => durationMs)).toEqual([98, 122]);
  expect(small!.mounts).toEqual([]);
});

test("a layer stays at home where making it takes less time than moving it", () => {
  expect(isCheaperToMake({ durationMs: 100, size: 50_000_000 })).toBe(true);
  expect(isCheaperToMake({ durationMs: 10_000, size: 50_000_000 })).toBe(false);
  expect(isCheaperToMake({ durationMs: 1, size: 1_000_000 })).toBe(false);
  expect(isCheaperToMake({ durationMs: 0, size: 50_000_000 })).toBe(false);
});

test("G03, G20: a manifest or an index of blobs, with either family of media types", async () => {
  const document = { entries: [entry("ab")] };
  for (const form of [
    { imageManifest: true, ociMediaTypes: true },
    { imageManifest: false, ociMediaTypes: true },
    { imageManifest: false, ociMediaTypes: false },
  ]) {
    const encoded = encodeCache(document, form, "tag");
    const blob = (wanted: Descriptor) => {
      expect(wanted.digest).toBe(encoded.configDescriptor.digest);
      return Promise.resolve(encoded.config);
    };
    expect(await decodeCache(encoded.manifest, { blob, manifest: blob })).toEqual({ document });
  }
});

test("G20: BuildKit's own list of records is found in a manifest and in an index; damage is told", async () => {
  const annotations = { "containerd.io/uncompressed": digestOf("diff") };
  const layers = [{ mediaType: TAR, digest: digestOf("x"), size: 1, annotations }];
  const read = async (wire: unknown, isIndex: boolean) => {
    const config = Buffer.from(JSON.stringify(wire));
    const mediaType = "application/vnd.buildkit.cacheconfig.v0";
    const descriptor = { mediaType, digest: digestOf(config), size: config.length };
    const manifest = isIndex ? { manifests: [...layers, descriptor] } : { config: descriptor, layers };
    const blob = () => Promise.resolve(config);
    return decodeCache(Buffer.from(JSON.stringify({ schemaVersion: 2, ...manifest })), { blob, manifest: blob });
  };
  const wire = { layers: [{ blob: digestOf("x"), parent: -1 }], records: [{ digest: digestOf("step") }] };
  for (const isIndex of [false, true]) {
    const { document, buildkit } = await read(wire, isIndex);
    expect(document.entries).toEqual([]);
    expect(buildkit?.records).toEqual([{ digest: digestOf("step"), inputs: [], results: [] }]);
    expect(buildkit?.layers[0]?.layer.diffId).toBe(digestOf("diff"));
    const told = "it is a cache of BuildKit whose list of records is damaged";
    await expect(read({ ...wire, records: [{}] }, isIndex)).rejects.toThrow(told);
  }
});
