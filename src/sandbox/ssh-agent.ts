// What `--ssh id=path,…` stands for: the socket of a running agent, or private keys, which get an agent of their own for the length of the build.
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { randomName } from "../base/clock.ts";
import { runProcess } from "../base/process.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { DEFAULT_SEARCH_PATH, findProgram } from "./runtime.ts";

export interface SshAgentOptions {
  /** One agent socket, or private key files. */
  readonly paths: readonly string[];
  /** Directory for the agent's socket; short, because a socket's path has at most 107 bytes. */
  readonly stateDir: string;
  readonly searchPath?: string;
}

export interface SshAgent extends AsyncDisposable {
  readonly socket: string;
}

/** Opens what the paths name. Throws BuildError `source` for paths that are no keys, `runtime` where OpenSSH is needed and missing. */
export async function openSshAgent(options: SshAgentOptions): Promise<SshAgent> {
  const sockets = options.paths.filter(isSocket);
  const [socket] = sockets;
  if (socket === undefined) return startAgent(options);
  if (options.paths.length > 1) {
    throw new BuildError("usage", "an ssh agent socket cannot be combined with other sockets or keys", {
      help: "give one socket, or only private keys, for one id",
    });
  }
  return { socket, [Symbol.asyncDispose]: () => Promise.resolve() };
}

async function startAgent({ paths, stateDir, searchPath = DEFAULT_SEARCH_PATH }: SshAgentOptions): Promise<SshAgent> {
  const [agent, add] = ["ssh-agent", "ssh-add"].map((name) => findProgram(name, searchPath));
  if (agent === undefined || add === undefined) {
    throw new BuildError("runtime", `forwarding the key ${paths[0] ?? ""} needs ssh-agent and ssh-add`, {
      help: "install the OpenSSH client (openssh-client), or give the socket of a running agent",
    });
  }
  const directory = join(stateDir, `ssh-${randomName(4)}`);
  mkdirSync(directory, { mode: 0o700 });
  const socket = join(directory, "agent");
  // The shell ends the agent when our end of its standard input closes: also when this process is killed.
  const script = '"$@" >/dev/null & p=$!; read -r _; kill "$p"; wait "$p"';
  const shell = spawn("/bin/sh", ["-c", script, "sh", agent, "-D", "-a", socket], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const exited = new Promise<void>((resolve) => shell.once("close", () => resolve()));
  shell.stdin.on("error", () => undefined);
  const held: SshAgent = {
    socket,
    [Symbol.asyncDispose]: async () => {
      shell.stdin.end();
      await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    for (const path of paths) await addKey(add, socket, path);
    return held;
  } catch (error) {
    await held[Symbol.asyncDispose]();
    throw error;
  }
}

async function addKey(program: string, socket: string, path: string): Promise<void> {
  // Without a terminal and without an asking program a passphrase cannot be asked for, so such keys fail at once.
  const env = { PATH: DEFAULT_SEARCH_PATH, SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: "never" };
  for (let attempt = 0; ; attempt++) {
    const { exitCode, stderr } = await runProcess(program, ["-q", path], { env });
    if (exitCode === 0) return;
    // Exit code 2: the agent does not listen yet.
    if (exitCode === 2 && attempt < 100) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      continue;
    }
    const reason = stderr.trim().split("\n").at(-1) ?? "";
    throw new BuildError("source", `cannot use the ssh key ${path}: ${reason}`, {
      help: "keys with a passphrase have to come from a running agent: ssh-add it and give the agent's socket",
    });
  }
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch (error) {
    throw new BuildError("source", `there is no ssh agent socket or key at ${path}`, { cause: error });
  }
}
