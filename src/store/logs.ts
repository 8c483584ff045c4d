// Complete logs of steps, one file each, for the builds of late (runner-up pain: clipped logs). A log that cannot be written never fails a build.
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../diagnostics/build-error.ts";
import type { StorePaths } from "./layout.ts";

/** Builds whose logs are kept. */
export const LOGGED_BUILDS = 50;

export interface StepLogOptions {
  readonly paths: StorePaths;
  /** Name of the build, unique over time. */
  readonly build: string;
  /** Name of the step within the build: `03-RUN make`. Made safe for a file name here. */
  readonly step: string;
  readonly onNotice: (message: string) => void;
}

/** Takes output in order. After a failure to write it says so once and drops the rest. */
export class StepLog implements Disposable {
  readonly path: string;
  readonly #onNotice: (message: string) => void;
  #fd: number | undefined;

  constructor(options: StepLogOptions) {
    const folder = join(options.paths.logs, fileName(options.build));
    this.path = join(folder, `${fileName(options.step)}.log`);
    this.#onNotice = options.onNotice;
    try {
      const isFirst = mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined;
      if (isFirst) removeOldLogs(options.paths.logs);
      this.#fd = openSync(this.path, "a", 0o600);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** Appends. Synchronous, since output of a step arrives in small pieces and events do not wait. */
  write(chunk: Uint8Array): void {
    if (this.#fd === undefined) return;
    try {
      let written = 0;
      while (written < chunk.byteLength) written += writeSync(this.#fd, chunk, written);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #giveUp(error: unknown): void {
    this[Symbol.dispose]();
    this.#onNotice(`the log ${this.path} is not complete: ${messageOf(error)}`);
  }
}

/** Removes the logs of all but the {@link LOGGED_BUILDS} builds that were written to last. */
function removeOldLogs(logs: string): void {
  const builds = readdirSync(logs).map((name) => ({ name, mtimeMs: mtimeOf(join(logs, name)) }));
  builds.sort((a, b) => b.mtimeMs - a.mtimeMs);
  for (const { name } of builds.slice(LOGGED_BUILDS)) rmSync(join(logs, name), { recursive: true, force: true });
}

function mtimeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function fileName(text: string): string {
  const safe = text.replace(/[^A-Za-z0-9._-]+/g, "-").slice(0, 100);
  return safe === "" || safe.startsWith(".") ? `_${safe}` : safe;
}
