// What comes out of a build and where it goes: directories, tars, standard output, several at once; and what happens where it cannot go.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accepted, runTool } from "../../support/judges.ts";
import { openRig, type Rig } from "../../support/rig.ts";

const DOCKERFILE = `FROM busybox AS build
RUN mkdir -p /out/sub /out/closed && echo hi > /out/file && ln /out/file /out/hard && ln -s /etc/passwd /out/absolute && ln -s missing /out/dead \\
 && mkfifo -m 0640 /out/fifo && chown 5:6 /out/file && chmod 6755 /out/file && echo gone > /out/gone && echo sub > /out/sub/file && echo secret > /out/closed/file \\
 && chmod 0555 /out/closed && mknod /out/null c 1 3
RUN rm /out/gone
FROM scratch
COPY --from=build /out /
COPY --chmod=0600 --chown=7:8 added /sub/added
`;

let rig: Rig;
let context: string;
beforeAll(async () => {
  rig = await openRig();
  context = rig.context({ Dockerfile: DOCKERFILE, added: "added\n" }, "app");
});
afterAll(() => rig[Symbol.asyncDispose]());

const path = (name: string) => join(rig.root, name);
const modeOf = (file: string) => (lstatSync(file).mode & 0o7777).toString(8);
const ownerOf = (file: string) => `${String(lstatSync(file).uid)}:${String(lstatSync(file).gid)}`;
/** Names in a tar, as GNU tar sees them. */
const namesIn = async (tar: string) => (await accepted("tar", ["-tf", tar])).trimEnd().split("\n");
const IN_ROOT = ["absolute", "closed", "dead", "fifo", "file", "hard", "null", "sub"];

test("E05: a local output has the image's files, owned by who builds, whatever the umask", async () => {
  const dest = path("local");
  await accepted("sh", ["-c", `umask 077; exec "$0" -q -o ${dest} ${context}`, launcher()], { env: rigEnv() });
  expect(readdirSync(dest).sort()).toEqual(IN_ROOT);
  expect([modeOf(join(dest, "file")), ownerOf(join(dest, "file"))]).toEqual(["6755", "0:0"]);
  expect([modeOf(join(dest, "sub/added")), ownerOf(join(dest, "sub/added"))]).toEqual(["600", "0:0"]);
  expect([modeOf(join(dest, "closed")), modeOf(join(dest, "fifo")), modeOf(join(dest, "sub"))]).toEqual([
    "555",
    "640",
    "755",
  ]);
  expect(readFileSync(join(dest, "closed/file"), "utf8")).toBe("secret\n");
  expect(readlinkSync(join(dest, "absolute"))).toBe("/etc/passwd");
  expect(readlinkSync(join(dest, "dead"))).toBe("missing");
  expect(lstatSync(join(dest, "hard")).ino).toBe(lstatSync(join(dest, "file")).ino);
  expect(lstatSync(join(dest, "null")).rdev).toBe(259);
});

test("E05: what is in the directory stays, what has the same name is replaced, and no symlink leads out", async () => {
  const [dest, outside] = [path("used"), path("outside")];
  mkdirSync(join(dest, "kept"), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(outside, "target"), "mine");
  writeFileSync(join(dest, "kept/file"), "kept");
  writeFileSync(join(dest, "absolute"), "a file where a link comes");
  symlinkSync(join(outside, "target"), join(dest, "file"));
  symlinkSync(outside, join(dest, "sub"));
  await rig.must(["-q", "-o", dest, context]);
  expect(readdirSync(dest).sort()).toEqual([...IN_ROOT, "kept"].sort());
  expect(readFileSync(join(dest, "kept/file"), "utf8")).toBe("kept");
  expect(lstatSync(join(dest, "file")).isFile()).toBe(true);
  expect(lstatSync(join(dest, "sub")).isDirectory()).toBe(true);
  expect(readdirSync(outside)).toEqual(["target"]);
  expect(readFileSync(join(outside, "target"), "utf8")).toBe("mine");
  // Once more, over the result: closed directories are no obstacle.
  await rig.must(["-q", "-o", dest, context]);
  expect(modeOf(join(dest, "closed"))).toBe("555");
});

