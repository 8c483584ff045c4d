// Pushing what is there already costs one request; a name that means something else by now is pushed again.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRegistry } from "../../support/registry/server.ts";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

test("pain 38: an image that its name means at the registry is not pushed again", async () => {
  await using registry = await startRegistry();
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY a /a\n", a: "1" });
  const push = async (): Promise<readonly string[]> => {
    registry.clearLog();
    const { stderr } = await rig.must(["-t", `${registry.host}/app:1`, "--push", context]);
    expect(stderr).toContain(`pushing ${registry.host}/app:1`);
    return registry.log.map(({ method, url }) => `${method} ${url}`);
  };
  const asked = ["HEAD /v2/app/manifests/1"];
  const put: unknown = expect.arrayContaining(["PUT /v2/app/manifests/1"]);
  expect(await push()).toEqual(put);
  expect(await push()).toEqual(asked);
  const other = registry.manifest("app", "1")!;
  registry.addManifest(
    "app",
    "1",
    Buffer.from(Buffer.from(other.bytes).toString().replace("{", "{ ")),
    other.mediaType,
  );
  expect(await push()).toEqual(put);
  expect(await push()).toEqual(asked);
  // Another name in the same place was never there.
  const by = await rig.must(["-t", `${registry.host}/app:2`, "--push", context]);
  expect(by.code).toBe(0);
  expect(registry.manifest("app", "2")?.bytes).toEqual(registry.manifest("app", "1")?.bytes);
});
