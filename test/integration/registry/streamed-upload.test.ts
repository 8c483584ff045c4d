// A blob that is sent while it is made: a head start for the ordinary push, which has to come out right whatever becomes of it.
import { expect, test } from "vitest";
import type { RegistryClientOptions } from "../../../src/registry/client.ts";
import { firstTimes, isRequest, type FaultChoice } from "../../support/registry/faults.ts";
import { startRegistry, type RegistryOptions, type TestRegistry } from "../../support/registry/server.ts";
import {
  observe,
  opener,
  randomBlob,
  readAll,
  referenceTo,
  type Blob,
  type Observed,
} from "../../support/registry/sample.ts";

const SIZE = 3_000_000;
const START = 1_000_000;

/** A blob of which the first part is there, and the rest once somebody says so. */
function growing({ bytes }: Blob): { readonly read: () => AsyncGenerator<Uint8Array>; readonly end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  async function* read(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, START);
    await promise;
    yield bytes.subarray(START);
  }
  return { read, end: resolve };
}

interface World extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly observed: Observed;
}

async function openWorld(
  options: RegistryOptions = {},
  clientOptions: Pick<RegistryClientOptions, "credentials"> = {},
): Promise<World> {
  const registry = await startRegistry(options);
  const observed = observe(clientOptions);
  return {
    registry,
    observed,
    async [Symbol.asyncDispose]() {
      observed[Symbol.dispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

/** Streams the blob, ends it when the registry has its start, and pushes it. */
async function push({ registry, observed: { client } }: World, blob: Blob): Promise<string> {
  const reference = referenceTo(registry.host, "app:1");
  const { read, end } = growing(blob);
  const streamed = client.streamBlob(reference, "a layer", read);
  await expect.poll(() => received(registry)).toBe(START);
  end();
  const outcome = await client.pushBlob(reference, blob.descriptor, opener(blob), { streamed });
  expect((await readAll(client.openBlob(reference, blob.descriptor))).equals(blob.bytes)).toBe(true);
  return outcome;
}

function received({ log }: TestRegistry): number {
  return log.filter(({ method }) => method === "PATCH").reduce((sum, { bytesIn }) => sum + bytesIn, 0);
}

/** `POST 202`, without the downloads. */
function steps({ registry }: World): readonly string[] {
  return registry.log.filter(({ method }) => method !== "GET").map(({ method, status }) => `${method} ${status}`);
}

test("RG16: what is there of a blob is sent before the rest exists, and its digest is said at the end", async () => {
  await using world = await openWorld();
  expect(await push(world, randomBlob(SIZE))).toBe("uploaded");
  expect(steps(world).filter((step) => !step.startsWith("HEAD"))).toEqual(["POST 202", "PATCH 202", "PUT 201"]);
  expect(received(world.registry)).toBe(SIZE);
});

test("RG15: a blob that turns out to be there already is not sent to its end", async () => {
  await using world = await openWorld();
  const blob = randomBlob(SIZE);
  await world.registry.addBlob("app", blob.bytes);
  const reference = referenceTo(world.registry.host, "app:1");
  const streamed = world.observed.client.streamBlob(reference, "a layer", growing(blob).read);
  await expect.poll(() => received(world.registry)).toBe(START);
  const outcome = await world.observed.client.pushBlob(reference, blob.descriptor, opener(blob), { streamed });
  expect(outcome).toBe("exists");
  await expect.poll(() => steps(world).at(-1)).toBe("DELETE 204");
  expect(received(world.registry)).toBe(START);
});

const BROKEN: readonly (readonly [string, FaultChoice])[] = [
  ["no session", firstTimes(1, { kind: "answer", status: 400 }, isRequest("POST", "uploads"))],
  ["no requests without a length", firstTimes(1, { kind: "answer", status: 411 }, isRequest("PATCH", "uploads"))],
  ["a break", firstTimes(1, { kind: "drop-upload", afterBytes: 500_000 }, isRequest("PATCH", "uploads"))],
  ["no answer", firstTimes(1, { kind: "lose-answer" }, isRequest("PATCH", "uploads"))],
  ["other bytes", firstTimes(1, { kind: "corrupt" }, isRequest("PUT", "uploads"))],
  ["a lost session", firstTimes(1, { kind: "answer", status: 404 }, isRequest("PUT", "uploads"))],
];

test.for(BROKEN)("RG17: after %s the blob is pushed in the ordinary way", async ([, fault]) => {
  await using world = await openWorld({ fault });
  const blob = randomBlob(SIZE);
  const reference = referenceTo(world.registry.host, "app:1");
  const { client } = world.observed;
  const streamed = client.streamBlob(reference, "a layer", opener(blob).bind(undefined, 0));
  expect(await client.pushBlob(reference, blob.descriptor, opener(blob), { streamed })).toBe("uploaded");
  expect((await readAll(client.openBlob(reference, blob.descriptor))).equals(blob.bytes)).toBe(true);
  expect(steps(world).filter((step) => step === "PUT 201").length).toBe(1);
});

test("RG04, RG05: the token that the session needed is the one that the bytes are sent with", async () => {
  const isValid = (username: string, password: string): boolean => username === "lead" && password === "secret";
  const credentials = { kind: "password", username: "lead", password: "secret", source: "a test" } as const;
  await using world = await openWorld(
    { auth: { kind: "bearer", isValid } },
    { credentials: { get: () => Promise.resolve({ credentials }), forget: () => undefined } },
  );
  expect(await push(world, randomBlob(SIZE))).toBe("uploaded");
  expect(steps(world).filter((step) => step.startsWith("PATCH"))).toEqual(["PATCH 202"]);
});

test("a blob that is given up leaves no session and no unhandled failure", async () => {
  await using world = await openWorld();
  const reference = referenceTo(world.registry.host, "app:1");
  const { promise, reject } = Promise.withResolvers<never>();
  const read = async function* (): AsyncGenerator<Uint8Array> {
    yield randomBlob(START).bytes;
    yield await promise;
  };
  const streamed = world.observed.client.streamBlob(reference, "a layer", read);
  await expect.poll(() => received(world.registry)).toBe(START);
  reject(new Error("the packer failed"));
  await streamed.cancel();
  expect(steps(world).at(-1)).toBe("DELETE 204");
});

test("streams that wait for their bytes leave the connections of everything else alone", async () => {
  await using world = await openWorld();
  const { client } = world.observed;
  const reference = referenceTo(world.registry.host, "app:1");
  const blobs = Array.from({ length: 6 }, () => randomBlob(SIZE));
  const streams = blobs.map((blob) => {
    const source = growing(blob);
    return { ...source, blob, streamed: client.streamBlob(reference, "a layer", source.read) };
  });
  await expect.poll(() => received(world.registry)).toBe(2 * START);
  const other = randomBlob(SIZE);
  expect(await client.pushBlob(reference, other.descriptor, opener(other))).toBe("uploaded");
  for (const { end } of streams) end();
  const outcomes = streams.map(({ blob, streamed }) =>
    client.pushBlob(reference, blob.descriptor, opener(blob), { streamed }),
  );
  expect(await Promise.all(outcomes)).toEqual(blobs.map(() => "uploaded"));
  expect(received(world.registry)).toBe(6 * SIZE);
});
