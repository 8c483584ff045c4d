// --cache-from a cache that BuildKit has exported: its steps are hits, on exactly what they were made on (reference G02, G09, G20–G24). The export in fixtures/buildkit-cache/layout was recorded:
// its RUN writes the time, so that a layer of that content can only come from there.
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { digestOf } from "../../../src/oci/digest.ts";
import type { Descriptor, Manifest } from "../../../src/oci/image.ts";
import { downloads, openDockerRegistry, type DockerRegistry } from "../../support/docker-registry.ts";
import { openRig, type CommandResult, type Rig } from "../../support/rig.ts";

const FIXTURE = join(import.meta.dirname, "../../../fixtures/buildkit-cache");
const REFERENCES = JSON.parse(readFileSync(join(FIXTURE, "references.json"), "utf8")) as Record<string, Descriptor>;
/** What the recorded RUNs left: the times of then. */
const FIRST_MADE = "04cf0d6b00000000978fcc0b00000000";
const LAST_MADE = "05cf0d6b00000000080e620100000000";
const TEXT = `ARG BASE
FROM $BASE
ENV A=b
RUN ["/w"]
WORKDIR /d
COPY f /d/
RUN ["/w"]
`;

let rig: Rig;
let registry: DockerRegistry;
let machines = 0;

