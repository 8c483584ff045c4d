// What is asked of a Dockerfile without building it. The files of fixtures/check that begin with "buildx", and those beside the outline, are what docker buildx printed for
// the same files (without the LLB definition of the sources, which only BuildKit has).
import { cpSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRig, type CommandResult, type Rig } from "../../support/rig.ts";

const FIXTURES = join(import.meta.dirname, "../../../fixtures/check");

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Runs in a copy of a fixture's folder. */
function inFixture(name: string, ...args: readonly string[]): Promise<CommandResult> {
  const context = rig.context({});
  cpSync(join(FIXTURES, name), context, { recursive: true });
  return rig.tsbuild([...args, "."], { cwd: context });
}

const recorded = (path: string): string => readFileSync(join(FIXTURES, path), "utf8");

const inDockerfile = (text: string, ...args: readonly string[]): Promise<CommandResult> =>
  rig.tsbuild([...args, "."], { cwd: rig.context({ Dockerfile: text }) });

describe("--check", () => {
  test("K01–K22, K42, K45, K46: every rule once, in BuildKit's order, as JSON", async () => {
    const { stdout, code } = await inFixture("every-rule", "--call=check,format=json", "--build-arg", "BASE=busybox");
    expect(stdout).toBe(recorded("every-rule/buildx.json"));
    expect(code).toBe(1);
  });

  test("K42: the text, to the byte", async () => {
    const { stdout, code } = await inFixture("text", "--check");
    expect(stdout).toBe(recorded("text/buildx.txt"));
    expect(code).toBe(1);
  });

  test("K42: nothing found, and warnings that do not count", async () => {
    const clean = await inDockerfile('FROM busybox\nCMD ["a"]\n', "--check");
    expect([clean.code, clean.stdout]).toEqual([0, "Check complete, no warnings found.\n"]);
    const ignored = await inDockerfile("FROM busybox\nCMD a\n", "--call=lint,ignorestatus=true");
    expect(ignored.code).toBe(0);
    expect(ignored.stdout).toMatch(
      /^Check complete, 1 warning has been found!\n\nWARNING: JSONArgsRecommended - https/,
    );
  });

  test("K42: the file is shown as it was named", async () => {
    const text = "FROM scratch AS A\n";
    const cwd = rig.context({ "sub/dockerfile": text });
    for (const [args, shown] of [
      [["sub"], "sub/dockerfile"],
      [["-f", "sub/dockerfile", "."], "sub/dockerfile"],
      [["-f", "-", "sub"], "stdin"],
    ] as const)
      expect((await rig.tsbuild(["--check", ...args], { cwd, input: text })).stdout).toContain(`\n${shown}:1\n`);
  });

  test("K42: errors go to standard error, into the JSON, and make the status 1 whatever is ignored", async () => {
    const text = "FROM busybox AS A\nCOPPY a b\n";
    const shown = await inDockerfile(text, "--call=check,ignorestatus=true");
    expect(shown.code).toBe(1);
    expect(shown.stdout).toMatch(/^Check complete, 1 warning has been found!\n/);
    expect(shown.stderr).toContain("dockerfile parse error on line 2: unknown instruction: COPPY");
    const json = await inDockerfile(text, "--call=check,format=json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      warnings: [{ ruleName: "StageNameCasing" }],
      buildError: {
        message: "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)",
        location: { ranges: [{ start: { line: 2 }, end: { line: 2 } }] },
      },
    });
  });

  test("K42, K46: a file without instructions has its last line, nothing and no stage have none", async () => {
    const located = async (text: string): Promise<unknown> => {
      const { stdout } = await inDockerfile(text, "--call=check,format=json");
      const { buildError } = JSON.parse(stdout) as { buildError: { message: string; location: object } };
      return [buildError.message, buildError.location];
    };
    expect(await located("")).toEqual(["the Dockerfile cannot be empty", {}]);
    expect(await located("# c\nARG A=1\n")).toEqual(["dockerfile contains no stages to build", {}]);
    for (const [text, line] of [
      ["# only", 1],
      ["# a\n# b\n", 2],
      ["# x\n\n# y\n\n", 4],
    ] as const) {
      const location = { ranges: [{ start: { line }, end: { line } }] };
      expect(await located(text), text).toEqual(["file with no instructions", location]);
    }
  });

  test("K33: a build with error=true fails with the warnings, and with the rules in BuildKit's words", async () => {
    const { code, stderr } = await inDockerfile("# check=error=true\nFROM busybox AS Z\nCMD a\nMAINTAINER me\nCMD b\n");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^ {2}buildkit: lint violation found for rules: (\w+, ){3}\w+$/m);
    expect(stderr).toContain("[StageNameCasing]");
  });

  test("K33: error=true names the rules in the order in which they are found", async () => {
    const { code, stderr } = await inDockerfile("# check=error=true\nFROM busybox AS Z\nCMD a\n", "--check");
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining("lint violation found for rules: StageNameCasing, JSONArgsRecommended"),
    ]);
  });

  test("a base image that is not there is the error, and what the text shows is still said", async () => {
    const { code, stdout, stderr } = await inDockerfile("FROM oci-nowhere.invalid/x AS Z\n", "--check");
    expect(code).not.toBe(0);
    expect(stdout).toContain("WARNING: StageNameCasing");
    expect(stderr).toContain("oci-nowhere.invalid/x");
  });

  test("checks of ours are hints: they are shown, and fail nothing", async () => {
    const text = "# check=error=true\nFROM busybox\nRUN <<EOF\nmake\nmake install\nEOF\n";
    const { code, stdout } = await inDockerfile(text, "--check");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Check complete, no warnings found\.\n\nHINT: HeredocWithoutErrexit\n.*\nDockerfile:3\n/);
    const silenced = await inDockerfile(
      text.replace("RUN", "# check=skip=HeredocWithoutErrexit // why\nRUN"),
      "--check",
    );
    expect(silenced.stdout).toBe("Check complete, no warnings found.\n");
  });
});

