// The client against a registry that misbehaves on purpose. Time is a clock that only sleeping moves.
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../../src/oci/media-type.ts";
import { parseMirrors } from "../../../src/registry/endpoints.ts";
import { openDockerRegistry } from "../../support/docker-registry.ts";
import { startCutLine } from "../../support/registry/cut-line.ts";
import { anyOf, everyNth, firstTimes, isRequest, type FaultChoice } from "../../support/registry/faults.ts";
import { startRegistry, type RegistryOptions, type TestRegistry } from "../../support/registry/server.ts";
import {
  fakeClock,
  observe,
  opener,
  pushSample,
  randomBlob,
  readAll,
  referenceTo,
  sampleImage,
} from "../../support/registry/sample.ts";

const SIZE = 2_000_000;

async function served(
  blob: { readonly bytes: Buffer },
  fault?: FaultChoice,
  options: RegistryOptions = {},
): Promise<TestRegistry> {
  const registry = await startRegistry(options);
  await registry.addBlob("app", blob.bytes);
  registry.fault = fault;
  return registry;
}

test("pain 5: every 3rd connection reset, 429 and 503 in between, half of a blob dropped: push and pull succeed, with less than twice the bytes", async () => {
  await using registry = await startRegistry();
  const clock = fakeClock();
  using world = observe({ clock });
  const image = sampleImage([SIZE, SIZE, 50_000]);
  const reference = referenceTo(registry.host, "app:1");
  const half = { afterBytes: SIZE / 2 };
  const busy = { kind: "answer", headers: { "retry-after": "3" } } as const;
  registry.fault = anyOf(
    everyNth(3, { kind: "reset" }),
    firstTimes(1, { ...busy, status: 429 }, isRequest("HEAD", "/blobs/")),
    firstTimes(1, { ...busy, status: 503 }, isRequest("POST", "/blobs/")),
    firstTimes(1, { kind: "drop-upload", ...half }, isRequest("PUT", "/blobs/")),
    firstTimes(1, { kind: "drop-download", ...half }, isRequest("GET", "/blobs/")),
  );
  await pushSample(world.client, reference, image);
  const total = 2 * SIZE + 50_000;
  const sent = registry.log.reduce((sum, { bytesIn }) => sum + bytesIn, 0);
  expect(sent).toBeLessThan(2 * total);
  expect(clock.slept).toContain(3000);

  registry.clearLog();
  const { descriptor } = await world.client.resolve(reference);
  expect(descriptor).toEqual(image.manifest.descriptor);
  const pulled = await Promise.all(
    image.layers.map((layer) => readAll(world.client.openBlob(reference, layer.descriptor))),
  );
  expect(pulled.every((bytes, index) => bytes.equals(image.layers[index]!.bytes))).toBe(true);
  const received = registry.log.reduce((sum, { bytesOut }) => sum + bytesOut, 0);
  expect(received).toBeLessThan(2 * total);
});

test("RG12, pain 5: a download that breaks goes on where it stopped", async () => {
  const blob = randomBlob(SIZE);
  await using registry = await served(
    blob,
    firstTimes(3, { kind: "drop-download", afterBytes: 500_000 }, isRequest("GET", "/blobs/")),
  );
  using world = observe();
  expect(
    (await readAll(world.client.openBlob(referenceTo(registry.host, "app"), blob.descriptor))).equals(blob.bytes),
  ).toBe(true);
  expect(registry.log.map(({ headers, bytesOut }) => [headers["range"], bytesOut])).toEqual([
    [undefined, 500_000],
    ["bytes=500000-", 500_000],
    ["bytes=1000000-", 500_000],
    ["bytes=1500000-", 500_000],
  ]);
});

test("RG12: where Range is ignored, what is known is skipped", async () => {
  const blob = randomBlob(SIZE);
  const drop = firstTimes(1, { kind: "drop-download", afterBytes: 1_500_000 }, isRequest("GET", "/blobs/"));
  await using registry = await served(blob, drop, { ignoresRange: true });
  using world = observe();
  expect(
    (await readAll(world.client.openBlob(referenceTo(registry.host, "app"), blob.descriptor))).equals(blob.bytes),
  ).toBe(true);
});