beforeAll(async () => {
  rig = await openRig();
  registry = await openDockerRegistry();
  for (const name of Object.keys(REFERENCES)) await put(name === "base" ? "base" : "cache", name);
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

function blob({ digest }: Descriptor): Buffer {
  return readFileSync(join(FIXTURE, "layout/blobs/sha256", digest.slice("sha256:".length)));
}

/** Puts a recorded manifest with all that it names into a repository, tagged with its name. */
async function put(repository: string, name: string): Promise<void> {
  const descriptor = REFERENCES[name]!;
  const {
    config,
    layers = [],
    manifests = [],
  } = JSON.parse(blob(descriptor).toString()) as Partial<Manifest> & {
    manifests?: Descriptor[];
  };
  for (const part of [...(config ? [config] : []), ...layers, ...manifests]) await upload(repository, blob(part), part);
  await putManifest(repository, name, blob(descriptor), descriptor.mediaType);
}

async function upload(repository: string, bytes: Uint8Array, { digest }: { readonly digest: string }): Promise<void> {
  const url = `http://${registry.host}/v2/${repository}/blobs/uploads/`;
  const place = new URL((await fetch(url, { method: "POST" })).headers.get("location")!, url);
  place.searchParams.set("digest", digest);
  const { status } = await fetch(place, { method: "PUT", body: bytes });
  expect(status).toBe(201);
}

async function putManifest(repository: string, tag: string, bytes: Uint8Array, mediaType: string): Promise<void> {
  const url = `http://${registry.host}/v2/${repository}/manifests/${tag}`;
  const headers = { "content-type": mediaType };
  expect((await fetch(url, { method: "PUT", body: bytes, headers })).status).toBe(201);
}

function context(text: string = TEXT, file = "hello\n"): string {
  return rig.context({ Dockerfile: text, f: { text: file, mode: 0o644 } });
}

/** On a machine that has nothing. The recorded RUNs had the host's network. */
function build(args: readonly string[], place: string, command: readonly string[] = []): Promise<CommandResult> {
  const store = join(rig.root, `m${++machines}`);
  const base = `BASE=${registry.host}/base:base`;
  const flags = ["--network", "host", "--allow", "network.host", "--build-arg", base, "--progress", "plain"];
  return rig.must([...command, ...flags, ...args, place], { env: { TSBUILD_ROOT: store } });
}

/** Instructions → how they ended. */
function steps({ stderr }: CommandResult): (readonly [string, string])[] {
  const names = [...stderr.matchAll(/^#(\d+) \[(?:[\w-]+ )?\d\/\d\] ((?:RUN|COPY|WORKDIR) .*)$/gm)];
  const ends = new Map([...stderr.matchAll(/^#(\d+) (CACHED|DONE)/gm)].map(([, number, end]) => [number, end]));
  return names.map(([, number, name]) => [name!, ends.get(number) === "CACHED" ? "cached" : "ran"]);
}

function notices({ stderr }: CommandResult): string[] {
  return [...stderr.matchAll(/^note: (cache from .*)$/gm)].map(([, text]) => text!.replace(/ from \S+ \S+: /, ": "));
}

const ALL_CACHED = [
  ['RUN ["/w"]', "cached"],
  ["WORKDIR /d", "cached"],
  ["COPY f /d/", "cached"],
  ['RUN ["/w"]', "cached"],
];
const ALL_USED =
  "cache: it is BuildKit's: 4 of its 4 layers were used for the 4 steps that were not in the local cache";

function from(name: string): string[] {
  return ["--cache-from", `type=registry,ref=${registry.host}/cache:${name}`];
}

test.each(["cache", "index", "inline"])("G02 G20–G22: the steps of BuildKit's %s are hits", async (name) => {
  const folder = join(rig.root, `out-${name}`);
  const result = await build([...from(name), "-o", folder], context());
  expect(steps(result)).toEqual(ALL_CACHED);
  expect(notices(result)).toEqual([name === "index" ? expect.stringContaining("it is BuildKit's: ") : ALL_USED]);
  expect(readFileSync(join(folder, "d/f"), "utf8")).toBe("hello\n");
  expect(readFileSync(join(folder, "made")).toString("hex")).toBe(LAST_MADE);
});

test("G20 G22: a directory that BuildKit has filled, of which a target takes a part", async () => {
  const folder = join(rig.root, "out-local");
  const text = TEXT.replace("WORKDIR", "FROM $BASE\nWORKDIR").replace("$BASE\nENV", "$BASE AS first\nENV");
  const cache = `type=local,src=${join(FIXTURE, "layout")}`;
  const result = await build(["--cache-from", cache, "--target", "first", "-o", folder], context(text));
  expect(steps(result).map(([, end]) => end)).toEqual(["cached"]);
  expect(readFileSync(join(folder, "made")).toString("hex")).toBe(FIRST_MADE);
});

test("G24: nothing is fetched that nobody asks for, and what is pushed is what BuildKit has pushed", async () => {
  await registry.requests();
  await build([...from("cache"), "-o", "type=cacheonly"], context());
  const layers = (JSON.parse(blob(REFERENCES["inline"]!).toString()) as Manifest).layers.map(({ digest }) => digest);
  const fetched = downloads(await registry.requests()).filter(({ url }) => layers.some((layer) => url.includes(layer)));
  expect(fetched).toEqual([]);
  await build([...from("cache"), "-t", `${registry.host}/cache:pushed`, "--push"], context());
  const url = `http://${registry.host}/v2/cache/manifests/pushed`;
  const headers = { accept: "application/vnd.oci.image.manifest.v1+json" };
  const pushed = (await (await fetch(url, { headers })).json()) as Manifest;
  expect(pushed.layers.map(({ digest }) => digest)).toEqual(layers);
});

test("a file that is another one is copied, and what follows runs", async () => {
  const result = await build([...from("cache"), "-o", "type=cacheonly"], context(TEXT, "other\n"));
  expect(steps(result).map(([, end]) => end)).toEqual(["cached", "cached", "ran", "ran"]);
});

test.each([
  ["a variable", TEXT.replace("A=b", "A=c")],
  ["an argument of the command", TEXT.replace('RUN ["/w"]', 'RUN ["/w", "x"]')],
  ["a user", TEXT.replace("ENV", "USER 0\nENV")],
  ["a directory", TEXT.replace("ENV A=b", "ENV A=b\nWORKDIR /e")],
  ["another network", TEXT.replace("RUN", "RUN --network=none")],
])("a RUN with %s that was not there runs, and all below it", async (_what, text) => {
  const result = await build([...from("cache"), "-o", "type=cacheonly"], context(text));
  expect(new Set(steps(result).map(([, end]) => end))).toEqual(new Set(["ran"]));
  expect(notices(result)).toEqual([expect.stringContaining("0 of its 4 layers were used")]);
});

test("a step that BuildKit's key does not say enough of is not looked for, and told", async () => {
  const text = TEXT.replace("RUN", "RUN --mount=type=secret,id=s,required=false");
  const result = await build([...from("cache"), "-o", "type=cacheonly"], context(text));
  expect(steps(result).map(([, end]) => end)).toEqual(["ran", "ran", "ran", "ran"]);
  expect(notices(result)).toEqual([expect.stringMatching(/; steps that have no key there: 1 × RUN with a secret$/)]);
});

test("--no-cache takes nothing", async () => {
  const result = await build([...from("cache"), "--no-cache", "-o", "type=cacheonly"], context());
  expect(steps(result).map(([, end]) => end)).toEqual(["ran", "ran", "ran", "ran"]);
});

test("plan says that the steps are cached", async () => {
  const { stdout } = await build(from("cache"), context(), ["plan"]);
  expect(stdout).toMatch(/4 cached/);
});

interface Wire {
  layers: { blob: string; parent?: number }[];
  records: { digest: string; layers?: { layer: number; createdAt: string }[]; inputs?: { link: number }[][] }[];
}

/** The recorded cache with another config. */
async function forge(tag: string, change: (wire: Wire) => unknown): Promise<void> {
  const manifest = JSON.parse(blob(REFERENCES["cache"]!).toString()) as { config: Descriptor };
  const wire = JSON.parse(blob(manifest.config).toString()) as Wire;
  const config = Buffer.from(JSON.stringify(change(wire) ?? wire));
  const digest = digestOf(config);
  await upload("cache", config, { digest });
  const changed = { ...manifest, config: { ...manifest.config, digest, size: config.length } };
  await putManifest("cache", tag, Buffer.from(JSON.stringify(changed)), REFERENCES["cache"]!.mediaType);
}

test("a layer that was made on something else is not put here", async () => {
  await forge("other-parent", (wire) => {
    for (const layer of wire.layers) layer.parent = -1;
  });
  const result = await build([...from("other-parent"), "-o", "type=cacheonly"], context());
  expect(steps(result).map(([, end]) => end)).toEqual(["ran", "ran", "ran", "ran"]);
});

test.each<readonly [string, (wire: Wire) => unknown]>([
  ["no JSON of this form", () => []],
  ["layers in a loop", (wire) => void (wire.layers[0]!.parent = 0)],
  ["a layer that is not in the manifest", (wire) => void (wire.layers[0]!.blob = digestOf("x"))],
  ["a link to nowhere", (wire) => void (wire.records.find(({ inputs }) => inputs)!.inputs![0]![0]!.link = 99)],
])("G09: a config with %s is one line, and no failure", async (name, change) => {
  const tag = name.replaceAll(" ", "-").toLowerCase();
  await forge(tag, change);
  const result = await build([...from(tag), "-o", "type=cacheonly"], context());
  expect(steps(result).map(([, end]) => end)).toEqual(["ran", "ran", "ran", "ran"]);
  expect(notices(result)).toEqual(["cache: it is a cache of BuildKit whose list of records is damaged"]);
});

test("G09: layers that are gone, or are not what they were said to be, are misses", async () => {
  const folder = join(rig.root, "damaged");
  cpSync(join(FIXTURE, "layout"), folder, { recursive: true });
  const [, last] = (JSON.parse(blob(REFERENCES["inline"]!).toString()) as Manifest).layers.slice(-2);
  const [, first] = (JSON.parse(blob(REFERENCES["inline"]!).toString()) as Manifest).layers;
  const place = ({ digest }: Descriptor) => join(folder, "blobs/sha256", digest.slice("sha256:".length));
  rmSync(place(last!));
  const gone = await build(["--cache-from", `type=local,src=${folder}`, "-o", "type=cacheonly"], context());
  expect(steps(gone).map(([, end]) => end)).toEqual(["cached", "cached", "cached", "ran"]);
  writeFileSync(place(first!), Buffer.alloc(first!.size));
  const out = join(rig.root, "out-damaged");
  const damaged = await build(["--cache-from", `type=local,src=${folder}`, "-o", out], context());
  expect(readFileSync(join(out, "made")).toString("hex")).not.toBe(FIRST_MADE);
  expect(existsSync(join(out, "d/f"))).toBe(true);
  expect(notices(damaged)).toContainEqual(expect.stringMatching(/layer sha256:\w+ is not used: /));
});
