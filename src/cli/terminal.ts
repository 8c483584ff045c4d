// The process as commands see it: arguments in, text out, one signal for "stop". The only place, with main.ts and bin.ts, that touches `process`.
import { readFileSync } from "node:fs";
import { Interrupted } from "./exit-code.ts";
import type { ProgressTarget } from "./progress/target.ts";

/** Set, to the user's id, for the process that runs in the user namespace. */
export const ROOTLESS = "TSBUILD_ROOTLESS_UID";

export interface Terminal {
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Nobody reads standard input any more, so it need not end for the process to end. */
  releaseStdin(): void;
  /** Results: what a script reads. */
  readonly print: (text: string) => void;
  /** Fails with the system's error where the reader has gone away. */
  readonly writeStdout: (chunk: Uint8Array) => Promise<void>;
  /** Progress and errors. */
  readonly stderr: ProgressTarget;
  /** The user's id as it was before a user namespace gave it another one. */
  readonly uid: number;
  /** The process is root of a user namespace only: one that it made for itself, or that of the container around it. */
  readonly isRootless: boolean;
  /** Aborts at the first SIGINT or SIGTERM; the second one kills. */
  readonly signal: AbortSignal;
}

export function openTerminal(): Terminal {
  const { stderr, env } = process;
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => {
      stop.abort(new Interrupted(name));
    });
  }
  // A reader that went away (`| head`) ends the output, not the build.
  stderr.on("error", () => {});
  // Streams are opened by who uses them: that takes a build in which nothing changed a tenth of its time.
  let isStdinOpen = false;
  const openStdout = (): NodeJS.WriteStream => {
    const { stdout } = process;
    if (stdout.listenerCount("error") === 0) stdout.on("error", () => {});
    return stdout;
  };
  const color = env["NO_COLOR"] === undefined && stderr.isTTY && env["TERM"] !== "dumb";
  return {
    cwd: process.cwd(),
    environment: env,
    stdin: {
      [Symbol.asyncIterator]: () => {
        isStdinOpen = true;
        return process.stdin[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      },
    },
    releaseStdin: () => {
      if (isStdinOpen) process.stdin.unref?.();
    },
    print: (text) => {
      openStdout().write(text);
    },
    writeStdout: (chunk) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      openStdout().write(chunk, (error) => {
        if (error) reject(error);
        else resolve();
      });
      return promise;
    },
    stderr: {
      write: (text) => {
        stderr.write(text);
      },
      isTerminal: stderr.isTTY,
      color,
      columns: () => stderr.columns || 80,
      rows: () => stderr.rows || 24,
    },
    uid: env[ROOTLESS] === undefined ? (process.getuid?.() ?? 0) : Number(env[ROOTLESS]),
    isRootless: env[ROOTLESS] !== undefined || (process.getuid?.() === 0 && !ownsEveryId()),
    signal: stop.signal,
  };
}

/** Whether ids are the machine's own, all of them: only then is root the machine's root (user_namespaces(7)). */
function ownsEveryId(): boolean {
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
  } catch {
    // A kernel without user namespaces.
    return true;
  }
}