describe("other calls", () => {
  test.each([
    ["K40, K47: the outline", ["--call=outline"], "outline.txt"],
    ["K41: the targets", ["--call=targets"], "targets.txt"],
    ["K41, K46: the targets as JSON", ["--call=targets,format=json"], "targets.json"],
    ["K43: what can be asked", ["--call=subrequests.describe"], "describe.txt"],
    ["K43: what can be asked, as JSON", ["--call=subrequests.describe,format=json"], "describe.json"],
  ])("%s", async (_name, args, file) => {
    const more = args[0] === "--call=outline" ? ["--target", "final", "--build-arg", "D=given"] : [];
    const { stdout, code } = await inFixture("outline", ...args, ...more);
    expect(stdout).toBe(recorded(`outline/${file}`));
    expect(code).toBe(0);
  });

  test("K40, K46: the outline as JSON, with the cache mounts that BuildKit leaves out", async () => {
    const args = ["--call=outline,format=json", "--target", "final", "--build-arg", "D=given"];
    const { cache, ...rest } = JSON.parse((await inFixture("outline", ...args)).stdout) as Record<string, unknown>;
    expect(rest).toEqual(JSON.parse(recorded("outline/outline.json")));
    expect(cache).toEqual([{ ID: "/c", location: { ranges: [{ start: { line: 15 }, end: { line: 15 } }] } }]);
  });

  test("K40: what a target does not need is left out of the JSON and of the text", async () => {
    const [json, text] = [
      await inDockerfile("FROM scratch\n", "--call=outline,format=json"),
      await inDockerfile("FROM scratch\n", "--call=outline"),
    ];
    expect([JSON.parse(json.stdout), text.stdout]).toEqual([{ sources: [btoa("FROM scratch\n")] }, ""]);
  });

  test.each([
    ["K48", "--call=bogus", "unsupported request frontend.bogus"],
    ["an unknown option", "--call=check,bogus=1", "invalid print field: bogus=1"],
    ["an option without a value", "--call=check,ignorestatus", "invalid print value: ignorestatus"],
    ["an unknown format", "--call=check,format=xml", 'unknown format "xml"'],
  ])("%s is a mistake in the flags", async (_name, flag, says) => {
    const { code, stderr } = await inDockerfile("FROM busybox\n", flag);
    expect([code, stderr]).toEqual([2, expect.stringContaining(says)]);
  });
});

