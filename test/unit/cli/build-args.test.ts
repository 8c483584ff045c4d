// Flags and build arguments that ask the builder for something beside the Dockerfile, as the build takes them.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseBuildArguments } from "../../../src/cli/build-args.ts";

type Parsed = Exclude<Awaited<ReturnType<typeof parseBuildArguments>>, string>;

async function parse(line: string, environment: Readonly<Record<string, string>> = {}): Promise<Parsed> {
  const words = line.split(" ").filter((word) => word !== "");
  const parsed = await parseBuildArguments([...words, "."], "/w", environment);
  if (typeof parsed === "string") throw new Error("help");
  return parsed;
}

const INLINE = "--build-arg BUILDKIT_INLINE_CACHE";
test.each([
  ["", false],
  [`${INLINE}=1`, true],
  [`${INLINE}=True`, true],
  [`${INLINE}=0`, false],
  [`${INLINE}=`, false],
  [`${INLINE}=yes`, false],
  [`${INLINE}=0 ${INLINE}=1`, true],
  [`${INLINE}=1 ${INLINE}=0`, false],
  [INLINE, false],
  [`${INLINE}=0 --cache-to type=inline`, true],
])("A25: %j asks for an inline cache: %s", async (line, expected) => {
  expect((await parse(line)).build.inlineCache).toBe(expected);
});

test("A25: a name alone has the value of the environment, which alone asks for nothing", async () => {
  const environment = { BUILDKIT_INLINE_CACHE: "1" };
  expect((await parse(INLINE, environment)).build.inlineCache).toBe(true);
  expect((await parse("", environment)).build.inlineCache).toBe(false);
});

test.each([
  ["--provenance", "--provenance"],
  ["--provenance=true", "--provenance"],
  ["--provenance=mode=max,version=v0.2", "--provenance"],
  ["--sbom", "--sbom"],
  ["--sbom=generator=scanner", "--sbom"],
  ["--attest type=provenance,mode=min", "--attest"],
  ["--attest type=sbom,disabled=false", "--attest"],
  ["--attest type=sbom,disabled", "--attest"],
  ["--attest type=sbom,disabled=true --attest type=provenance", "--attest"],
])("PV01–PV03, SB01: %s is refused", async (line, flag) => {
  await expect(parse(line)).rejects.toMatchObject({
    code: "unsupported",
    message: `${flag} is not built yet`,
    help: expect.stringMatching(/^leave it out/) as unknown,
  });
});

test.each([
  "--provenance=false",
  "--provenance=0",
  "--sbom=F",
  "--attest type=sbom,disabled=true",
  "--attest type=provenance,mode=max,disabled=1",
  "--attest disabled=T,type=sbom",
])("PV01, PV03, SB01: %s switches off what is not built", async (line) => {
  expect((await parse(line)).build.context).toBe(".");
});

async function parseWords(...words: string[]): Promise<Parsed> {
  const parsed = await parseBuildArguments([...words, "."], "/w", {});
  if (typeof parsed === "string") throw new Error("help");
  return parsed;
}

test("U17: of secrets with one id the last counts; an id of --ssh is given once", async () => {
  const { build } = await parse("--secret id=a,src=x --secret id=b,env=B --secret id=a,env=A");
  expect(build.secrets).toEqual([
    { id: "a", env: "A" },
    { id: "b", env: "B" },
  ]);
  expect((await parse("--ssh default --ssh deploy=key")).build.ssh.map(({ id }) => id)).toEqual(["default", "deploy"]);
  await expect(parse("--ssh default --ssh default=key")).rejects.toThrow('duplicate agent ID "default"');
});

test("U13: --no-cache and --no-cache-filter exclude each other", async () => {
  await expect(parse("--no-cache --no-cache-filter a")).rejects.toThrow(
    "--no-cache and --no-cache-filter cannot currently be used together",
  );
  expect((await parse("--no-cache=false --no-cache-filter a")).build).toMatchObject({ noCacheFilter: ["a"] });
});

test.each(["-o out", "-o type=local,dest=out", "-o type=tar,dest=out.tar -t a", "-o type=oci,dest=a.tar -o out"])(
  "U12: --iidfile with %s is refused, where no id would be written",
  async (line) => {
    await expect(parse(`--iidfile id ${line}`)).rejects.toThrow(
      "local and tar exporters are incompatible with image ID file",
    );
    expect((await parse(line)).build.iidFile).toBeUndefined();
  },
);

