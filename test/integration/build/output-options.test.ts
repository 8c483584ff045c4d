// Options of outputs, each by what it changes in what comes out (reference 4.1). What it looks like to other tools: conformance/image.test.ts.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDockerRegistry, type DockerRegistry } from "../../support/docker-registry.ts";
import { openRig, type CommandResult, type Rig } from "../../support/rig.ts";

let rig: Rig;
let registry: DockerRegistry;
let context: string;
let count = 0;
beforeAll(async () => {
  rig = await openRig();
  registry = await openDockerRegistry();
  context = rig.context({ Dockerfile: "FROM busybox\nCOPY a /d/a\nRUN echo b > /d/b\nENV X=1\n", a: "a" }, "app");
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  expect(rig.leftovers()).toEqual([]);
  await rig[Symbol.asyncDispose]();
});

const path = (name: string): string => join(rig.root, name);

interface Described {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Layout {
  readonly folder: string;
  readonly manifest: { readonly mediaType: string; readonly layers: readonly Described[]; readonly config: Described };
  readonly config: {
    readonly created: string;
    readonly history: readonly { readonly created: string; readonly comment?: string }[];
    readonly rootfs: { readonly diff_ids: readonly string[] };
  };
  readonly entry: Described;
}

/** Builds the image into a layout and reads it. */
async function layout(options: string, args: readonly string[] = [], from = context): Promise<Layout> {
  const folder = path(`layout${String(count++)}`);
  await rig.must([
    "-q",
    "-o",
    `type=oci,tar=false,dest=${folder}${options === "" ? "" : `,${options}`}`,
    ...args,
    from,
  ]);
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const [entry] = (read("index.json") as { manifests: Described[] }).manifests;
  const manifest = read(blob(entry!.digest)) as Layout["manifest"];
  return { folder, manifest, config: read(blob(manifest.config.digest)) as Layout["config"], entry: entry! };
}

const blob = (digest: string): string => `blobs/sha256/${digest.slice(7)}`;
const bytesOf = ({ folder }: Layout, { digest }: Described): Buffer => readFileSync(join(folder, blob(digest)));

async function refused(args: readonly string[], code: number, says: string): Promise<CommandResult> {
  const result = await rig.tsbuild(["-q", ...args, context]);
  expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(says) as string]);
  expect(result.stderr).not.toMatch(/^\s+at /m);
  return result;
}