describe("tsbuild check and fmt", () => {
  const UGLY =
    "from busybox as Base\nrun echo a \\\n\n  b\nExpose 1:80/TCP\n# check=skip=LegacyKeyValueFormat\nENV a b\nENV c d\nFROM base\n";
  const FIXED =
    "FROM busybox AS base\nRUN echo a \\\n  b\nEXPOSE 80/tcp\n# check=skip=LegacyKeyValueFormat\nENV a b\nENV c=d\nFROM base\n";

  test("--fix corrects what is certain and was not silenced, says so, and keeps mode and link", async () => {
    const context = rig.context({ "real/Dockerfile": { text: UGLY, mode: 0o664 } });
    symlinkSync("real/Dockerfile", join(context, "Dockerfile"));
    const { stdout, code } = await rig.tsbuild(["check", "--fix", "Dockerfile"], { cwd: context });
    expect(readFileSync(join(context, "real/Dockerfile"), "utf8")).toBe(FIXED);
    expect(stdout).toContain('fixed Dockerfile:1:1: "from" → "FROM" [ConsistentInstructionCasing]\n');
    expect(stdout).toContain('fixed Dockerfile:8:1: "c d" → "c=d" [LegacyKeyValueFormat]\n');
    expect(stdout).toMatch(/\nCheck complete, no warnings found\.\n$/);
    expect(code).toBe(0);
    expect(statSync(join(context, "real/Dockerfile")).mode & 0o7777).toBe(0o664);
    expect(lstatSync(join(context, "Dockerfile")).isSymbolicLink()).toBe(true);
  });

  test("without --fix nothing is written, nor where the file has errors or is no file", async () => {
    const context = rig.context({ Dockerfile: UGLY });
    expect((await rig.tsbuild(["check", context])).code).toBe(1);
    expect(readFileSync(join(context, "Dockerfile"), "utf8")).toBe(UGLY);
    writeFileSync(join(context, "Dockerfile"), `${UGLY}COPPY\n`);
    expect((await rig.tsbuild(["check", "--fix", context])).code).toBe(1);
    expect(readFileSync(join(context, "Dockerfile"), "utf8")).toBe(`${UGLY}COPPY\n`);
    const piped = await rig.tsbuild(["check", "--fix", "-"], { input: UGLY });
    expect([piped.code, piped.stderr]).toEqual([2, expect.stringContaining("--fix needs a Dockerfile in a directory")]);
  });

  test("the fixed JSON is all of standard output", async () => {
    const context = rig.context({ Dockerfile: UGLY });
    const { stdout, stderr } = await rig.tsbuild(["check", "--fix", "--call=check,format=json", context]);
    expect(JSON.parse(stdout)).toMatchObject({ warnings: null });
    expect(stderr).toContain("[ConsistentInstructionCasing]");
  });

  test("fmt prints, --write rewrites, errors change nothing", async () => {
    const context = rig.context({ Dockerfile: "from   busybox\n\n\n\nuser   x" });
    const formatted = "FROM busybox\n\nUSER x\n";
    const file = join(context, "Dockerfile");
    expect((await rig.must(["fmt", file])).stdout).toBe(formatted);
    expect((await rig.must(["fmt", "-"], { input: readFileSync(file, "utf8") })).stdout).toBe(formatted);
    expect((await rig.must(["fmt", "--write", file])).stdout).toBe("");
    expect(readFileSync(file, "utf8")).toBe(formatted);
    writeFileSync(file, "FROM busybox\nuserr x\n");
    const broken = await rig.tsbuild(["fmt", "--write", file]);
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining("unknown instruction: userr")]);
    expect(readFileSync(file, "utf8")).toBe("FROM busybox\nuserr x\n");
  });
});

test("K44: the graph that a target becomes, as text and as JSON; nothing is built and nobody's password is shown", async () => {
  const text = `FROM busybox AS a\nRUN echo must not run; exit 1\nFROM scratch AS b\nCOPY --from=a /x /y\nADD http://me:pw@127.0.0.1:1/f /z\nADD https://me:pw@127.0.0.1:1/r.git /r\n`;
  const context = rig.context({ Dockerfile: text });
  const { stdout } = await rig.must(["--call=graph", context]);
  expect(stdout.split("\n").map((line) => line.split(" ", 1)[0])).toEqual([
    "#1",
    "#2",
    "#3",
    "#4",
    "#5",
    "#6",
    "#7",
    "",
  ]);
  expect(stdout).toMatch(/RUN echo must not run; exit 1" \(#1\) exec/);
  expect(stdout).toMatch(/COPY --from=a .*\(scratch, #2\) copy 1:"x" -> "\/y"/);
  const target = await rig.must(["--call=graph,format=json", "--target", "a", context]);
  const graph = JSON.parse(target.stdout) as {
    target: string;
    vertices: { id: string; op: { kind: string }; inputs: unknown[] }[];
  };
  expect(graph.vertices.map(({ op }) => op.kind)).toEqual(["image", "exec"]);
  expect([graph.vertices[1]!.id, graph.vertices[1]!.inputs]).toEqual([graph.target, [graph.vertices[0]!.id]]);
  const json = await rig.must(["--call=graph,format=json", context]);
  expect(stdout + json.stdout).not.toContain("pw@");
  const wrong = await rig.tsbuild(["--call=graph", "--target", "none", context]);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("could not be found") as string]);
});
