// One container from `run` to its end: streams, exit code, cancellation. The bundle is there already; what the runtime says is told apart from
// what the step says. Reference S15, T48, R09.
import { addAbortListener } from "node:events";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { readFileIfExists } from "../base/fs-atomic.ts";
import { startTimeOf } from "../base/process-state.ts";
import { runProcess } from "../base/process.ts";
import type { Session } from "../base/session.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { runtimeCommand, type RuntimeInvocation } from "./runtime.ts";
import { PID_FILE, RUNTIME_ENV, startRuntime } from "./start-runtime.ts";

export type OutputConsumer = (stream: "stdout" | "stderr", chunk: Uint8Array) => void | Promise<void>;

export interface ContainerOptions {
  readonly id: string;
  /** Directory with config.json; takes the runtime's log and pid file. */
  readonly bundle: string;
  readonly invocation: RuntimeInvocation;
  readonly onOutput: OutputConsumer;
  readonly signal?: AbortSignal;
  /** Ends what the container's first process left running, where no process namespace does it. */
  readonly endStrays?: () => Promise<void>;
}

/** Milliseconds that the runtime has for killing a container before it is killed itself, and for each call of it. */
const KILL_LIMIT_MS = 2000;

/** Milliseconds of silence after a step's end that mean that a stray process holds the stream. */
const STRAY_WRITER_MS = 1000;

/** Milliseconds between looks at the first process of a container that shares its processes. */
const LOOK_MS = 50;

/** Runtimes fail a container with 1 when they could not start it; so do many commands. Only with an error in the runtime's log is it the former. */
const START_FAILED = 1;

/** The step's own fault: nothing there to execute, no right to, or not a program. Messages of crun, runc and youki. */
const BAD_COMMAND =
  /executable file|exec: "|exec format error|open executable|exec container process|find executable|chdir|cannot execute|permission denied.*exec/i;

/**
 * Runs the container to its end and resolves with its exit code. Rejects with the signal's reason once everything of it is dead,
 * and with BuildError `runtime` where the runtime could not start it.
 */
export async function runContainer(options: ContainerOptions): Promise<number> {
  const { id, bundle, invocation, onOutput, signal } = options;
  const { child, stdout, stderr } = startRuntime(invocation, id, bundle);
  const kill = new Kill(options, child);
  using listeners = new DisposableStack();
  if (signal) listeners.use(addAbortListener(signal, () => kill.start()));
  const outputs = [new Output("stdout", stdout, onOutput), new Output("stderr", stderr, onOutput)];
  const pumps = outputs.map(async (output) => {
    try {
      await output.pump();
    } catch (error) {
      // Who takes the output has failed: nothing of this step is wanted any more.
      kill.start();
      throw error;
    }
  });
  const wrapUp = async (): Promise<void> => {
    // With strays left crun goes on.
    if (options.endStrays) await Promise.race([child.ended, firstProcessEnds(bundle, child).then(options.endStrays)]);
    const { signal: killedBy } = await child.ended;
    // The container lives on without its runtime, and holds the streams open.
    if (killedBy !== null) await kill.removeByForce();
    await options.endStrays?.();
    for (const output of outputs) output.endSoon();
  };
  const settled = await Promise.allSettled([wrapUp(), ...pumps]);
  await kill.done();
  signal?.throwIfAborted();
  for (const result of settled) if (result.status === "rejected") throw result.reason;
  const exit = await child.ended;
  if (exit.signal !== null) {
    throw new BuildError("runtime", `${invocation.runtime.name} was killed by ${exit.signal} while the step ran`);
  }
  if (exit.code === START_FAILED) checkRuntimeLog(options);
  return exit.code ?? START_FAILED;
}

/** Resolves when the container's first process has ended, or the runtime: some runtimes go on until the container's last one has. */
async function firstProcessEnds(bundle: string, runtime: Session): Promise<void> {
  let started: string | undefined;
  while (runtime.isRunning) {
    const pid = readFileIfExists(join(bundle, PID_FILE))?.toString() ?? "";
    const now = pid === "" ? undefined : startTimeOf(pid);
    if (pid !== "" && (now === undefined || now !== (started ?? now))) return;
    started = now;
    await setTimeout(LOOK_MS);
  }
}

/** One stream of a step on its way to who wants it, with back-pressure. */
class Output {
  readonly #stream: "stdout" | "stderr";
  readonly #source: Socket;
  readonly #onOutput: OutputConsumer;
  #isConsuming = false;
  #isEnding = false;
  #isAbandoned = false;

