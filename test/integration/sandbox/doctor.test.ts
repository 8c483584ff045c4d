// `tsbuild doctor` where something is missing: in containers such as people run CI in. Pain 16.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { diagnoseMachine } from "../../../src/engine/doctor.ts";
import type { SandboxMount } from "../../../src/sandbox/sandbox.ts";
import { Rig } from "./rig.ts";

const PROJECT = resolve(import.meta.dirname, "../../..");

let rig: Rig;
beforeAll(async () => {
  rig = await Rig.open();
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

const bind = (target: string, source: string): SandboxMount => ({ kind: "bind", target, source, readonly: true });

/** Runs the doctor in a container with docker's default capabilities and seccomp rules. */
async function doctorInside(user: string): Promise<{ readonly exitCode: number; readonly stdout: string }> {
  const ids = join(rig.directory("ids"), "subuid");
  writeFileSync(ids, "1000:100000:65536\n");
  const system = ["/usr", "/lib", "/lib64"].map((path) => bind(path, path));
  return rig.run("/project/src/bin/tsbuild doctor", {
    user,
    env: ["TSBUILD_SOURCES=1", "HOME=/tmp", "TSBUILD_ROOT=/tmp/s", "PATH=/usr/sbin:/usr/bin:/bin"],
    mounts: [...system, bind("/project", PROJECT), bind("/etc/subuid", ids), bind("/etc/subgid", ids)],
  });
}

test("pain 16: root without the right to mount is told which call, why, and what to do", async () => {
  const { exitCode, stdout } = await doctorInside("");
  expect(stdout).toContain("NO  mount: mount(2) is refused: no CAP_SYS_ADMIN\n    run it as a user other than root");
  expect(exitCode).toBe(3);
});

test("pain 16: a seccomp filter that forbids user namespaces is named, with the call", async () => {
  const { exitCode, stdout } = await doctorInside("1000:1000");
  expect(stdout).toMatch(
    /^NO {2}user: unshare\(CLONE_NEWUSER\) is refused: by .*seccomp filter\n {4}start the container/m,
  );
  expect(stdout).toContain("--security-opt seccomp=unconfined");
  expect(exitCode).toBe(3);
});

test("on a machine where builds work everything is done once, and nothing stays", async () => {
  const root = join(rig.directory("place"), "not/there/yet");
  const environment = { PATH: process.env["PATH"] };
  const findings = await diagnoseMachine({ environment, root, isRootless: false });
  expect(findings.filter(({ state }) => state === "bad")).toEqual([]);
  expect(findings.map(({ name }) => name)).toEqual([
    "node",
    "user",
    "mount",
    "overlayfs",
    "OCI runtime",
    "private network",
    "cgroups",
  ]);
});

test("a runtime that is not there and a store that cannot be are told with their remedies", async () => {
  const environment = { PATH: process.env["PATH"], TSBUILD_OCI_RUNTIME: "nosuchruntime" };
  const findings = await diagnoseMachine({ environment, root: rig.directory("place"), isRootless: false });
  expect(findings.find(({ name }) => name === "OCI runtime")).toMatchObject({
    state: "bad",
    detail: expect.stringContaining('there is no OCI runtime "nosuchruntime"') as string,
    remedy: expect.stringContaining("install crun") as string,
  });
  const unwritable = await diagnoseMachine({ environment: {}, root: "/proc/nowhere", isRootless: false });
  expect(unwritable.find(({ name }) => name === "store")).toMatchObject({ state: "bad" });
});
