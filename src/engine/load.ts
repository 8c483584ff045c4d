// `--load`: hands an image to docker or podman by their own command. What they have already is not sent again: at most it gets its names (pain 6).
import { runProcess, type ProcessResult } from "../base/process.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Digest } from "../oci/digest.ts";

export interface LoadOptions {
  /** Digest of the image's config, which is what engines call the image. */
  readonly imageId: Digest;
  /** As docker shows them: short for docker.io/library. */
  readonly names: readonly string[];
  /** A docker archive of the image; asked for only where it has to be sent. */
  readonly archive: () => Promise<AsyncIterable<Uint8Array>>;
  /** Name of a docker context. */
  readonly context: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** One of the engine's commands, run to its end. */
type Run = (args: readonly string[], input?: AsyncIterable<Uint8Array>) => Promise<ProcessResult>;

/** Loads an image into docker, or into podman where docker is not installed. */
export async function loadIntoEngine(options: LoadOptions): Promise<void> {
  const { context, environment: env, signal } = options;
  const engine = context === undefined ? await findEngine(env, signal) : "docker";
  const run: Run = async (args, input) => {
    const words = context === undefined ? args : ["--context", context, ...args];
    try {
      return await runProcess(engine, words, { env, signal, ...(input ? { input } : {}) });
    } catch (error) {
      throw isErrno(error, "ENOENT") ? notInstalled(`${engine} is not installed`) : error;
    }
  };
  if (await isLoaded(run, options)) return;
  const result = await run(["load"], await options.archive());
  if (result.exitCode === 0) return;
  const said = result.stderr.trim().split("\n").at(-1) ?? "";
  throw new BuildError(
    "export",
    `${engine} load failed: ${said === "" ? `exit code ${result.exitCode ?? result.signal}` : said}`,
    {
      help: `check that ${engine} works: ${engine} info`,
    },
  );
}

/** Whether the engine has the image under its names, or could give them to it. Engines that number images otherwise are sent the archive. */
async function isLoaded(run: Run, { imageId, names }: LoadOptions): Promise<boolean> {
  if (names.length > 0 && (await areImage(run, names, imageId))) return true;
  if (!(await areImage(run, [imageId], imageId))) return false;
  for (const name of names) if ((await run(["tag", imageId, name])).exitCode !== 0) return false;
  return true;
}

/** Whether all of these are there and are that image. */
async function areImage(run: Run, references: readonly string[], imageId: Digest): Promise<boolean> {
  const { exitCode, stdout } = await run(["image", "inspect", "--format", "{{.Id}}", ...references]);
  const ids = stdout.trim().split("\n");
  // podman leaves the algorithm out.
  return (
    exitCode === 0 && ids.length === references.length && ids.every((id) => imageId.endsWith(id) && id.length >= 64)
  );
}

async function findEngine(environment: LoadOptions["environment"], signal: AbortSignal): Promise<string> {
  for (const name of ["docker", "podman"]) {
    try {
      const { exitCode } = await runProcess(name, ["--version"], { env: environment, signal });
      if (exitCode === 0) return name;
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  throw notInstalled("neither docker nor podman is installed");
}

function notInstalled(what: string): BuildError {
  return new BuildError("export", `${what}, so there is nothing to load the image into`, {
    help: "leave --load out: the image is kept in the store, or write it with -o type=docker,dest=image.tar",
  });
}