  constructor(stream: "stdout" | "stderr", source: Socket, onOutput: OutputConsumer) {
    this.#stream = stream;
    this.#source = source;
    this.#onOutput = onOutput;
  }

  /** Ends when all writers are gone and all is taken. */
  async pump(): Promise<void> {
    try {
      for await (const chunk of this.#source) {
        this.#isConsuming = true;
        await this.#onOutput(this.#stream, chunk as Buffer);
        this.#isConsuming = false;
        if (this.#isEnding) this.#source.setTimeout(STRAY_WRITER_MS);
      }
    } catch (error) {
      // We ended it ourselves: whoever still holds the stream is not waited for.
      if (!this.#isAbandoned) throw error;
    }
  }

  /**
   * The step has ended. In a pid namespace that ended all writers; where there is none (S72), what it left in the background may hold the stream,
   * and is not waited for.
   */
  endSoon(): void {
    this.#isEnding = true;
    this.#source.setTimeout(STRAY_WRITER_MS, () => {
      // After the next look at the pipe: a busy event loop lets timers run out while bytes are waiting.
      setImmediate(() => this.#abandonIfSilent(this.#source.bytesRead));
    });
  }

  #abandonIfSilent(bytesRead: number): void {
    setImmediate(() => {
      if (this.#isConsuming || this.#source.bytesRead !== bytesRead) return;
      this.#isAbandoned = true;
      this.#source.destroy();
    });
  }
}

/** A user namespace gets no new /proc where something covers parts of the one that is there (S72), as container engines do. */
const HIDDEN_PROC = /mount(?:ing)? [`"']?proc[`"']? to .*(?:operation not permitted|permission denied)/i;
const SHOW_PROC =
  "parts of /proc are hidden here: start the container around this with --security-opt systempaths=unconfined (Kubernetes: securityContext procMount Unmasked), or let RUN see and signal the processes of this container: --no-process-sandbox";

/** Throws where the runtime failed for another reason than what the step wants to run. Its message is among the step's output too, as with other builders. */
function checkRuntimeLog({ invocation, bundle }: ContainerOptions): void {
  const log = join(bundle, "log.json");
  const message = lastErrorOf(readFileIfExists(log)?.toString() ?? "");
  // The step itself may have filled the disk that the runtime keeps its state on.
  if (message === undefined || BAD_COMMAND.test(message) || /No space left on device/i.test(message)) return;
  const help = HIDDEN_PROC.test(message) ? { help: SHOW_PROC } : {};
  throw new BuildError("runtime", `${invocation.runtime.name} could not run the container: ${message}`, help);
}

/** Message of the last error in a runtime's log, JSON or plain; undefined where it has none. */
export function lastErrorOf(log: string): string | undefined {
  const messages = log.split("\n").flatMap((line) => {
    try {
      const { level, msg } = JSON.parse(line) as { readonly level?: string; readonly msg?: string };
      return (level === "error" || level === "fatal") && typeof msg === "string" ? [msg.trim()] : [];
    } catch {
      return [];
    }
  });
  return messages.at(-1);
}

/** Ends a container that may be in any state between "not yet there" and "gone". */
class Kill {
  readonly #options: ContainerOptions;
  readonly #child: Session;
  #running: Promise<void> | undefined;

  constructor(options: ContainerOptions, child: Session) {
    this.#options = options;
    this.#child = child;
  }

  start(): void {
    this.#running ??= this.#run();
    // Awaited in done(); a failure in between is no unhandled one.
    this.#running.catch(() => undefined);
  }

  async done(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const deadline = AbortSignal.timeout(KILL_LIMIT_MS);
    while (this.#child.isRunning && !deadline.aborted) {
      // Fails while the container is not there yet, so try again until the runtime has ended.
      await this.#call(["kill", this.#options.id, "KILL"]);
      if (this.#child.isRunning) await Promise.race([this.#child.ended, setTimeout(50)]);
    }
    if (!this.#child.isRunning) return;
    this.#child.kill("SIGKILL");
    await this.removeByForce();
  }

  async removeByForce(): Promise<void> {
    await this.#call(["delete", "--force", this.#options.id]);
  }

  async #call(args: readonly string[]): Promise<void> {
    const [command = "", ...rest] = runtimeCommand(this.#options.invocation, args);
    const signal = AbortSignal.timeout(KILL_LIMIT_MS);
    await runProcess(command, rest, { env: RUNTIME_ENV, graceMs: 0, signal }).catch(() => undefined);
  }
}