test("E05: a directory of the user is not removed for a file", async () => {
  const dest = path("in-the-way");
  mkdirSync(join(dest, "file"), { recursive: true });
  writeFileSync(join(dest, "file/precious"), "x");
  const { code, stderr } = await rig.tsbuild(["-q", "-o", dest, context]);
  expect(code).toBe(1);
  expect(stderr).toContain(`cannot overwrite directory ${dest}/file with a file`);
  expect(readFileSync(join(dest, "file/precious"), "utf8")).toBe("x");
});

test("E06: a tar has the image's owners, without what was deleted", async () => {
  const tar = path("tree.tar");
  await rig.must(["-q", "-o", `type=tar,dest=${tar}`, context]);
  const lines = (await accepted("tar", ["--numeric-owner", "-tvf", tar])).trimEnd().split("\n");
  const shown = lines.map((line) => line.replace(/ +/g, " ").replace(/ \d{4}-\d\d-\d\d \d\d:\d\d /, " "));
  expect(shown).toEqual([
    "lrwxrwxrwx 0/0 0 absolute -> /etc/passwd",
    "dr-xr-xr-x 0/0 0 closed/",
    "-rw-r--r-- 0/0 7 closed/file",
    "lrwxrwxrwx 0/0 0 dead -> missing",
    "prw-r----- 0/0 0 fifo",
    "-rwsr-sr-x 5/6 3 file",
    "hrwsr-sr-x 5/6 0 hard link to file",
    "crw-r--r-- 0/0 1,3 null",
    "drwxr-xr-x 0/0 0 sub/",
    "-rw------- 7/8 6 sub/added",
    "-rw-r--r-- 0/0 4 sub/file",
  ]);
});

test.each([
  ["-o -", ["-o", "-"], IN_ROOT[0]],
  ["type=tar", ["-o", "type=tar"], IN_ROOT[0]],
  ["type=tar,dest=-", ["-o", "type=tar,dest=-"], IN_ROOT[0]],
  ["type=oci", ["-o", "type=oci"], "blobs/"],
  ["type=docker,dest=-", ["-o", "type=docker,dest=-"], "blobs/"],
])("%s: standard output is the archive and nothing else, also with progress", async (name, flags, first) => {
  const file = path(`stdout-${name.replace(/\W+/g, "-")}.tar`);
  const run = `exec "$0" --progress plain ${flags.join(" ")} ${context} > ${file}`;
  const { code, stderr } = await runTool("sh", ["-c", run, launcher()], { env: rigEnv() });
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining("exporting to") as string });
  expect((await namesIn(file))[0]).toBe(first);
});

test("a reader of standard output that goes away ends the build with a plain error", async () => {
  const big = rig.context({ Dockerfile: "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null\n" });
  const run = `("$0" -q -o - ${big}; echo "code $?" >&2) | head -c 1 > /dev/null`;
  const { stderr } = await runTool("sh", ["-c", run, launcher()], { env: rigEnv() });
  expect(stderr).toMatch(/^error: .*EPIPE/m);
  expect(stderr).toMatch(/code 1$/m);
  expect(stderr).not.toMatch(/ {4}at /);
  expect(rig.leftovers()).toEqual([]);
});

test("E07: cacheonly makes nothing, and the next build finds its steps", async () => {
  const before = (await rig.must(["images"])).stdout;
  const own = rig.context({ Dockerfile: "FROM busybox\nRUN echo cacheonly > /x\n" });
  const { stdout } = await rig.must(["-q", "-o", "type=cacheonly", own]);
  expect(stdout).toBe("");
  expect((await rig.must(["images"])).stdout).toBe(before);
  const { stderr } = await rig.must(["--progress", "rawjson", "-t", "after", own]);
  expect(rig.outcomes(stderr).get("[2/2] RUN echo cacheonly > /x")).toBe("cached");
});