test("a download that never gets further ends", async () => {
  const blob = randomBlob(SIZE);
  await using registry = await served(blob, everyNth(1, { kind: "drop-download", afterBytes: 10 }));
  using world = observe();
  await expect(
    readAll(world.client.openBlob(referenceTo(registry.host, "app"), blob.descriptor)),
  ).rejects.toMatchObject({
    code: "registry",
    details: { isTransient: true },
  });
  expect(registry.log.length).toBe(5);
});

test("N07: one wrong byte is noticed at the end", async () => {
  const blob = randomBlob(SIZE);
  await using registry = await served(blob, everyNth(1, { kind: "corrupt" }));
  using world = observe();
  await expect(
    readAll(world.client.openBlob(referenceTo(registry.host, "app"), blob.descriptor)),
  ).rejects.toMatchObject({
    code: "content",
    message: expect.stringContaining("another digest") as string,
  });
});

test("a blob that is too short at the registry is said to be truncated", async () => {
  const blob = randomBlob(SIZE);
  await using registry = await served(blob, everyNth(1, { kind: "truncate", size: 1000 }));
  using world = observe();
  await expect(
    readAll(world.client.openBlob(referenceTo(registry.host, "app"), blob.descriptor)),
  ).rejects.toMatchObject({
    code: "content",
    message: expect.stringContaining(`truncated at ${registry.host}: 1000 of ${SIZE} bytes`) as string,
  });
});

test("pain 5: an upload that breaks goes on where the session stopped", async () => {
  await using registry = await startRegistry({
    fault: firstTimes(1, { kind: "drop-upload", afterBytes: 1_200_000 }, isRequest("PUT", "/blobs/")),
  });
  using world = observe();
  const blob = randomBlob(SIZE);
  const progress: number[] = [];
  const onProgress = (current: number): number => progress.push(current);
  expect(
    await world.client.pushBlob(referenceTo(registry.host, "app"), blob.descriptor, opener(blob), { onProgress }),
  ).toBe("uploaded");
  expect(registry.log.map(({ method, bytesIn }) => [method, bytesIn])).toEqual([
    ["HEAD", 0],
    ["POST", 0],
    ["PUT", 1_200_000],
    ["GET", 0],
    ["PATCH", 800_000],
    ["PUT", 0],
  ]);
  expect(progress.at(-1)).toBe(SIZE);
});

test("pain 5: where sessions cannot be asked, the upload starts again", async () => {
  const drop = firstTimes(1, { kind: "drop-upload", afterBytes: 1_200_000 }, isRequest("PUT", "/blobs/"));
  const forgetful = everyNth(1, { kind: "answer", status: 404 }, isRequest("GET", "/blobs/uploads/"));
  await using registry = await startRegistry({ fault: anyOf(drop, forgetful) });
  using world = observe();
  const blob = randomBlob(SIZE);
  expect(await world.client.pushBlob(referenceTo(registry.host, "app"), blob.descriptor, opener(blob))).toBe(
    "uploaded",
  );
  expect(registry.log.map(({ method }) => method)).toEqual(["HEAD", "POST", "PUT", "GET", "HEAD", "POST", "PUT"]);
});

test("pain 5: a 201 that got lost is found by HEAD, nothing is sent twice", async () => {
  await using registry = await startRegistry({
    fault: firstTimes(1, { kind: "lose-answer" }, isRequest("PUT", "/blobs/")),
  });
  using world = observe();
  const blob = randomBlob(SIZE);
  const count = { sent: 0 };
  expect(await world.client.pushBlob(referenceTo(registry.host, "app"), blob.descriptor, opener(blob, count))).toBe(
    "uploaded",
  );
  expect(count.sent).toBe(SIZE);
});

test("RG16: a registry that refuses mounts gets the bytes in the same session", async () => {
  await using registry = await startRegistry({ refusesMounts: true });
  using world = observe();
  const blob = randomBlob(1000);
  const mountFrom = ["base", "other"];
  expect(
    await world.client.pushBlob(referenceTo(registry.host, "app"), blob.descriptor, opener(blob), { mountFrom }),
  ).toBe("uploaded");
  // The first refused mount's session is given back, the last one's is used.
  expect(registry.log.map(({ method }) => method)).toEqual(["HEAD", "POST", "POST", "DELETE", "PUT"]);
  registry.fault = firstTimes(1, { kind: "answer", status: 403 }, isRequest("POST", "mount="));
  expect(
    await world.client.pushBlob(referenceTo(registry.host, "b"), blob.descriptor, opener(blob), { mountFrom: ["app"] }),
  ).toBe("uploaded");
});

