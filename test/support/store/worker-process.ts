// Starts store-worker.ts as a child process. Disposing kills it and waits until it is gone.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface WorkerProcess extends AsyncDisposable {
  readonly pid: number;
  /** The next line that starts with `start`; rejects when the process ends before it. */
  line(start: string): Promise<string>;
  kill(): Promise<void>;
  /** Exit status; rejects with the worker's complaint unless it is 0. */
  ended(): Promise<void>;
}

export function startWorker(root: string, task: string, ...args: readonly string[]): WorkerProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, "store-worker.ts"), root, task, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let complaint = "";
  child.stderr.on("data", (data: Buffer) => (complaint += data.toString()));
  const exit = once(child, "exit") as Promise<[number | null]>;
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exit;
  };
  return {
    pid: child.pid!,
    kill,
    async line(start) {
      for (;;) {
        const next = await lines.next();
        if (next.done === true) throw new Error(`worker ${task} ended before "${start}": ${complaint}`);
        if (next.value.startsWith(start)) return next.value;
      }
    },
    async ended() {
      const [code] = await exit;
      if (code !== 0) throw new Error(`worker ${task} failed: ${complaint}`);
    },
    [Symbol.asyncDispose]: kill,
  };
}
