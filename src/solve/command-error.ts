// What a failed RUN is told with: BuildKit's message, the cause in plain words, its last output, one remedy. Loaded when a step has failed.
import { BuildError } from "../diagnostics/build-error.ts";
import type { Vertex } from "../graph/graph.ts";
import type { ExecOp } from "../graph/op.ts";
import type { Rootfs } from "../rootfs/layer.ts";
import { formatPlatform, hostPlatform, isNativeArchitecture } from "../oci/platform.ts";
import { RootfsView } from "../rootfs/view.ts";
import type { StepResult } from "../sandbox/sandbox.ts";
import { explainProgram, nearestCommand, type ProgramAt } from "./program-problem.ts";

export interface FailedStep {
  readonly vertex: Vertex;
  readonly op: ExecOp;
  readonly result: StepResult;
  /** Without line ends. */
  readonly lastOutput: readonly string[];
  readonly logPath: string;
  /** What the step ran on. */
  readonly below: Rootfs;
}

/** Plain words and a remedy, as far as there are any. */
interface Explanation {
  readonly summary: string;
  readonly help?: string;
  /** See program-problem.ts. */
  readonly isRefused?: true;
}

/** What BuildKit's runtime ends with where the kernel does not execute a program; others end with 1. */
const EXEC_REFUSED = 255;

export async function commandError(step: FailedStep): Promise<BuildError> {
  const { vertex, op, result, logPath } = step;
  const { signal, oomKilled, oomLimit } = result;
  const lastOutput = step.lastOutput.map(plainLine);
  const { isRefused, ...explanation } = await explain({ ...step, lastOutput });
  const exitCode = isRefused === true ? EXEC_REFUSED : result.exitCode;
  const limit = oomLimit === undefined ? "" : ` (limit ${oomLimit} bytes)`;
  const killed = oomKilled ? `: OOM killed${limit}, cannot allocate memory` : "";
  const message = `process "${op.args.join(" ")}" did not complete successfully: exit code: ${exitCode}${killed}`;
  const details = {
    exitCode,
    lastOutput,
    logPath,
    step: vertex.meta.name,
    ...(signal === undefined ? {} : { signal }),
  };
  return new BuildError("command", message, { details, ...explanation });
}

async function explain(step: FailedStep): Promise<Explanation> {
  const { op, result, lastOutput } = step;
  const { exitCode, signal, oomKilled, oomLimit } = result;
  if (oomKilled) {
    const limit = oomLimit === undefined ? "" : ` (limit ${oomLimit} bytes)`;
    const summary = `the step used more memory than there is and was killed${limit}`;
    return { summary, help: "give the build more memory, or run fewer steps at once: --jobs 1" };
  }
  const said = lastOutput.at(-1) ?? "";
  const tree = new RootfsView(step.below);
  const at: ProgramAt = { tree, cwd: op.cwd, env: op.env, platform: op.platform };
  if (isFromRuntime(said)) return explainProgram(at, op.args, said);
  const missing = exitCode === 127 ? lastMatch(lastOutput, NOT_FOUND) : undefined;
  if (missing !== undefined) return explainMissing(step, at, missing);
  const denied = exitCode === 126 ? lastMatch(lastOutput, DENIED) : undefined;
  if (denied !== undefined) {
    const summary = `"${denied}" may not be executed (exit code 126)`;
    return { summary, help: `make it executable where it is copied: COPY --chmod=0755 …, or earlier: RUN chmod +x` };
  }
  const how = signal === undefined ? `failed with exit code ${exitCode}` : `was killed by ${signal}`;
  const help = (signal === "SIGSEGV" ? emulationAdvice(op) : undefined) ?? adviceFor(op, lastOutput);
  return { summary: `the command ${how}`, ...(help === undefined ? {} : { help }) };
}

const NOT_FOUND = /^\S*sh: (?:(?:line )?\d+: )?(.+?): (?:command )?not found$/;
const DENIED = /^\S*sh: (?:(?:line )?\d+: )?(.+?): Permission denied$/i;

async function explainMissing(step: FailedStep, at: ProgramAt, name: string): Promise<Explanation> {
  const [, , text = ""] = step.op.args;
  if (text.trimStart().startsWith("[") && name.startsWith("[")) {
    const summary = "the command is no JSON array, so the shell got it as text (exit code 127)";
    return { summary, help: 'write a JSON array of strings in double quotes: RUN ["program", "argument"]' };
  }
  if (name.includes("/")) {
    const { summary, help } = await explainProgram(at, [name], "not found");
    return { summary, help };
  }
  const near = await nearestCommand(at, name);
  const help = "install what has it in an earlier RUN of this stage, or check its spelling and PATH";
  return {
    summary: `there is no command "${name}" in this stage (exit code 127)`,
    help: near === undefined ? help : `did you mean "${near}"?`,
  };
}

/** Emulators crash where processors do not. */
function emulationAdvice({ platform }: ExecOp): string | undefined {
  const host = hostPlatform();
  if (isNativeArchitecture(platform.architecture)) return undefined;
  const how = `${formatPlatform(platform)} is emulated on ${formatPlatform(host)}, and qemu before version 9 crashes often`;
  return `${how}: update it, or run what only builds FROM --platform=$BUILDPLATFORM`;
}

/** A remedy for failures that programs tell in their own words. */
function adviceFor({ network }: ExecOp, lastOutput: readonly string[]): string | undefined {
  const text = lastOutput.join("\n");
  if (/No space left on device|Disk quota exceeded/i.test(text))
    return "the disk of the store is full: free some space with tsbuild prune, or set TSBUILD_ROOT to a larger disk";
  const isNameUnknown =
    /Temporary failure (?:in name resolution|resolving)|Could not resolve host|bad address|Name or service not known|EAI_AGAIN/i;
  if (isNameUnknown.test(text))
    return network === "none"
      ? "the step has no network, because of --network=none"
      : "a host name could not be looked up in the step: check it, and this machine's DNS";
  if (/unterminated quoted string|unexpected EOF while looking for matching|Unterminated quoted string/.test(text))
    return "a quote is never closed: a RUN ends with its line, unless that ends with a backslash";
  return undefined;
}

function lastMatch(lines: readonly string[], pattern: RegExp): string | undefined {
  const line = lines.findLast((one) => pattern.test(one));
  return line === undefined ? undefined : pattern.exec(line)?.[1];
}

/** Whether the OCI runtime says why the step's program did not start; then it says nothing else. */
function isFromRuntime(line: string): boolean {
  return /^(?:runc run failed: |exec container process |executable file `|open executable|the path `|exec \/?\S+: )/.test(
    line,
  );
}

/** crun tells some failures as JSON. */
function plainLine(line: string): string {
  return /^\{"msg":"((?:[^"\\]|\\.)*)","level":"error"/.exec(line)?.[1]?.replace(/\\(.)/g, "$1") ?? line;
}
