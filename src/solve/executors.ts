// Those who do the work of steps, each loaded with the first step of its kind that has to be done: where nothing changed there is none.
import type { ExecExecutor, ExecExecutorOptions } from "./exec.ts";
import type { FileExecutor } from "./file-executor.ts";

export class Executors {
  readonly #options: ExecExecutorOptions;
  #exec: Promise<ExecExecutor> | undefined;
  #file: Promise<FileExecutor> | undefined;

  constructor(options: ExecExecutorOptions) {
    this.#options = options;
  }

  exec(): Promise<ExecExecutor> {
    return (this.#exec ??= import("./exec.ts").then((loaded) => new loaded.ExecExecutor(this.#options)));
  }

  file(): Promise<FileExecutor> {
    return (this.#file ??= import("./file-executor.ts").then((loaded) => new loaded.FileExecutor(this.#options)));
  }
}
