// Caches in GitHub Actions, against a service of our own that behaves as its clients expect (reference G05; pains 7, 33).
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GhaClient } from "../../../src/cache/gha-client.ts";
import { systemClock } from "../../../src/registry/retry.ts";
import { Transport } from "../../../src/registry/transport.ts";
import { GH_TOKEN, openGhaServer, type GhaServer } from "../../support/gha-server.ts";
import { openRig, type CommandResult, type Rig } from "../../support/rig.ts";

let rig: Rig;
let server: GhaServer;

beforeAll(async () => {
  [rig, server] = await Promise.all([openRig(), openGhaServer()]);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

function context(text: string): string {
  return rig.context({ Dockerfile: `FROM busybox\nRUN echo ${text} > /x\n` });
}

function build(args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<CommandResult> {
  const env = { ACTIONS_RESULTS_URL: server.url, ACTIONS_RUNTIME_TOKEN: server.token, GITHUB_API_URL: server.url };
  return rig.must(["--progress", "plain", "-o", "type=cacheonly", ...args], { env: { ...env, ...more } });
}

async function wiped(args: readonly string[]): Promise<CommandResult> {
  await rig.must(["prune", "--all"]);
  return build(args);
}

function outcome(result: CommandResult): string {
  return /^#\d+ \[.*2\/2\].*\n(?:#\d+ not cached.*\n)?#\d+ (\S+)/m.exec(result.stderr)?.[1] ?? "";
}

const notes = (result: CommandResult): string[] =>
  result.stderr.split("\n").filter((line) => line.startsWith("note: cache"));

test("G05: a cache goes to GitHub and comes back, through a service that asks for patience", async () => {
  const step = context("there");
  server.throttle(2);
  await build(["--cache-to", "type=gha,scope=app,mode=max", step]);
  const keys = [...server.entries.keys()];
  expect(keys).toEqual([
    expect.stringMatching(/^buildkit-blob-1-sha256:/),
    expect.stringMatching(/^buildkit-blob-1-sha256:/),
    expect.stringMatching(/^tsbuild-index-app-1-[0-9a-f]{8}#1$/),
  ]);
  server.requests();
  await build(["--cache-to", "type=gha,scope=app,mode=max", step]);
  expect(server.requests().filter((line) => line.startsWith("PUT"))).toEqual([]);
  const result = await wiped(["--cache-from", "type=gha,scope=app", step]);
  expect([outcome(result), notes(result)]).toEqual(["CACHED", []]);
});

test("pain 7: an index whose blob was evicted is a miss and one line", async () => {
  const step = context("evicted");
  await build(["--cache-to", "type=gha,scope=gone", step]);
  for (const key of server.entries.keys()) if (key.startsWith("buildkit-blob")) server.forget(key);
  const result = await wiped(["--cache-from", "type=gha,scope=gone", step]);
  expect(outcome(result)).toBe("DONE");
  expect(notes(result)).toEqual([
    expect.stringMatching(/cache from gha scope gone: layer sha256:\w+ is not there any more/),
  ]);
});

test("pain 33: keep=1 removes what is not kept, with a token that may", async () => {
  const to = ["--cache-to", `type=gha,scope=keep,keep=1,repository=o/r,ghtoken=${GH_TOKEN}`];
  const before = server.entries.size;
  await build([...to, context("keep-1")]);
  await build([...to, context("keep-2")]);
  expect(server.entries.size).toBe(before + 3);
  expect([...server.entries.keys()].at(-1)).toMatch(/#2$/);
});

test("G05: tokens are in no message; outside of a job it is one line", async () => {
  const wrong = await build(["--cache-to", "type=gha", context("wrong")], {
    ACTIONS_RUNTIME_TOKEN: `${server.token}x`,
  });
  expect(notes(wrong)).toEqual([expect.stringMatching(/was not exported: github actions cache, .* answered 401/)]);
  expect(wrong.stderr).not.toContain(server.token);
  expect(wrong.stderr).not.toContain("signed-secret");
  const outside = await build(["--cache-to", "type=gha", context("outside")], { ACTIONS_RUNTIME_TOKEN: "" });
  expect(notes(outside)).toEqual([expect.stringMatching(/was not exported: /)]);
  const old = await rig.tsbuild(["--cache-to", "type=gha,version=1", context("old")]);
  expect([old.code, old.stderr]).toEqual([1, expect.stringContaining("only version 2 of the cache service is built")]);
});

test("G05: a large entry goes in blocks and comes back from the middle", async () => {
  using transport = new Transport({ userAgent: "tsbuild/test" });
  const { url, token } = server;
  const location = { kind: "gha", scope: "x", url, token, timeoutMs: 1000, apiUrl: url } as const;
  const client = new GhaClient({ location, transport, clock: systemClock, blockSize: 300_000 });
  const bytes = randomBytes(1_000_000);
  const { signal } = new AbortController();
  const open = async function* () {
    yield bytes;
  };
  expect(await client.create("large", bytes.length, open, signal)).toBe(true);
  expect(await client.create("large", bytes.length, open, signal)).toBe(false);
  const chunks: Uint8Array[] = [];
  for await (const chunk of client.open((await client.find("lar", signal))!, 999_000, signal)) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(bytes.subarray(999_000))).toBe(true);
});
