// The export path is one pipeline: a big layer is on its way to the registry while it is packed.
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { firstTimes, isRequest } from "../../support/registry/faults.ts";
import { startRegistry, type TestRegistry } from "../../support/registry/server.ts";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const SIZE = 24 * 1024 * 1024;

function bigContext(): string {
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY big /big\n" });
  writeFileSync(join(context, "big"), randomBytes(SIZE));
  return context;
}

function bodies({ log }: TestRegistry, method: string): readonly number[] {
  return log.filter((entry) => entry.method === method && entry.bytesIn > SIZE / 2).map(({ bytesIn }) => bytesIn);
}

test("RG16: a big layer is sent once, while it is packed, and its image is whole", async () => {
  await using registry = await startRegistry();
  const name = `${registry.host}/app:1`;
  await rig.must(["-t", name, "--push", bigContext()]);
  expect(bodies(registry, "PATCH").length).toBe(1);
  expect(bodies(registry, "PUT")).toEqual([]);
  const manifest = JSON.parse(Buffer.from(registry.manifest("app", "1")!.bytes).toString()) as {
    readonly layers: readonly { readonly digest: string; readonly size: number }[];
  };
  expect(manifest.layers.every(({ digest }) => registry.hasBlob("app", digest))).toBe(true);
  expect(manifest.layers.at(-1)!.size).toBe(bodies(registry, "PATCH")[0]);
});

test("RG14: two names in one registry: the second repository is given the blob by the first", async () => {
  await using registry = await startRegistry();
  await rig.must(["-t", `${registry.host}/one:1`, "-t", `${registry.host}/two:1`, "--push", bigContext()]);
  expect([...bodies(registry, "PATCH"), ...bodies(registry, "PUT")].length).toBe(1);
  expect(registry.manifest("two", "1")).toBeDefined();
});

test("RG17: where the registry breaks it off, the push comes out right", async () => {
  await using registry = await startRegistry();
  registry.fault = firstTimes(1, { kind: "drop-upload", afterBytes: 100_000 }, isRequest("PATCH", "uploads"));
  await rig.must(["-t", `${registry.host}/app:1`, "--push", bigContext()]);
  expect(bodies(registry, "PUT").length).toBe(1);
  expect(registry.manifest("app", "1")).toBeDefined();
});