test("E08: several outputs come from one build", async () => {
  const own = rig.context({ Dockerfile: `${DOCKERFILE}LABEL several=yes\n`, added: "added\n" });
  const outputs = ["type=image", `type=oci,dest=${path("s.oci")}`, `type=docker,dest=${path("s.docker")}`];
  const files = [`type=tar,dest=${path("s.tar")}`, path("s.dir"), "type=cacheonly"];
  const flags = [...outputs, ...files].flatMap((output) => ["-o", output]);
  const { stderr } = await rig.must(["--progress", "rawjson", "-t", "several", ...flags, own]);
  const steps = [...rig.outcomes(stderr).keys()].filter((name) => name.startsWith("exporting"));
  expect(steps).toHaveLength(6);
  expect((await rig.must(["images"])).stdout).toContain("several:latest");
  expect(await namesIn(path("s.oci"))).toContain("index.json");
  expect(await namesIn(path("s.docker"))).toContain("manifest.json");
  expect(await namesIn(path("s.tar"))).toContain("sub/added");
  expect(readdirSync(path("s.dir")).sort()).toEqual(IN_ROOT);
});

test("SOURCE_DATE_EPOCH is the time of every file that comes out", async () => {
  const [dest, tar] = [path("epoch"), path("epoch.tar")];
  const flags = ["-q", "--build-arg", "SOURCE_DATE_EPOCH=1000000000", "-o", dest, "-o", `type=tar,dest=${tar}`];
  await rig.must([...flags, context]);
  for (const name of readdirSync(dest, { recursive: true, encoding: "utf8" }))
    expect(lstatSync(join(dest, name)).mtimeMs).toBe(1e12);
  const times = (await accepted("tar", ["--utc", "--full-time", "-tvf", tar])).match(
    /\d{4}-\d\d-\d\d \d\d:\d\d:\d\S*/g,
  );
  expect(new Set(times)).toEqual(new Set(["2001-09-09 01:46:40"]));
});

test("a layout's files are its own, and other images in it stay", async () => {
  const layout = path("layout");
  const write = (tag: string, from: string) =>
    rig.must(["-q", "-t", tag, "-o", `type=oci,tar=false,dest=${layout}`, from]);
  await write("one:1", context);
  const second = rig.context({ Dockerfile: "FROM busybox\n" });
  await write("two:1", second);
  await write("one:1", second);
  const names = (JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as LayoutIndex).manifests.map(
    ({ annotations }) => annotations["io.containerd.image.name"],
  );
  expect(names).toEqual(["docker.io/library/two:1", "docker.io/library/one:1"]);
  for (const blob of readdirSync(join(layout, "blobs/sha256"))) {
    const { nlink, mode } = statSync(join(layout, "blobs/sha256", blob));
    expect([nlink, (mode & 0o777).toString(8)]).toEqual([1, "644"]);
  }
  writeFileSync(join(layout, "index.json"), "{}");
  const { code, stderr } = await rig.tsbuild(["-q", "-o", `type=oci,tar=false,dest=${layout}`, second]);
  expect([code, stderr.includes("is no image index")]).toEqual([1, true]);
});

