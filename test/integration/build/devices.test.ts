// RUN --device with devices that this machine has anyway, under names of their own (reference R06, S40, S41).
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type CommandResult, type Rig } from "../../support/rig.ts";

const DEVICES = (root: string): string => `cdiVersion: 0.6.0
kind: test.example/dev
devices:
  - name: zero
    containerEdits:
      env: [DEVICE=zero]
      deviceNodes:
        - {path: /dev/of-test/zero, hostPath: /dev/zero, fileMode: 0444}
      mounts:
        - {hostPath: ${root}/library, containerPath: /opt/of-test/library, options: [ro, nosuid]}
      additionalGids: [4321]
  - name: open
    annotations: {org.mobyproject.buildkit.device.autoallow: "true", org.mobyproject.buildkit.device.class: small}
    containerEdits: {env: [OPEN=yes]}
`;

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
  mkdirSync(join(rig.root, "cdi"));
  writeFileSync(join(rig.root, "cdi/test.yaml"), DEVICES(rig.root));
  writeFileSync(join(rig.root, "library"), "library\n");
});
afterAll(async () => {
  expect(rig.leftovers()).toEqual([]);
  await rig[Symbol.asyncDispose]();
});

const build = (run: string, ...args: string[]): Promise<CommandResult> => {
  const context = rig.context({ Dockerfile: `FROM busybox\nRUN ${run}\n` });
  return rig.tsbuild(["--progress", "rawjson", ...args, context], { env: { TSBUILD_CDI_DIRS: join(rig.root, "cdi") } });
};
const ZERO = "--device=test.example/dev=zero";

test("R06: the step has the node, the files, the variable and the group, and nothing of it stays", async () => {
  const script = `${ZERO} head -c 3 /dev/of-test/zero | wc -c > /out && cat /opt/of-test/library >> /out && echo $DEVICE >> /out && id -G >> /out`;
  const dest = join(rig.root, "out");
  const { code, stderr } = await build(script, "--allow", "device", "-o", dest);
  expect([code, stderr]).toEqual([0, expect.anything()]);
  expect(
    readFileSync(join(dest, "out"), "utf8")
      .split("\n")
      .map((line) => line.trim()),
  ).toEqual(["3", "library", "zero", expect.stringContaining("4321"), ""]);
  const gone = await build("! ls /opt && ! ls /dev/of-test", "-o", "type=cacheonly");
  expect(gone.code).toBe(0);
  const listed = await build("ls /opt; echo $DEVICE", "--allow", "device", "-o", "type=cacheonly");
  expect(listed.code).toBe(0);
});

test("S40: a device needs leave, for all, by name, or under another name", async () => {
  const { code, stderr } = await build(`${ZERO} true`);
  expect(code).toBe(1);
  expect(stderr).toContain("entitlement device=test.example/dev=zero is not allowed");
  expect(stderr).toContain("--allow device=test.example/dev=zero");
  expect((await build(`${ZERO} true`, "--allow", "device=test.example/dev=other")).code).toBe(1);
  expect((await build(`${ZERO} true`, "--allow", "device=test.example/dev=zero")).code).toBe(0);
  const named = "--device=app.example/needs=zero,required test $DEVICE = zero";
  expect((await build(named)).stderr).toContain("entitlement device=app.example/needs=zero is not allowed");
  expect((await build(named, "--allow", "device=test.example/dev=zero,alias=app.example/needs=zero")).code).toBe(0);
});

test("S41: a device that allows itself needs no leave, by class too", async () => {
  expect((await build("--device=test.example/dev=open test $OPEN = yes")).code).toBe(0);
  expect((await build("--device=test.example/dev=small test $OPEN = yes")).code).toBe(0);
  expect((await build("--device=test.example/dev=* true")).code).toBe(1);
});

test("R06: a device that is not there is left out, unless it is required", async () => {
  expect((await build("--device=test.example/none=x echo without")).code).toBe(0);
  const { code, stderr } = await build("--device=test.example/none=x,required true", "--allow", "device");
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(
      /required CDI device "test\.example\/none=x" is not registered[^]*test\.example\/dev=zero/,
    ) as string,
  ]);
  expect(stderr).toContain("Dockerfile:2");
});

test("Q06: the name of a device is in the key", async () => {
  const steps = async (run: string): Promise<string | undefined> => {
    const { stderr } = await build(run, "--allow", "device");
    return [...rig.outcomes(stderr)].find(([name]) => name.includes("RUN"))?.[1];
  };
  expect(await steps(`${ZERO} echo key`)).toBe("ran");
  expect(await steps(`${ZERO} echo key`)).toBe("cached");
  expect(await steps("--device=test.example/dev=open echo key")).toBe("ran");
});
