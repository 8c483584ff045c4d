// Images for another platform than this machine's (reference A21, F06, F11, K14, S16, S63): no processor is needed for files and metadata, an emulator or the kernel's handler for RUN.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { arch } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProcess } from "../../../src/base/process.ts";
import { startRegistry, type TestRegistry } from "../../support/registry/server.ts";
import { openRig, type Rig } from "../../support/rig.ts";

const PROJECT = resolve(import.meta.dirname, "../../..");
const HERE = arch() === "x64" ? "amd64" : arch();
/** One that no machine which runs the tests is. */
const FOREIGN = "linux/s390x";

let rig: Rig;
let registry: TestRegistry;
beforeAll(async () => {
  rig = await openRig();
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

interface Config {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly config: { readonly Labels?: Readonly<Record<string, string>>; readonly Env?: readonly string[] };
}

async function configOf(name: string): Promise<Config> {
  return (JSON.parse((await rig.must(["inspect", name])).stdout) as { readonly config: Config }).config;
}

/** An index with an image per platform, each of which says in /platform what it is. */
async function pushIndex(name: string, platforms: readonly string[]): Promise<void> {
  const manifests = [];
  for (const platform of platforms) {
    const context = rig.context({ Dockerfile: "FROM scratch\nCOPY platform /platform\n", platform });
    await rig.must(["-q", "--platform", platform, "-t", `${registry.host}/${name}:one`, "--push", context]);
    const { stdout } = await rig.must(["inspect", `${registry.host}/${name}:one`]);
    const { digest } = JSON.parse(stdout) as { readonly digest: string };
    const { bytes, mediaType } = registry.manifest(name, digest)!;
    const [os, architecture, variant] = platform.split("/");
    manifests.push({ mediaType, digest, size: bytes.length, platform: { os, architecture, variant } });
  }
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  registry.addManifest(name, "latest", index, mediaType);
}

const ARGS = ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDARCH"];
const DESCRIBED = `FROM scratch AS files
${ARGS.map((name) => `ARG ${name}`).join("\n")}
LABEL args="${ARGS.map((name) => `$${name}`).join(" ")}"
COPY file /file
ADD file /added/
WORKDIR /work
FROM --platform=$BUILDPLATFORM busybox AS native
ARG TARGETARCH
RUN echo $TARGETARCH > /made
FROM files
COPY --from=native /made /made
`;

test.each([
  ["linux/arm64", { architecture: "arm64" }, "linux/arm64 linux arm64"],
  ["linux/arm64/v8", { architecture: "arm64" }, "linux/arm64 linux arm64"],
  ["linux/arm", { architecture: "arm", variant: "v7" }, "linux/arm/v7 linux arm v7"],
  ["linux/arm/v6", { architecture: "arm", variant: "v6" }, "linux/arm/v6 linux arm v6"],
  [FOREIGN, { architecture: "s390x" }, "linux/s390x linux s390x"],
])("A21, F06, S16: files and metadata for %s, what runs on this machine", async (platform, members, args) => {
  const context = rig.context({ Dockerfile: DESCRIBED, file: "same for all" });
  await rig.must(["-q", "--platform", platform, "-o", "type=image,name=described", "-o", "out", context]);
  const config = await configOf("described");
  expect(config).toMatchObject({ os: "linux", ...members });
  expect("variant" in config).toBe("variant" in members);
  expect(config.config.Labels?.["args"]?.replace(/ +/g, " ")).toBe(`${args} linux/${HERE} ${HERE}`);
  expect(readFileSync(join(rig.root, "out/made"), "utf8")).toBe(`${members.architecture}\n`);
  expect(readFileSync(join(rig.root, "out/added/file"), "utf8")).toBe("same for all");
});

test("F06, F11, S16: images are taken for the platform that is asked for, wherever they are named", async () => {
  await pushIndex("many", [`linux/${HERE}`, "linux/arm/v6", "linux/arm/v7", FOREIGN]);
  const image = `${registry.host}/many`;
  const Dockerfile = `FROM --platform=linux/arm/v6 ${image} AS sixth
FROM --platform=$BUILDPLATFORM ${image} AS build
FROM ${image}
COPY --from=sixth /platform /sixth
COPY --from=build /platform /build
COPY --from=${image} /platform /from
`;
  const context = rig.context({ Dockerfile });
  const outputs = ["-o", "type=image,name=app", "-o", "many"];
  const build = (platform: string) => rig.must(["-q", "--platform", platform, ...outputs, context]);
  const file = (name: string): string => readFileSync(join(rig.root, "many", name), "utf8");
  for (const platform of [FOREIGN, "linux/arm/v7"]) {
    await build(platform);
    const [, architecture] = platform.split("/");
    expect([file("platform"), file("from"), file("sixth")]).toEqual([platform, platform, "linux/arm/v6"]);
    expect(file("build")).toBe(`linux/${HERE}`);
    expect((await configOf("app")).architecture).toBe(architecture);
  }
  const { code, stderr } = await rig.tsbuild(["--platform", "linux/riscv64", context]);
  expect(code).not.toBe(0);
  expect(stderr).toContain("no match for platform in manifest: not found");
  expect(stderr).toContain("has no version for linux/riscv64, only for linux/amd64, linux/arm/v6");
});

test("F06, K14: a name of the store that means an image for another platform is looked up, and used with a warning where nothing else is to be had", async () => {
  await pushIndex("kept", [`linux/${HERE}`, FOREIGN]);
  const image = `${registry.host}/kept`;
  await rig.must(["pull", image]);
  const context = rig.context({ Dockerfile: `FROM ${image}\nCOPY file /file\n`, file: "" });
  const built = async (): Promise<string> => {
    await rig.must(["-q", "--platform", FOREIGN, "--pull=missing", "-o", "kept", context]);
    return readFileSync(join(rig.root, "kept/platform"), "utf8");
  };
  expect(await built()).toBe(FOREIGN);
  registry.clearLog();
  expect(await built()).toBe(FOREIGN);
  expect(registry.log).toEqual([]);
  const own = rig.context({ Dockerfile: "FROM busybox\nRUN true\n" });
  const { stderr } = await rig.must(["--platform", FOREIGN, "--pull=never", own]);
  expect(stderr).toContain(
    `Base image busybox was pulled with platform "linux/${HERE}", expected "${FOREIGN}" for current build`,
  );
});

test("U08: pull fetches the image for this machine, or for the platform that is named", async () => {
  await pushIndex("several", [`linux/${HERE}`, FOREIGN]);
  const image = `${registry.host}/several`;
  const pulled = async (...words: readonly string[]): Promise<string> => {
    await rig.must(["pull", ...words]);
    return (await configOf(image)).architecture;
  };
  expect(await pulled(image)).toBe(HERE);
  expect(await pulled("--platform", FOREIGN, image)).toBe(FOREIGN.split("/")[1]);
  expect(await pulled(image, `--platform=linux/${HERE}`)).toBe(HERE);
  const missing = await rig.tsbuild(["pull", "--platform", "linux/riscv64", image]);
  expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining("has no version for linux/riscv64")]);
  for (const words of [["--platform"], ["--platform", "a/b/c/d", image], ["--os", "linux", image]])
    expect((await rig.tsbuild(["pull", ...words])).code, words.join(" ")).toBe(2);
});