test("N02, N09: an index says for which platform its image is; in a directory an image without a name is called latest", async () => {
  const [layout, archive] = [path("unnamed"), path("unnamed.tar")];
  const write = (from: string, ...flags: readonly string[]) =>
    rig.must(["-q", "-o", `type=oci,tar=false,dest=${layout}`, ...flags, from]);
  const entries = (text: string): readonly object[] => (JSON.parse(text) as { manifests: object[] }).manifests;
  const inLayout = (): readonly object[] => entries(readFileSync(join(layout, "index.json"), "utf8"));
  const seconds = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as unknown;
  const created = { "org.opencontainers.image.created": seconds };
  const platform = { architecture: "amd64", os: "linux" };
  const latest = { platform, annotations: { ...created, "org.opencontainers.image.ref.name": "latest" } };
  const metadata = path("unnamed.json");
  await write(context, "--metadata-file", metadata, "-o", `type=oci,dest=${archive}`);
  expect(inLayout()).toEqual([expect.objectContaining(latest)]);
  expect(entries(await accepted("tar", ["-xOf", archive, "index.json"]))).toEqual([
    expect.objectContaining({ platform, annotations: created }),
  ]);
  expect(JSON.parse(readFileSync(metadata, "utf8"))).toMatchObject({ "containerimage.descriptor": { platform } });
  // Found by that tag, as buildx does; another image takes its place, one with a name stays beside it.
  const child = rig.context({ Dockerfile: "FROM base\nLABEL l=1\n" });
  await rig.must(["-q", "--build-context", `base=oci-layout://${layout}:latest`, child]);
  await write(rig.context({ Dockerfile: "FROM scratch\nLABEL l=2\n" }));
  expect(inLayout()).toEqual([expect.objectContaining(latest)]);
  await write(context, "-t", "named:1");
  expect(inLayout()).toHaveLength(2);
  // One image that no tag names is meant by any; one with another tag is not.
  const index = join(layout, "index.json");
  const [only] = inLayout();
  writeFileSync(index, JSON.stringify({ schemaVersion: 2, manifests: [{ ...only, annotations: {} }] }));
  await rig.must(["-q", "--build-context", `base=oci-layout://${layout}:v1`, child]);
  writeFileSync(index, JSON.stringify({ schemaVersion: 2, manifests: [only] }));
  const { code, stderr } = await rig.tsbuild(["-q", "--build-context", `base=oci-layout://${layout}:v1`, child]);
  expect([code, stderr.includes("no image tagged v1")]).toEqual([1, true]);
});

test("an archive replaces a file, follows a link, and is written into a pipe or a device that is there", async () => {
  const [link, target, fifo] = [path("link.tar"), path("target.tar"), path("pipe")];
  writeFileSync(target, "old");
  symlinkSync(target, link);
  await rig.must(["-q", "-o", `type=tar,dest=${link}`, context]);
  expect(readlinkSync(link)).toBe(target);
  expect(await namesIn(target)).toContain("file");
  await accepted("mkfifo", [fifo]);
  const [names] = await Promise.all([namesIn(fifo), rig.must(["-q", "-o", `type=tar,dest=${fifo}`, context])]);
  expect(names).toContain("file");
  expect(lstatSync(fifo).isFIFO()).toBe(true);
  const device = path("null");
  await accepted("mknod", [device, "c", "1", "3"]);
  await rig.must(["-q", "-o", `type=oci,dest=${device}`, context]);
  expect(lstatSync(device).isCharacterDevice()).toBe(true);
});

