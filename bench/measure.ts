// Commands, measured from outside: wall time, and of all processes that did the work (the commands', their children's and a daemon's) the processor
// time, the bytes written to file systems and the largest resident size. Linux only: everything is read from /proc.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";

export type Command = readonly string[];

export interface Measured {
  readonly ms: number;
  /** Processor time, user and system, in steps of 10 ms. */
  readonly cpuMs: number;
  /** Sum over all processes at the moment when it was largest; looked at every 20 ms, so short ones may be missed. Shared pages count in each. */
  readonly peakMiB: number;
  /** Pages made dirty on file systems, as the kernel counts write_bytes. */
  readonly writtenMiB: number;
}

export interface MeasureOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Takes what the commands say; shown where one fails. */
  readonly log: string;
  /** Process of the builder's daemon; its children count too. */
  readonly daemon?: number | undefined;
}

interface Usage {
  readonly cpuMs: number;
  readonly written: number;
}

const LOOK_EVERY_MS = 20;
const PAGE_SIZE = 4096;
const MS_PER_TICK = 10;
const MIB = 1024 * 1024;

/** Runs the commands one after the other; fails where one does, with the end of what it said. */
export async function measure(commands: readonly Command[], options: MeasureOptions): Promise<Measured> {
  const { daemon } = options;
  const before = usageOf(daemon);
  let peak = 0;
  let running: number | undefined;
  const look = (): void => {
    const roots = [running, daemon].filter((pid) => pid !== undefined);
    peak = Math.max(
      peak,
      roots.reduce((sum, pid) => sum + residentOf(pid), 0),
    );
  };
  const looking = setInterval(look, LOOK_EVERY_MS);
  const start = performance.now();
  try {
    for (const command of commands) await run(command, options, (pid) => (running = pid));
    const ms = performance.now() - start;
    const after = usageOf(daemon);
    const writtenMiB = (after.written - before.written) / MIB;
    return { ms, cpuMs: after.cpuMs - before.cpuMs, peakMiB: peak / MIB, writtenMiB };
  } finally {
    clearInterval(looking);
  }
}

async function run(command: Command, options: MeasureOptions, onStart: (pid?: number) => void): Promise<void> {
  const [program = "", ...args] = command;
  const log = openSync(options.log, "w");
  const child = spawn(program, args, { env: options.env, stdio: ["ignore", log, log] });
  closeSync(log);
  onStart(child.pid);
  const [code] = (await once(child, "exit")) as [number | null];
  onStart(undefined);
  if (code !== 0)
    throw new Error(`${command.join(" ")} ended with ${code}\n${readFileSync(options.log, "utf8").slice(-4000)}`);
}

/** What our children and the daemon have used so far; a child counts once it has been waited for. */
function usageOf(daemon: number | undefined): Usage {
  // Our own part is a constant few bytes and ticks: it reads, and its children do the work.
  const own = { cpuMs: childrenTicks(process.pid) * MS_PER_TICK, written: writtenBytes(process.pid) };
  const daemons = daemon === undefined ? [] : descendants(daemon);
  return daemons.reduce(
    (sum, pid) => ({ cpuMs: sum.cpuMs + allTicks(pid) * MS_PER_TICK, written: sum.written + writtenBytes(pid) }),
    own,
  );
}

/** The process and all that it has started, by whichever thread, as far as they still live. */
function descendants(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(descendants)];
}

function childrenOf(pid: number): number[] {
  return listThreads(pid).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
}

function listThreads(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Bytes of the process and all below it. What is still its parent's program, between fork or posix_spawn and exec, has its parent's pages: it counts nothing. */
function residentOf(pid: number, parent?: { readonly command: string; readonly size: string }): number {
  const command = read(`/proc/${pid}/cmdline`);
  const [size = "", resident = "0"] = read(`/proc/${pid}/statm`).split(" ");
  const isCopy = command === parent?.command && size === parent.size;
  const own = isCopy ? 0 : Number(resident) * PAGE_SIZE;
  return childrenOf(pid).reduce((sum, child) => sum + residentOf(child, { command, size }), own);
}

function childrenTicks(pid: number): number {
  const [, , cutime = 0, cstime = 0] = ticks(pid);
  return cutime + cstime;
}

function allTicks(pid: number): number {
  return ticks(pid).reduce((sum, count) => sum + count, 0);
}

/** utime, stime, cutime, cstime of /proc/PID/stat; the name before them may hold anything. */
function ticks(pid: number): readonly number[] {
  const text = read(`/proc/${pid}/stat`);
  return text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number);
}

function writtenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(read(`/proc/${pid}/io`))?.[1] ?? 0);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
