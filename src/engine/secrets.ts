// Secret values and ssh sockets that a build was given: read when a step first asks, never kept on disk.
import { readFile, stat } from "node:fs/promises";
import { isErrno } from "../base/fs-atomic.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { SshAgent } from "../sandbox/ssh-agent.ts";
import type { SecretSource, SshSource } from "./options.ts";

const WORKING_DIRECTORY = "the directory that you run tsbuild in";

/** BuildKit's limit: a secret is no file transfer. */
const MAX_SECRET = 500 * 1024;

export interface SecretsOptions {
  readonly secrets: readonly SecretSource[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Looks a secret up by id; undefined where the build was given none of that name. */
export async function readSecret(
  id: string,
  { secrets, environment }: SecretsOptions,
): Promise<Uint8Array | undefined> {
  const source = secrets.find((secret) => secret.id === id);
  if (!source) return undefined;
  if (source.env !== undefined) return Buffer.from(environment[source.env] ?? "");
  const file = source.file ?? id;
  try {
    const { size } = await stat(file);
    if (size > MAX_SECRET)
      throw new BuildError(
        "source",
        `secret ${id} has ${size} bytes, more than the ${MAX_SECRET} that a secret may have`,
      );
    return await readFile(file);
  } catch (error) {
    if (error instanceof BuildError) throw error;
    const isMissing = isErrno(error, "ENOENT");
    const reason = isMissing ? "no such file or directory" : messageOf(error);
    const src = `a path relative to ${WORKING_DIRECTORY}`;
    throw new BuildError("source", `failed to stat ${file}: ${reason}`, {
      ...(isMissing ? { summary: `--secret id=${id}: there is no file ${file}` } : { cause: error }),
      help:
        source.file === undefined
          ? `add src=FILE, ${src}, or create the file (and keep it out of the context, or in .dockerignore)`
          : `correct src, ${src}, or create the file (and keep it out of the context, or in .dockerignore)`,
      details: { culprit: "option" },
    });
  }
}

export interface SshOptions {
  readonly ssh: readonly SshSource[];
  readonly environment: SecretsOptions["environment"];
  /** Opens an agent for a socket or for keys; it ends with the build. */
  readonly openAgent: (paths: readonly string[]) => Promise<SshAgent>;
}

/** The socket for `--ssh id`; undefined where the build was given none of that name. */
export async function sshSocketOf(
  id: string,
  { ssh, environment, openAgent }: SshOptions,
): Promise<string | undefined> {
  const source = ssh.find((candidate) => candidate.id === id);
  if (!source) return undefined;
  for (const path of source.paths) await assertThere(id, path);
  if (source.paths.length > 0) return (await openAgent(source.paths)).socket;
  const socket = environment["SSH_AUTH_SOCK"];
  if (socket === undefined || socket === "") {
    throw new BuildError("source", `invalid empty ssh agent socket for --ssh ${id}: SSH_AUTH_SOCK is not set`, {
      summary: `there is no ssh agent for --ssh ${id}: SSH_AUTH_SOCK is not set`,
      help: `start an agent, or name a key: --ssh ${id}=KEYFILE`,
    });
  }
  return socket;
}

async function assertThere(id: string, path: string): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    // Whoever opens the file tells what else is wrong with it.
    if (!isErrno(error, "ENOENT")) return;
    const config = `failed to convert agent config for ID: ${JSON.stringify(id)}`;
    throw new BuildError("source", `${config}: stat ${path}: no such file or directory`, {
      summary: `--ssh ${id}: there is no key or agent socket at ${path}`,
      help: `correct the path, which is relative to ${WORKING_DIRECTORY}: it names a private key, such as $HOME/.ssh/id_ed25519, or an agent's socket`,
      details: { culprit: "option" },
    });
  }
}