/** Programs of a machine that there is not: ELF headers with nothing behind them. */
function program(machine: number): Buffer {
  const head = Buffer.alloc(64);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 2, 1]);
  head.writeUInt16BE(2, 16);
  head.writeUInt16BE(machine, 18);
  return head;
}

function foreignContext(Dockerfile: string): string {
  const context = rig.context({ Dockerfile });
  writeFileSync(join(context, "sh"), program(22));
  chmodSync(join(context, "sh"), 0o755);
  return context;
}

test("S16, R03: without an emulator a RUN fails with BuildKit's exit code, the cause and one remedy", async () => {
  const context = foreignContext("FROM scratch\nCOPY sh /bin/sh\nRUN make\n");
  const { code, stderr } = await rig.tsbuild(["--progress", "plain", "--platform", FOREIGN, context]);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^\S+Dockerfile:3:1: error: "\/bin\/sh" is a program for linux\/s390x, .*\(exec format error\)$/m,
  );
  expect(stderr).toContain('process "/bin/sh -c make" did not complete successfully: exit code: 255');
  expect(stderr.match(/^ *help: .*$/gm)).toEqual([
    "  help: install qemu-user-static on this machine: the kernel then runs such programs with it",
  ]);
  const mistaken = await rig.tsbuild(["--progress", "plain", context]);
  expect(mistaken.stderr).toContain(
    `is a program for linux/s390x, but this build is for linux/${HERE} (exec format error)`,
  );
});

