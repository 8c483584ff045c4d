// Who we are at a registry: every way in, tokens that end, what a refusal says, and that nobody else ever gets to see a credential.
import { expect, test } from "vitest";
import { OCI_MANIFEST } from "../../../src/oci/media-type.ts";
import { ConfiguredCredentials } from "../../../src/registry/configured-credentials.ts";
import type { Credentials, CredentialSource } from "../../../src/registry/credentials.ts";
import type { AccessOptions } from "../../support/registry/access.ts";
import { firstTimes, isRequest } from "../../support/registry/faults.ts";
import { startRegistry, type TestRegistry } from "../../support/registry/server.ts";
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
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SECRET = "geheim-9f3b";
const source = "a test";
const password: Credentials = { kind: "password", username: "ann", password: SECRET, source };
const isValid = (username: string, given: string): boolean => username === "ann" && given === SECRET;

function having(credentials: Credentials | undefined): CredentialSource & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    get: (host, repository) => {
      asked.push(`${host}/${repository}`);
      return Promise.resolve(credentials === undefined ? {} : { credentials });
    },
    forget: () => undefined,
  };
}

const tokenRequests = ({ log }: TestRegistry): string[] =>
  log.filter(({ url }) => url.startsWith("/token")).map(({ method }) => method);

test.each<[string, AccessOptions, Credentials, string[]]>([
  ["basic", { kind: "basic", isValid }, password, []],
  ["bearer by OAuth2 POST", { kind: "bearer", isValid }, password, ["POST"]],
  ["bearer by GET where POST is 404", { kind: "bearer", isValid, postStatus: 404 }, password, ["POST", "GET"]],
  ["bearer by GET where POST is 401", { kind: "bearer", isValid, postStatus: 401 }, password, ["POST", "GET"]],
  [
    "an identity token",
    { kind: "bearer", isValidRefreshToken: (token) => token === SECRET },
    { kind: "identity-token", token: SECRET, source },
    ["POST"],
  ],
])("RG04–RG06: pushing and pulling with %s", async (_, auth, credentials, tokens) => {
  await using registry = await startRegistry({ auth });
  using world = observe({ credentials: having(credentials) });
  const image = sampleImage([1000]);
  const reference = referenceTo(registry.host, "app:1");
  await pushSample(world.client, reference, image);
  expect(tokenRequests(registry)).toEqual(tokens);
  expect(
    (await readAll(world.client.openBlob(reference, image.layers[0]!.descriptor))).equals(image.layers[0]!.bytes),
  ).toBe(true);
});

test("RG07: a registry token is presented as it is", async () => {
  await using registry = await startRegistry({ auth: { kind: "bearer" } });
  using world = observe({ credentials: having({ kind: "registry-token", token: "abc", source }) });
  await expect(world.client.resolve(referenceTo(registry.host, "app"))).rejects.toThrow(
    "credentials from a test were sent",
  );
  expect(registry.log.map(({ authorization }) => authorization)).toEqual([undefined, "Bearer abc", "Bearer abc"]);
});

test("RG05, RG08: pulling anonymously, and one token for many requests at once", async () => {
  await using registry = await startRegistry({ auth: { kind: "bearer", allowsAnonymousPull: true } });
  using world = observe();
  const blobs = Array.from({ length: 20 }, () => randomBlob(100));
  for (const blob of blobs) await registry.addBlob("app", blob.bytes);
  const reference = referenceTo(registry.host, "app");
  await Promise.all(blobs.map((blob) => readAll(world.client.openBlob(reference, blob.descriptor))));
  expect(tokenRequests(registry)).toEqual(["GET"]);
  const refused = world.client.pushBlob(reference, randomBlob(10).descriptor, opener(randomBlob(10)));
  await expect(refused).rejects.toMatchObject({
    code: "registry",
    message: expect.stringMatching(
      /push access denied, repository does not exist or may require authorization.*no credentials were sent/,
    ) as string,
    help: `log in with: docker login ${registry.host}`,
    details: { isTransient: false },
  });
});

test("RG04: a token that is good but not for this is not asked for again", async () => {
  const auth: AccessOptions = { kind: "bearer", isValid, grants: (_, scope) => scope.endsWith(":pull") };
  await using registry = await startRegistry({ auth });
  using world = observe({ credentials: having(password) });
  await expect(
    world.client.pushBlob(referenceTo(registry.host, "app"), randomBlob(10).descriptor, opener(randomBlob(10))),
  ).rejects.toMatchObject({
    message: expect.stringContaining("credentials from a test were sent") as string,
  });
  // HEAD needs pull only; POST is refused once.
  expect(registry.log.map(({ method }) => method)).toEqual(["HEAD", "POST", "HEAD", "POST"]);
});

test("RG05: without expires_in a token lives 60 s, of which 54 are used", async () => {
  const clock = fakeClock();
  const auth: AccessOptions = { kind: "bearer", isValid, hidesExpiry: true, lifeS: 60, now: clock.now };
  await using registry = await startRegistry({ auth });
  using world = observe({ clock, credentials: having(password) });
  const blob = randomBlob(10);
  await registry.addBlob("app", blob.bytes);
  for (const ms of [0, 53_000, 2_000]) {
    clock.advance(ms);
    await readAll(world.client.openBlob(referenceTo(registry.host, "app"), blob.descriptor));
  }
  expect(tokenRequests(registry).length).toBe(2);
  // The second token was asked for in time: nothing but the first contact was ever refused.
  expect(registry.log.filter(({ status }) => status === 401).length).toBe(1);
});

