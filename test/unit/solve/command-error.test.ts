// What a failed RUN says where no container is needed to know it: reference R03, S13.
import { expect, test } from "vitest";
import type { BuildError } from "../../../src/diagnostics/build-error.ts";
import { GraphBuilder } from "../../../src/graph/graph.ts";
import type { ExecOp } from "../../../src/graph/op.ts";
import type { StepResult } from "../../../src/sandbox/sandbox.ts";
import { hostPlatform } from "../../../src/oci/platform.ts";
import { errorText } from "../../../src/cli/error-text.ts";
import { commandError } from "../../../src/solve/command-error.ts";
import { LastLines, type LastOutput } from "../../../src/solve/last-lines.ts";

const OP: ExecOp = {
  kind: "exec",
  args: ["/bin/sh", "-c", "make"],
  env: [],
  cwd: "/",
  user: "",
  network: "default",
  security: "sandbox",
  mounts: [],
  platform: { os: "linux", architecture: "amd64" },
};

const NO_OUTPUT: LastOutput = { lines: [], before: 0 };

async function failed(result: StepResult, op: ExecOp, lastOutput: LastOutput): Promise<BuildError> {
  const graph = new GraphBuilder();
  const id = graph.add(op, [undefined], { name: "RUN make", stage: "", cache: "use", instruction: "RUN make" });
  const step = { vertex: graph.get(id)!, op, result, lastOutput, logPath: "/log", storePath: "/store", below: [] };
  return commandError(step);
}

async function failure(result: StepResult, op: ExecOp = OP): Promise<string> {
  return (await failed(result, op, NO_OUTPUT)).message;
}

test("R03, S13: want of memory is said behind the exit code, with the limit where there was one", async () => {
  const exit = 'process "/bin/sh -c make" did not complete successfully: exit code: 137';
  expect(await failure({ exitCode: 137, oomKilled: false })).toBe(exit);
  expect(await failure({ exitCode: 137, oomKilled: true })).toBe(`${exit}: OOM killed, cannot allocate memory`);
  expect(await failure({ exitCode: 137, oomKilled: true, oomLimit: 4096 })).toBe(
    `${exit}: OOM killed (limit 4096 bytes), cannot allocate memory`,
  );
});

test("R03: the command is quoted as Go quotes it, on one line", async () => {
  const op = { ...OP, args: ["/bin/sh", "-c", 'cat <<E\necho "$A"\nE'] };
  expect(await failure({ exitCode: 3, oomKilled: false }, op)).toBe(
    'process "/bin/sh -c cat <<E\\necho \\"$A\\"\\nE" did not complete successfully: exit code: 3',
  );
});

/** What is kept of an output that comes in these chunks. */
function lastOf(...chunks: readonly (string | Uint8Array)[]): LastOutput {
  const last = new LastLines();
  for (const chunk of chunks) last.push(Buffer.from(chunk));
  return last.read();
}

const numbered = (count: number): string => Array.from({ length: count }, (_none, i) => `${i + 1}\n`).join("");

test("R03: of a failed RUN's output the last 20 lines are kept, and how many were before them", () => {
  expect(lastOf()).toEqual({ lines: [], before: 0 });
  expect(lastOf("a\r\n", "b", "c")).toEqual({ lines: ["a", "bc"], before: 0 });
  expect(lastOf(numbered(20))).toMatchObject({ before: 0 });
  const { lines, before } = lastOf(numbered(30), "\n", numbered(12), "end");
  expect(lines).toEqual(
    ["24", "25", "26", "27", "28", "29", "30", "", ..."123456789".split(""), "10", "11", "12", "end"].slice(-20),
  );
  expect(before).toBe(24);
  expect(lastOf(numbered(100_000))).toEqual({
    lines: Array.from({ length: 20 }, (_none, i) => `${99_981 + i}`),
    before: 99_980,
  });
});

test("R03: a line too long to be kept begins with what says so; no character is halved where chunks meet", () => {
  expect(lastOf("first\n", "x".repeat(20_000), "\nlast\n")).toEqual({
    lines: [`…${"x".repeat(16_384 - 6)}`, "last"],
    before: 1,
  });
  expect(lastOf(`first\n${"é".repeat(10_000)}\n`)).toEqual({ lines: [`…${"é".repeat(8191)}`], before: 1 });
  const euro = Buffer.from("€");
  expect(lastOf(euro.subarray(0, 1), euro.subarray(1))).toEqual({ lines: ["€"], before: 0 });
});

test("R03: the error says where the lines are that it does not show", async () => {
  const shown = async (output: LastOutput) =>
    errorText(await failed({ exitCode: 3, oomKilled: false }, OP, output), { color: false, width: 80 }, "0");
  expect(await shown(lastOf(numbered(22)))).toContain(
    "------\n > RUN make:\n… 2 earlier lines are in the complete log\n3\n4\n",
  );
  expect(await shown(lastOf(numbered(21)))).toContain(" > RUN make:\n… 1 earlier line is in the complete log\n2\n");
  expect(await shown(lastOf(numbered(20)))).toContain(" > RUN make:\n1\n2\n");
});

test.each([
  ['echo "hello', '"hello'],
  ["echo 'a' it's", "'s"],
  [`echo "it's" && echo \\" 'x "y`, `'x "y`],
  ["cat <<E\nit's\nE", undefined],
])("R03: of the command %j the quote that is never closed is %j", async (command, word) => {
  const op = { ...OP, args: ["/bin/sh", "-c", command] };
  const output = lastOf("/bin/sh: syntax error: unterminated quoted string\n");
  const { details, summary } = await failed({ exitCode: 2, oomKilled: false }, op, output);
  expect([summary, details.word]).toEqual(["the shell found a quote that is never closed (exit code 2)", word]);
});

test("R03: what filled the disk is told with the place of the store", async () => {
  const { summary } = await failed({ exitCode: 1, oomKilled: false }, OP, lastOf("dd: No space left on device\n"));
  expect(summary).toBe("no space left on the disk of tsbuild's store (/store) (exit code 1)");
});

test("R03: only a shell is told to show its commands", async () => {
  const crashed = { exitCode: 139, signal: "SIGSEGV", oomKilled: false } as const;
  const platform = hostPlatform();
  expect((await failed(crashed, { ...OP, platform }, NO_OUTPUT)).help).toContain("RUN set -x; …");
  expect((await failed(crashed, { ...OP, platform, args: ["/tool"] }, NO_OUTPUT)).help).toBe(
    "programs that were built for another C library (glibc, musl) than this image's can crash in this way",
  );
});
