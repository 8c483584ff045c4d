// Starts the runtime with pipes for the step's output.
import { chmodSync, closeSync, constants, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { mkfifo } from "../base/libc.ts";
import { Session } from "../base/session.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { DEFAULT_SEARCH_PATH, runtimeCommand, type RuntimeInvocation } from "./runtime.ts";

/** A runtime that runs, and the reading ends of its output. */
export interface Started {
  /** Of its own session: Ctrl-C in a terminal is for this process, which cancels in order. */
  readonly child: Session;
  readonly stdout: Socket;
  readonly stderr: Socket;
}

/** The runtime's environment: nothing of ours (NOTIFY_SOCKET, LISTEN_FDS) is to change what it does. */
export const RUNTIME_ENV: Readonly<Record<"PATH", string>> = { PATH: DEFAULT_SEARCH_PATH };

/** In the bundle: the id of the container's first process, once there is one. */
export const PID_FILE = "pid";

/** Runs the container `id` of `bundle`. Throws BuildError `runtime` where there is no such program. */
export function startRuntime(invocation: RuntimeInvocation, id: string, bundle: string): Started {
  const log = join(bundle, "log.json");
  const run = [
    "--log",
    log,
    "--log-format",
    "json",
    "run",
    "--bundle",
    bundle,
    "--pid-file",
    join(bundle, PID_FILE),
    id,
  ];
  const [command = "", ...args] = runtimeCommand(invocation, run);
  const stdout = openPipe(`${bundle}.stdout`);
  const stderr = openPipe(`${bundle}.stderr`);
  try {
    const child = new Session(command, args, { env: RUNTIME_ENV, stdout: stdout.writeFd, stderr: stderr.writeFd });
    return { child, stdout: stdout.reader, stderr: stderr.reader };
  } catch (error) {
    for (const { reader } of [stdout, stderr]) reader.destroy();
    throw new BuildError("runtime", `cannot start ${invocation.runtime.path}`, { cause: error });
  } finally {
    closeSync(stdout.writeFd);
    closeSync(stderr.writeFd);
  }
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
