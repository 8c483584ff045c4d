// Runs a host program to its end: own process group, bounded output, nothing of the group left behind. Containers are not started here (sandbox/ does that).
import { spawn, type ChildProcess } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface ProcessOptions {
  /** Standard input; absent = empty. */
  readonly input?: string | Uint8Array | AsyncIterable<Uint8Array>;
  readonly cwd?: string;
  /** The whole environment, PATH for the look-up of `command` included; undefined values are left out. Absent = ours. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Bytes kept of each stream: the first ones of stdout, the last ones of stderr. Default 16 MiB. */
  readonly maxOutput?: number;
  /** Milliseconds from SIGTERM to SIGKILL when `signal` fires. Default 5,000. */
  readonly graceMs?: number;
  readonly signal?: AbortSignal;
}

export interface ProcessResult {
  /** Undefined where a signal ended it. */
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether either stream had more than `maxOutput` bytes. */
  readonly isTruncated: boolean;
}

const DEFAULT_MAX_OUTPUT = 16 * 1024 * 1024;
const DEFAULT_GRACE_MS = 5_000;

/**
 * Runs `command` and resolves when it has ended, whatever its exit code. Rejects with the system error where it cannot be started
 * (ENOENT: no such program), and with the signal's reason, after the whole group is gone, where `signal` fired.
 */
export async function runProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<ProcessResult> {
  const { signal, maxOutput = DEFAULT_MAX_OUTPUT } = options;
  signal?.throwIfAborted();
  const child = spawn(command, args, {
    // A group of its own: a terminal's Ctrl-C does not reach it, and its helpers (ssh, git-remote-https) die with it.
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
  });
  const ended = exitOf(child);
  using cancellation = new DisposableStack();
  cancellation.use(cancelOn(signal, child, options.graceMs ?? DEFAULT_GRACE_MS));
  const stdout = new Head(maxOutput);
  const stderr = new Tail(maxOutput);
  const streams = [drain(child.stdout, stdout), drain(child.stderr, stderr), feed(child.stdin, options.input)];
  const [{ exitCode, killedBy }] = await settle(ended, streams);
  signal?.throwIfAborted();
  return {
    exitCode,
    signal: killedBy,
    stdout: stdout.text(),
    stderr: stderr.text(),
    isTruncated: stdout.isFull || stderr.isFull,
  };
}

interface Exit {
  readonly exitCode: number | undefined;
  readonly killedBy: NodeJS.Signals | undefined;
}

function exitOf(child: ChildProcess): Promise<Exit> {
  const { promise, resolve, reject } = Promise.withResolvers<Exit>();
  child.once("error", (error) => {
    // Also sent where a signal could not be delivered: only a failed start leaves no pid.
    if (child.pid === undefined) reject(error);
  });
  child.once("exit", (code, killedBy) => {
    // A helper that outlives its parent would keep our pipes open for ever.
    signalGroup(child, "SIGKILL");
    resolve({ exitCode: code ?? undefined, killedBy: killedBy ?? undefined });
  });
  return promise;
}

/** Waits for all; of a process that never started only the start's error counts. */
async function settle(ended: Promise<Exit>, streams: readonly Promise<void>[]): Promise<[Exit]> {
  const [exit, ...rest] = await Promise.allSettled([ended, ...streams]);
  if (exit.status === "rejected") throw exit.reason;
  for (const result of rest) if (result.status === "rejected") throw result.reason;
  return [exit.value];
}

/** SIGTERM to the group when `signal` fires, SIGKILL after the grace; disposing forgets both. */
function cancelOn(signal: AbortSignal | undefined, child: ChildProcess, graceMs: number): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const cancel = (): void => {
    signalGroup(child, "SIGTERM");
    timer = setTimeout(() => signalGroup(child, "SIGKILL"), graceMs);
  };
  signal?.addEventListener("abort", cancel, { once: true });
  return {
    [Symbol.dispose]: () => {
      signal?.removeEventListener("abort", cancel);
      clearTimeout(timer);
    },
  };
}

function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // ESRCH: nobody of the group is left, which is what was wanted.
  }
}

interface Sink {
  add(chunk: Buffer): void;
}

async function drain(stream: Readable, sink: Sink): Promise<void> {
  for await (const chunk of stream) sink.add(chunk as Buffer);
}

async function feed(stdin: Writable, input: ProcessOptions["input"]): Promise<void> {
  try {
    if (input === undefined || typeof input === "string" || input instanceof Uint8Array)
      await pipeline([input ?? ""], stdin);
    else await pipeline(input, stdin);
  } catch (error) {
    // A program that does not read all of its input says with its exit code what that means.
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (!["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"].includes(code)) throw error;
  }
}

/** Keeps the first bytes. */
class Head implements Sink {
  readonly #chunks: Buffer[] = [];
  #room: number;
  isFull = false;

  constructor(room: number) {
    this.#room = room;
  }

  add(chunk: Buffer): void {
    if (chunk.length > this.#room) this.isFull = true;
    if (this.#room === 0) return;
    this.#chunks.push(chunk.subarray(0, this.#room));
    this.#room -= Math.min(chunk.length, this.#room);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}

/** Keeps the last bytes, in at most twice the room. */
class Tail implements Sink {
  readonly #room: number;
  #chunks: Buffer[] = [];
  #size = 0;
  isFull = false;

  constructor(room: number) {
    this.#room = room;
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size <= this.#room) return;
    this.isFull = true;
    if (this.#size > 2 * this.#room) this.#cut();
  }

  #cut(): void {
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(Math.max(0, all.length - this.#room))];
    this.#size = this.#chunks[0]!.length;
  }

  text(): string {
    this.#cut();
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