test("pain 21: tokens of 2 s and a helper with a new password each time: 200 blobs in 30 s, helper called < 5 times", async () => {
  const clock = fakeClock();
  const given: string[] = [];
  await using registry = await startRegistry({
    auth: { kind: "bearer", isValid: (_, secret) => given.includes(secret), lifeS: 2, now: clock.now },
  });
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-auth-"));
  using cleanup = new DisposableStack();
  cleanup.defer(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ credsStore: "rotating" }));
  const credentials = new ConfiguredCredentials({
    environment: {},
    paths: [join(folder, "config.json")],
    now: clock.now,
    run: () => {
      given.push(`${SECRET}-${given.length}`);
      return Promise.resolve({
        exitCode: 0,
        stderr: "",
        stdout: JSON.stringify({ Username: "ann", Secret: given.at(-1) }),
      });
    },
  });
  using world = observe({ clock, credentials });
  const reference = referenceTo(registry.host, "app");
  for (let pushed = 0; pushed < 200; pushed++) {
    const blob = randomBlob(10);
    expect(await world.client.pushBlob(reference, blob.descriptor, opener(blob))).toBe("uploaded");
    clock.advance(150);
    // Twice all that was given out ends early: by a restart of the token server, and by a rotation of the password.
    if (pushed === 70) registry.access!.revokeAll();
    if (pushed === 140) {
      registry.access!.revokeAll();
      given.length = 0;
    }
  }
  expect(given.length).toBeLessThan(5);
  expect(registry.access!.issuedCount).toBeLessThan(25);
});

test("RG16: no right to the other repository is no reason not to push", async () => {
  const auth: AccessOptions = {
    kind: "bearer",
    isValid,
    grants: (_, scope) => !scope.startsWith("repository:private"),
  };
  await using registry = await startRegistry({ auth });
  using world = observe({ credentials: having(password) });
  const blob = randomBlob(100);
  await registry.addBlob("private", blob.bytes);
  const outcome = world.client.pushBlob(referenceTo(registry.host, "app"), blob.descriptor, opener(blob), {
    mountFrom: ["private"],
  });
  expect(await outcome).toBe("uploaded");
});

test("RG12: a redirect to another host never carries Authorization, and the blob still arrives", async () => {
  await using storage = await startRegistry();
  const blob = randomBlob(100_000);
  await storage.addBlob("x", blob.bytes);
  storage.fault = firstTimes(1, { kind: "drop-download", afterBytes: 40_000 });
  const redirectBlob = (digest: string): string => `http://${storage.host}/v2/x/blobs/${digest}?signature=${SECRET}`;
  for (const auth of [
    { kind: "basic", isValid },
    { kind: "bearer", isValid },
  ] as const) {
    await using registry = await startRegistry({ auth, redirectBlob });
    await registry.addBlob("app", blob.bytes);
    using world = observe({ credentials: having(password) });
    expect(
      (await readAll(world.client.openBlob(referenceTo(registry.host, "app"), blob.descriptor))).equals(blob.bytes),
    ).toBe(true);
    expect(registry.log.at(-1)?.authorization).toMatch(/^(Basic|Bearer) /);
    expect(world.requests.join("\n")).not.toContain(SECRET);
  }
  expect(storage.log.map(({ authorization }) => authorization)).toEqual([undefined, undefined, undefined]);
  expect(storage.log[1]?.headers["range"]).toBe("bytes=40000-");
});

test("RG15: an upload that is sent to another host takes no Authorization there", async () => {
  await using storage = await startRegistry();
  await using registry = await startRegistry({
    auth: { kind: "basic", isValid },
    locationOrigin: () => `http://localhost:${storage.host.split(":")[1]}`,
  });
  using world = observe({ credentials: having(password) });
  const blob = randomBlob(10);
  await expect(
    world.client.pushBlob(referenceTo(registry.host, "app"), blob.descriptor, opener(blob)),
  ).rejects.toMatchObject({ code: "registry" });
  expect(storage.log.length).toBeGreaterThan(0);
  expect(storage.log.every(({ authorization }) => authorization === undefined)).toBe(true);
});

test("RG22: no message of any refusal holds a secret", async () => {
  const echo = JSON.stringify({ errors: [{ code: "DENIED", message: `Bearer ${SECRET} is not welcome` }] });
  const answers = [400, 401, 403, 404, 429, 500].map((status) => ({ kind: "answer", status, body: echo }) as const);
  for (const answer of answers) {
    await using registry = await startRegistry({ auth: { kind: "basic", isValid } });
    registry.addManifest("app", "latest", Buffer.from("{}"), OCI_MANIFEST);
    registry.fault = (request) => (request.headers["authorization"] === undefined ? undefined : answer);
    using world = observe({ credentials: having(password) });
    const error: unknown = await readAll(
      world.client.openBlob(referenceTo(registry.host, "app"), randomBlob(1).descriptor),
    ).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "registry", details: { status: answer.status } });
    const { message, help } = error as { message: string; help?: string };
    expect(`${message} ${help}`).not.toContain(SECRET);
    expect(message).toContain("DENIED: Bearer ***");
  }
});

test("a token server that is down for a moment is asked again", async () => {
  await using registry = await startRegistry({
    auth: { kind: "bearer", isValid },
    fault: firstTimes(1, { kind: "answer", status: 503 }, isRequest("POST", "/token")),
  });
  using world = observe({ credentials: having(password) });
  const image = sampleImage([]);
  registry.addManifest("app", "1", image.manifest.bytes, OCI_MANIFEST);
  expect((await world.client.resolve(referenceTo(registry.host, "app:1"))).descriptor).toEqual(
    image.manifest.descriptor,
  );
});
