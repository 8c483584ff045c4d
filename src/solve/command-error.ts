// What a failed RUN is told with: BuildKit's message, the cause in plain words, its last output, one remedy. Loaded when a step has failed.
import { processFailure } from "../base/go-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Vertex } from "../graph/graph.ts";
import type { ExecOp } from "../graph/op.ts";
import type { Rootfs } from "../rootfs/layer.ts";
import { formatPlatform, hostPlatform, isNativeArchitecture } from "../oci/platform.ts";
import { RootfsView } from "../rootfs/view.ts";
import type { StepResult } from "../sandbox/sandbox.ts";
import type { LastOutput } from "./last-lines.ts";
import { explainProgram, nearestCommand, type ProgramAt } from "./program-problem.ts";

export interface FailedStep {
  readonly vertex: Vertex;
  readonly op: ExecOp;
  readonly result: StepResult;
  readonly lastOutput: LastOutput;
  readonly logPath: string;
  readonly storePath: string;
  /** What the step ran on. */
  readonly below: Rootfs;
}

/** Plain words and a remedy, as far as there are any. */
interface Explanation {
  readonly summary: string;
  readonly help?: string;
  /** See program-problem.ts. */
  readonly isRefused?: true;
  readonly culprit?: "shell";
  /** The word of the instruction that is at fault. */
  readonly word?: string;
}

/** What BuildKit's runtime ends with where the kernel does not execute a program; others end with 1. */
const EXEC_REFUSED = 255;

export async function commandError(step: FailedStep): Promise<BuildError> {
  const { vertex, op, result, logPath } = step;
  const { signal, oomKilled, oomLimit } = result;
  const lastOutput = step.lastOutput.lines.map(plainLine);
  const { before } = step.lastOutput;
  const { isRefused, culprit, word, ...explanation } = await explain(step, lastOutput);
  const exitCode = isRefused === true ? EXEC_REFUSED : result.exitCode;
  const limit = oomLimit === undefined ? "" : ` (limit ${oomLimit} bytes)`;
  const killed = oomKilled ? `: OOM killed${limit}, cannot allocate memory` : "";
  const message = processFailure(op.args, `exit code: ${exitCode}${killed}`);
  const details = {
    exitCode,
    lastOutput,
    ...(before === 0 ? {} : { outputBefore: before }),
    logPath,
    step: vertex.meta.name,
    ...(signal === undefined ? {} : { signal }),
    ...(culprit === undefined ? {} : { culprit }),
    ...(word === undefined ? {} : { word }),
  };
  return new BuildError("command", message, { details, ...explanation });
}

async function explain(step: FailedStep, lastOutput: readonly string[]): Promise<Explanation> {
  const { op, result } = step;
  const { exitCode, signal, oomKilled, oomLimit } = result;
  if (oomKilled) {
    const limit = oomLimit === undefined ? "" : ` (limit ${oomLimit} bytes)`;
    const summary = `the step ran out of memory and was killed (exit code ${exitCode})${limit}`;
    const more = oomLimit === undefined ? "the memory limit of this machine or container" : "--memory";
    return { summary, help: `raise ${more}, or make the step use less` };
  }
  const said = lastOutput.at(-1) ?? "";
  const tree = new RootfsView(step.below);
  const at: ProgramAt = { tree, cwd: op.cwd, env: op.env, platform: op.platform };
  if (isFromRuntime(said)) return explainProgram(at, op.args, said);
  const missing = exitCode === 127 ? lastMatch(lastOutput, NOT_FOUND) : undefined;
  if (missing !== undefined) return explainMissing(step, at, missing);
  const denied = exitCode === 126 ? lastMatch(lastOutput, DENIED) : undefined;
  if (denied !== undefined) {
    const summary = `"${denied}" is not executable (exit code 126)`;
    const help = `copy it with COPY --chmod=0755 …, or add before this line: RUN chmod +x ${denied}`;
    return { summary, help, word: denied };
  }
  if (signal === "SIGSEGV") {
    const summary = `a program in this RUN crashed: segmentation fault (SIGSEGV, exit code ${exitCode})`;
    return { summary, help: emulationAdvice(op) ?? crashAdvice(op) };
  }
  if (signal !== undefined) return { summary: `the command was killed by ${signal}` };
  return adviceFor(step, lastOutput) ?? { summary: `the command failed with exit code ${exitCode}` };
}