test("RG17, pain 5: a registry that is always busy ends in a transient registry error, after 15 s of waiting", async () => {
  await using registry = await startRegistry({ fault: everyNth(1, { kind: "answer", status: 503 }) });
  const clock = fakeClock();
  using world = observe({ clock });
  const blob = randomBlob(10);
  await expect(
    world.client.pushBlob(referenceTo(registry.host, "app"), blob.descriptor, opener(blob)),
  ).rejects.toMatchObject({
    code: "registry",
    details: { status: 503, isTransient: true },
  });
  expect(clock.slept).toEqual([1000, 2000, 4000, 8000]);
});

test("RG17: a wish to be left alone for an hour is not waited for", async () => {
  const body = '{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}';
  await using registry = await startRegistry({
    fault: everyNth(1, { kind: "answer", status: 429, headers: { "retry-after": "3600" }, body }),
  });
  using world = observe();
  await expect(
    readAll(world.client.openBlob(referenceTo(registry.host, "app"), randomBlob(10).descriptor)),
  ).rejects.toMatchObject({
    message: expect.stringContaining("pull rate limit") as string,
    help: expect.stringContaining("3600 s") as string,
    details: { status: 429 },
  });
  expect(registry.log.length).toBe(1);
});

test.each<[string, RegistryOptions]>([
  ["refuses HEAD", { refusesHead: true }],
  ["names no digest", { hidesDigest: true }],
])("RG11: a registry that %s is asked with GET", async (_, options) => {
  await using registry = await startRegistry(options);
  using world = observe();
  const image = sampleImage([]);
  registry.addManifest("app", "1", image.manifest.bytes, OCI_MANIFEST);
  const { descriptor, bytes } = await world.client.resolve(referenceTo(registry.host, "app:1"));
  expect(descriptor).toEqual(image.manifest.descriptor);
  expect(Buffer.from(bytes!)).toEqual(image.manifest.bytes);
  expect(world.requests.length).toBe(2);
});