describe("image options", () => {
  test("E26: an output has a time of its own, or none whatever the build has", async () => {
    const dated = ["--build-arg", "SOURCE_DATE_EPOCH=1000000000"];
    expect((await layout("", dated)).config.created).toBe("2001-09-09T01:46:40Z");
    const own = await layout("source-date-epoch=1100000000,rewrite-timestamp=true", dated);
    expect(own.config.created).toBe("2004-11-09T11:33:20Z");
    expect(own.manifest.layers.map(({ annotations }) => annotations?.["buildkit/rewritten-timestamp"])).toEqual([
      ...Array.from({ length: own.manifest.layers.length - 2 }, () => undefined),
      "1100000000",
      "1100000000",
    ]);
    expect((await layout("source-date-epoch=", dated)).config.created).toMatch(/^20[2-9]/);
    const tar = path("dated.tar");
    await rig.must(["-q", ...dated, "-o", `type=tar,dest=${tar},source-date-epoch=1100000000`, context]);
    expect(execFileSync("tar", ["--utc", "--full-time", "-tvf", tar], { encoding: "utf8" })).toMatch(
      /2004-11-09 11:33:20 d\/a/,
    );
    const ofDockerfile = rig.context({
      Dockerfile: "ARG SOURCE_DATE_EPOCH=1000000000\nFROM busybox\nCOPY a /a\n",
      a: "a",
    });
    expect((await layout("", [], ofDockerfile)).config.created).toBe("2001-09-09T01:46:40Z");
    expect((await layout("source-date-epoch=", [], ofDockerfile)).config.created).toMatch(/^20[2-9]/);
    const folder = path("dated");
    await rig.must(["-q", ...dated, "-o", `type=local,dest=${folder},source-date-epoch=`, context]);
    expect(lstatSync(join(folder, "d/a")).mtimeMs).toBeGreaterThan(1.6e12);
    await refused(["-o", "type=image,source-date-epoch=soon"], 2, "invalid source-date-epoch: soon");
  });

  test("E25: times of new layers become the epoch at most; without an epoch that is said", async () => {
    const { manifest, ...rest } = await layout("rewrite-timestamp=true,source-date-epoch=1000000000");
    const plain = await layout("");
    const isSame = manifest.layers.map(({ digest }, index) => digest === plain.manifest.layers[index]!.digest);
    // Those of the base are as they were, also where they are compressed anew.
    const expected = [...Array.from({ length: isSame.length - 2 }, () => true), false, false];
    expect(isSame).toEqual(expected);
    const anew = await layout(
      "compression=zstd,force-compression=true,rewrite-timestamp=true,source-date-epoch=1000000000",
    );
    const plainIds = plain.config.rootfs.diff_ids;
    expect(anew.config.rootfs.diff_ids.map((diffId, index) => diffId === plainIds[index])).toEqual(expected);
    expect(anew.manifest.layers.map(({ annotations }) => annotations === undefined)).toEqual(expected);
    const last = gunzipSync(bytesOf({ manifest, ...rest }, manifest.layers.at(-1)!));
    const listed = execFileSync("tar", ["--utc", "--full-time", "-tvf", "-"], { input: last, encoding: "utf8" });
    expect(listed).toMatch(/2001-09-09 01:46:40 d\/b/);
    const { stderr } = await rig.must(["--progress", "plain", "-o", "type=image,rewrite-timestamp=true", context]);
    expect(stderr).toContain("rewrite-timestamp=true changes nothing: no SOURCE_DATE_EPOCH");
    await refused(["-o", "type=image,unpack=true,rewrite-timestamp=true"], 2, "conflicts with");
  });

  test("E22, N10, E24: estargz has its table, unpacks to the same files, is kept and found again", async () => {
    const plain = await layout("");
    const seekable = await layout("compression=estargz");
    const [own, base] = [seekable.manifest.layers.slice(-2), seekable.manifest.layers.slice(0, -2)];
    expect(base).toEqual(plain.manifest.layers.slice(0, -2));
    for (const descriptor of own) {
      expect(descriptor.mediaType).toBe("application/vnd.oci.image.layer.v1.tar+gzip");
      expect(Object.keys(descriptor.annotations ?? {}).sort()).toEqual([
        "containerd.io/snapshot/stargz/toc.digest",
        "io.containers.estargz.uncompressed-size",
      ]);
      const bytes = bytesOf(seekable, descriptor);
      expect(bytes.subarray(-51).toString("latin1", 32, 38)).toBe("STARGZ");
      const list = execFileSync("tar", ["-tzf", "-"], { input: bytes, encoding: "utf8" });
      expect(list).toMatch(/^d\/\nd\/[ab]\n$/);
    }
    expect((await layout("compression=estargz")).entry.digest).toBe(seekable.entry.digest);
    const all = await layout("compression=estargz,force-compression=true");
    expect(all.manifest.layers.every(({ annotations }) => annotations !== undefined)).toBe(true);
    // As a base: the layers are what their diffIDs say.
    const child = rig.context({ Dockerfile: "FROM lazy\nRUN cat /d/a /d/b > /c\n" });
    const out = path(`out${String(count++)}`);
    await rig.must(["-q", "--build-context", `lazy=oci-layout://${all.folder}`, "-o", out, child]);
    expect(readFileSync(join(out, "c"), "utf8")).toBe("ab\n");
  });

  test("E22, E23, E21, E31: conflicts and values that are none", async () => {
    const image = (options: string): string[] => ["-o", `type=image,${options}`];
    for (const compression of ["estargz", "zstd"])
      await refused(
        image(`compression=${compression},oci-mediatypes=false`),
        2,
        `exporter option "compression=${compression}" conflicts with "oci-mediatypes=false"`,
      );
    await refused(image("oci-artifact=true,oci-mediatypes=false"), 2, 'exporter option "oci-artifact=true" conflicts');
    await refused(image("compression=lzma"), 2, "unsupported compression type lzma");
    await refused(image("compression=estargz,compression-level=10"), 2, "is not 0 to 9");
    await refused(image("store=maybe"), 2, "non-bool value specified for store");
    await refused(image("prefer-nondist-layers=2"), 2, "non-bool value specified for prefer-nondist-layers");
    await rig.must(["-q", ...image("oci-artifact=false,oci-mediatypes,push=false"), context]);
  });

  test("E27: annotations by type and platform; those of another platform are an error", async () => {
    const { manifest, entry } = await layout(
      "annotation.one=1,annotation[linux/amd64].two=2,annotation-manifest-descriptor.three=3",
      ["--annotation", "manifest[linux/amd64]:four=4"],
    );
    expect((manifest as { annotations?: object }).annotations).toEqual({ one: "1", two: "2", four: "4" });
    expect(entry.annotations).toMatchObject({ three: "3" });
    await refused(
      ["-o", "type=image,annotation[linux/s390x].a=b"],
      2,
      "invalid annotation: no platform linux/s390x found in source",
    );
    await refused(["--annotation", "index:a=b"], 2, "index annotations not supported for single platform export");
    await refused(["--annotation", "moon:a=b"], 2, "unrecognized annotation type moon");
    await refused(
      ["-o", "type=image,oci-mediatypes=false,annotation.a=b"],
      2,
      'cannot export annotations with "oci-mediatypes=false"',
    );
  });

  test("E29, RG24: foreign layers of a base are made distributable, or keep their type and urls", async () => {
    const base = await layout("", [], rig.context({ Dockerfile: "FROM scratch\nCOPY f /f\n", f: "foreign" }));
    const foreign = base.manifest.layers.map((layer) => ({
      ...layer,
      mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      urls: ["https://example.com/layer"],
    }));
    const manifest = Buffer.from(JSON.stringify({ ...base.manifest, layers: foreign }));
    const digest = createHash("sha256").update(manifest).digest("hex");
    writeFileSync(join(base.folder, "blobs/sha256", digest), manifest);
    const index = {
      schemaVersion: 2,
      manifests: [{ ...base.entry, digest: `sha256:${digest}`, size: manifest.length }],
    };
    writeFileSync(join(base.folder, "index.json"), JSON.stringify(index));
    const child = rig.context({ Dockerfile: "FROM foreign\nCOPY g /g\n", g: "own" });
    const flags = ["--build-context", `foreign=oci-layout://${base.folder}`];
    const [plain] = (await layout("", flags, child)).manifest.layers;
    expect([plain!.mediaType, plain!.urls]).toEqual(["application/vnd.oci.image.layer.v1.tar+gzip", undefined]);
    const [kept, own] = (await layout("prefer-nondist-layers=true", flags, child)).manifest.layers;
    expect([kept!.mediaType, kept!.urls]).toEqual([foreign[0]!.mediaType, foreign[0]!.urls]);
    expect(own!.mediaType).toBe("application/vnd.oci.image.layer.v1.tar+gzip");
    // Nobody compresses anew what may not be distributed.
    const forced = "prefer-nondist-layers=true,compression=zstd,force-compression=true";
    expect((await layout(forced, flags, child)).manifest.layers).toMatchObject([
      kept,
      { mediaType: "application/vnd.oci.image.layer.v1.tar+zstd" },
    ]);
  });

  test("E30: compatibility-version is the one that we make, or is refused", async () => {
    expect((await layout("compatibility-version=30")).entry.digest).toBe((await layout("")).entry.digest);
    const { stderr } = await refused(["-o", "type=image,compatibility-version=20"], 1, "is not built: images are made");
    expect(stderr).toContain("help: leave it out");
    await refused(["-o", "type=image,compatibility-version=31"], 2, "unsupported compatibility-version 31");
  });
});

