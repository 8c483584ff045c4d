// Pain 12: a build that needs nothing new needs no network; where tags are looked up is the user's choice.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { performance } from "node:perf_hooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDockerRegistry, type DockerRegistry } from "../../support/docker-registry.ts";
import { openRig, type Rig } from "../../support/rig.ts";

const LAUNCHER = resolve(import.meta.dirname, "../../../src/bin/tsbuild");

let rig: Rig;
let registry: DockerRegistry;
beforeAll(async () => {
  rig = await openRig();
  registry = await openDockerRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

/** Pushes an image whose file says `text`, and lets the store forget the name. */
async function publish(name: string, text: string): Promise<string> {
  const full = `${registry.host}/${name}:1`;
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY text /text\n", text });
  await rig.must(["-t", full, "--push", context]);
  await rig.must(["rmi", full]);
  return full;
}

/** Runs in a network namespace without any interface. */
function withoutNetwork(args: readonly string[]): { readonly status: number | null; readonly stderr: string } {
  const env = { PATH: process.env["PATH"], HOME: rig.root, TSBUILD_ROOT: rig.store };
  return spawnSync("unshare", ["--net", LAUNCHER, ...args], { env, encoding: "utf8" });
}

test("an unchanged build needs no network; what is missing is named in one line", async () => {
  const base = await publish("offline", "one");
  const server = createServer((_request, response) => response.end("file")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.txt`;
  const context = rig.context({ Dockerfile: `FROM ${base}\nADD ${url} /\nRUN cat /text > /copy\n` });
  await rig.must(["-t", "offline", context]);
  server.close();
  const startedMs = performance.now();
  const { status, stderr } = withoutNetwork(["--offline", "-t", "offline", context]);
  expect(status, stderr).toBe(0);
  // A second on a machine of its own; the tests share theirs.
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  const other = rig.context({ Dockerfile: `FROM ${registry.host}/never-seen:1\nRUN true\n` });
  const missing = withoutNetwork(["--offline", other]);
  expect(missing.status).toBe(1);
  expect(missing.stderr).toContain(
    `${registry.host}/never-seen:1 is not in the store, and --offline forbids fetching it`,
  );
  const file = rig.context({ Dockerfile: "FROM busybox\nADD http://127.0.0.1:1/gone /\n" });
  expect(withoutNetwork(["--offline", file]).stderr).toContain("http://127.0.0.1:1/gone is not in the store");
  expect((await rig.tsbuild(["--offline", "--push", "-t", "x/y", context])).code).toBe(2);
});

test("U13: --pull is missing, always, newer or never", async () => {
  const base = await publish("pulled", "one");
  const context = rig.context({ Dockerfile: `FROM ${base}\n` });
  const out = join(rig.root, "out");
  const built = async (...flags: readonly string[]): Promise<string> => {
    await rig.must([...flags, "-o", out, context]);
    return spawnSync("cat", [join(out, "text")], { encoding: "utf8" }).stdout;
  };
  const never = await rig.tsbuild(["--pull=never", context]);
  expect([never.code, never.stderr]).toEqual([1, expect.stringContaining("--pull=never forbids asking its registry")]);
  expect(await built()).toBe("one");
  await publish("pulled", "two");
  expect(await built("--pull=missing")).toBe("one");
  expect(await built("--pull=never")).toBe("one");
  expect(await built("--pull=newer")).toBe("two");
  await publish("pulled", "three");
  expect(await built("--pull")).toBe("three");
  const unreachable = withoutNetwork(["--pull=newer", "-o", out, context]);
  expect(unreachable.stderr).toContain("the one in the store is used");
  expect(unreachable.status).toBe(0);
  expect((await rig.tsbuild(["--pull=sometimes", context])).code).toBe(2);
});
