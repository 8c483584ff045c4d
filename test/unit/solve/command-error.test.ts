// What a failed RUN says where no container is needed to know it: reference R03, S13.
import { expect, test } from "vitest";
import { GraphBuilder } from "../../../src/graph/graph.ts";
import type { ExecOp } from "../../../src/graph/op.ts";
import type { StepResult } from "../../../src/sandbox/sandbox.ts";
import { commandError } from "../../../src/solve/command-error.ts";

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

async function failure(result: StepResult, op: ExecOp = OP): Promise<string> {
  const graph = new GraphBuilder();
  const id = graph.add(op, [undefined], { name: "RUN make", stage: "", cache: "use", instruction: "RUN make" });
  const step = { vertex: graph.get(id)!, op, result, lastOutput: [], logPath: "/log", below: [] };
  return (await commandError(step)).message;
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