describe("where images go", () => {
  test("E01, E02: store=false keeps nothing here, name-canonical and dangling-name-prefix add names, unpack makes files", async () => {
    const names = async (): Promise<string> => (await rig.must(["images"])).stdout;
    await rig.must(["-q", "-t", "unstored:1", "-o", "type=image,store=false", context]);
    expect(await names()).not.toContain("unstored");
    await rig.must(["-q", "-o", "type=image,dangling-name-prefix=loose", context]);
    expect(await names()).toMatch(/loose@sha256:/);
    await rig.must([
      "-q",
      "-o",
      "type=image,name=called:1,dangling-name-prefix=other,danging-name-empty-only=true",
      context,
    ]);
    expect(await names()).toContain("called:1");
    expect(await names()).not.toContain("other@");
    await rig.must(["-q", "-o", "type=image,name=canonical:1,name-canonical=true", context]);
    expect(await names()).toMatch(/canonical:1@sha256:/);
    await rig.must(["-q", "-o", 'type=image,"name=csv:1,csv:2",unpack=true', context]);
    expect(await names()).toMatch(/csv:1[^]*csv:2/);
    const both = await rig.must(["-t", "tagged:1", "-o", "type=image,name=replaced:1", context]);
    expect(both.stderr).toContain("warning: name= in --output has no effect beside -t");
    expect(await names()).toContain("tagged:1");
    expect(await names()).not.toContain("replaced");
    const pushed = `${registry.host}/pushed:1`;
    await rig.must(["-q", "-o", `type=registry,name=${pushed},store=false`, context]);
    expect(await names()).not.toContain("pushed");
    await rig.must(["pull", pushed]);
    expect(await names()).toContain("pushed:1");
  });

  test("E01: push-by-digest takes no tag, and the tag of a push is needed", async () => {
    await refused(
      ["-o", `type=image,name=${registry.host}/x:1,push=true,push-by-digest=true`],
      2,
      `can't push tagged ref ${registry.host}/x:1 by digest`,
    );
    const file = path("by-digest.json");
    const flags = [
      "--metadata-file",
      file,
      "-o",
      `type=image,name=${registry.host}/by-digest,push=true,push-by-digest=true`,
    ];
    await rig.must(["-q", ...flags, context]);
    const { "containerimage.digest": digest } = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
    await rig.must(["pull", `${registry.host}/by-digest@${digest!}`]);
    expect((await rig.tsbuild(["pull", `${registry.host}/by-digest:latest`])).code).toBe(3);
  });

  test("E04, N09: docker's archive has manifest.json, docker's media types unless told otherwise, and one platform", async () => {
    const read = async (options: string): Promise<{ manifest: { mediaType: string }; tags: string[] }> => {
      const [tar, folder] = [path(`docker${String(count++)}.tar`), path(`docker${String(count)}`)];
      await rig.must(["-q", "-t", "team/app:2", "-o", `type=docker,dest=${tar}${options}`, context]);
      mkdirSync(folder);
      execFileSync("tar", ["-xf", tar, "-C", folder]);
      const json = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), "utf8"));
      const [{ RepoTags, Config, Layers }] = json("manifest.json") as [
        { RepoTags: string[]; Config: string; Layers: string[] },
      ];
      for (const name of [Config, ...Layers]) expect(existsSync(join(folder, name))).toBe(true);
      const [entry] = (json("index.json") as { manifests: Described[] }).manifests;
      const manifest = json(blob(entry!.digest)) as { mediaType: string; config: Described; layers: Described[] };
      expect([Config, ...Layers]).toEqual([manifest.config, ...manifest.layers].map(({ digest }) => blob(digest)));
      expect(json("oci-layout")).toEqual({ imageLayoutVersion: "1.0.0" });
      return { manifest, tags: RepoTags };
    };
    const plain = await read("");
    expect(plain.tags).toEqual(["team/app:2"]);
    expect(plain.manifest.mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
    expect((await read(",oci-mediatypes=true")).manifest.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
    for (const only of ["zstd", "estargz"])
      expect((await read(`,compression=${only}`)).manifest.mediaType).toBe(
        "application/vnd.oci.image.manifest.v1+json",
      );
    await refused(["-o", "type=docker,dest=x,context=y"], 2, "exclude each other");
  });

  test("E05, E06: platform-split=true gives one platform a directory of its own, in a directory and not in a tar", async () => {
    const folder = path("split");
    const tar = path("split.tar");
    const files = rig.context({ Dockerfile: "FROM scratch\nCOPY a /d/a\n", a: "a" });
    const write = (value: string, platform: string) =>
      rig.must([
        "-q",
        "--platform",
        platform,
        "-o",
        `type=local,dest=${folder},platform-split=${value}`,
        "-o",
        `type=tar,dest=${tar},platform-split=${value}`,
        files,
      ]);
    await write("true", "linux/amd64");
    await write("true", "linux/arm/v7");
    expect(readdirSync(folder).sort()).toEqual(["linux_amd64", "linux_arm_v7"]);
    expect(readdirSync(join(folder, "linux_arm_v7"))).toContain("d");
    expect(execFileSync("tar", ["-tf", tar], { encoding: "utf8" })).toMatch(/^d\/$/m);
    await write("false", "linux/amd64");
    expect(readdirSync(folder)).toContain("d");
    await refused(["-o", `type=local,dest=${folder},platform-split=true,mode=delete`], 1, "mode=delete with platform-");
    await refused(["-o", `type=tar,dest=${path("x.tar")},platform-split=2`], 2, "non-bool value");
  });
});

