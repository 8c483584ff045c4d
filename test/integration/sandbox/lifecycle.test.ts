// Ends of steps that are not their own: cancellation, want of memory, a killed tsbuild; and steps at the same time. S12, S13, S15, pain 25.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { StepBrake } from "../../../src/sandbox/brake.ts";
import { runContainer } from "../../../src/sandbox/container.ts";
import { reapLeftovers } from "../../../src/sandbox/sandbox.ts";
import { mountsBelow } from "../../../src/sandbox/reap.ts";
import { cgroupsNamed, processesMentioning, Rig } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await Rig.open();
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

test("S15, pain 25: cancelling kills everything within three seconds and rejects with the reason", async () => {
  const controller = new AbortController();
  const reason = new Error("the user said so");
  const started = Promise.withResolvers<void>();
  const running = rig.run("trap '' TERM INT; sleep 4711 & sleep 4712 & echo up; while true; do sleep 1; done", {
    mounts: [{ kind: "tmpfs", target: "/x" }],
    onOutput: () => started.resolve(),
    signal: controller.signal,
  });
  await started.promise;
  const cancelled = performance.now();
  controller.abort(reason);
  await expect(running).rejects.toBe(reason);
  expect(performance.now() - cancelled).toBeLessThan(3000);
  expect(processesMentioning("sleep 471")).toEqual([]);
});

test.each([0, 1, 5, 10, 15, 20, 30, 40, 60])(
  "S15: cancelled %i ms after the start, at whatever moment that is, nothing is left",
  async (delay) => {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new Error("early")), delay);
    await expect(rig.run("sleep 1000", { signal: controller.signal })).rejects.toThrow("early");
    clearTimeout(timer);
  },
);

test.each([
  // The step itself may have filled the disk that the runtime keeps its state on.
  [1, "write /run/x/state.json: No space left on device", 1],
  [1, "exec /nope: executable file `/nope` not found in $PATH", 1],
  [3, "mount proc: it does not work here", 3],
  [1, "", 1],
  [1, "mount proc: it does not work here", "crun could not run the container: mount proc: it does not work here"],
])("R03, S15: a runtime that ends with %i and says %j", async (code, said, expected) => {
  const bundle = rig.directory("bundle");
  const path = join(bundle, "crun");
  const log = said === "" ? "" : `printf '%s' '${JSON.stringify({ level: "error", msg: said })}' > "$2"`;
  writeFileSync(path, `#!/bin/sh\nuntil [ "$1" = --log ]; do shift; done\n${log}\nexit ${code}\n`, { mode: 0o755 });
  const runtime = { name: "crun", path, version: "1" };
  const invocation = { runtime, root: bundle, layout: "v2", isSystemdCgroup: false, disguise: [] } as const;
  const ended = runContainer({ id: "c", bundle, invocation, onOutput: () => undefined });
  if (typeof expected === "number") expect(await ended).toBe(expected);
  else await expect(ended).rejects.toMatchObject({ code: "runtime", message: expected });
});