test("RG11, RG13, RG25: manifests that are wrong, old, huge or no manifests at all are refused in words", async () => {
  await using registry = await startRegistry();
  using world = observe();
  const add = (tag: string, text: string, type = OCI_MANIFEST): string =>
    registry.addManifest("app", tag, Buffer.from(text), type);
  add("old", '{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+prettyjws");
  add("page", "<html>", DOCKER_MANIFEST);
  add("big", `{"a":"${"x".repeat(9 << 20)}"}`);
  const digest = add("good", '{"schemaVersion":2}') as never;
  const reference = (tag: string) => referenceTo(registry.host, `app:${tag}`);
  const get = async (tag: string): Promise<unknown> => {
    const { descriptor } = await world.client.resolve(reference(tag));
    return world.client.manifest(reference(tag), descriptor.digest);
  };
  await expect(get("old")).rejects.toThrow("support Docker Image manifest version 2, schema 1 has been removed");
  await expect(get("page")).rejects.toThrow("is not JSON");
  await expect(get("big")).rejects.toThrow("larger than 8388608 bytes");
  registry.fault = everyNth(1, { kind: "corrupt" });
  await expect(world.client.manifest(reference("good"), digest)).rejects.toMatchObject({ code: "content" });
});

test.each<[string, FaultChoice]>([
  ["not there", everyNth(1, { kind: "answer", status: 404 })],
  ["broken", everyNth(1, { kind: "answer", status: 500 })],
  ["forbidden", everyNth(1, { kind: "answer", status: 403 })],
  ["gone", everyNth(1, { kind: "reset" })],
  ["lying", everyNth(1, { kind: "corrupt" })],
  ["short", everyNth(1, { kind: "truncate", size: 10 }, isRequest("GET", "/blobs/"))],
])("RG03, pain 22: a mirror that is %s is passed over, once", async (_, fault) => {
  await using origin = await startRegistry();
  await using mirror = await startRegistry();
  const image = sampleImage([300_000]);
  for (const each of [origin, mirror]) {
    each.addManifest("app", "1", image.manifest.bytes, OCI_MANIFEST);
    await each.addBlob("app", image.layers[0]!.bytes);
  }
  mirror.fault = fault;
  const clock = fakeClock();
  using world = observe({ clock, mirrors: parseMirrors(`${origin.host}=http://${mirror.host}`) });
  const reference = referenceTo(origin.host, "app:1");
  const { descriptor } = await world.client.resolve(reference);
  expect(descriptor.digest).toBe(image.manifest.descriptor.digest);
  await world.client.manifest(reference, descriptor.digest);
  // Wrong bytes in the middle of a stream cannot be taken back; everything else can.
  if (fault !== undefined && _ !== "lying")
    expect(
      (await readAll(world.client.openBlob(reference, image.layers[0]!.descriptor))).equals(image.layers[0]!.bytes),
    ).toBe(true);
  expect(mirror.log.length).toBeGreaterThan(0);
  expect(mirror.log.every(({ url }) => url.includes(`ns=${encodeURIComponent(origin.host)}`))).toBe(true);
  expect(clock.slept).toEqual([]);
});

test("RG03: a mirror that works is enough, pushes go to the registry", async () => {
  await using origin = await startRegistry();
  await using mirror = await startRegistry();
  const blob = randomBlob(100);
  await mirror.addBlob("cache/app", blob.bytes);
  using world = observe({ mirrors: parseMirrors(`${origin.host}=http://${mirror.host}/cache`) });
  const reference = referenceTo(origin.host, "app");
  expect((await readAll(world.client.openBlob(reference, blob.descriptor))).equals(blob.bytes)).toBe(true);
  expect(origin.log).toEqual([]);
  await world.client.pushBlob(reference, blob.descriptor, opener(blob));
  expect(origin.hasBlob("app", blob.descriptor.digest)).toBe(true);
});

test("RG03: what a mirror does not have is not found, also where the registry cannot be reached; what the registry says counts more", async () => {
  await using mirror = await startRegistry();
  const away = "127.0.0.1:1";
  using world = observe({ mirrors: parseMirrors(`${away}=http://${mirror.host}`) });
  const failure: unknown = await world.client.resolve(referenceTo(away, "app:1")).catch((error: unknown) => error);
  expect(failure).toMatchObject({ message: expect.stringContaining("127.0.0.1:1/app:1: not found") as string });
  expect((failure as Error).cause).toMatchObject({ message: expect.stringContaining("cannot reach") as string });

  await using origin = await startRegistry({ fault: () => ({ kind: "answer", status: 418 }) });
  using other = observe({ mirrors: parseMirrors(`${origin.host}=http://${mirror.host}`) });
  await expect(other.client.resolve(referenceTo(origin.host, "app:1"))).rejects.toThrow("answered HTTP 418");
});

test("RG13: a foreign layer that the registry does not have comes from its urls, without credentials", async () => {
  await using registry = await startRegistry();
  await using elsewhere = await startRegistry();
  const blob = randomBlob(1000);
  await elsewhere.addBlob("x", blob.bytes);
  using world = observe();
  const urls = [`http://${elsewhere.host}/v2/x/blobs/${blob.descriptor.digest}`];
  expect(
    (await readAll(world.client.openBlob(referenceTo(registry.host, "app"), { ...blob.descriptor, urls }))).equals(
      blob.bytes,
    ),
  ).toBe(true);
});

test("pain 5: silence ends in a timeout, not in a hang", async () => {
  await using registry = await startRegistry({ fault: everyNth(1, { kind: "silence" }) });
  using world = observe({ connectTimeoutMs: 20, idleTimeoutMs: 20 });
  await expect(world.client.resolve(referenceTo(registry.host, "app"))).rejects.toMatchObject({
    message: expect.stringContaining("the server stopped answering") as string,
  });
});

test("pain 5: a download that stalls is broken off and goes on; a slow reader or source of ours is no stall", async () => {
  const blob = randomBlob(SIZE);
  await using registry = await served(
    blob,
    firstTimes(1, { kind: "stall-download", afterBytes: SIZE - 1 }, isRequest("GET", "/blobs/")),
  );
  using world = observe({ connectTimeoutMs: 100, idleTimeoutMs: 200 });
  const reference = referenceTo(registry.host, "app");
  async function* slowly(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let isFirst = true;
    for await (const chunk of source) {
      // Longer than all patience with a server.
      if (isFirst) await delay(600);
      isFirst = false;
      yield chunk;
    }
  }
  const read = await readAll(slowly(world.client.openBlob(reference, blob.descriptor)));
  expect(read.equals(blob.bytes)).toBe(true);
  expect(registry.log.some(({ headers }) => headers["range"] === `bytes=${SIZE - 1}-`)).toBe(true);
  const outcome = world.client.pushBlob(referenceTo(registry.host, "b"), blob.descriptor, (offset) =>
    slowly(opener(blob)(offset)),
  );
  expect(await outcome).toBe("uploaded");
});

test("pain 5: docker-registry behind a line that is cut in the middle of an upload and of a download", async () => {
  await using registry = await openDockerRegistry();
  const blob = randomBlob(SIZE);
  await using line = await startCutLine(registry.host, [SIZE / 2, Infinity]);
  using world = observe();
  const reference = referenceTo(line.host, "app");
  expect(await world.client.pushBlob(reference, blob.descriptor, opener(blob))).toBe("uploaded");
  line.limits.push(SIZE / 2, Infinity);
  line.drop();
  expect((await readAll(world.client.openBlob(reference, blob.descriptor))).equals(blob.bytes)).toBe(true);
  expect(line.cutCount).toBe(2);
});

test("cancelling ends what runs and what waits for a connection at once, with the signal's reason", async () => {
  await using registry = await startRegistry({ fault: everyNth(1, { kind: "silence" }) });
  using world = observe();
  const scope = new AbortController();
  const reason = new Error("enough");
  const reads = Array.from({ length: 8 }, () =>
    readAll(
      world.client.openBlob(referenceTo(registry.host, "app"), randomBlob(10).descriptor, { signal: scope.signal }),
    ),
  );
  const all = Promise.allSettled(reads);
  while (registry.log.length < 4) await new Promise(setImmediate);
  scope.abort(reason);
  expect(await all).toEqual(reads.map(() => ({ status: "rejected", reason })));
  expect(registry.log.length).toBe(4);
});

test("RG12: at most four connections per host for blobs, one more for manifests", async () => {
  const waiting: (() => void)[] = [];
  const gate: FaultChoice = async ({ url }) => {
    if (!url.includes("/blobs/")) return undefined;
    await new Promise<void>((resolve) => waiting.push(resolve));
    return undefined;
  };
  const blob = randomBlob(100);
  await using registry = await served(blob);
  const image = sampleImage([]);
  registry.addManifest("app", "1", image.manifest.bytes, OCI_INDEX);
  registry.fault = gate;
  using world = observe();
  const reference = referenceTo(registry.host, "app:1");
  const reads = Array.from({ length: 7 }, () => readAll(world.client.openBlob(reference, blob.descriptor)));
  await world.client.resolve(reference);
  while (waiting.length < 4) await new Promise(setImmediate);
  expect(waiting.length).toBe(4);
  for (const _ of reads) {
    while (waiting.length === 0) await new Promise(setImmediate);
    waiting.shift()!();
  }
  expect((await Promise.all(reads)).length).toBe(7);
});

test("RG22: what does not speak HTTP, and what does not listen, is said to be that", async () => {
  const server = createServer((socket) => socket.resume().end("SSH-2.0-OpenSSH_9\r\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  using world = observe();
  await expect(world.client.resolve(referenceTo(`127.0.0.1:${port}`, "app"))).rejects.toMatchObject({
    message: `cannot talk to the registry "127.0.0.1:${port}": no HTTP spoken there`,
  });
  server.close();
  await once(server, "close");
  await expect(world.client.resolve(referenceTo(`127.0.0.1:${port}`, "app"))).rejects.toMatchObject({
    message: `cannot reach the registry "127.0.0.1:${port}": connection refused`,
    help: expect.stringContaining("check the registry's name") as string,
  });
});