test.each(["type=tar", "type=oci", "type=docker", "type=oci,tar=false", "type=local"])(
  "%s to a full disk fails with its reason; the file that was there and the store stay whole",
  async (output) => {
    const disk = path("disk");
    mkdirSync(disk, { recursive: true });
    await accepted("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]);
    try {
      const dest = join(disk, "out");
      if (/tar$|oci$|docker$/.test(output)) writeFileSync(dest, "old");
      const own = rig.context({ Dockerfile: `FROM busybox\nRUN echo ${output} > /x; cp /bin/busybox /y\n` });
      const { code, stderr } = await rig.tsbuild(["-q", "-o", `${output},dest=${dest}`, own]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^error: cannot write .*: no space left on device: the disk is full$/m);
      expect(stderr).toContain("help: free disk space");
      if (existsSync(dest) && statSync(dest).isFile()) expect(readFileSync(dest, "utf8")).toBe("old");
      expect(readdirSync(disk)).toEqual(["out"]);
      expect(rig.leftovers()).toEqual([]);
      const again = await rig.must(["--progress", "rawjson", "-o", `type=tar,dest=${path("after.tar")}`, own]);
      expect([...rig.outcomes(again.stderr)].filter(([name, how]) => name.includes("RUN") && how === "ran")).toEqual(
        [],
      );
      expect(await namesIn(path("after.tar"))).toContain("y");
    } finally {
      await accepted("umount", [disk]);
    }
  },
);

test("destinations that cannot be are errors with their path", async () => {
  const file = path("plain-file");
  writeFileSync(file, "x");
  const cases: [flags: string[], code: number, message: string][] = [
    [["-o", join(file, "below")], 1, `cannot write to ${file}/below: ${file} is a file, not a directory`],
    [
      ["-o", `type=tar,dest=${join(file, "below")}`],
      1,
      `cannot write ${file}/below: ${file} is a file, not a directory`,
    ],
    [["-o", `type=tar,dest=${rig.root}`], 1, `cannot write ${rig.root}: it is a directory`],
    [
      ["-o", `type=oci,tar=false,dest=${file}`],
      1,
      `cannot write the OCI layout ${file}: ${file} is a file, not a directory`,
    ],
    [["-o", "/proc/nowhere"], 1, "cannot write to /proc/nowhere: E"],
    [["--metadata-file", join(file, "m.json")], 1, `cannot write ${file}/m.json: E`],
    [["-o", "type=local"], 2, "dest is required for output type local"],
    [["-o", "type=oci,tar=false"], 2, "dest is required for output type oci"],
    [["-o", "dest=x"], 2, "type is required"],
    [["-o", "type=moon,dest=x"], 2, 'unknown output type "moon"'],
    [["-o", "type=oci,dest=x,compresion=zstd"], 2, 'unknown option "compresion" for output type oci'],
    [["-o", "type=oci,dest=x,oci-mediatypes=false"], 2, "conflicts"],
    [["-o", "type=docker,dest=x,oci-mediatypes=maybe"], 2, "non-bool value specified for oci-mediatypes"],
    [["-t", "Upper"], 2, 'invalid reference format: "Upper"'],
    [["-o", "type=image,name=a b"], 2, 'invalid reference format: "a b"'],
    [
      ["-o", "type=image,name=a:1,push=true,push-by-digest=true"],
      2,
      "can't push tagged ref docker.io/library/a:1 by digest",
    ],
    [["--push"], 2, "tag is needed when pushing to registry"],
  ];
  // Mistakes in flags are found before anything runs.
  const unread = rig.context({ Dockerfile: "FROM busybox\nRUN echo must not run; exit 7\n" });
  for (const [flags, code, message] of cases) {
    const result = await rig.tsbuild(["-q", ...flags, code === 2 ? unread : context]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(message) as string]);
    expect(result.stderr).not.toMatch(/ {4}at /);
  }
});

test("an interrupted export leaves the old file and no other", async () => {
  const folder = path("interrupted");
  mkdirSync(folder);
  writeFileSync(join(folder, "out.tar"), "old");
  const own = rig.context({ Dockerfile: "FROM busybox\nRUN truncate -s 3G /huge\n" });
  await rig.must(["-q", "-o", "type=cacheonly", own]);
  const watch = setInterval(() => {
    if (readdirSync(folder).some((name) => name !== "out.tar" && statSync(join(folder, name)).size > 0)) stop();
  }, 50);
  let stop = (): void => {};
  const { code } = await rig.tsbuild(["-q", "-o", `type=tar,dest=${join(folder, "out.tar")}`, own], {
    onStart: (kill) => {
      stop = () => {
        clearInterval(watch);
        kill("SIGINT");
      };
    },
  });
  clearInterval(watch);
  expect(code).toBe(130);
  expect(readdirSync(folder)).toEqual(["out.tar"]);
  expect(readFileSync(join(folder, "out.tar"), "utf8")).toBe("old");
  expect(rig.leftovers()).toEqual([]);
});

