// Images as files: every format, judged by image-spec's rules, skopeo, umoci with runc and crun, and podman. Each judge shows that it can say no.
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { judgeLayout, type JudgedManifest } from "../support/image-spec.ts";
import { accepted, Podman, rejected, runUnpacked } from "../support/judges.ts";
import { openRig, type Rig } from "../support/rig.ts";

const NAME = "docker.io/judged/app:1";
const DOCKERFILE = `FROM busybox AS build
WORKDIR /src
COPY greeting .
RUN tr a-z A-Z < greeting > /out

FROM busybox
LABEL org.example.kind="test & <judge>"
ENV NAME=world
EXPOSE 8080 53/udp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
ONBUILD RUN true
SHELL ["/bin/sh", "-ec"]
COPY --from=build --chown=1000:1000 /out /app/greeting
RUN mkdir /app/empty && rm -r /tmp && ln -s greeting /app/link
WORKDIR /app
USER 1000:1000
ENTRYPOINT ["cat"]
CMD ["link"]
`;

let rig: Rig;
let podman: Podman;
let context: string;
beforeAll(async () => {
  rig = await openRig();
  podman = new Podman(rig.root);
  context = rig.context({ Dockerfile: DOCKERFILE, greeting: "hello\n" }, "app");
});
afterAll(async () => {
  await podman[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const path = (name: string): string => join(rig.root, name);

/** Builds the test's image with these flags. */
const build = (...flags: readonly string[]) => rig.must(["-q", "-t", NAME, ...flags, context]);

/** A directory layout of the test's image, from whatever `output` writes. */
async function layoutOf(output: string): Promise<string> {
  const name = path(`layout-${output.replace(/[^a-z0-9]+/g, "-")}`);
  if (output.includes("tar=false")) {
    await build("-o", `${output},dest=${name}`);
    return name;
  }
  await build("-o", `${output},dest=${name}.tar`);
  mkdirSync(name);
  await accepted("tar", ["-xf", `${name}.tar`, "-C", name]);
  rmSync(join(name, "manifest.json"), { force: true });
  return name;
}

const mediaTypes = ({ layers }: JudgedManifest) => [...new Set(layers.map(({ mediaType }) => mediaType))];

describe("image-spec", () => {
  test("E03, N09: a layout as a tar and as a directory holds one plain manifest and the same bytes", async () => {
    const tar = await layoutOf("type=oci");
    const directory = await layoutOf("type=oci,tar=false");
    const { faults, index, images } = await judgeLayout(tar);
    expect(faults).toEqual([]);
    // Pain 4: no index in the index, no attestation beside the image.
    expect(index.manifests).toEqual([
      {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: expect.any(String) as string,
        size: expect.any(Number) as number,
        annotations: {
          "io.containerd.image.name": NAME,
          "org.opencontainers.image.ref.name": "1",
          "org.opencontainers.image.created": images[0]!.config.created!.replace(/\.\d+Z$/, "Z"),
        },
        platform: { architecture: images[0]!.config.architecture, os: "linux" },
      },
    ]);
    expect(mediaTypes(images[0]!.manifest)).toEqual(["application/vnd.oci.image.layer.v1.tar+gzip"]);
    expect((await judgeLayout(directory)).faults).toEqual([]);
    expect(filesOf(directory)).toEqual(filesOf(tar));
  });

  test("HI01, N01: the config says what the Dockerfile says", async () => {
    const { images } = await judgeLayout(path("layout-type-oci"));
    const { config, history } = images[0]!.config;
    expect(config).toEqual({
      ArgsEscaped: true,
      Cmd: ["link"],
      Entrypoint: ["cat"],
      Env: ["PATH=/bin", "NAME=world"],
      ExposedPorts: { "53/udp": {}, "8080/tcp": {} },
      Healthcheck: { Interval: 5_000_000_000, Test: ["CMD-SHELL", "true"] },
      Labels: { "org.example.kind": "test & <judge>" },
      OnBuild: ["RUN true"],
      Shell: ["/bin/sh", "-ec"],
      StopSignal: "SIGINT",
      User: "1000:1000",
      Volumes: { "/data": {} },
      WorkingDir: "/app",
    });
    expect(history?.map(({ empty_layer: isEmpty }) => isEmpty === true)).toEqual(
      // The base image's six, then LABEL … SHELL without ONBUILD, COPY, RUN, WORKDIR, USER, ENTRYPOINT, CMD.
      [...baseHistory, ...Array.from({ length: 7 }, () => true), false, false, false, true, true, true],
    );
  });

  test.each([
    ["type=oci,compression=zstd,force-compression=true", "application/vnd.oci.image.layer.v1.tar+zstd"],
    ["type=oci,compression=uncompressed,force-compression=true", "application/vnd.oci.image.layer.v1.tar"],
    [
      "type=oci,compression=gzip,compression-level=9,force-compression=true",
      "application/vnd.oci.image.layer.v1.tar+gzip",
    ],
    ["type=docker", "application/vnd.docker.image.rootfs.diff.tar.gzip"],
    [
      "type=docker,oci-mediatypes=false,compression=uncompressed,force-compression=true",
      "application/vnd.docker.image.rootfs.diff.tar",
    ],
    ["type=docker,oci-mediatypes=true", "application/vnd.oci.image.layer.v1.tar+gzip"],
  ])("E20–E24, N07: %s has layers of %s", async (output, mediaType) => {
    const { faults, images } = await judgeLayout(await layoutOf(output));
    expect(faults).toEqual([]);
    expect(images).toHaveLength(1);
    expect(mediaTypes(images[0]!.manifest)).toEqual([mediaType]);
  });

  test("every name is in the index of a layout; only its own manifest is there", async () => {
    const layout = path("names");
    await rig.must(["-q", "-t", NAME, "-t", "other/app:2", "-o", `type=oci,tar=false,dest=${layout}`, context]);
    const { faults, index } = await judgeLayout(layout);
    expect(faults).toEqual([]);
    expect(index.manifests.map(({ annotations }) => annotations?.["io.containerd.image.name"])).toEqual([
      NAME,
      "docker.io/other/app:2",
    ]);
    expect(new Set(index.manifests.map(({ digest }) => digest)).size).toBe(1);
  });

  test("E27: annotations sit on the manifest or on its descriptor; labels in the config", async () => {
    const layout = path("annotated");
    const flags = ["--annotation", "org.example.a=1 < 2", "--annotation", "manifest-descriptor:org.example.b=2"];
    const output = `type=oci,tar=false,dest=${layout},annotation.org.example.c=3`;
    await build(...flags, "--label", "org.example.label=x=y", "-o", output);
    const { faults, index, images } = await judgeLayout(layout);
    expect(faults).toEqual([]);
    expect(images[0]!.manifest.annotations).toEqual({ "org.example.a": "1 < 2", "org.example.c": "3" });
    expect(index.manifests[0]!.annotations).toMatchObject({ "org.example.b": "2" });
    expect(images[0]!.config.config?.["Labels"]).toMatchObject({ "org.example.label": "x=y" });
    const refused = await rig.tsbuild(["--annotation", "index:org.example.d=4", context]);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain("index annotations not supported for single platform export");
  });

  test("N11: an image without layers is an image", async () => {
    const layout = path("bare");
    const bare = rig.context({ Dockerfile: "FROM scratch\nENV A=b\n" });
    await rig.must(["-q", "-t", NAME, "-o", `type=oci,tar=false,dest=${layout}`, bare]);
    const { faults, images } = await judgeLayout(layout);
    expect(faults).toEqual([]);
    expect(images[0]!.manifest.layers).toEqual([]);
    await accepted("skopeo", ["inspect", `oci:${layout}:1`]);
  });

  test("--metadata-file and --iidfile hold the digests of what was written", async () => {
    const [metadata, iid] = [path("metadata.json"), path("iid")];
    const { stdout } = await build(
      "--metadata-file",
      metadata,
      "--iidfile",
      iid,
      "-o",
      `type=oci,dest=${path("m.tar")}`,
    );
    const { index, images } = await judgeLayout(path("layout-type-oci"));
    const { annotations: _, ...descriptor } = index.manifests[0]!;
    const { digest } = descriptor;
    const imageId = images[0]!.manifest.config.digest;
    expect(JSON.parse(readFileSync(metadata, "utf8"))).toEqual({
      "containerimage.config.digest": imageId,
      "containerimage.descriptor": descriptor,
      "containerimage.digest": digest,
      "image.name": NAME,
    });
    expect(readFileSync(iid, "utf8")).toBe(imageId);
    expect(stdout.trim()).toBe(imageId);
  });

  test("the rules can be broken: a flipped byte, a wrong diffID, a wrong size, a missing key", async () => {
    const good = path("layout-type-oci");
    const { images } = await judgeLayout(good);
    const { manifest, config } = images[0]!;
    const [layer] = manifest.layers;

    const corrupt = damaged(good, "corrupt", (layout) => flipLastByte(join(layout, blobName(layer!.digest))));
    expect((await judgeLayout(corrupt)).faults.join("\n")).toMatch(/blob sha256:\w+ has digest sha256:/);

    const wrongDiffId = damaged(good, "wrong-diffid", (layout) => {
      const other = `sha256:${"0".repeat(64)}`;
      const { diff_ids: diffIds } = config.rootfs;
      replaceConfig(layout, { ...config, rootfs: { type: "layers", diff_ids: [other, ...diffIds.slice(1)] } });
    });
    expect((await judgeLayout(wrongDiffId)).faults).toEqual([
      `layer 0 has diffID ${config.rootfs.diff_ids[0]!}, the config says sha256:${"0".repeat(64)}`,
    ]);

    const wrongSize = damaged(good, "wrong-size", (layout) => {
      replaceManifest(layout, { ...manifest, layers: [{ ...layer!, size: 1 }, ...manifest.layers.slice(1)] });
    });
    expect((await judgeLayout(wrongSize)).faults.join("\n")).toContain("its descriptor says 1");

    const noOs = damaged(good, "no-os", (layout) => {
      replaceConfig(layout, { ...config, os: undefined });
    });
    expect((await judgeLayout(noOs)).faults).toEqual(["config must have required property 'os'"]);
  });
});

describe("skopeo", () => {
  test("inspects and copies every format", async () => {
    const inspected = JSON.parse(await accepted("skopeo", ["inspect", `oci:${path("layout-type-oci")}:1`])) as unknown;
    expect(inspected).toMatchObject({
      Architecture: process.arch === "x64" ? "amd64" : process.arch,
      Os: "linux",
      Labels: { "org.example.kind": "test & <judge>" },
      Env: ["PATH=/bin", "NAME=world"],
    });
    const sources = [
      `oci-archive:${path("layout-type-oci.tar")}`,
      `oci:${path("layout-type-oci-compression-zstd-force-compression-true")}:1`,
      `oci:${path("layout-type-oci-compression-uncompressed-force-compression-true")}:1`,
      `docker-archive:${path("layout-type-docker.tar")}`,
      `docker-archive:${path("layout-type-docker.tar")}:${NAME}`,
    ];
    for (const [position, source] of sources.entries())
      await accepted("skopeo", ["copy", "-q", source, `dir:${path(`copy-${String(position)}`)}`]);
  });

  test("rejects a corrupt blob", async () => {
    const said = await rejected("skopeo", ["copy", "-q", `oci:${path("corrupt")}:1`, `dir:${path("copy-corrupt")}`]);
    expect(said).toMatch(/digest|verification|does not match/i);
  });
});

describe("umoci with runc and crun", () => {
  test.each(["runc", "crun"] as const)("unpacks the image, and %s runs it", async (runtime) => {
    const layout = path("layout-type-oci");
    expect(await runUnpacked(layout, "1", path(`bundle-${runtime}`), { runtime })).toBe("HELLO\n");
    const bundle = path(`bundle-${runtime}-2`);
    const args = ["sh", "-c", "id -u; echo $NAME; pwd; ls -A /app; ls -d /tmp"];
    expect(
      await runUnpacked(layout, "1", bundle, { runtime, args: [...args.slice(0, 2), `${args[2]!} || true`] }),
    ).toBe("1000\nworld\n/app\nempty\ngreeting\nlink\n");
  });

  test("rejects a wrong diffID", async () => {
    const said = await rejected("umoci", ["unpack", "--image", `${path("wrong-diffid")}:1`, path("bundle-wrong")]);
    expect(said).toMatch(/diffid/i);
  });
});

describe("podman", () => {
  test.each(["layout-type-docker.tar", "layout-type-docker-oci-mediatypes-true.tar", "layout-type-oci.tar"])(
    "loads %s and runs it",
    async (archive) => {
      await podman.load(path(archive));
      expect(await podman.run(NAME)).toBe("HELLO\n");
      await podman.accepted("rmi", "--all", "--force");
    },
  );

  test("rejects a corrupt blob", async () => {
    const archive = path("corrupt.tar");
    await accepted("tar", ["-cf", archive, "-C", path("corrupt"), "."]);
    expect(await podman.rejected("load", "-q", "-i", archive)).toMatch(/digest|does not match/i);
  });
});

/** The machine's busybox image: COPY, COPY, RUN, RUN, ENV, CMD. */
const baseHistory = [false, false, false, false, true, true];

/** Path → content of all files below. */
function filesOf(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort())
    if (statSync(join(folder, name)).isFile())
      found.set(
        name,
        createHash("sha256")
          .update(readFileSync(join(folder, name)))
          .digest("hex"),
      );
  return found;
}

function damaged(layout: string, name: string, damage: (copy: string) => void): string {
  const copy = path(name);
  cpSync(layout, copy, { recursive: true });
  damage(copy);
  return copy;
}

/** Inside the compressed stream's data, so that only a digest notices it. */
function flipLastByte(file: string): void {
  const bytes = gunzipSync(readFileSync(file));
  bytes[0] = bytes[0]! ^ 1;
  writeFileSync(file, gzipSync(bytes));
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** Adds `value` as a blob and gives what a descriptor says of it. */
function addBlob(layout: string, value: unknown): { digest: string; size: number } {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  writeFileSync(join(layout, blobName(digest)), bytes);
  return { digest, size: bytes.length };
}

interface MutableIndex {
  manifests: { digest: string; size: number }[];
}

function replaceManifest(layout: string, manifest: unknown): void {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as MutableIndex;
  const [first] = index.manifests;
  rmSync(join(layout, blobName(first!.digest)));
  Object.assign(first!, addBlob(layout, manifest));
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
}

function replaceConfig(layout: string, config: unknown): void {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as MutableIndex;
  const manifest = JSON.parse(
    readFileSync(join(layout, blobName(index.manifests[0]!.digest)), "utf8"),
  ) as JudgedManifest;
  rmSync(join(layout, blobName(manifest.config.digest)));
  replaceManifest(layout, { ...manifest, config: { ...manifest.config, ...addBlob(layout, config) } });
}
