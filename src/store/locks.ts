// Named locks between processes, and within one: flock(2) in short attempts, so that the event loop never stands still and a signal ends the wait.
// A killed holder's lock is free at once. Who holds it is written in the file, for those who wait. Design: architecture.md §4; trap T49.
import { closeSync, ftruncateSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { isErrno } from "../base/fs-atomic.ts";
import { tryLock, type LockMode } from "./file-lock.ts";

export interface LockOptions {
  readonly mode: LockMode;
  /** What the holder is doing, for those who wait: `building [app 2/5] RUN make (pid 4711)`. One line, no secrets. */
  readonly holder?: string;
  /** Told who is in the way: when the wait starts, and when that changes. */
  readonly onWait?: (holder: string) => void;
  readonly signal?: AbortSignal;
}

/** Held until disposed. */
export interface Lock extends AsyncDisposable {
  readonly path: string;
}

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 100;

/**
 * Waits for the lock that the file `path` stands for. Waiters of one process are served in order; processes in no particular order.
 * Rejects with the signal's reason when that is aborted.
 */
export async function acquireLock(path: string, options: LockOptions): Promise<Lock> {
  const { mode, holder = `pid ${process.pid}`, onWait, signal } = options;
  signal?.throwIfAborted();
  const turn = takeTurn(path, mode, holder);
  try {
    await waitForTurn(turn, onWait, signal);
    const fd = await waitForFile(path, mode, onWait, signal);
    describeHolder(fd, holder);
    return new HeldLock(path, fd, turn);
  } catch (error) {
    turn.end();
    throw error;
  }
}

class HeldLock implements Lock {
  readonly path: string;
  #fd: number | undefined;
  readonly #turn: Turn;

  constructor(path: string, fd: number, turn: Turn) {
    this.path = path;
    this.#fd = fd;
    this.#turn = turn;
  }

  [Symbol.asyncDispose](): Promise<void> {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined) return Promise.resolve();
    // The only holder takes the file along, so that keys do not leave a file each. With shared holders the sweep does it.
    if (this.#turn.mode === "exclusive") removeQuietly(this.path);
    closeSync(fd);
    this.#turn.end();
    return Promise.resolve();
  }
}

async function waitForFile(
  path: string,
  mode: LockMode,
  onWait: ((holder: string) => void) | undefined,
  signal: AbortSignal | undefined,
): Promise<number> {
  let pause = FIRST_PAUSE_MS;
  let told: string | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const fd = tryLock(path, mode);
    if (fd !== undefined) return fd;
    const holder = readHolder(path);
    if (holder !== told) onWait?.(holder);
    told = holder;
    await pauseFor(pause, signal);
    pause = Math.min(LONGEST_PAUSE_MS, pause * 1.5);
  }
}

/** Waits, or throws the signal's own reason. */
export async function pauseFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await setTimeout(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

function describeHolder(fd: number, holder: string): void {
  ftruncateSync(fd, 0);
  writeSync(fd, holder, 0);
}

function readHolder(path: string): string {
  try {
    return readFileSync(path, "utf8").trim() || "another process";
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "another process";
    throw error;
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // A leftover file is harmless, and the lock must be given back in any case.
  }
}

/** A place in this process's queue for one path. */
interface Turn {
  readonly mode: LockMode;
  readonly holder: string;
  /** Who has to end first; empty = it is our turn. */
  readonly before: readonly Turn[];
  readonly ended: Promise<void>;
  end(): void;
}

const queues = new Map<string, Turn[]>();

/** Joins the queue: behind everybody for an exclusive lock, behind the exclusive ones for a shared lock. */
function takeTurn(path: string, mode: LockMode, holder: string): Turn {
  const queue = queues.get(path) ?? [];
  queues.set(path, queue);
  const { promise, resolve } = Promise.withResolvers<void>();
  const before = queue.filter((other) => mode === "exclusive" || other.mode === "exclusive");
  const turn: Turn = {
    mode,
    holder,
    before,
    ended: promise,
    end() {
      const place = queue.indexOf(turn);
      if (place >= 0) queue.splice(place, 1);
      if (queue.length === 0 && queues.get(path) === queue) queues.delete(path);
      resolve();
    },
  };
  queue.push(turn);
  return turn;
}

async function waitForTurn(
  turn: Turn,
  onWait: ((holder: string) => void) | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (turn.before.length === 0) return;
  onWait?.(turn.before[0]!.holder);
  const all = Promise.all(turn.before.map((other) => other.ended));
  if (!signal) {
    await all;
    return;
  }
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    // The reason belongs to who aborted and is passed on untouched, whatever it is.
    reject(signal.reason as Error);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([all, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
