// Starts the runtime with pipes for the step's output: at once, or by a process that was made while the step before was running and waits for the word.
// Making a process takes Node longer than all else that it does to start a step; in a chain of steps the next one does not wait for it.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, closeSync, constants, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { randomName } from "../base/clock.ts";
import { mkfifo } from "../base/libc.ts";
import { DEFAULT_SEARCH_PATH, runtimeCommand, type RuntimeInvocation } from "./runtime.ts";

/** A runtime that runs, or is about to, and the reading ends of its output. */
export interface Started {
  readonly child: ChildProcess;
  readonly stdout: Socket;
  readonly stderr: Socket;
}

/** The runtime's environment: nothing of ours (NOTIFY_SOCKET, LISTEN_FDS) is to change what it does. */
export const RUNTIME_ENV: Readonly<Record<"PATH", string>> = { PATH: DEFAULT_SEARCH_PATH };

/** Becomes the command "$@" for the container and bundle that it is told, one per line; ends without a word where its standard input does. */
const WAIT = `IFS= read -r id && IFS= read -r bundle && \
exec "$@" --log "$bundle/log.json" --log-format json run --bundle "$bundle" --pid-file "$bundle/pid" "$id" </dev/null`;

/** Runs the container `id` of `bundle`, now. */
export function startRuntime(invocation: RuntimeInvocation, id: string, bundle: string): Started {
  const log = join(bundle, "log.json");
  const run = ["--log", log, "--log-format", "json", "run", "--bundle", bundle, "--pid-file", join(bundle, "pid"), id];
  return spawnPiped(runtimeCommand(invocation, run), "ignore", bundle);
}

/** Keeps one process ready for runs with one invocation. */
export class Starter implements AsyncDisposable {
  readonly #invocation: RuntimeInvocation;
  readonly #directory: string;
  #ready: Started | undefined;
  #isDisposed = false;

  /** `directory` takes names for a moment. Nothing is made before {@link prepare}. */
  constructor(invocation: RuntimeInvocation, directory: string) {
    this.#invocation = invocation;
    this.#directory = directory;
  }

  /** Makes a process ready, unless one is or the starter is disposed. */
  prepare(): void {
    if (this.#ready || this.#isDisposed) return;
    const started = spawnPiped(
      ["/bin/sh", "-c", WAIT, "sh", ...runtimeCommand(this.#invocation, [])],
      "pipe",
      join(this.#directory, randomName(4)),
    );
    // It may end before it is asked (killed by somebody); who takes it looks.
    started.child.on("error", () => undefined);
    started.child.stdin?.on("error", () => undefined);
    // An owner that never disposes is not kept alive by it.
    started.child.unref();
    unref(started.child.stdin);
    this.#ready = started;
  }

  /** As {@link startRuntime}, by the process that is ready; the next one is made while the container runs. */
  start(id: string, bundle: string): Started {
    const ready = this.#ready;
    this.#ready = undefined;
    setImmediate(() => this.prepare());
    if (ready?.child.pid === undefined || ready.child.exitCode !== null || ready.child.signalCode !== null) {
      if (ready) release(ready);
      return startRuntime(this.#invocation, id, bundle);
    }
    ready.child.ref();
    ready.child.stdin?.end(`${id}\n${bundle}\n`);
    return ready;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    const ready = this.#ready;
    if (!ready) return;
    this.#ready = undefined;
    release(ready);
    const { child } = ready;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    await once(child, "exit");
  }
}

function release({ child, stdout, stderr }: Started): void {
  child.stdin?.end();
  stdout.destroy();
  stderr.destroy();
}

function unref(stream: Writable | null): void {
  (stream as Partial<{ unref(): void }> | null)?.unref?.();
}

function spawnPiped([command = "", ...args]: readonly string[], stdin: "ignore" | "pipe", place: string): Started {
  const stdout = openPipe(`${place}.stdout`);
  const stderr = openPipe(`${place}.stderr`);
  // A session of its own: Ctrl-C in a terminal is for this process, which cancels in order.
  const child = spawn(command, args, {
    stdio: [stdin, stdout.writeFd, stderr.writeFd],
    detached: true,
    env: RUNTIME_ENV,
  });
  closeSync(stdout.writeFd);
  closeSync(stderr.writeFd);
  return { child, stdout: stdout.reader, stderr: stderr.reader };
}

interface Pipe {
  readonly reader: Socket;
  readonly writeFd: number;
}

/**
 * A pipe, by way of a named one that is unlinked at once. Node's own are sockets, and a program that opens /dev/stdout cannot open a socket;
 * anybody may open this one, as a step's user need not be root.
 */
function openPipe(path: string): Pipe {
  mkfifo(path, 0o600);
  try {
    chmodSync(path, 0o666);
    // Order and flags matter: opening for writing waits for a reader, opening for reading would wait for a writer.
    const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writeFd = openSync(path, constants.O_WRONLY);
    return { reader: new Socket({ fd: readFd, readable: true, writable: false }), writeFd };
  } finally {
    rmSync(path);
  }
}