describe("E05: mode=delete", () => {
  const tree = "FROM scratch\nCOPY new /new\nCOPY new /d/new\n";
  const full = (name: string): string => {
    const dest = path(name);
    mkdirSync(join(dest, "d/old/deep"), { recursive: true });
    mkdirSync(join(dest, "new/was-a-directory"), { recursive: true });
    writeFileSync(join(dest, "d/old/deep/file"), "old");
    writeFileSync(join(dest, ".hidden"), "old");
    return dest;
  };

  test("what the result does not have is gone, links are not followed, and a failed build removes nothing", async () => {
    const from = rig.context({ Dockerfile: tree, new: "new" });
    const outside = path("outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "mine"), "mine");
    const dest = full("deleted");
    symlinkSync(outside, join(dest, "link"));
    const bad = rig.context({ Dockerfile: `${tree}RUN false\n`, new: "new" });
    expect((await rig.tsbuild(["-q", "-o", `type=local,dest=${dest},mode=delete`, bad])).code).toBe(1);
    expect(existsSync(join(dest, "d/old/deep/file"))).toBe(true);
    await rig.must(["-q", "-o", `type=local,dest=${dest},mode=delete`, from]);
    expect(readdirSync(dest, { recursive: true }).sort()).toEqual(["d", "d/new", "new"]);
    expect(readFileSync(join(dest, "new"), "utf8")).toBe("new");
    expect(readFileSync(join(outside, "mine"), "utf8")).toBe("mine");
  });

  test("T35: elsewhere than below the working directory it needs leave; the build's own inputs it never reaches", async () => {
    const from = rig.context({ Dockerfile: tree, new: "new" });
    const dest = full("elsewhere");
    const cwd = path("work");
    mkdirSync(join(cwd, "sub"), { recursive: true });
    const attempt = (folder: string, ...flags: string[]): Promise<CommandResult> =>
      rig.tsbuild(["-q", "-o", `type=local,dest=${folder},mode=delete`, ...flags, from], { cwd });
    const refusals: [folder: string, flags: string[], code: number, says: string][] = [
      [dest, [], 1, "mode=delete may not remove files of"],
      [".", ["--allow", "buildx.local.delete"], 2, "mode=delete would remove files of"],
      ["..", ["--allow", "buildx.local.delete"], 2, "mode=delete would remove files of"],
      [from, ["--allow", "buildx.local.delete"], 2, `mode=delete would remove files of ${from}`],
      [rig.store, ["--allow", "buildx.local.delete"], 2, "mode=delete would remove files of"],
      ["/", ["--allow", "buildx.local.delete"], 2, "mode=delete would remove files of"],
    ];
    symlinkSync(dest, join(cwd, "way-out"));
    refusals.push(["way-out", [], 1, "mode=delete may not remove files of"]);
    for (const [folder, flags, code, says] of refusals) {
      const result = await attempt(folder, ...flags);
      expect([folder, result.code, result.stderr]).toEqual([folder, code, expect.stringContaining(says) as string]);
    }
    expect(existsSync(join(dest, ".hidden"))).toBe(true);
    expect((await attempt(dest, "--allow", "buildx.local.delete")).code).toBe(0);
    expect(existsSync(join(dest, ".hidden"))).toBe(false);
    expect((await attempt("sub/out")).code).toBe(0);
  });
});
