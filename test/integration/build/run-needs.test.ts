// What a RUN asks of whoever builds: secrets and agents that may be missing, and rights over the machine. Reference M11, M42, M43, M52, R05, S09, S40, S52, S64.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const withRun = (run: string): string => rig.context({ Dockerfile: `FROM busybox\nRUN ${run}\n` });

async function seen(run: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  await rig.must(["-q", "--no-cache", ...args, "-o", "seen", withRun(`${run} > /seen`)], { env });
  return readFileSync(join(rig.root, "seen/seen"), "utf8");
}

test("M42, M43: a secret is a variable, and a file only where a target says so; without it the variable is empty and no file is there", async () => {
  const asVariable = "--mount=type=secret,id=s,env=WORD";
  const both = `${asVariable},target=/s/word`;
  const look = '{ echo "${WORD-unset} $(cat /s/word)"; ls /run/secrets; ls /s; echo; } 2> /dev/null';
  const given = ["--secret", "id=s,env=SOURCE,leak=allow"];
  expect(await seen(`${both} ${look}`, given, { SOURCE: "tell-nobody" })).toBe("tell-nobody tell-nobody\nword\n\n");
  expect(await seen(`${asVariable} ${look}`, given, { SOURCE: "tell-nobody" })).toBe("tell-nobody \n\n");
  expect(await seen(`${asVariable} ${look}`, [])).toBe(" \n\n");
  expect(await seen(`--mount=type=secret,id=s ${look}`, [])).toBe("unset \n\n");
});

test("S64: a secret's value is in no image and nowhere in the store, whether it was a file or a variable", async () => {
  const mounts = "--mount=type=secret,id=s,env=WORD --mount=type=secret,id=s,target=/s/word";
  const context = withRun(`${mounts} echo "read $WORD" && test "$WORD" = "$(cat /s/word)" && echo made > /made`);
  const env = { SOURCE: "value-that-nobody-keeps" };
  await rig.must(["--progress", "plain", "--secret", "id=s,env=SOURCE", "-t", "secretive", context], { env });
  const { stdout } = await rig.must(["inspect", "secretive"]);
  expect(stdout).toContain("echo made");
  expect(stdout).not.toContain(env.SOURCE);
  const look = (text: string): string => spawnSync("grep", ["-rlF", text, rig.store], { encoding: "utf8" }).stdout;
  expect(look("read ***")).toContain("/logs/");
  expect(look(env.SOURCE)).toBe("");
});

test("S09, S52: a step's host name is BuildKit's or the one asked for, and its hosts are its own and those that were added", async () => {
  const look = "{ hostname; cat /etc/hosts; }";
  const hosts = (name: string): string =>
    `${name}\n127.0.0.1\tlocalhost ${name}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
  expect(await seen(look, [])).toBe(hosts("buildkitsandbox"));
  const named = [
    "--build-arg",
    "BUILDKIT_SANDBOX_HOSTNAME=box",
    "--add-host",
    "db:10.1.1.1",
    "--add-host",
    "six=[::6]",
  ];
  expect(await seen(look, named)).toBe(`${hosts("box")}10.1.1.1\tdb\n::6\tsix\n`);
});

test("M51, M52: an ssh mount without an agent leaves nothing, and a required one fails the build at its line", async () => {
  const look = "ls /run/buildkit 2>/dev/null || echo nothing";
  expect(await seen(`--mount=type=ssh ${look}`, [])).toBe("nothing\n");
  const { code, stderr } = await rig.tsbuild([withRun("--mount=type=ssh,id=k,required true")]);
  expect([code, stderr]).toEqual([1, expect.stringContaining("unset ssh forward key k") as string]);
  expect(stderr).toContain("Dockerfile:2");
  expect(stderr).toContain("give a key with --ssh k=KEYFILE, or a running ssh agent with --ssh k");
});

test("R04, R05, S40: rights over the machine are given by name, and one does not give another", async () => {
  const insecure = "--security=insecure grep -c '^Seccomp:.0$' /proc/self/status";
  expect(await seen(insecure, ["--allow", "security.insecure"])).toBe("1\n");
  const host = "--network=host readlink /proc/self/ns/net";
  const own = await seen(host, ["--allow", "network.host,security.insecure"]);
  expect(await seen("readlink /proc/self/ns/net", [])).not.toBe(own);
  expect(await seen("readlink /proc/self/ns/net", ["--network", "host"])).toBe(own);
  const refused = await rig.tsbuild(["--allow", "network.host", withRun(insecure)]);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining("entitlement security.insecure is not allowed") as string,
  ]);
  const warmed = await rig.tsbuild(["warm", withRun(`--network=host ${insecure}`)]);
  expect([warmed.code, warmed.stderr]).toEqual([
    1,
    expect.stringContaining("entitlement network.host is not allowed") as string,
  ]);
  const unknown = await rig.tsbuild(["--allow", "network.hots", withRun("true")]);
  expect([unknown.code, unknown.stderr]).toEqual([
    2,
    expect.stringContaining("unknown entitlement network.hots") as string,
  ]);
});

test.each([
  ["from=made,source=/dead", '"/dead" in the mounted stage is a link to "nowhere"', '"/dead": not found'],
  ["from=made,source=/none", 'there is no "/none" in the mounted stage', '"/none": not found'],
  [
    "from=busybox,source=none",
    'there is no "/none" in the mounted image',
    "complete successfully: open /none: no such file",
  ],
])(
  "M11: what a bind mount of %s lacks is told at its source, with BuildKit's sentence",
  async (from, cause, sentence) => {
    const Dockerfile = `FROM busybox AS made\nRUN ln -s nowhere /dead\nFROM busybox\nRUN --mount=type=bind,target=/x,${from} true\n`;
    const { code, stderr } = await rig.tsbuild([rig.context({ Dockerfile })]);
    expect(stderr).toContain(`error: ${cause}`);
    expect(stderr).toContain(":4:");
    expect(/buildkit: .*/.exec(stderr)?.[0]).toContain(sentence);
    expect(code).toBe(1);
  },
);
