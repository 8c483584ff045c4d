// config.json, auth.json and helpers: which credentials a registry gets, how often a helper runs, and that no secret gets into a message.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ConfiguredCredentials } from "../../../src/registry/configured-credentials.ts";
import type { RunProgram } from "../../../src/registry/credential-helper.ts";
import {
  dockerConfigPaths,
  loadDockerConfig,
  lookUpAuth,
  parseDockerConfig,
} from "../../../src/registry/docker-config.ts";

const folder = mkdtempSync(join(tmpdir(), "tsbuild-credentials-"));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function file(value: unknown): string {
  const path = join(folder, `${++count}.json`);
  writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const password = (username: string, secret: string, source: string) => ({
  kind: "password",
  username,
  password: secret,
  source,
});

test("RG09: the ways to write an entry", () => {
  const config = parseDockerConfig(
    JSON.stringify({
      auths: {
        "https://index.docker.io/v1/": { auth: base64("hub:a:b") },
        "https://r1.io/v2/": { username: "u", password: "p" },
        "r2.io:5000": { auth: base64("ignored:x"), identitytoken: "refresh" },
        "r3.io": { registrytoken: "bearer" },
        "r4.io": {},
        "quay.io/org/team": { auth: base64("team:t") },
        "quay.io": { auth: base64("all:t") },
      },
    }),
    "f",
  );
  expect(lookUpAuth(config, "docker.io", "library/x")).toEqual(password("hub", "a:b", "f"));
  expect(lookUpAuth(config, "registry-1.docker.io", "library/x")).toEqual(password("hub", "a:b", "f"));
  expect(lookUpAuth(config, "r1.io", "x")).toEqual(password("u", "p", "f"));
  expect(lookUpAuth(config, "r2.io:5000", "x")).toEqual({ kind: "identity-token", token: "refresh", source: "f" });
  expect(lookUpAuth(config, "r2.io", "x")).toBeUndefined();
  expect(lookUpAuth(config, "r3.io", "x")).toEqual({ kind: "registry-token", token: "bearer", source: "f" });
  expect(lookUpAuth(config, "r4.io", "x")).toBeUndefined();
  expect(lookUpAuth(config, "quay.io", "org/team/app")).toEqual(password("team", "t", "f"));
  expect(lookUpAuth(config, "quay.io", "org/teams")).toEqual(password("all", "t", "f"));
});

test("RG09: files in order, DOCKER_CONFIG and REGISTRY_AUTH_FILE named first, missing ones skipped", async () => {
  const environment = { DOCKER_CONFIG: "/d", REGISTRY_AUTH_FILE: "/r.json", XDG_RUNTIME_DIR: "/run/u", HOME: "/h" };
  expect(dockerConfigPaths(environment)).toEqual([
    "/r.json",
    "/d/config.json",
    "/run/u/containers/auth.json",
    "/h/.config/containers/auth.json",
  ]);
  expect(dockerConfigPaths({ HOME: "/h" })[0]).toBe("/h/.docker/config.json");
  expect(
    await loadDockerConfig([
      join(folder, "none.json"),
      file({ HttpHeaders: { "X-Team": "a" }, proxies: { default: { httpProxy: "p" } } }),
    ]),
  ).toMatchObject([{ httpHeaders: { "X-Team": "a" }, proxies: new Map([["default", { httpProxy: "p" }]]) }]);
});

test("RG09: a damaged file is named, its contents are not", async () => {
  const path = file('{"auths": {"r.io": {"auth": "c2VjcmV0"');
  await expect(loadDockerConfig([path])).rejects.toMatchObject({
    code: "usage",
    message: `${path} is not a JSON object`,
  });
});

interface Helper {
  readonly run: RunProgram;
  readonly calls: string[];
}

function helper(answer: (call: number) => { exitCode?: number; stdout: string }): Helper {
  const calls: string[] = [];
  return {
    calls,
    run(command, args, { input }) {
      calls.push([command, ...args, input].join(" "));
      return Promise.resolve({ exitCode: 0, stderr: "", ...answer(calls.length) });
    },
  };
}

const secretAnswer = (Username: string, Secret: string) => ({
  stdout: JSON.stringify({ ServerURL: "", Username, Secret }),
});
const configured = (paths: readonly string[], { run }: Helper, now = () => 0) =>
  new ConfiguredCredentials({ environment: {}, paths, now, run });

test("RG10: the host's helper before the store before the entry; the Hub by its own name; <token> is an identity token", async () => {
  const tool = helper((call) => secretAnswer(call === 2 ? "<token>" : "u", `s${call}`));
  const path = file({ auths: { "r.io": { auth: base64("x:y") } }, credHelpers: { "r.io": "one" }, credsStore: "all" });
  const source = configured([path], tool);
  expect((await source.get("r.io", "a")).credentials).toEqual(password("u", "s1", "docker-credential-one"));
  expect((await source.get("docker.io", "a")).credentials).toMatchObject({ kind: "identity-token", token: "s2" });
  expect(tool.calls).toEqual([
    "docker-credential-one get r.io",
    "docker-credential-all get https://index.docker.io/v1/",
  ]);
});

test("RG10, pain 21: one run for 200 blobs at once, another after 4m50s, another after forget", async () => {
  let now = 0;
  const tool = helper((call) => secretAnswer("u", `s${call}`));
  const source = configured([file({ credsStore: "all" })], tool, () => now);
  const all = await Promise.all(Array.from({ length: 200 }, (_, index) => source.get("r.io", `repo${index}`)));
  now = 289_000;
  await source.get("r.io", "a");
  expect(tool.calls.length).toBe(1);
  now = 290_001;
  await source.get("r.io", "a");
  expect(tool.calls.length).toBe(2);
  // What was refused is older than what we have by now: no reason to ask again.
  source.forget(all[0]!);
  const third = await source.get("r.io", "a");
  expect(tool.calls.length).toBe(2);
  source.forget(third);
  expect((await source.get("r.io", "a")).credentials).toMatchObject({ password: "s3" });
});

test("RG10: 'not found' is anonymous, without a problem; then the entry of the file counts", async () => {
  const tool = helper(() => ({ exitCode: 1, stdout: "credentials not found in native keychain\n" }));
  expect(await configured([file({ credsStore: "all" })], tool).get("r.io", "a")).toEqual({});
  const path = file({ credsStore: "all", auths: { "r.io": { auth: base64("x:y") } } });
  expect((await configured([path], tool).get("r.io", "a")).credentials).toEqual(password("x", "y", path));
});

test("RG10: a broken helper is a problem that can be shown, not an error: public images need no credentials", async () => {
  const path = file({ credsStore: "desktop" });
  const missing: Helper = {
    calls: [],
    run: () => Promise.reject(Object.assign(new Error("spawn"), { code: "ENOENT" })),
  };
  expect(await configured([path], missing).get("r.io", "a")).toEqual({
    problem: `docker-credential-desktop is not installed (named in ${path})`,
  });
  const talking = helper(() => ({ stdout: '{"Username":"u","Secret":"geheim"' }));
  expect(JSON.stringify(await configured([path], talking).get("r.io", "a"))).not.toContain("geheim");
  const evil = helper(() => secretAnswer("u", "s"));
  expect(await configured([file({ credsStore: "../../tmp/x" })], evil).get("r.io", "a")).toHaveProperty("problem");
  expect(evil.calls).toEqual([]);
});
