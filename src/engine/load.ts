// `--load`: hands an image to docker or podman by their own command, fed through a pipe.
import { runProcess } from "../base/process.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError } from "../diagnostics/build-error.ts";

export interface LoadOptions {
  /** Name of a docker context. */
  readonly context: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Loads a docker archive into docker, or into podman where docker is not installed. */
export async function loadIntoEngine(
  archive: AsyncIterable<Uint8Array>,
  { context, environment, signal }: LoadOptions,
): Promise<void> {
  const engine = context === undefined ? await findEngine(environment, signal) : "docker";
  const args = context === undefined ? ["load"] : ["--context", context, "load"];
  const result = await runProcess(engine, args, { input: archive, env: environment, signal }).catch(
    (error: unknown) => {
      throw isErrno(error, "ENOENT") ? notInstalled(`${engine} is not installed`) : error;
    },
  );
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
