// What people do wrong: one screen that names the place and the remedy, the exit code, a whole store, and a next build that works.
import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRig, type FileSpec, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

interface Mistake {
  readonly name: string;
  readonly files: Readonly<Record<string, FileSpec>>;
  readonly args?: readonly string[];
  readonly code: number;
  readonly says: readonly (string | RegExp)[];
}

const MISTAKES: readonly Mistake[] = [
  {
    name: "no Dockerfile",
    files: { other: "" },
    code: 1,
    says: ["failed to read dockerfile: open Dockerfile: no such file or directory", "help:"],
  },
  { name: "L07: an empty file", files: { Dockerfile: "" }, code: 1, says: ["the Dockerfile cannot be empty"] },
  {
    name: "L06: an unknown instruction",
    files: { Dockerfile: "FROM busybox\nRUNN echo\n" },
    code: 1,
    says: ["dockerfile parse error on line 2: unknown instruction: RUNN", 'did you mean "RUN"?', /^ {3}2 \| >>> RUNN/m],
  },
  {
    name: "every error at once",
    files: { Dockerfile: "FROM busybox\nRUNN a\nCOPPY b\n" },
    code: 1,
    says: ["unknown instruction: RUNN", "unknown instruction: COPPY"],
  },
  {
    name: "K30: a check directive that says nothing known",
    files: { Dockerfile: "# check=error=maybe\nFROM busybox\n" },
    code: 1,
    says: ['failed to parse check option "error=maybe"', "InvalidCheckOption", "help:"],
  },
  {
    name: "K30: … together with all else that is wrong",
    files: { Dockerfile: "# check=error=maybe\nFROM busybox\nRUNN a\n" },
    code: 1,
    says: ['failed to parse check option "error=maybe"', "unknown instruction: RUNN"],
  },
  {
    name: "an unknown flag",
    files: { Dockerfile: "FROM busybox\n" },
    args: ["--tga", "x"],
    code: 2,
    says: ["unknown flag: --tga", "did you mean --tag?"],
  },
  { name: "no context", files: {}, args: ["--help-me-not"], code: 2, says: ["unknown flag"] },
  {
    name: "C07: a missing source",
    files: { Dockerfile: "FROM busybox\nCOPY nothere /x\n", nothing: "" },
    code: 1,
    says: ['"/nothere": not found', /^ {3}2 \| >>> COPY nothere/m, "Dockerfile:2:6"],
  },
  {
    name: "I05: a source that .dockerignore excludes",
    files: {
      Dockerfile: "FROM busybox\nCOPY secret.txt /x\n",
      "secret.txt": "",
      ".dockerignore": "# keep out\n*.txt\n",
    },
    code: 1,
    says: ['"/secret.txt": not found', /excluded by line 2 of .*\.dockerignore \(\*\.txt\)/],
  },
  {
    name: "F09: an unknown target",
    files: { Dockerfile: "FROM busybox AS build\n" },
    args: ["--target", "bulid"],
    code: 1,
    says: ['target stage "bulid" could not be found', "build"],
  },
  {
    name: "an unreachable registry",
    files: { Dockerfile: "FROM 127.0.0.1:1/a/b\n" },
    code: 3,
    says: ["127.0.0.1:1", "help:", "Dockerfile:1"],
  },
  {
    name: "S40: an entitlement that was not given",
    files: { Dockerfile: "FROM busybox\nRUN --network=host true\n" },
    code: 1,
    says: ["entitlement network.host is not allowed", "--allow network.host"],
  },
  {
    name: "links in a circle, in a COPY",
    files: { Dockerfile: "FROM busybox\nCOPY --chmod=644 round/x /x\n", round: { link: "round" } },
    code: 1,
    says: [
      'too many links in "/round/x"',
      "Dockerfile:2:18",
      "points at itself",
      "failed to compute cache key: failed to calculate checksum of ref local::context: too many links",
    ],
  },
  {
    name: "M11: links in a circle, in a mount",
    files: { Dockerfile: "FROM busybox\nRUN --mount=source=round,target=/m true\n", round: { link: "round" } },
    code: 1,
    says: ['too many links in "/round"', "Dockerfile:2:20", "calculate checksum of ref local::context: too many links"],
  },
  {
    name: "O06: an unknown user",
    files: { Dockerfile: "FROM busybox\nUSER ghost\nRUN true\n" },
    code: 1,
    says: ["unable to find user ghost: no matching entries in passwd file"],
  },
  {
    name: "M43: a required secret",
    files: { Dockerfile: "FROM busybox\nRUN --mount=type=secret,id=tok,required=true true\n" },
    code: 1,
    says: ["secret tok: not found", "--secret id=tok"],
  },
  {
    name: "a shell that is not there",
    files: { Dockerfile: "FROM scratch\nCOPY Dockerfile /\nRUN echo hi\n" },
    code: 1,
    says: ["/bin/sh"],
  },
  {
    name: "an output that is not known",
    files: { Dockerfile: "FROM busybox\n" },
    args: ["-o", "type=zip,dest=x"],
    code: 2,
    says: ['unknown output type "zip"'],
  },
  {
    name: "pushing without a name",
    files: { Dockerfile: "FROM busybox\n" },
    args: ["--push"],
    code: 2,
    says: ["tag is needed when pushing to registry"],
  },
  {
    name: "what is not built yet",
    files: { Dockerfile: "FROM busybox\n" },
    args: ["--cache-to", "type=azblob,account_url=https://a"],
    code: 1,
    says: ["--cache-to type=azblob is not built", "use registry, local"],
  },
  {
    name: "a bad name",
    files: { Dockerfile: "FROM busybox\n" },
    args: ["-t", "Not/Good"],
    code: 2,
    says: ["invalid reference format"],
  },
];

