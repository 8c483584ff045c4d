// A step may use its secrets, not keep them: real steps, judged by grep over the whole store.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runProcess } from "../../../src/base/process.ts";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

describe("pain 26: a RUN that leaves its secret in the image fails", () => {
  const VALUE = "hunter2+hunter2=hunter2";
  const leaking = (run: string, mount = "type=secret,id=token"): string =>
    rig.context({ Dockerfile: `FROM busybox\nRUN --mount=${mount} ${run}\nRUN echo after\n`, token: `${VALUE}\n` });
  const given = (context: string, more = ""): readonly string[] => [
    "--secret",
    `id=token,src=${join(context, "token")}${more}`,
    context,
  ];

  test.each([
    ["cp /run/secrets/token /root-token", "/root-token", undefined],
    ["mkdir /d; base64 /run/secrets/token > /d/b64", "/d/b64", undefined],
    ["printf 'user:%s' \"$TOKEN\" | base64 > /auth", "/auth", "type=secret,id=token,env=TOKEN"],
    ['mkdir "/d-$TOKEN"; touch "/d-$TOKEN/f"', "the name of /d-***\u240a", "type=secret,id=token,env=TOKEN"],
    ['ln -s "x$TOKEN" /link', "the link target of /link", "type=secret,id=token,env=TOKEN"],
  ])("%s", async (run, where, mount) => {
    const context = leaking(run, mount);
    for (let time = 0; time < 2; time++) {
      const { code, stdout, stderr } = await rig.tsbuild(["--progress", "plain", ...given(context)]);
      expect(code).toBe(1);
      expect(stderr).toContain(`this RUN wrote the value of secret "token" into ${where}, and`);
      expect(stderr).toMatch(/Dockerfile:2:\d+: error: /);
      expect(stderr).toContain("leak=allow");
      expect(stderr).not.toContain("3/3] RUN echo after");
      expect(stdout + stderr).not.toContain(VALUE);
      expect(stdout + stderr).not.toContain(Buffer.from(VALUE).toString("base64").slice(0, 20));
    }
    // Neither in a layer nor in a log nor in a record.
    expect((await grep(VALUE)).stdout).toBe("");
    expect((await grep(Buffer.from(VALUE).toString("base64").slice(0, 28))).stdout).toBe("");
    expect(rig.leftovers()).toEqual([]);
  });

  test("with leak=allow it does not, for builds that say so only; a file that is removed again is none", async () => {
    const context = leaking("cp /run/secrets/token /kept");
    expect((await rig.tsbuild([...given(context, ",leak=allow")])).code).toBe(0);
    const again = await rig.must(["--progress", "rawjson", ...given(context, ",leak=allow")]);
    const steps = [...rig.outcomes(again.stderr)].filter(([name]) => name.includes("] RUN"));
    expect(steps.map(([, how]) => how)).toEqual(["cached", "cached"]);
    const refused = await rig.tsbuild(["--progress", "plain", ...given(context)]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("not cached: secret token leak changed");
    expect((await rig.tsbuild(["--secret", "id=token,leak=maybe", context])).code).toBe(2);
    await rig.must([...given(leaking("cp /run/secrets/token /t; wc -c < /t; rm /t"))]);
  });

  const grep = (text: string) => runProcess("grep", ["-rlaF", text, rig.store]);
});
