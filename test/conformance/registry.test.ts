// Pushing, pulling and what a registry is asked for, against Debian's docker-registry: its access log is the witness.
import { readFileSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  downloads,
  mounts,
  openDockerRegistry,
  uploads,
  type DockerRegistry,
  type LoggedRequest,
} from "../support/docker-registry.ts";
import type { JudgedConfig, JudgedManifest } from "../support/image-spec.ts";
import { accepted, Podman, runTool, runUnpacked } from "../support/judges.ts";
import { openRig, type CommandOptions, type Rig } from "../support/rig.ts";

let rig: Rig;
let registry: DockerRegistry;
let podman: Podman;
let host: string;
/** Digests of the blobs of the base image in the registry: layers, then config. */
let base: { readonly layers: readonly string[]; readonly config: string };
beforeAll(async () => {
  [rig, registry] = await Promise.all([openRig(), openDockerRegistry()]);
  host = registry.host;
  podman = new Podman(rig.root);
  // Two layers, the lower one large enough to be worth not fetching.
  const context = rig.context({
    Dockerfile:
      "FROM busybox\nRUN mkdir /app && echo base > /app/base && dd if=/dev/urandom of=/big bs=64k count=32 2>/dev/null\n",
  });
  await rig.must(["-q", "-t", "docker.io/library/base:1", "-t", `${host}/library/base:1`, context]);
  await rig.must(["push", `${host}/library/base:1`]);
  const { layers, config } = await manifestOf(`${host}/library/base:1`);
  base = { layers: layers.map(({ digest }) => digest), config: config.digest };
});
afterAll(async () => {
  await podman[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const path = (name: string): string => join(rig.root, name);
const manifestOf = async (reference: string) =>
  JSON.parse(
    await accepted("skopeo", ["inspect", "--raw", "--tls-verify=false", `docker://${reference}`]),
  ) as JudgedManifest;
const configOf = async (reference: string) =>
  JSON.parse(
    await accepted("skopeo", ["inspect", "--config", "--tls-verify=false", `docker://${reference}`]),
  ) as JudgedConfig;

/** A machine that has never built: a store of its own, with the registry as the mirror of docker.io. */
function newMachine(name: string) {
  const store = path(`machine-${name}`);
  const options = (more: CommandOptions = {}): CommandOptions => ({
    ...more,
    env: { TSBUILD_ROOT: store, TSBUILD_REGISTRY_MIRRORS: `docker.io=http://${host}`, ...more.env },
  });
  return {
    store,
    must: (args: readonly string[], more?: CommandOptions) => rig.must(args, options(more)),
    tsbuild: (args: readonly string[], more?: CommandOptions) => rig.tsbuild(args, options(more)),
    /** Directory faces of layers: what was unpacked or run. */
    unpacked: () =>
      readdirSync(join(store, "layers"), { recursive: true, encoding: "utf8" }).filter((name) =>
        name.endsWith("/diff"),
      ),
  };
}

/** What the work asked the registry for. */
async function watched<T>(
  work: () => Promise<T>,
): Promise<{ readonly value: T; readonly requests: readonly LoggedRequest[] }> {
  await registry.requests();
  const value = await work();
  return { value, requests: await registry.requests() };
}

const readOf = (requests: readonly LoggedRequest[], digests: readonly string[]) =>
  downloads(requests).filter(({ url }) => digests.some((digest) => url.includes(digest)));

describe("a build on a new machine, pushed", () => {
  const DOCKERFILE =
    'FROM base:1 AS build\nRUN echo built > /out\nFROM base:1\nCOPY --from=build /out /app/out\nRUN cat /app/base /app/out > /app/all\nCMD ["cat", "/app/all"]\n';
  let machine: ReturnType<typeof newMachine>;
  let context: string;
  let reference: string;
  beforeAll(() => {
    machine = newMachine("first");
    context = rig.context({ Dockerfile: DOCKERFILE });
    reference = `${host}/team/app:1`;
  });

  test("RG03, RG12: the base comes from the mirror, each layer once; the image is accepted by everybody", async () => {
    const { requests } = await watched(() => machine.must(["-q", "-t", reference, "--push", context]));
    for (const digest of [...base.layers, base.config]) expect(readOf(requests, [digest])).toHaveLength(1);
    expect(requests.every(({ status }) => status < 400 || status === 404)).toBe(true);
    // RG16, pain 38: the mirror is where it is pushed to, so the base's layers are mounted there.
    for (const digest of base.layers)
      expect(mounts(requests).filter(({ url }) => url.includes(digest.replace(":", "%3A")))).toHaveLength(1);
    expect(machine.unpacked().length).toBeGreaterThan(base.layers.length);
    const layout = path("pushed");
    await accepted("skopeo", ["copy", "-q", "--src-tls-verify=false", `docker://${reference}`, `oci:${layout}:1`]);
    expect(await runUnpacked(layout, "1", path("pushed-bundle"))).toBe("base\nbuilt\n");
    await podman.pull(reference);
    expect(await podman.run(reference)).toBe("base\nbuilt\n");
    // Pain 4: a plain manifest under the tag.
    expect((await manifestOf(reference)).mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
  });

  test("RG14: the same build again runs nothing and uploads nothing", async () => {
    const { value, requests } = await watched(() =>
      machine.must(["--progress", "rawjson", "-t", reference, "--push", context]),
    );
    expect(
      [...rig.outcomes(value.stderr)].filter(([name, how]) => /^\[.*\d+\/\d+\]/.test(name) && how !== "cached"),
    ).toEqual([]);
    expect(uploads(requests)).toEqual([]);
    expect(downloads(requests)).toEqual([]);
  });

  test("`tsbuild push` of it uploads nothing, whatever the store remembers", async () => {
    const { requests } = await watched(() => machine.must(["push", reference]));
    expect(uploads(requests)).toEqual([]);
    expect(requests.filter(({ method }) => method === "PUT").map(({ url }) => url)).toEqual([
      "/v2/team/app/manifests/1",
    ]);
  });

  test("a cached push reads no layer from the disk", async () => {
    const log = path("strace");
    const launcher = join(import.meta.dirname, "../../src/bin/tsbuild");
    const strace = [
      "-f",
      "-qq",
      "-s",
      "4096",
      "-e",
      "trace=openat,open",
      "-o",
      log,
      launcher,
      "-q",
      "-t",
      reference,
      "--push",
      context,
    ];
    await accepted("strace", strace, { env: { TSBUILD_ROOT: machine.store } });
    const opened = readFileSync(log, "utf8").match(/blobs\/sha256\/[0-9a-f]{64}/g) ?? [];
    const { layers } = await manifestOf(reference);
    expect(opened.filter((name) => layers.some(({ digest }) => name.endsWith(digest.slice(7))))).toEqual([]);
  });

  test("RG16: another repository of the registry gets every blob by mounting", async () => {
    const { requests } = await watched(() => machine.must(["-q", "-t", `${host}/other/copy:2`, "--push", context]));
    expect(uploads(requests)).toEqual([]);
    const { layers, config } = await manifestOf(`${host}/other/copy:2`);
    const blobs = new Set([...layers, config].map(({ digest }) => digest));
    expect(mounts(requests)).toHaveLength(blobs.size);
    await podman.pull(`${host}/other/copy:2`);
  });

  test("RG19, RG20: several names in one push; by digest without a tag", async () => {
    const names = [`${host}/many/a:1`, `${host}/many/b:2`];
    const { requests } = await watched(() => machine.must(["-q", "-t", names[0]!, "-t", names[1]!, "--push", context]));
    expect(uploads(requests)).toEqual([]);
    expect(await manifestOf(names[1]!)).toEqual(await manifestOf(names[0]!));
    const metadata = path("by-digest.json");
    const output = `type=image,name=${host}/by/digest,push-by-digest=true,push=true`;
    await machine.must(["-q", "-o", output, "--metadata-file", metadata, context]);
    const { "containerimage.digest": digest } = JSON.parse(readFileSync(metadata, "utf8")) as {
      "containerimage.digest": string;
    };
    expect(await manifestOf(`${host}/by/digest@${digest}`)).toEqual(await manifestOf(names[0]!));
    expect((await fetch(`http://${host}/v2/by/digest/tags/list`)).status).toBe(404);
  });

  test("E20, E22: docker's media types and zstd arrive as such", async () => {
    await machine.must(["-q", "-o", `type=registry,name=${host}/docker/app:1,oci-mediatypes=false`, context]);
    const docker = await manifestOf(`${host}/docker/app:1`);
    expect(docker.mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
    expect(new Set(docker.layers.map(({ mediaType }) => mediaType))).toEqual(
      new Set(["application/vnd.docker.image.rootfs.diff.tar.gzip"]),
    );
    const zstd = `type=registry,name=${host}/zstd/app:1,compression=zstd,force-compression=true`;
    await machine.must(["-q", "-o", zstd, context]);
    expect(new Set((await manifestOf(`${host}/zstd/app:1`)).layers.map(({ mediaType }) => mediaType))).toEqual(
      new Set(["application/vnd.oci.image.layer.v1.tar+zstd"]),
    );
    for (const name of ["docker", "zstd"]) {
      await podman.pull(`${host}/${name}/app:1`);
      expect(await podman.run(`${host}/${name}/app:1`)).toBe("base\nbuilt\n");
    }
  });
});

describe("what is not needed is not fetched", () => {
  test("metadata and COPY --link on a base, pushed to the registry that has it: no layer of it is read", async () => {
    const machine = newMachine("link");
    const reference = `${host}/lazy/link:1`;
    const context = rig.context({
      Dockerfile: `FROM ${host}/library/base:1\nCOPY --link f /app/f\nENV A=b\nCMD ["cat", "/app/base", "/app/f"]\n`,
      f: "linked\n",
    });
    const { requests } = await watched(() => machine.must(["-q", "-t", reference, "--push", context]));
    expect(readOf(requests, base.layers)).toEqual([]);
    expect(mounts(requests)).toHaveLength(base.layers.length);
    // The new layer and the config, one POST and one PUT each.
    expect(uploads(requests)).toHaveLength(4);
    expect(machine.unpacked()).toEqual([]);
    expect((await manifestOf(reference)).layers.map(({ digest }) => digest).slice(0, -1)).toEqual(base.layers);
    await podman.pull(reference);
    expect(await podman.run(reference)).toBe("base\nlinked\n");
  });

  test("a plain COPY on a base reads it once, for its list of entries, and unpacks nothing", async () => {
    const machine = newMachine("copy");
    const files = {
      Dockerfile: `FROM ${host}/library/base:1\nWORKDIR /app\nCOPY f new/\nCMD ["cat", "base", "new/f"]\n`,
      f: "copied\n",
    };
    const reference = `${host}/lazy/copy:1`;
    const { requests } = await watched(() => machine.must(["-q", "-t", reference, "--push", rig.context(files)]));
    for (const digest of base.layers) expect(readOf(requests, [digest]).length).toBeLessThanOrEqual(1);
    expect(machine.unpacked()).toEqual([]);
    await podman.pull(reference);
    expect(await podman.run(reference)).toBe("base\ncopied\n");
    const again = await watched(() =>
      machine.must(["-q", "-t", reference, "--push", rig.context({ ...files, f: "changed\n" })]),
    );
    expect(readOf(again.requests, base.layers)).toEqual([]);
    expect(machine.unpacked()).toEqual([]);
  });

  test("metadata only: the new image shares every layer, and only its config travels", async () => {
    const machine = newMachine("metadata");
    const context = rig.context({ Dockerfile: `FROM ${host}/library/base:1\nLABEL a=b\n` });
    const { requests } = await watched(() => machine.must(["-q", "-t", `${host}/library/base:2`, "--push", context]));
    expect(readOf(requests, base.layers)).toEqual([]);
    expect(uploads(requests)).toHaveLength(2);
    expect((await configOf(`${host}/library/base:2`)).config).toMatchObject({ Labels: { a: "b" } });
  });
});

describe("commands", () => {
  test("pull, images, inspect, tag, push, rmi", async () => {
    const machine = newMachine("commands");
    const reference = `${host}/library/base:1`;
    const { value: pulled, requests } = await watched(() => machine.must(["pull", reference]));
    expect(readOf(requests, base.layers)).toHaveLength(base.layers.length);
    const raw = await accepted("skopeo", ["inspect", "--tls-verify=false", `docker://${reference}`]);
    const { Digest: digest } = JSON.parse(raw) as { Digest: string };
    expect(pulled.stdout.trim()).toBe(digest);
    const listed = JSON.parse((await machine.must(["images", "--json"])).stdout) as Record<string, unknown>[];
    expect(listed).toMatchObject([{ name: reference, manifestDigest: digest, imageId: base.config }]);
    const inspected = JSON.parse((await machine.must(["inspect", digest.slice(7, 19)])).stdout) as Record<
      string,
      unknown
    >;
    expect(inspected).toMatchObject({ digest, config: { rootfs: (await configOf(reference)).rootfs } });
    await machine.must([
      "-q",
      "-o",
      "type=image,name=canonical:1,name-canonical=true",
      rig.context({ Dockerfile: `FROM ${reference}\n` }),
    ]);
    const names = JSON.parse((await machine.must(["images", "--json"])).stdout) as {
      name: string;
      manifestDigest: string;
    }[];
    const canonical = names.filter(({ name }) => name.startsWith("canonical:1"));
    expect(canonical.map(({ name }) => name)).toEqual(["canonical:1", `canonical:1@${canonical[0]!.manifestDigest}`]);
    await machine.must(["rmi", ...canonical.map(({ name }) => name)]);
    await machine.must(["tag", reference, `${host}/tagged/base:v1`]);
    await machine.must(["push", `${host}/tagged/base:v1`]);
    expect(await manifestOf(`${host}/tagged/base:v1`)).toEqual(await manifestOf(reference));
    expect((await machine.must(["run", `${host}/tagged/base:v1`, "cat", "/app/base"])).stdout).toBe("base\n");
    await machine.must(["rmi", reference, `${host}/tagged/base:v1`]);
    expect(JSON.parse((await machine.must(["images", "--json"])).stdout)).toEqual([]);
    const gone = await machine.tsbuild(["push", reference]);
    expect([gone.code, gone.stderr]).toEqual([1, expect.stringContaining("no such image in the store") as string]);
    await machine.must(["prune", "--all"]);
    expect(JSON.parse((await machine.must(["du", "--json"])).stdout)).toMatchObject({
      total: expect.any(Number) as number,
    });
    expect(readdirSync(join(machine.store, "content/blobs/sha256"))).toEqual([]);
  });

  test("RG12: of an index the platform of this machine is taken; --pull asks again", async () => {
    const machine = newMachine("index");
    const manifest = readFileSync(path("pushed/index.json"), "utf8");
    const [own] = (JSON.parse(manifest) as { manifests: { digest: string; size: number; mediaType: string }[] })
      .manifests;
    const platform = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };
    const other = { ...own!, digest: `sha256:${"1".repeat(64)}`, platform: { os: "linux", architecture: "s390x" } };
    const attestation = {
      ...own!,
      digest: `sha256:${"2".repeat(64)}`,
      platform: { os: "unknown", architecture: "unknown" },
    };
    const put = (tag: string, manifests: unknown[]) =>
      fetch(`http://${host}/v2/team/app/manifests/${tag}`, {
        method: "PUT",
        headers: { "content-type": "application/vnd.oci.image.index.v1+json" },
        body: JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests }),
      });
    // docker-registry wants every manifest to be there, so the others are the same one.
    const there = [
      { ...other, digest: own!.digest },
      { ...attestation, digest: own!.digest },
      { ...own!, platform },
    ];
    expect((await put("index", there)).status).toBe(201);
    expect((await put("foreign", [{ ...other, digest: own!.digest }])).status).toBe(201);
    const from = (tag: string) =>
      rig.context({ Dockerfile: `FROM ${host}/team/app:${tag}\nRUN cat /app/all > /copy\n` });
    await machine.must(["-q", "-t", "from-index", from("index")]);
    const refused = await machine.tsbuild(["-q", from("foreign")]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining("no match for platform in manifest") as string,
    ]);
    const offline = await watched(() => machine.must(["-q", from("index")]));
    expect(offline.requests).toEqual([]);
    const asked = await watched(() => machine.must(["-q", "--pull", from("index")]));
    expect(asked.requests.map(({ method, url }) => `${method} ${url}`)).toContain("HEAD /v2/team/app/manifests/index");
  });
});

describe("registries that lie or are not there", () => {
  const blobFile = (digest: string) =>
    join(registry.dataDir, "docker/registry/v2/blobs/sha256", digest.slice(7, 9), digest.slice(7), "data");

  test.each(["flipped", "truncated"] as const)(
    "a %s blob is refused, nothing of it is kept, and the right one works",
    async (damage) => {
      const machine = newMachine(damage);
      const file = blobFile(base.layers.at(-1)!);
      const good = readFileSync(file);
      const bad = Buffer.from(good);
      bad[bad.length - 100]! ^= 1;
      const reference = `${host}/library/base:1`;
      const context = rig.context({ Dockerfile: `FROM ${reference}\nRUN cat /app/base\n` });
      if (damage === "flipped") writeFileSync(file, bad);
      else truncateSync(file, good.length - 1000);
      try {
        const { code, stderr } = await machine.tsbuild(["-q", "-t", "x", context]);
        expect(code).not.toBe(0);
        expect(stderr).toMatch(/Dockerfile:2:1: error: /);
        expect(stderr).toMatch(/digest|size|ended|bytes|does not match|damaged/);
        expect(stderr).not.toMatch(/ {4}at /);
        const { code: pullCode } = await machine.tsbuild(["pull", reference]);
        expect(pullCode).not.toBe(0);
        expect((await machine.must(["images"])).stdout).not.toContain("base");
      } finally {
        writeFileSync(file, good);
      }
      await machine.must(["-q", "-t", "x", context]);
      const blobs = join(machine.store, "content/blobs/sha256");
      const sums = await accepted("sh", ["-c", "sha256sum * | awk '$1 != $2'"], { cwd: blobs });
      expect(sums).toBe("");
    },
  );

  test("RG22: what is not there, and who is not there, is said in one line", async () => {
    const machine = newMachine("missing");
    const build = (from: string) => machine.tsbuild(["-q", rig.context({ Dockerfile: `FROM ${from}\nRUN true\n` })]);
    const absent = await build(`${host}/library/base:none`);
    expect(absent.stderr).toContain("not found");
    expect(absent.stderr).toContain(`FROM ${host}/library/base:none`);
    const nobody = await build("127.0.0.1:1/x/y:1");
    expect([nobody.code, nobody.stderr]).toEqual([
      3,
      expect.stringContaining(
        'Dockerfile:1:6: error: cannot reach the registry "127.0.0.1:1": connection refused',
      ) as string,
    ]);
    const image = rig.context({ Dockerfile: "FROM scratch\nLABEL a=b\n" });
    const push = await machine.tsbuild(["-q", "-t", "127.0.0.1:1/x/y:1", "--push", image]);
    expect(push.code).toBe(3);
    for (const { stderr } of [absent, nobody, push]) expect(stderr).not.toMatch(/ {4}at /);
    const { code } = await runTool("skopeo", ["inspect", "--tls-verify=false", `docker://${host}/x/y:1`]);
    expect(code).not.toBe(0);
  });
});