describe.each(MISTAKES)("$name", ({ files, args = [], code, says }) => {
  test("is told in one screen", async () => {
    const result = await rig.tsbuild([...args, rig.context(files)]);
    expect(result.stderr.split("\n").length).toBeLessThan(60);
    for (const text of says)
      expect(result.stderr).toMatch(
        typeof text === "string" ? new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")) : text,
      );
    expect(result.stderr).not.toMatch(/^ {4}at /m);
    expect(result.code).toBe(code);
    expect(rig.leftovers()).toEqual([]);
  });
});

test("a file without permission bits is no obstacle for root", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY . /x\n", locked: "x" });
  chmodSync(join(context, "locked"), 0);
  await rig.must([context]);
});

test("a store where no directory can be made is an error, not a hang", async () => {
  const result = await rig.tsbuild([rig.context({ Dockerfile: "FROM scratch\n" })], {
    env: { TSBUILD_ROOT: "/proc/nowhere/store" },
  });
  expect(result).toMatchObject({ code: 1 });
  expect(result.stderr).toMatch(/store at \/proc\/nowhere\/store|cannot .*\/proc\/nowhere/);
});

test("S64: a secret shows in no output, no error and no log", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nRUN --mount=type=secret,id=tok cat /run/secrets/tok; base64 /run/secrets/tok; exit 3\n",
  });
  const file = join(rig.root, "tok");
  writeFileSync(file, "hunter2-secret-value");
  const { stderr, code } = await rig.tsbuild(["--secret", `id=tok,src=${file}`, context]);
  expect(code).toBe(1);
  expect(stderr).toContain("***");
  expect(stderr).not.toContain("hunter2");
  expect(stderr).not.toContain(Buffer.from("hunter2-secret-value").toString("base64"));
  const inStore = (text: string): string => spawnSync("grep", ["-rlF", text, rig.store], { encoding: "utf8" }).stdout;
  expect(inStore("***")).toContain("/logs/");
  expect(inStore("hunter2")).toBe("");
});

test("every command that --help lists explains itself, with exit status 0", async () => {
  const { stdout } = await rig.must(["--help"]);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+)\b/gm)].map(([, name]) => name!).concat("du", "prune");
  expect(commands.length).toBeGreaterThan(15);
  const answers = await Promise.all(commands.map(async (name) => ({ name, ...(await rig.tsbuild([name, "--help"])) })));
  const silent = answers.filter(({ code, stdout: text }) => code !== 0 || !/^(usage: )?tsbuild /im.test(text));
  expect(silent).toEqual([]);
  // Behind an image's name it is for the image's command.
  expect((await rig.tsbuild(["run", "busybox", "echo", "--help"])).stdout).toBe("--help\n");
});
