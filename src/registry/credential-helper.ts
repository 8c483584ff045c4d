// Runs `docker-credential-<name> get` (docker/docker-credential-helpers; reference RG10) and reads what it says. No caching: configured-credentials.ts does that.
import { runProcess } from "../base/process.ts";
import type { FoundCredentials } from "./credentials.ts";
import { fromPair } from "./docker-config.ts";
import type { Environment } from "./proxy.ts";

/** Runs a program to its end; the part of base/process.ts that is needed here. */
export type RunProgram = (
  command: string,
  args: readonly string[],
  options: { readonly input: string; readonly env: Environment; readonly signal: AbortSignal },
) => Promise<{ readonly exitCode: number | undefined; readonly stdout: string; readonly stderr: string }>;

export interface HelperOptions {
  /** Short name: `ecr-login`. */
  readonly helper: string;
  /** What the helper knows the registry by. */
  readonly serverUrl: string;
  readonly env: Environment;
  readonly run?: RunProgram;
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 60_000;
const NOT_FOUND = "credentials not found in native keychain";

/** Asks a helper. A helper that is missing, fails or talks nonsense is a `problem`, not an error: most pulls need no credentials. */
export async function askCredentialHelper(options: HelperOptions): Promise<FoundCredentials> {
  const { helper, serverUrl, env, run = runProcess, signal } = options;
  const program = `docker-credential-${helper}`;
  // A name with a slash would start any program: the file may come from a shared folder.
  if (!/^[A-Za-z0-9._-]+$/.test(helper)) return { problem: `"${helper}" is no name of a credential helper` };
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const scope = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  try {
    const { exitCode, stdout, stderr } = await run(program, ["get"], { input: serverUrl, env, signal: scope });
    if (exitCode === 0) return readAnswer(stdout, program);
    if (stdout.includes(NOT_FOUND) || stdout.includes("credentials not found")) return {};
    const reason = firstLine(stdout) || firstLine(stderr);
    return { problem: `${program} failed (exit ${exitCode ?? "by signal"})${reason === "" ? "" : `: ${reason}`}` };
  } catch (error) {
    signal?.throwIfAborted();
    if (timeout.aborted) return { problem: `${program} did not answer within ${TIMEOUT_MS / 1000} s` };
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return { problem: isMissing ? `${program} is not installed` : `${program} could not be started` };
  }
}

/** A failing answer's text may be shown, a good one's never: it holds the secret. */
function readAnswer(stdout: string, program: string): FoundCredentials {
  let answer: { readonly Username?: unknown; readonly Secret?: unknown } | null;
  try {
    answer = JSON.parse(stdout) as typeof answer;
  } catch {
    answer = null;
  }
  const { Username: username, Secret: secret } = answer ?? {};
  if (typeof username !== "string" || typeof secret !== "string")
    return { problem: `${program} did not answer with {"Username", "Secret"}` };
  return secret === "" ? {} : { credentials: fromPair(username, secret, program) };
}

function firstLine(text: string): string {
  return (text.trim().split("\n", 1)[0] ?? "").replace(/[^\x20-\x7e]/g, "").slice(0, 200);
}
