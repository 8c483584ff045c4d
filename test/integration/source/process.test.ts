import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { runProcess } from "../../../src/base/process.ts";

const env = { PATH: "/usr/bin:/bin" };
const sh = (script: string, options: Parameters<typeof runProcess>[2] = {}): ReturnType<typeof runProcess> =>
  runProcess("/bin/sh", ["-c", script], { env, ...options });

test("output, exit code and environment", async () => {
  const result = await sh('echo "$FOO:$BAR"; echo err >&2; exit 3', { env: { ...env, FOO: "1", BAR: undefined } });
  expect(result).toEqual({ exitCode: 3, signal: undefined, stdout: "1:\n", stderr: "err\n", isTruncated: false });
});

test("input from text and from a stream; a program that does not read it is no error", async () => {
  expect((await sh("cat", { input: "text" })).stdout).toBe("text");
  async function* big(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 100; i++) yield Buffer.alloc(65_536, 97);
  }
  expect((await sh("wc -c", { input: big() })).stdout.trim()).toBe(String(100 * 65_536));
  expect((await sh("exit 0", { input: big() })).exitCode).toBe(0);
});

test("output is bounded: the start of stdout, the end of stderr", async () => {
  const result = await sh("seq 1 5000; seq 1 5000 >&2", { maxOutput: 10 });
  expect(result).toMatchObject({ stdout: "1\n2\n3\n4\n5\n", stderr: "4999\n5000\n", isTruncated: true });
});

test("no such program", async () => {
  await expect(runProcess("/nonexistent", [])).rejects.toMatchObject({ code: "ENOENT" });
});

test("a signal ends it, and is told", async () => {
  expect(await sh("kill -9 $$")).toMatchObject({ exitCode: undefined, signal: "SIGKILL" });
});

test("aborting ends the whole group, also one that ignores SIGTERM", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const running = sh('trap "" TERM; echo $$; sleep 1000 & wait; sleep 1000', {
    signal: controller.signal,
    graceMs: 50,
  });
  controller.abort(reason);
  await expect(running).rejects.toBe(reason);
});

test("a helper left in the background does not keep us waiting", async () => {
  const started = performance.now();
  const { stdout } = await sh("sleep 1000 & echo $!");
  expect(performance.now() - started).toBeLessThan(10_000);
  const state = (): string => readFileSync(`/proc/${stdout.trim()}/stat`, "utf8").split(" ")[2] ?? "";
  // Killed; whether its new parent has taken notice is not our business.
  const isAlive = (): boolean => existsSync(`/proc/${stdout.trim()}`) && state() !== "Z";
  await expect.poll(isAlive).toBe(false);
});