test("a signal that fired before is obeyed before anything is made", async () => {
  await expect(rig.run("true", { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
});

test("S13: a step above its memory limit says so, one that fails by itself does not", async () => {
  const hog = "x=; while true; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' x); done";
  const resources = { memory: 64 * 2 ** 20, memorySwap: 64 * 2 ** 20 };
  const starved = await rig.run(hog, { resources });
  expect(starved).toMatchObject({ oomKilled: true, oomLimit: 64 * 2 ** 20 });
  expect(starved.exitCode).not.toBe(0);
  expect(await rig.run("exit 137", { resources })).toMatchObject({ exitCode: 137, oomKilled: false });
});

test("S12, pain 37: what a step took of the machine is told, however it ended", async () => {
  const { exitCode, usage } = await rig.run(
    "x=$(head -c 40000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3",
  );
  expect(exitCode).toBe(3);
  expect(usage?.cpuMs).toBeGreaterThan(20);
  expect(usage?.peakMemory).toBeGreaterThan(40e6);
  const idle = await rig.run("sleep 0.3");
  expect(idle.usage?.cpuMs).toBeLessThan(250);
  expect(idle.usage?.peakMemory).toBeLessThan(20e6);
});

test("S12: the cgroup is below the parent asked for, with the limits asked for", async () => {
  const parent = `tsbuild-test-parent-${process.pid}`;
  const output = await rig.output("cat /proc/self/cgroup", {
    cgroupParent: `/${parent}`,
    resources: { pidsLimit: 99 },
  });
  expect(output).toMatch(/(tsbuild-test-|^0::\/$)/m);
  if (existsSync("/sys/fs/cgroup/pids")) expect(output).toContain(`:/${parent}/tsbuild-test-`);
  expect(
    cgroupsNamed(parent).every((path) =>
      readdirSync(path, { withFileTypes: true }).every((entry) => !entry.isDirectory()),
    ),
  ).toBe(true);
  for (const path of cgroupsNamed(parent)) rmdirSync(path);
});

test("S12: a parent slice:prefix: is left to systemd, by way of the runtime", async () => {
  const recorder = join(rig.directory("bin"), "recorder");
  writeFileSync(
    recorder,
    `#!/bin/sh
[ "$1" = --version ] && exec echo recorder version 1
echo "$*"
for word; do [ "$before" = --bundle ] && exec cat "$word/config.json"; before=$word; done
`,
    { mode: 0o755 },
  );
  await using recorded = await Rig.open({ runtime: recorder });
  const called = async (cgroupParent: string): Promise<readonly [string, string | undefined]> => {
    const [words = "", config = ""] = (await recorded.output("true", { cgroupParent })).split("\n");
    const { linux } = JSON.parse(config) as { readonly linux: { readonly cgroupsPath?: string } };
    return [words.replace(/^--root \S+ | --log .*$/g, ""), linux.cgroupsPath?.replace(/test-\d+-\d+/, "ID")];
  };
  for (const parent of ["user.slice:build:", "user.slice:build"])
    expect(await called(parent)).toEqual(["--systemd-cgroup", "user.slice:build:tsbuild-ID"]);
  const [words, path] = await called("/a/b");
  expect(words).not.toContain("--systemd-cgroup");
  expect(path).toBe("/a/b/tsbuild-ID/run");
});

test("S12: limits are refused where a step gets no group", async () => {
  const message = "limits of RUN need a cgroup of its own, and none can be made here";
  await using rootless = await Rig.open({ isRootless: true });
  await expect(rootless.run("true", { resources: { memory: 2 ** 26 } })).rejects.toMatchObject({
    code: "runtime",
    message,
    help: "build as root where /sys/fs/cgroup is writable, or leave the limits out",
  });
});

test("steps at the same time do not meet: 12 of them, with networks", async () => {
  const outputs = await Promise.all(
    Array.from({ length: 12 }, (_none, index) =>
      rig.output(`echo ${index} > /mine; sleep 0.1; cat /mine`, { network: "default" }),
    ),
  );
  expect(outputs).toEqual(outputs.map((_none, index) => `${index}\n`));
});

test("pain 3: a step that is held writes nothing, and goes on afterwards; held by two it waits for both", async () => {
  const brake = new StepBrake();
  const controller = new AbortController();
  const started = Promise.withResolvers<void>();
  const request = rig.request("echo up; while true; do echo line >> /f; done", {
    brake,
    signal: controller.signal,
    onOutput: () => started.resolve(),
  });
  const running = rig.sandbox.run(request);
  const size = (): number => statSync(join(request.upperDir, "f"), { throwIfNoEntry: false })?.size ?? 0;
  const grows = async (): Promise<boolean> => {
    const before = size();
    for (let look = 0; look < 2000 && size() === before; look++) await setImmediate();
    return size() > before;
  };
  using holds = new DisposableStack();
  try {
    await Promise.race([started.promise, running]);
    expect(await grows()).toBe(true);
    const [first, second] = [holds.use(brake.hold()), holds.use(brake.hold())];
    await grows();
    expect(await grows()).toBe(false);
    first[Symbol.dispose]();
    expect(await grows()).toBe(false);
    second[Symbol.dispose]();
    expect(await grows()).toBe(true);
  } finally {
    // Whatever was seen: its loop has no end of its own, and what stands still cannot be ended.
    holds.dispose();
    controller.abort(new Error("seen enough"));
    await expect(running).rejects.toThrow("seen enough");
  }
});

test("pain 3: a step that is ended where it stands still writes nothing any more", async () => {
  const brake = new StepBrake();
  const started = Promise.withResolvers<void>();
  const script =
    "trap '' TERM INT; (while true; do echo line >> /g; done) & echo up; while true; do echo line >> /f; done";
  const request = rig.request(script, { brake, onOutput: () => started.resolve() });
  const running = rig.sandbox.run(request);
  const sizes = (): number[] => ["f", "g"].map((name) => statSync(join(request.upperDir, name)).size);
  await Promise.race([started.promise, running]);
  while (!existsSync(join(request.upperDir, "f")) || !existsSync(join(request.upperDir, "g"))) await setImmediate();
  const held = brake.hold();
  for (let before: number[] = []; String(before) !== String(sizes()); await setImmediate()) before = sizes();
  const before = sizes();
  held.end();
  held[Symbol.dispose]();
  expect(await running).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
  expect(sizes()).toEqual(before);
});

test.each([
  ["after kill -9", "undefined"],
  ["after kill -9 of who holds a step still", "brake.hold()"],
])("pain 25: %s the sweep ends container, mounts and cgroup", async (_name, before) => {
  await using victim = await Rig.open();
  const request = victim.request("echo up; sleep 4713", {
    mounts: [{ kind: "tmpfs", target: "/x" }],
    network: "default",
  });
  const overlay = { kind: "overlay", target: "/mnt", lowerDirs: [victim.rootfs], subpath: "/", writable: true };
  const secret = { kind: "secret", target: "/s", data: "x", mode: 0o400, uid: 0, gid: 0 };
  const options = { stateDir: join(victim.dir, "state"), isRootless: false };
  const script = `
    import { StepBrake } from ${JSON.stringify(join(import.meta.dirname, "../../../src/sandbox/brake.ts"))};
    import { createSandbox } from ${JSON.stringify(join(import.meta.dirname, "../../../src/sandbox/sandbox.ts"))};
    const sandbox = await createSandbox({ ...${JSON.stringify(options)}, onNotice: () => {} });
    const request = ${JSON.stringify({ ...request, mounts: [...request.mounts, overlay, secret] })};
    for (const mount of request.mounts) if (mount.kind === "secret") mount.data = Buffer.from(mount.data);
    const brake = new StepBrake();
    await sandbox.run({ ...request, brake, onOutput: () => (${before}, process.stdout.write("up")) });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
  expect(mountsBelow(request.scratchDir).length).toBeGreaterThanOrEqual(3);
  expect(processesMentioning("sleep 4713").length).toBe(1);
  const started = performance.now();
  await reapLeftovers(victim.dir);
  expect(performance.now() - started).toBeLessThan(3000);
  expect(mountsBelow(victim.dir)).toEqual([]);
  expect(processesMentioning("sleep 4713")).toEqual([]);
  expect(cgroupsNamed(request.id)).toEqual([]);
  expect(readdirSync(join(victim.dir, "state/runtime"))).toEqual([]);
  // A second sweep finds nothing, and that is no error.
  await reapLeftovers(victim.dir);
});

test("S15: a runtime that does not come back from kill does not hold up a cancelled step", async () => {
  const wrapper = join(rig.directory("bin"), "stuck");
  const script = `#!/bin/sh\ncase " $* " in *" kill "*) exec sleep 4715 ;; esac\nexec ${rig.sandbox.runtime.path} "$@"\n`;
  writeFileSync(wrapper, script, { mode: 0o755 });
  await using stuck = await Rig.open({ runtime: wrapper });
  const controller = new AbortController();
  const started = Promise.withResolvers<void>();
  const running = stuck.run("echo up; sleep 4716", { onOutput: () => started.resolve(), signal: controller.signal });
  await started.promise;
  const cancelled = performance.now();
  controller.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
  expect(performance.now() - cancelled).toBeLessThan(10_000);
  expect(processesMentioning("sleep 471")).toEqual([]);
});

test("the runtime that dies under a step is an error in words, and leaves nothing", async () => {
  const started = Promise.withResolvers<void>();
  const request = rig.request("echo up; sleep 4714", { onOutput: () => started.resolve() });
  const running = rig.sandbox.run(request);
  await started.promise;
  const name = rig.sandbox.runtime.path;
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    if (!existsSync(`/proc/${pid}/cmdline`)) continue;
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    if (line[0] === name && line.includes(request.id)) process.kill(Number(pid), "SIGKILL");
  }
  await expect(running).rejects.toThrow("was killed by SIGKILL while the step ran");
  rig.expectNothingLeft(request);
  expect(processesMentioning("sleep 4714")).toEqual([]);
});
