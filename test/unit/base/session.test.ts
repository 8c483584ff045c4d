// Programs that are started without a copy of this process: what they inherit and how their ends are told.
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makePipe } from "../../../src/base/libc.ts";
import { Session, type SessionOptions } from "../../../src/base/session.ts";
import { temporaryFolder } from "../../compare/cases.ts";

const folder = temporaryFolder();
const log = join(folder.path, "log");
let output = -1;
beforeAll(() => (output = openSync(log, "w")));
afterAll(() => {
  closeSync(output);
  folder[Symbol.dispose]();
});

function shell(script: string, options: Partial<SessionOptions> = {}): Session {
  return new Session("/bin/sh", ["-c", script, "sh"], {
    env: { A: "b c" },
    stdout: output,
    stderr: output,
    ...options,
  });
}

test("the exit code or the signal", async () => {
  expect(await shell("exit 7").ended).toEqual({ code: 7, signal: null });
  expect(await shell("kill -TERM $$").ended).toEqual({ code: null, signal: "SIGTERM" });
  const session = shell("read -r never", { stdin: makePipe()[0] });
  expect(session.isRunning).toBe(true);
  session.kill("SIGKILL");
  expect(await session.ended).toEqual({ code: null, signal: "SIGKILL" });
  expect(session.isRunning).toBe(false);
  session.kill("SIGKILL");
});

test("a session of its own, the environment that was given, no input, no descriptor of ours and no signal ignored", async () => {
  const kept = openSync("/dev/null", "r");
  // Fields 5 and 6 of stat: process group and session.
  // The masks are sed's own: dash blocks every signal for as long as it waits for a child.
  const script = `set -- $(cat /proc/$$/stat); echo "$(($5 == $1)) $(($6 == $1)) $A $(cat | wc -c)"
    echo $(ls /proc/$$/fd); sed -n 's/Sig\\(Ign\\|Blk\\):.//p' /proc/self/status`;
  expect(await shell(script, { env: { A: "b c", PATH: "/bin:/usr/bin" } }).ended).toEqual({ code: 0, signal: null });
  closeSync(kept);
  const [facts, descriptors = "", blocked = "", ignored = ""] = readFileSync(log, "utf8").split("\n");
  expect(facts).toBe("1 1 b c 0");
  expect(descriptors.split(" ")).toEqual(expect.arrayContaining(["0", "1", "2"]));
  expect(descriptors.split(" ")).not.toContain(`${kept}`);
  expect([blocked, ignored]).toEqual(["0".repeat(16), "0".repeat(16)]);
});

test("many at once end each with their own", async () => {
  const codes = Array.from({ length: 20 }, (_, code) => code);
  const ended = await Promise.all(codes.map((code) => shell(`exit ${code}`).ended));
  expect(ended.map(({ code }) => code)).toEqual(codes);
});

test("what cannot be started says why at once", () => {
  const start = (path: string) => new Session(path, [], { env: {}, stdout: output, stderr: output });
  expect(() => start("/nowhere/program")).toThrow(/ENOENT: .*posix_spawn '\/nowhere\/program'/);
  expect(() => start(log)).toThrow(/EACCES/);
});
