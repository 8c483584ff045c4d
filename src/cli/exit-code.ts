// What the shell is told: 0 done · 1 the build failed · 2 usage · 3 registry or network · 70 our bug · 130/143 interrupted.
import { BuildError } from "../index.ts";

/** Thrown as the reason of the abort signal when the process is asked to stop. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exitCode: number;

  constructor(signal: "SIGINT" | "SIGTERM") {
    super(`interrupted by ${signal}`);
    this.exitCode = signal === "SIGINT" ? 130 : 143;
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (!(error instanceof BuildError)) return 70;
  if (error.code === "usage") return 2;
  return error.code === "registry" ? 3 : 1;
}
