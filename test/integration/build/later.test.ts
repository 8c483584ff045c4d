// What is left for later refuses before anything runs, says so, and says what to do; what is asked of the builder by build arguments is done or refused.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
let context: string;
beforeAll(async () => {
  rig = await openRig();
  context = rig.context({ Dockerfile: "FROM busybox\nRUN echo must not run > /ran\n" });
});
afterAll(() => rig[Symbol.asyncDispose]());

const local = "type=local,dest=never";
const LATER: readonly (readonly [rows: string, args: readonly string[], says: string])[] = [
  ["PV01, PV02, PV04–PV06: provenance", ["--provenance=mode=max,version=v0.2"], "--provenance is not built yet"],
  ["PV03: parameters of provenance", ["--attest", "type=provenance,builder-id=x"], "--attest is not built yet"],
  ["PV07: provenance of files", ["--provenance=true", "-o", local], "--provenance is not built yet"],
  ["PV07, SB05: names of attestation files", ["-o", `${local},attestation-prefix=a`], "tsbuild makes no attestations"],
  ["SB01–SB03: bills of materials", ["--sbom=generator=scanner"], "--sbom is not built yet"],
  ["SB04, SB05: the same, of stages and files", ["--attest", "type=sbom", "-o", local], "--attest is not built yet"],
  ["N03–N06, E28: attestations within an image", ["-o", "type=image,attestation-inline=true"], "makes no attestations"],
  [
    "N02: an index of platforms",
    ["--platform", "linux/amd64,linux/arm64"],
    "several platforms in one build are not built",
  ],
  [
    "A26, N02: an index of one",
    ["--build-arg", "BUILDKIT_MULTI_PLATFORM=1"],
    "BUILDKIT_MULTI_PLATFORM=1 is not built yet",
  ],
  [
    "Windows, whose layers have another form",
    ["--platform", "windows/amd64"],
    "cannot build Windows images yet (windows/amd64)",
  ],
];

test.each(LATER)("%s is refused before anything runs", async (_rows, args, says) => {
  const { code, stderr } = await rig.tsbuild(["--progress", "plain", ...args, context]);
  expect([code, stderr]).toEqual([1, expect.stringContaining(says) as string]);
  expect(stderr).toContain("help:");
  expect(stderr).not.toMatch(/RUN echo|^\s+at /m);
  expect(existsSync(join(rig.root, "never"))).toBe(false);
});

test("PV01, SB01, A26: what switches them off is accepted", async () => {
  const off = ["--provenance=false", "--sbom=false", "--attest", "type=sbom,disabled=true"];
  const args = ["--build-arg", "BUILDKIT_MULTI_PLATFORM=false", "--build-arg", "BUILDKIT_SBOM_SCAN_CONTEXT=true"];
  await rig.must(["-q", ...off, ...args, "-o", "type=cacheonly", context]);
  const bad = await rig.tsbuild(["-q", "--build-arg", "BUILDKIT_MULTI_PLATFORM=perhaps", context]);
  expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining("invalid boolean value") as string]);
  expect(bad.stderr).toContain("help: leave the argument out, or write BUILDKIT_MULTI_PLATFORM=false");
});

test("A28, P05: BUILDKIT_SYNTAX goes before the directive, and has to be a Dockerfile", async () => {
  const foreign = rig.context({ Dockerfile: "# syntax=example.com/other:1\nFROM scratch\nCOPY a /a\n", a: "a" });
  const build = (syntax: string, from: string) =>
    rig.tsbuild(["-q", "--build-arg", `BUILDKIT_SYNTAX=${syntax}`, "-o", "out", from]);
  expect((await rig.tsbuild(["-q", foreign])).stderr).toContain(
    'the frontend image "example.com/other:1" is not supported',
  );
  for (const syntax of [
    "dockerfile.v0",
    "docker/dockerfile:1.7-labs",
    "registry.example/docker/dockerfile:1 with words",
  ])
    expect((await build(syntax, foreign)).code).toBe(0);
  expect(readFileSync(join(rig.root, "out/a"), "utf8")).toBe("a");
  expect((await build("", foreign)).stderr).toContain('the frontend image "example.com/other:1" is not supported');
  const { code, stderr } = await build("example.com/mopy", context);
  expect(code).toBe(1);
  expect(stderr).toContain('the frontend image "example.com/mopy" is not supported');
  expect(stderr).toContain("leave the build argument BUILDKIT_SYNTAX out");
});

test("A29, K31: BUILDKIT_DOCKERFILE_CHECK replaces the directive in a build", async () => {
  const lax = rig.context({ Dockerfile: "# check=skip=all\nFROM scratch\nMAINTAINER me\n" });
  expect((await rig.tsbuild(["-q", lax])).code).toBe(0);
  const strict = await rig.tsbuild(["-q", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true", lax]);
  expect([strict.code, strict.stderr]).toEqual([
    1,
    expect.stringMatching(/error: .*\[MaintainerDeprecated\]/) as string,
  ]);
  // Other than in the directive, words behind a blank belong to it.
  const skip = "BUILDKIT_DOCKERFILE_CHECK=error=true;skip=MaintainerDeprecated";
  expect((await rig.tsbuild(["-q", "--build-arg", skip, lax])).code).toBe(0);
  expect((await rig.tsbuild(["-q", "--build-arg", `${skip} why`, lax])).code).toBe(1);
  const bad = await rig.tsbuild(["-q", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=color=red", lax]);
  expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining('invalid check option "color"') as string]);
});

test("A27, R09: a step is called buildkitsandbox or as the build argument says; what there is to read and the terminal are ours", async () => {
  const nosy = rig.context({
    Dockerfile: "FROM busybox\nRUN { hostname; cat; test -t 0 || echo no terminal; } > /seen\n",
  });
  const seen = async (...args: string[]): Promise<string> => {
    await rig.must(["-q", ...args, "-o", "nosy", nosy], { input: "typed\n" });
    return readFileSync(join(rig.root, "nosy/seen"), "utf8");
  };
  expect(await seen()).toBe("buildkitsandbox\nno terminal\n");
  expect(await seen("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=box")).toBe("box\nno terminal\n");
  expect(await seen("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=")).toBe("buildkitsandbox\nno terminal\n");
});

test("S17, S54: a step sees nothing of our tracing, and of proxies only what build arguments say", async () => {
  const run = "RUN env > /env; ls -a /dev > /dev.txt; ls -R /etc > /etc.txt";
  const traced = rig.context({ Dockerfile: `FROM busybox\n${run}\n` });
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4317",
    TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    HTTPS_PROXY: "http://of.the.client",
  };
  const args = ["--build-arg", "http_proxy=http://of.the.build", "-o", "traced"];
  await rig.must(["-q", ...args, traced], { env });
  const seen = readFileSync(join(rig.root, "traced/env"), "utf8");
  expect(seen).not.toMatch(/OTEL|TRACEPARENT|of\.the\.client/);
  expect(seen).toMatch(/^HTTP_PROXY=http:\/\/of\.the\.build$/m);
  expect(seen).toMatch(/^http_proxy=http:\/\/of\.the\.build$/m);
  expect(readFileSync(join(rig.root, "traced/dev.txt"), "utf8")).not.toContain("otel");
  const { code, stderr } = await rig.tsbuild(["-q", "--proxy-network", traced]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("unknown flag: --proxy-network") as string]);
});