test("--load feeds docker or podman, and passes their refusal on", async () => {
  const bin = path("bin");
  mkdirSync(bin);
  const engine = (name: string, script: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  // All that the launcher needs.
  symlinkSync("/usr/bin/readlink", join(bin, "readlink"));
  const env = { PATH: bin };
  const none = await rig.tsbuild(["-q", "--load", "-t", "load:1", context], { env });
  expect([none.code, none.stderr]).toEqual([
    1,
    expect.stringContaining("neither docker nor podman is installed") as string,
  ]);
  engine("podman", `if [ "$1" = load ]; then /bin/cat > ${path("loaded.tar")}; fi`);
  await rig.must(["-q", "--load", "-t", "load:1", context], { env });
  const [manifest] = JSON.parse(await accepted("tar", ["-xOf", path("loaded.tar"), "manifest.json"])) as [
    { RepoTags: string[] },
  ];
  expect(manifest.RepoTags).toEqual(["load:1"]);
  const away = await rig.tsbuild(["-q", "-o", "type=docker,context=far", context], { env });
  expect([away.code, away.stderr]).toEqual([1, expect.stringContaining("docker is not installed") as string]);
  engine("docker", `echo "$@" > ${path("words")}; /bin/cat > /dev/null`);
  await rig.must(["-q", "-o", "type=docker,context=far", context], { env });
  expect(readFileSync(path("words"), "utf8")).toBe("--context far load\n");
  engine("docker", 'if [ "$1" = load ]; then echo "Cannot connect to the Docker daemon" >&2; exit 1; fi');
  const refused = await rig.tsbuild(["-q", "--load", "-t", "load:1", context], { env });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("docker load failed: Cannot connect to the Docker daemon");
});

test("pain 6: --load sends nothing of an image that the engine has; at most it gets its names", async () => {
  const bin = path("engines");
  mkdirSync(bin);
  const [calls, images] = [path("calls"), path("images")];
  // Knows images as "name id" lines, as an engine that numbers them by their configs does.
  const script = `#!/bin/sh
echo "$1 $2 $3" >> ${calls}
case "$1" in
load) echo "$(/usr/bin/wc -c)" >> ${path("moved")} ;;
image) shift 4; for name; do /usr/bin/sed -n "s|^$name ||p" ${images} | /usr/bin/grep . || exit 1; done ;;
tag) echo "$3 $2" >> ${images} ;;
esac
`;
  writeFileSync(join(bin, "docker"), script, { mode: 0o755 });
  symlinkSync("/usr/bin/readlink", join(bin, "readlink"));
  const env = { PATH: bin };
  const build = async (...names: string[]): Promise<string[]> => {
    writeFileSync(calls, "");
    await rig.must(["-q", "--load", ...names.flatMap((name) => ["-t", name]), context], { env });
    return readFileSync(calls, "utf8").split("\n").filter(Boolean).slice(1);
  };
  writeFileSync(images, "");
  const { stdout: id } = await rig.must(["-q", "--load", "-t", "one:1", context], { env });
  expect(Number(readFileSync(path("moved"), "utf8"))).toBeGreaterThan(1000);
  expect(readFileSync(calls, "utf8")).toContain("load");
  const isId = /^sha256:[0-9a-f]{64}$/;
  const config = id.trim();
  expect(config).toMatch(isId);
  writeFileSync(images, `one:1 ${config}\n${config} ${config}\n`);
  expect(await build("one:1")).toEqual(["image inspect --format"]);
  // The name is another image's by now.
  writeFileSync(images, `one:1 sha256:${"0".repeat(64)}\n${config} ${config}\n`);
  expect(await build("one:1")).toEqual(["image inspect --format", "image inspect --format", `tag ${config} one:1`]);
  expect(await build("two:1", "two:2")).toContain(`tag ${config} two:2`);
  expect(await build("two:1", "two:2")).toEqual(["image inspect --format"]);
  // podman's way of writing it.
  writeFileSync(images, `one:1 ${config.slice(7)}\n`);
  expect(await build("one:1")).toEqual(["image inspect --format"]);
  expect(readFileSync(path("moved"), "utf8").trim().split("\n")).toHaveLength(1);
  writeFileSync(images, "");
  expect(await build("one:1")).toContain("load  ");
});

interface LayoutIndex {
  readonly manifests: readonly { readonly annotations: Readonly<Record<string, string>> }[];
}

function launcher(): string {
  return join(import.meta.dirname, "../../../src/bin/tsbuild");
}

function rigEnv(): Record<string, string> {
  return { TSBUILD_ROOT: rig.store };
}
