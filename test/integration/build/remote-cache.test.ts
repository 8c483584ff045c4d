// Caches that travel: one machine exports, another one with an empty store imports (reference G01–G09, G24; pains 7, 32, 33).
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { downloads, openDockerRegistry, uploads, type DockerRegistry } from "../../support/docker-registry.ts";
import { openRig, type CommandResult, type Rig } from "../../support/rig.ts";

let rig: Rig;
let registry: DockerRegistry;
let machines = 0;

beforeAll(async () => {
  rig = await openRig();
  registry = await openDockerRegistry();
  await rig.must(["tag", "busybox", `${registry.host}/base:1`]);
  await rig.must(["push", `${registry.host}/base:1`]);
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

/** A machine that has nothing yet. */
function machine(): { build(args: readonly string[]): Promise<CommandResult>; readonly store: string } {
  const store = join(rig.root, `m${++machines}`);
  return {
    store,
    build: (args) => rig.must(["--progress", "plain", ...args], { env: { TSBUILD_ROOT: store } }),
  };
}

/** Instructions of the last attempt → how they ended. */
function steps(result: CommandResult): Record<string, string> {
  const text = result.stderr.slice(result.stderr.lastIndexOf("[internal] load build definition"));
  const names = new Map([...text.matchAll(/^#(\d+) \[.*\d\/\d\] (.*)$/gm)].map(([, number, name]) => [number, name!]));
  const ends = [...text.matchAll(/^#(\d+) (CACHED|DONE)/gm)];
  const found = ends.map(([, number, end]) => [names.get(number) ?? "", end === "CACHED" ? "cached" : "ran"]);
  return Object.fromEntries(found.filter(([name]) => name !== "" && !name!.startsWith("FROM "))) as Record<
    string,
    string
  >;
}

function notices(result: CommandResult): string[] {
  return [...result.stderr.matchAll(/^note: (cache (?:from|to) .*)$/gm)].map(([, text]) => text!);
}

async function sent(): Promise<number> {
  return uploads(await registry.requests()).length;
}

const TWO_STAGES = (text = "one") => ({
  Dockerfile: `FROM ${registry.host}/base:1 AS build
WORKDIR /src
COPY a .
RUN cat a > b && head -c 300000 /dev/urandom > noise
FROM ${registry.host}/base:1
COPY --from=build /src/b /b
RUN cat /b /b > /c
`,
  a: text,
});

test.each(["registry", "local"] as const)(
  "G03 G04 G24: another machine builds nothing with a %s cache",
  async (type) => {
    const place = type === "registry" ? `ref=${registry.host}/cache:${type}` : "";
    const folder = join(rig.root, "exported");
    const to = type === "registry" ? place : `dest=${folder}`;
    const from = type === "registry" ? place : `src=${folder}`;
    const context = rig.context(TWO_STAGES(type));
    const first = machine();
    await first.build(["--cache-to", `type=${type},${to},mode=max`, "-o", "type=cacheonly", context]);
    const second = machine();
    const result = await second.build([
      "--cache-from",
      `type=${type},${from}`,
      "-o",
      join(rig.root, `out-${type}`),
      context,
    ]);
    expect(new Set(Object.values(steps(result)))).toEqual(new Set(["cached"]));
    expect(statSync(join(rig.root, `out-${type}/c`)).size).toBe(2 * type.length);
    expect(notices(result)).toEqual([]);
  },
);

test("pain 7: an export with nothing changed sends no blob, also from another machine", async () => {
  const context = rig.context(TWO_STAGES());
  const cache = ["--cache-to", `type=registry,ref=${registry.host}/again:c,mode=max`];
  const push = ["-t", `${registry.host}/again/app:1`, "--push"];
  const first = machine();
  await first.build([...cache, ...push, context]);
  expect(await sent()).toBeGreaterThan(0);
  await first.build([...cache, ...push, context]);
  expect(await sent()).toBe(0);
  await machine().build([...cache, "--cache-from", `${registry.host}/again:c`, "-o", "type=cacheonly", context]);
  expect(await sent()).toBe(0);
});

test("pain 32: a cached build that is pushed to the registry of its cache downloads next to nothing", async () => {
  const files = TWO_STAGES();
  const context = rig.context({
    ...files,
    Dockerfile: files.Dockerfile.replace("> /c", "> /c && head -c 3000000 /dev/urandom > /d"),
  });
  const push = ["-t", `${registry.host}/lazy/app:1`, "--push"];
  const [one, two] = [join(rig.root, "one.iid"), join(rig.root, "two.iid")];
  await machine().build([
    "--iidfile",
    one,
    "--cache-to",
    `type=registry,ref=${registry.host}/lazy:c`,
    ...push,
    context,
  ]);
  await registry.requests();
  await machine().build(["--iidfile", two, "--cache-from", `${registry.host}/lazy:c`, ...push, context]);
  const requests = await registry.requests();
  expect(uploads(requests)).toEqual([]);
  expect(bytesOf(downloads(requests))).toBeLessThan(100_000);
  expect(readFileSync(two, "utf8")).toBe(readFileSync(one, "utf8"));
});

test("what nobody has 14: what warm has taken from a cache is there when the cache is not, cache mounts too", async () => {
  const folder = join(rig.root, "warm");
  const file = rig.context({
    Dockerfile: `FROM ${registry.host}/base:1
RUN head -c 100000 /dev/urandom > /noise
COPY a /a
ARG ROUND=1
RUN --mount=type=cache,target=/m echo $ROUND >> /m/lines && cat /m/lines > /lines
`,
    a: "a",
  });
  await machine().build(["--cache-to", `type=local,dest=${folder},mode=max,mounts=true`, "-o", "type=cacheonly", file]);
  const second = machine();
  const env = { env: { TSBUILD_ROOT: second.store } };
  const from = ["--cache-from", `type=local,src=${folder}`];
  expect((await rig.must(["warm", ...from, file], env)).stdout).toMatch(
    /: fetched 1 step and unpacked 1 base image, .* has 2 steps left to do\n$/,
  );
  expect((await rig.must(["warm", ...from, file], env)).stdout).toContain(": everything was there; ");
  rmSync(folder, { recursive: true });
  const out = join(rig.root, "warm-out");
  const result = await second.build(["--offline", "--build-arg", "ROUND=2", "-o", out, file]);
  expect(Object.values(steps(result))).toEqual(["cached", "ran", "ran"]);
  expect(readFileSync(join(out, "lines"), "utf8")).toBe("1\n2\n");
});

test("what nobody has 14: warm runs the step whose layer the cache has lost, and says so once", async () => {
  const folder = join(rig.root, "warm-lost");
  const file = rig.context({ Dockerfile: `FROM ${registry.host}/base:1\nRUN head -c 100000 /dev/urandom > /lost\n` });
  await machine().build(["--cache-to", `type=local,dest=${folder},mode=max`, "-o", "type=cacheonly", file]);
  for (const [path] of layersIn(folder)) rmSync(path);
  const { stdout, stderr } = await rig.must(["warm", "--cache-from", `type=local,src=${folder}`, file], {
    env: { TSBUILD_ROOT: machine().store },
  });
  expect(stdout).toMatch(/: ran 1 step\b/);
  expect(stderr.match(/^note: cache from /gm)?.length).toBe(1);
});

test("one changed file on another machine runs what depends on it", async () => {
  const cache = `${registry.host}/change:c`;
  await machine().build([
    "--cache-to",
    `type=registry,ref=${cache},mode=max`,
    "-o",
    "type=cacheonly",
    rig.context(TWO_STAGES()),
  ]);
  const changed = await machine().build([
    "--cache-from",
    cache,
    "-o",
    "type=cacheonly",
    rig.context(TWO_STAGES("two")),
  ]);
  expect(changed.stderr).toMatch(/^#\d+ not cached: files of the build context changed$/m);
  expect(steps(changed)).toEqual({
    "WORKDIR /src": "cached",
    "COPY a .": "ran",
    "RUN cat a > b && head -c 300000 /dev/urandom > noise": "ran",
    "COPY --from=build /src/b /b": "ran",
    "RUN cat /b /b > /c": "ran",
  });
});

test("early cut-off across machines: a step that made the same files again is the same", async () => {
  const cache = `${registry.host}/cutoff:c`;
  const files = (word: string) => ({
    Dockerfile: `FROM ${registry.host}/base:1\nRUN echo ${word} >/dev/null; echo same > /x\nRUN date +%N > /y\n`,
  });
  await machine().build(["--cache-to", cache, "-o", "type=cacheonly", rig.context(files("a"))]);
  const changed = await machine().build(["--cache-from", cache, "-o", "type=cacheonly", rig.context(files("b"))]);
  expect(Object.values(steps(changed))).toEqual(["ran", "cached"]);
  expect(changed.stderr).toMatch(/^#\d+ not cached: command changed$/m);
});

test.each(["missing", "truncated", "forged"])("a %s blob is a miss and one line", async (damage) => {
  const context = rig.context({
    Dockerfile: `FROM ${registry.host}/base:1\nRUN echo ${damage} > /x\nRUN cat /x /x > /y\n`,
  });
  const folder = join(rig.root, damage);
  await machine().build(["--cache-to", `type=local,dest=${folder}`, "-o", "type=cacheonly", context]);
  for (const [path, size] of layersIn(folder))
    if (damage === "missing") rmSync(path);
    else writeFileSync(path, Buffer.alloc(damage === "truncated" ? size - 1 : size));
  const out = join(rig.root, `${damage}-out`);
  const result = await machine().build(["--cache-from", `type=local,src=${folder}`, "-o", out, context]);
  // What a forged blob is shows when it is read: one attempt later for each.
  expect(Object.values(steps(result)).at(-1)).toBe("ran");
  expect(notices(result).length).toBe(2);
  expect(statSync(join(out, "y")).size).toBe(2 * (damage.length + 1));
});

test("a layer that is not what the cache says it is, is a miss and one line", async () => {
  const context = rig.context({ Dockerfile: `FROM ${registry.host}/base:1\nRUN echo x > /x\n` });
  const folder = join(rig.root, "liar");
  const to = ["--cache-to", `type=local,dest=${folder}`, "-o", "type=cacheonly"];
  await machine().build([...to, context]);
  const liar = rewriteConfig(folder, (text) => text.replace(/"diffId":"sha256:..../, '"diffId":"sha256:0000'));
  const from = ["--cache-from", `type=local,src=${folder},digest=${liar}`];
  const result = await machine().build([...from, "-o", join(rig.root, "liar-out"), context]);
  expect(Object.values(steps(result))).toEqual(["ran"]);
  expect(notices(result)).toEqual([expect.stringMatching(/layer sha256:\w+ is not used: the uncompressed content/)]);
});

test("pain 7: a registry that is down costs one warning, not the build", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN echo down > /x\n" });
  const down = "127.0.0.1:9/cache:1";
  const result = await rig.must(["--cache-to", down, "-o", "type=cacheonly", context]);
  expect(notices(result).length).toBe(1);
  expect(result.stderr).toMatch(/cache to registry 127\.0\.0\.1:9\/cache:1 was not exported: /);
  const other = rig.context({ Dockerfile: "FROM busybox\nRUN echo down, too > /x\n" });
  const again = await rig.must(["--cache-from", down, "-o", "type=cacheonly", other]);
  expect(notices(again).length).toBe(1);
  const strict = await rig.tsbuild(["--cache-to", `type=registry,ref=${down},ignore-error=false`, context]);
  expect(strict.code).toBe(3);
});

test("pain 33: what is kept stays within its size, and every kept export still imports", async () => {
  const folder = join(rig.root, "kept");
  const exporter = machine();
  const build = (round: number) =>
    rig.context({
      Dockerfile: `FROM ${registry.host}/base:1\nRUN echo ${round} > /x; head -c 100000 /dev/urandom > /y\n`,
    });
  const rounds = Number(process.env["TSBUILD_TEST_EXPORTS"] ?? 4);
  const to = ["--cache-to", `type=local,dest=${folder},max-size=250k`, "-o", "type=cacheonly"];
  for (let round = 0; round < rounds; round++) {
    await exporter.build([...to, build(round)]);
    expect(sizeOf(folder)).toBeLessThan(250 * 1024 + 40_000);
  }
  const from = ["--cache-from", `type=local,src=${folder}`, "-o", join(rig.root, "kept-out")];
  for (let round = rounds - 2; round < rounds; round++)
    expect(Object.values(steps(await machine().build([...from, build(round)])))).toEqual(["cached"]);
  expect(Object.values(steps(await machine().build([...from, build(rounds - 3)])))).toEqual(["ran"]);
});

test("pain 33: keep=N leaves N exports in a registry, and removes the manifests before", async () => {
  const cache = `${registry.host}/keep:c`;
  const exporter = machine();
  const build = (round: number) =>
    rig.context({ Dockerfile: `FROM ${registry.host}/base:1\nRUN echo ${round} > /x\n` });
  for (let round = 0; round < 3; round++)
    await exporter.build(["--cache-to", `type=registry,ref=${cache},keep=2`, "-o", "type=cacheonly", build(round)]);
  expect((await registry.requests()).filter(({ method, status }) => method === "DELETE" && status === 202).length).toBe(
    2,
  );
  const outcome = async (round: number) =>
    Object.values(steps(await machine().build(["--cache-from", cache, "-o", "type=cacheonly", build(round)])));
  expect(await outcome(2)).toEqual(["cached"]);
  expect(await outcome(1)).toEqual(["cached"]);
  expect(await outcome(0)).toEqual(["ran"]);
});

test("a layer that is made faster than moved stays at home, unless it is asked for", async () => {
  const context = rig.context({ Dockerfile: `FROM ${registry.host}/base:1\nRUN truncate -s 100M /big\n` });
  const to = (name: string, more: string) => ["--cache-to", `type=registry,ref=${registry.host}/cheap:${name}${more}`];
  const result = await machine().build([
    ...to("no", ""),
    ...to("yes", ",skip-cheap=false"),
    "-o",
    "type=cacheonly",
    context,
  ]);
  expect(notices(result)).toEqual([expect.stringMatching(/cheap:no: no step has a layer that is worth exporting/)]);
  const imported = await machine().build([
    "--cache-from",
    `${registry.host}/cheap:yes`,
    "-o",
    "type=cacheonly",
    context,
  ]);
  expect(Object.values(steps(imported))).toEqual(["cached"]);
});

test("pain 2: cache mounts travel, and one that did not change moves nothing", async () => {
  const cache = `${registry.host}/mounts:c`;
  const context = rig.context({
    Dockerfile: `FROM ${registry.host}/base:1
ARG ROUND
RUN --mount=type=cache,target=/m echo $ROUND >> /m/lines && head -c 2000000 /dev/urandom > /m/big-$ROUND && ln /m/lines /m/again-$ROUND && cp /m/lines /lines
`,
  });
  const build = (on: ReturnType<typeof machine>, round: string, ...more: string[]) =>
    on.build([
      "--build-arg",
      `ROUND=${round}`,
      "--cache-to",
      `type=registry,ref=${cache},mounts=true`,
      ...more,
      context,
    ]);
  const first = machine();
  await build(first, "one", "-o", "type=cacheonly");
  expect(await sent()).toBeGreaterThan(0);
  await build(first, "one", "-o", "type=cacheonly");
  expect(await sent()).toBe(0);
  const out = join(rig.root, "mounts-out");
  const second = machine();
  await build(second, "two", "--cache-from", cache, "-o", out);
  expect(readFileSync(join(out, "lines"), "utf8")).toBe("one\ntwo\n");
  const blobs = uploads(await registry.requests()).filter(({ method }) => method === "PUT");
  // The step's layer, the part with the lines, the new big file, two for the records: the big file of before stays where it is.
  expect(blobs.length).toBeLessThanOrEqual(5);
  await build(machine(), "two", "--cache-from", cache, "-o", "type=cacheonly");
  expect(await sent()).toBe(0);
});

test("a cache mount that is damaged on its way starts empty, with one line", async () => {
  const folder = join(rig.root, "mount-damage");
  const context = rig.context({
    Dockerfile: `FROM ${registry.host}/base:1\nARG ROUND\nRUN --mount=type=cache,target=/m echo $ROUND >> /m/lines && cp /m/lines /lines\n`,
  });
  const args = (round: string) => ["--build-arg", `ROUND=${round}`];
  await machine().build([
    ...args("a"),
    "--cache-to",
    `type=local,dest=${folder},mounts=true`,
    "-o",
    "type=cacheonly",
    context,
  ]);
  for (const [path] of layersIn(folder)) writeFileSync(path, "nonsense");
  const out = join(rig.root, "mount-damage-out");
  const result = await machine().build([...args("b"), "--cache-from", `type=local,src=${folder}`, "-o", out, context]);
  expect(readFileSync(join(out, "lines"), "utf8")).toBe("b\n");
  expect(notices(result)).toEqual([expect.stringMatching(/cache mount \/m is not used/)]);
});

test.each([
  ["--cache-to", "type=inline"],
  ["--build-arg", "BUILDKIT_INLINE_CACHE=1"],
])("G02 A25: an image carries the cache of its own steps with %s %s", async (flag, value) => {
  const name = `${registry.host}/inline/${flag.slice(2)}:1`;
  const context = rig.context(TWO_STAGES("inline"));
  const args = [flag, value, "-t", name, "--push", context];
  const first = machine();
  await first.build(args);
  await first.build(args);
  await registry.requests();
  const second = machine();
  const result = await second.build(["--cache-from", name, "-t", `${name}-again`, "--push", context]);
  expect(steps(result)["COPY --from=build /src/b /b"]).toBe("cached");
  expect(steps(result)["RUN cat /b /b > /c"]).toBe("cached");
  expect(notices(result)).toEqual([]);
  expect(uploads(await registry.requests()).filter(({ method }) => method === "PUT").length).toBe(1);
});

test("what has no cache in it is one line", async () => {
  const context = rig.context({ Dockerfile: `FROM ${registry.host}/base:1\nRUN echo none > /none\n` });
  const result = await machine().build(["--cache-from", `${registry.host}/base:1`, "-o", "type=cacheonly", context]);
  expect(notices(result)).toEqual([expect.stringMatching(/base:1: it is an image without a cache in it/)]);
});

test("build args and secrets are in no cache", async () => {
  const folder = join(rig.root, "quiet");
  const context = rig.context({
    Dockerfile:
      "FROM busybox AS a\nARG TOKEN\nRUN --mount=type=secret,id=s cat /run/secrets/s > /dev/null; echo a > /x\nFROM busybox\nCOPY --from=a /x /\n",
  });
  const file = join(rig.root, "secret");
  writeFileSync(file, "hush-hush-secret");
  const secret = ["--build-arg", "TOKEN=hush-hush-arg", "--secret", `id=s,src=${file}`];
  await rig.must([...secret, "--cache-to", `type=local,dest=${folder},mode=max`, "-o", "type=cacheonly", context]);
  const blobs = readdirSync(join(folder, "blobs/sha256")).map((name) =>
    readFileSync(join(folder, "blobs/sha256", name)),
  );
  expect(blobs.length).toBeGreaterThan(2);
  for (const blob of blobs) expect(blob.toString("latin1")).not.toContain("hush");
});

/** Sum of the blobs that were asked for, from the registry's own files. */
function bytesOf(requests: readonly { readonly url: string }[]): number {
  const hexes = requests.map(({ url }) => /sha256:([0-9a-f]{64})/.exec(url)![1]!);
  const path = (hex: string) => join(registry.dataDir, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
  return hexes.reduce((total, hex) => total + statSync(path(hex)).size, 0);
}

/** Layer blobs of a layout with their sizes. */
function layersIn(folder: string): [path: string, size: number][] {
  const { manifest } = readLayout(folder);
  return manifest.layers.map(({ digest, size }) => [blobPath(folder, digest), size]);
}

interface CacheManifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
}

function readLayout(folder: string): { readonly manifest: CacheManifest } {
  const index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as { manifests: { digest: string }[] };
  const manifest = JSON.parse(readFileSync(blobPath(folder, index.manifests[0]!.digest), "utf8")) as CacheManifest;
  return { manifest };
}

/** A second manifest whose records say something else; its digest. */
function rewriteConfig(folder: string, change: (text: string) => string): string {
  const { manifest } = readLayout(folder);
  const text = change(readFileSync(blobPath(folder, manifest.config.digest), "utf8"));
  const config = { ...manifest.config, digest: put(folder, text), size: Buffer.byteLength(text) };
  return put(folder, JSON.stringify({ ...manifest, config }));
}

function put(folder: string, text: string): string {
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  writeFileSync(blobPath(folder, digest), text);
  return digest;
}

function blobPath(folder: string, digest: string): string {
  return join(folder, "blobs/sha256", digest.slice(7));
}

function sizeOf(folder: string): number {
  const blobs = join(folder, "blobs/sha256");
  return readdirSync(blobs).reduce((total, name) => total + statSync(join(blobs, name)).size, 0);
}