/** Stands in for qemu: says what it was asked, and lets this machine's own program do it. */
const EMULATOR = `#!/bin/busybox sh
echo "$0: $*" >> /emulated
grep " $0 " /proc/self/mounts | grep -q "[ ,]ro[ ,]" && echo ro >> /emulated
exec "$@"
`;

test("S16, S63: buildkit-qemu-ARCH of PATH stands before the command, and leaves nothing in the layer", async () => {
  const tools = join(rig.root, "emulators");
  mkdirSync(tools);
  writeFileSync(join(tools, "buildkit-qemu-aarch64"), EMULATOR, { mode: 0o755 });
  writeFileSync(join(tools, "buildkit-qemu-s390x"), EMULATOR, { mode: 0o755 });
  const Dockerfile = `FROM busybox AS foreign
RUN echo shell form
RUN ["/bin/echo", "exec form"]
FROM --platform=linux/${HERE} busybox AS native
RUN test ! -e /emulated && touch /native
FROM --platform=linux/386 busybox AS compatible
RUN ${HERE === "amd64" ? "test ! -e /emulated &&" : ""} touch /compatible
FROM foreign
COPY --from=native /native /
COPY --from=compatible /compatible /
`;
  const context = rig.context({ Dockerfile });
  const env = { PATH: `${tools}:${process.env["PATH"] ?? ""}` };
  for (const platform of ["linux/arm64", FOREIGN]) {
    const args = [
      "-q",
      "--platform",
      platform,
      "--pull=never",
      "-o",
      "type=image,name=foreign",
      "-o",
      "emulated",
      context,
    ];
    await rig.must(args, { env });
    const path = "/dev/.buildkit_qemu_emulator";
    expect(readFileSync(join(rig.root, "emulated/emulated"), "utf8")).toBe(
      `${path}: /bin/sh -c echo shell form\nro\n${path}: /bin/echo exec form\nro\n`,
    );
    expect(existsSync(join(rig.root, "emulated", path))).toBe(false);
  }
  const run = await rig.must(["run", "foreign", "cat", "/emulated"], { env });
  expect(run.stdout).toContain("/dev/.buildkit_qemu_emulator: cat /emulated");
});

/** Mounts binfmt_misc in a user namespace of its own, where handlers are nobody else's (Linux 6.7), and registers busybox's echo for the program's machine. */
const HANDLED = `for name in subuid subgid; do mount --bind $ROOT/subids /etc/$name; done
exec unshare --mount --propagation private --user --map-users=0,0,65536 --map-groups=0,0,65536 sh -ec '
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf %s ":tsbuild:M:18:\\x00\\x16::$ROOT/echo:F" > /proc/sys/fs/binfmt_misc/register
exec "$@"' sh "$@"`;

test("S16: the kernel's handler with the flag F serves a RUN, whose root file system has no interpreter; S70: root of a user namespace builds as without root", async () => {
  copyFileSync("/bin/busybox", join(rig.root, "echo"));
  writeFileSync(join(rig.root, "subids"), "root:0:65536\n");
  const context = foreignContext(
    'FROM busybox\nCOPY sh /prog\nRUN /prog shell > /shell\nRUN ["/prog", "exec", "form"]\n',
  );
  const command = [join(PROJECT, "src/bin/tsbuild"), "--progress", "plain", "--platform", FOREIGN, "--pull=never"];
  const store = join(rig.root, "handled");
  const env = { ...process.env, ROOT: rig.root, TSBUILD_ROOT: store, HOME: rig.root };
  const inNamespace = ["--mount", "--propagation", "private", "sh", "-ec", HANDLED, "sh"];
  const [layout, out] = [join(rig.root, "layout"), join(rig.root, "handled-out")];
  const base = rig.context({ Dockerfile: "FROM busybox\n" });
  await rig.must(["-q", "-t", "busybox", "-o", `type=oci,tar=false,dest=${layout}`, base]);
  const words = [...inNamespace, ...command, "--build-context", `busybox=oci-layout://${layout}`, "-o", out, context];
  const { exitCode, stderr } = await runProcess("unshare", words, { env });
  expect(stderr).toMatch(/^#\d+ [\d.]+ \/prog exec form$/m);
  expect(exitCode).toBe(0);
  expect(readFileSync(join(out, "shell"), "utf8")).toBe("/prog shell\n");
});