test("U18, U20: --add-host takes a comma list, --shm-size 0 is the standard size", async () => {
  expect((await parse("--add-host a:1.2.3.4,b=[::1] --add-host c:5.6.7.8")).build.addHosts).toEqual([
    "a:1.2.3.4",
    "b=[::1]",
    "c:5.6.7.8",
  ]);
  expect((await parse("--shm-size 0")).build.shmSize).toBeUndefined();
  expect((await parse("--shm-size 1m")).build.shmSize).toBe(1024 ** 2);
});

test("flags whose value is a variable that is not set say nothing", async () => {
  const nothing = await parse("");
  const flags = "output iidfile metadata-file report cache-from cache-to add-host allow annotation build-context".split(
    " ",
  );
  for (const flag of [...flags, "network", "call", "target", "cgroup-parent", "secret", "progress"]) {
    expect(await parseWords(`--${flag}`, ""), flag).toEqual(nothing);
    expect(await parseWords(`--${flag}=`), flag).toEqual(nothing);
  }
  // Where docker refuses an empty value, so do we.
  for (const flag of ["ulimit", "build-arg", "label"])
    await expect(parseWords(`--${flag}`, ""), flag).rejects.toThrow();
});

test("a switch is set to what Go reads as true or false, and to nothing else", async () => {
  for (const [text, cache] of Object.entries({ "1": "ignore", T: "ignore", true: "ignore", "0": "use", False: "use" }))
    expect((await parse(`--no-cache=${text}`)).build.cache, text).toBe(cache);
  expect((await parse("-q=t")).isQuiet).toBe(true);
  for (const line of ["--no-cache=yes", "--push=maybe", "--check=", "-q=no"])
    await expect(parse(line), line).rejects.toThrow(/^invalid value ".*" for --?\w/);
  expect([...(await parse("--build-arg A=--push=maybe")).build.buildArgs]).toEqual([["A", "--push=maybe"]]);
});

test("U29, U30: flags that say nothing to BuildKit are taken, with a note where somebody may count on them", async () => {
  const idle = "--rm=false --force-rm --compress --isolation default -D --builder default";
  expect((await parse(idle)).notes).toEqual([]);
  const { notes, build } = await parse("--squash --security-opt seccomp=x --builder arm");
  expect(notes.map((note) => note.replace(/:.*/, ""))).toEqual([
    "--squash has no effect",
    "--security-opt has no effect",
    "--builder arm has no effect",
  ]);
  expect(build).toEqual((await parse("")).build);
});

test("RG09: proxies of docker's config.json are build arguments where none are given", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-proxies-"));
  try {
    mkdirSync(join(folder, ".docker"));
    const proxies = {
      default: { httpProxy: "http://p:1", httpsProxy: "", noProxy: "a,b", other: "x" },
      "tcp://host:2375": { allProxy: "socks://q" },
    };
    writeFileSync(join(folder, ".docker/config.json"), JSON.stringify({ proxies }));
    const given = async (line: string, environment: Readonly<Record<string, string>>) => [
      ...(await parse(line, environment)).build.buildArgs,
    ];
    const home = { HOME: folder };
    const none = [
      ["NO_PROXY", "a,b"],
      ["no_proxy", "a,b"],
    ];
    expect(await given("", home)).toEqual([["HTTP_PROXY", "http://p:1"], ["http_proxy", "http://p:1"], ...none]);
    expect(await given("--build-arg http_proxy=mine --build-arg HTTP_PROXY= --build-arg A=1", home)).toEqual([
      ["HTTP_PROXY", ""],
      ["http_proxy", "mine"],
      ...none,
      ["A", "1"],
    ]);
    const other = { DOCKER_CONFIG: join(folder, ".docker"), DOCKER_HOST: "tcp://host:2375" };
    expect(await given("", other)).toEqual([
      ["ALL_PROXY", "socks://q"],
      ["all_proxy", "socks://q"],
    ]);
    writeFileSync(join(folder, ".docker/config.json"), "{");
    expect(await given("", home)).toEqual([]);
    expect(await given("", { DOCKER_CONFIG: join(folder, "none") })).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
