// One command, measured: wall time, and the largest resident size of the process itself (not of those that it starts).
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";

export interface Measured {
  readonly ms: number;
  /** MiB; 0 where the process was too short to be looked at. */
  readonly peakMiB: number;
}

const LOOK_EVERY_MS = 20;

/** Runs the command to its end; fails where it does, with what it said. */
export async function measure(command: readonly string[], env: NodeJS.ProcessEnv, logPath: string): Promise<Measured> {
  const [program = "", ...args] = command;
  const log = openSync(logPath, "w");
  const start = performance.now();
  const child = spawn(program, args, { env, stdio: ["ignore", "ignore", log] });
  closeSync(log);
  let peakMiB = 0;
  const looking = setInterval(() => (peakMiB = Math.max(peakMiB, highWaterMark(child.pid))), LOOK_EVERY_MS);
  try {
    const [code] = (await once(child, "exit")) as [number | null];
    const ms = performance.now() - start;
    if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}\n${readFileSync(logPath, "utf8")}`);
    return { ms, peakMiB };
  } finally {
    clearInterval(looking);
  }
}

function highWaterMark(pid: number | undefined): number {
  try {
    return Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024);
  } catch {
    return 0;
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