const NOT_FOUND = /^\S*sh: (?:(?:line )?\d+: )?(.+?): (?:command )?not found$/;
const DENIED = /^\S*sh: (?:(?:line )?\d+: )?(.+?): Permission denied$/i;

async function explainMissing(step: FailedStep, at: ProgramAt, name: string): Promise<Explanation> {
  const [, , text = ""] = step.op.args;
  if (text.trimStart().startsWith("[") && name.startsWith("[")) {
    const summary = "this is not a valid JSON array, so the shell ran it as text (exit code 127)";
    const quoted = text.trim().replaceAll("'", '"');
    return { summary, help: `use double quotes: RUN ${isJson(quoted) ? quoted : '["program", "argument"]'}` };
  }
  if (name.includes("/")) {
    const { summary, help, word } = await explainProgram(at, [name], "not found");
    return { summary, help, ...(word !== undefined && { word }) };
  }
  const near = await nearestCommand(at, name);
  const help =
    "check the spelling and PATH, install the package that has it in an earlier RUN of this stage, or start from an image that has it";
  return {
    summary: `there is no command "${name}" in this stage (exit code 127)`,
    help: near === undefined ? help : `did you mean "${near}"?`,
    word: name,
  };
}

function crashAdvice({ args: [, flag] }: ExecOp): string {
  const cause = "programs that were built for another C library (glibc, musl) than this image's can crash in this way";
  return flag === "-c" ? `to see which one, write RUN set -x; …, and sh -x before a script; ${cause}` : cause;
}

/** Emulators crash where processors do not. */
function emulationAdvice({ platform }: ExecOp): string | undefined {
  const host = hostPlatform();
  if (isNativeArchitecture(platform.architecture)) return undefined;
  const how = `${formatPlatform(platform)} is emulated on ${formatPlatform(host)}, and qemu before version 9 crashes often`;
  return `${how}: update it, or run what only builds FROM --platform=$BUILDPLATFORM`;
}

/** What programs tell in their own words. */
function adviceFor({ op, result, storePath }: FailedStep, lastOutput: readonly string[]): Explanation | undefined {
  const { network, mounts, args } = op;
  const text = lastOutput.join("\n");
  const exit = `(exit code ${result.exitCode})`;
  if (/No space left on device|Disk quota exceeded/i.test(text)) {
    const isSmall = mounts.some(({ kind }) => kind === "tmpfs");
    const where = isSmall ? "on a tmpfs mount or on the disk" : "on the disk";
    return {
      summary: `no space left ${where} of tsbuild's store (${storePath}) ${exit}`,
      help: "free space with tsbuild prune (--all frees more), or set TSBUILD_ROOT to a directory on a larger disk",
    };
  }
  const isNameUnknown =
    /Temporary failure (?:in name resolution|resolving)|Could not resolve host|bad address|Name or service not known|EAI_AGAIN/i;
  if (isNameUnknown.test(text))
    return network === "none"
      ? {
          summary: `the command had no network, because of --network=none ${exit}`,
          help: "remove --network=none, or fetch the file with ADD",
          word: "--network=none",
        }
      : {
          summary: `the command could not look up a host name ${exit}`,
          help: "check the name, and this machine's DNS",
        };
  if (/unterminated quoted string|unexpected EOF while looking for matching|Unterminated quoted string/.test(text))
    return {
      summary: `the shell found a quote that is never closed ${exit}`,
      help: "close it; to continue on the next line, end this one with a backslash",
      ...wordOfQuote(args[2] ?? ""),
    };
  return undefined;
}

/** From the quote on that is never closed; nothing where other things than quotes decide what is one. */
function wordOfQuote(text: string): { readonly word?: string } {
  if (text.includes("<<")) return {};
  const closed = /'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^"'\\]/gsy;
  let at = 0;
  while (closed.test(text)) at = closed.lastIndex;
  return { word: text.slice(at) };
}

function isJson(text: string): boolean {
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
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
