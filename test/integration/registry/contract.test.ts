// What must hold against any registry: once with the one in this process, once with Debian's docker-registry.
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../src/oci/digest.ts";
import { DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER } from "../../../src/oci/media-type.ts";
import { referrersTag } from "../../../src/registry/referrers.ts";
import { openDockerRegistry } from "../../support/docker-registry.ts";
import { startRegistry } from "../../support/registry/server.ts";
import {
  blobOf,
  observe,
  opener,
  pushSample,
  randomBlob,
  readAll,
  referenceTo,
  sampleImage,
  sampleIndex,
  withDigest,
} from "../../support/registry/sample.ts";

const REGISTRIES: Readonly<Record<string, () => Promise<AsyncDisposable & { readonly host: string }>>> = {
  "in-process": () => startRegistry(),
  "docker-registry": openDockerRegistry,
};
const AMD64 = { os: "linux", architecture: "amd64" };

describe.each(Object.keys(REGISTRIES))("%s", (name) => {
  const start = REGISTRIES[name]!;

  test("RG11, RG12, RG14: an index of two images goes up and comes back byte for byte", async () => {
    await using registry = await start();
    using world = observe();
    const { client } = world;
    const reference = referenceTo(registry.host, "team/app:1");
    const images = [sampleImage([10, 300_000]), sampleImage([0, 70_000])];
    for (const image of images)
      await pushSample(client, withDigest(reference, image.manifest.descriptor.digest), image);
    const index = sampleIndex([
      { image: images[0]!, architecture: "arm64" },
      { image: images[1]!, architecture: "amd64" },
    ]);
    expect(await client.pushManifest(reference, index.bytes, OCI_INDEX)).toMatchObject({
      digest: index.descriptor.digest,
    });

    world.requests.length = 0;
    expect((await client.resolve(reference)).descriptor).toEqual(index.descriptor);
    expect(world.requests).toEqual(["HEAD /v2/team/app/manifests/1 200"]);
    const { descriptor } = await client.resolve(reference, { platform: AMD64 });
    const { bytes, mediaType } = await client.manifest(reference, descriptor.digest);
    expect(Buffer.from(bytes).equals(images[1]!.manifest.bytes)).toBe(true);
    expect(mediaType).toBe(images[1]!.manifest.descriptor.mediaType);
    for (const { descriptor, bytes } of [images[1]!.config, ...images[1]!.layers])
      expect((await readAll(client.openBlob(reference, descriptor))).equals(bytes)).toBe(true);
    await expect(client.resolve(reference, { platform: { os: "linux", architecture: "s390x" } })).rejects.toMatchObject(
      {
        code: "image",
        message: expect.stringContaining("no match for platform in manifest") as string,
      },
    );
  });

  test("N07, RG13: docker's media types stay what they are", async () => {
    await using registry = await start();
    using world = observe();
    const reference = referenceTo(registry.host, "app:docker");
    const image = sampleImage([10], { mediaType: DOCKER_MANIFEST });
    const manifest = { ...image.manifest, descriptor: { ...image.manifest.descriptor, mediaType: DOCKER_MANIFEST } };
    await pushSample(world.client, reference, { ...image, manifest });
    expect((await world.client.resolve(reference)).mediaType).toBe(DOCKER_MANIFEST);
  });

  test("RG14, pain 38: what is there is not sent again, neither blob nor session", async () => {
    await using registry = await start();
    using world = observe();
    const reference = referenceTo(registry.host, "app:1");
    const image = sampleImage([1000, 2000]);
    await pushSample(world.client, reference, image);
    world.requests.length = 0;
    await pushSample(world.client, reference, image);
    const methods = world.requests.map((line) => line.split(" ")[0] ?? "");
    expect(methods.toSorted((a, b) => a.localeCompare(b))).toEqual(["HEAD", "HEAD", "HEAD", "PUT"]);
  });

  test("RG16, RG19, pain 38: a blob of another repository is mounted, an unknown source costs nothing", async () => {
    await using registry = await start();
    using world = observe();
    const { client } = world;
    const blob = randomBlob(100_000);
    const count = { sent: 0 };
    await client.pushBlob(referenceTo(registry.host, "a"), blob.descriptor, opener(blob));
    const mountFrom = ["nowhere", "a"];
    expect(
      await client.pushBlob(referenceTo(registry.host, "b"), blob.descriptor, opener(blob, count), { mountFrom }),
    ).toBe("mounted");
    expect(count.sent).toBe(0);
    expect((await readAll(client.openBlob(referenceTo(registry.host, "b"), blob.descriptor))).equals(blob.bytes)).toBe(
      true,
    );
    const other = randomBlob(1000);
    world.requests.length = 0;
    expect(
      await client.pushBlob(referenceTo(registry.host, "b"), other.descriptor, opener(other), { mountFrom: ["a"] }),
    ).toBe("uploaded");
    expect(world.requests.map((line) => line.split(" ")[0])).toEqual(["HEAD", "POST", "PUT"]);
  });

  test("RG12: a part of a blob, verified against the hash of what was there before", async () => {
    await using registry = await start();
    using world = observe();
    const { createHash } = await import("node:crypto");
    const reference = referenceTo(registry.host, "a");
    const blob = randomBlob(200_000);
    await world.client.pushBlob(reference, blob.descriptor, opener(blob));
    const prefix = createHash("sha256").update(blob.bytes.subarray(0, 150_000));
    const rest = await readAll(world.client.openBlob(reference, blob.descriptor, { offset: 150_000, prefix }));
    expect(rest.equals(blob.bytes.subarray(150_000))).toBe(true);
    const wrong = createHash("sha256").update("other");
    await expect(
      readAll(world.client.openBlob(reference, blob.descriptor, { offset: 150_000, prefix: wrong })),
    ).rejects.toMatchObject({ code: "content" });
  });

  test("RG20, RG22: by digest there is no tag; what is missing is said to be not found", async () => {
    await using registry = await start();
    using world = observe();
    const reference = referenceTo(registry.host, "app");
    const image = sampleImage([10]);
    const { digest } = image.manifest.descriptor;
    await pushSample(world.client, withDigest(reference, digest), image);
    expect((await world.client.resolve(withDigest(reference, digest))).descriptor.digest).toBe(digest);
    await expect(world.client.resolve(reference)).rejects.toMatchObject({
      code: "registry",
      message: expect.stringMatching(/^127\.0\.0\.1:\d+\/app:latest: not found/) as string,
      details: { status: 404, isTransient: false },
    });
    const nothing = randomBlob(10).descriptor;
    await expect(readAll(world.client.openBlob(reference, nothing))).rejects.toMatchObject({
      details: { status: 404 },
    });
    expect(await world.client.hasBlob(reference, nothing)).toBe(false);
  });

  test("RG21: referrers by API or by fallback tag, without a name for them", async () => {
    await using registry = await start();
    using world = observe();
    const { client } = world;
    const reference = referenceTo(registry.host, "app:1");
    const image = sampleImage([10]);
    await pushSample(client, reference, image);
    const subject = image.manifest.descriptor;
    const types = ["application/x-sbom", "application/x-signature"];
    const referrers = types.map((artifactType) => sampleImage([5], { subject, artifactType }));
    for (const each of referrers)
      await pushSample(client, withDigest(reference, each.manifest.descriptor.digest), each);
    const listed = await client.referrers(reference, subject.digest);
    expect(listed.map(({ digest }) => digest).toSorted()).toEqual(
      referrers.map(({ manifest }) => manifest.descriptor.digest).toSorted(),
    );
    expect(await client.referrers(reference, subject.digest, { artifactType: types[1]! })).toMatchObject([
      { artifactType: types[1] },
    ]);
    expect(await client.referrers(reference, digestOf("nobody"))).toEqual([]);
    // The tag is for registries without the API, and for nobody else.
    const tagged = client.resolve({ ...reference, tag: referrersTag(subject.digest) });
    const hasTag = await tagged.then(
      () => true,
      () => false,
    );
    expect(hasTag).toBe(name === "docker-registry");
  });

  test("a source that is not what its descriptor says does not get in", async () => {
    await using registry = await start();
    using world = observe();
    const reference = referenceTo(registry.host, "app");
    const blob = randomBlob(1000);
    const damaged = blobOf(Buffer.from(blob.bytes).fill(0, 500));
    const short = blobOf(blob.bytes.subarray(1));
    for (const wrong of [damaged, short])
      await expect(world.client.pushBlob(reference, blob.descriptor, opener(wrong))).rejects.toMatchObject({
        code: "content",
      });
    expect(await world.client.hasBlob(reference, blob.descriptor)).toBe(false);
  });

  test("RG13, RG25: config and zstd layers are blobs like others; data in a descriptor needs no request", async () => {
    await using registry = await start();
    using world = observe();
    const reference = referenceTo(registry.host, "app");
    for (const type of [`${OCI_LAYER}+zstd`, OCI_CONFIG]) {
      const blob = randomBlob(10, type);
      await world.client.pushBlob(reference, blob.descriptor, opener(blob));
      expect((await readAll(world.client.openBlob(reference, blob.descriptor))).equals(blob.bytes)).toBe(true);
    }
    const { descriptor, bytes } = blobOf(Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
    world.requests.length = 0;
    expect(await readAll(world.client.openBlob(reference, { ...descriptor, data: "e30=" }))).toEqual(bytes);
    await expect(readAll(world.client.openBlob(reference, { ...descriptor, data: "e3s=" }))).rejects.toMatchObject({
      code: "content",
    });
    expect(world.requests).toEqual([]);
  });
});
