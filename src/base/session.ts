// Starts programs without copying this process. Node's own child processes are forked: that takes longer the more memory this process has, and each page that it
// writes afterwards is copied. posix_spawn(3) takes a millisecond, whatever its size. For what runs often, and needs no more than descriptors.
import { constants } from "node:os";
import { spawnSession, waitNoHang } from "./libc.ts";

/** As Node tells of child processes: one of the two is null. */
export interface SessionExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SessionOptions {
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Descriptors above 2, which stay the caller's to close. Undefined = nothing to read. */
  readonly stdin?: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** Milliseconds between looks in case that the kernel's signal does not arrive, as in worker threads. Also what keeps the event loop going. */
const LOOK_MS = 100;

const SIGNAL_NAMES = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

const running = new Set<Session>();
let looking: NodeJS.Timeout | undefined;

/** A program that leads a session of its own: a terminal's Ctrl-C does not reach it. */
export class Session {
  readonly pid: number;
  /** Resolves when it has ended, and does not reject. */
  readonly ended: Promise<SessionExit>;
  readonly #resolve: (exit: SessionExit) => void;
  #exit: SessionExit | undefined;
  #isAwaited = true;

  /** Starts the program at the absolute path `path`. Throws the system's error where that fails. */
  constructor(path: string, args: readonly string[], { env, stdin, stdout, stderr }: SessionOptions) {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    if (running.size === 0) process.on("SIGCHLD", lookAtAll);
    try {
      this.pid = spawnSession(path, [path, ...args], variables, [stdin, stdout, stderr]);
    } catch (error) {
      if (running.size === 0) process.off("SIGCHLD", lookAtAll);
      throw error;
    }
    const { promise, resolve } = Promise.withResolvers<SessionExit>();
    this.ended = promise;
    this.#resolve = resolve;
    running.add(this);
    looking ??= setInterval(lookAtAll, LOOK_MS);
    keepAlive();
  }

  get isRunning(): boolean {
    return this.#exit === undefined;
  }

  get isAwaited(): boolean {
    return this.#isAwaited;
  }

  /** Whether this process stays alive for it, as it does from the start. */
  set isAwaited(value: boolean) {
    this.#isAwaited = value;
    keepAlive();
  }

  /** Nothing once it has ended: its number may be somebody else's by then. */
  kill(signal: NodeJS.Signals): void {
    if (this.isRunning) process.kill(this.pid, signal);
  }

  /** Takes note of its end, if it has come. */
  look(): void {
    const status = waitNoHang(this.pid);
    if (status === undefined) return;
    this.#exit = exitOf(status);
    running.delete(this);
    this.#resolve(this.#exit);
  }
}

function lookAtAll(): void {
  for (const session of running) session.look();
  if (running.size === 0) {
    process.off("SIGCHLD", lookAtAll);
    clearInterval(looking);
    looking = undefined;
  }
  keepAlive();
}

function keepAlive(): void {
  if ([...running].some(({ isAwaited }) => isAwaited)) looking?.ref();
  else looking?.unref();
}

/** The encoding of wait(2): the low seven bits are a signal, or 0 and the next byte is the code. */
function exitOf(status: number): SessionExit {
  const signal = status & 0x7f;
  return signal === 0
    ? { code: (status >> 8) & 0xff, signal: null }
    : { code: null, signal: SIGNAL_NAMES.get(signal) ?? "SIGKILL" };
}
