// Runs the system's git for a build: no prompts, no configuration but ours, no hooks, credentials in its environment only. What is asked of git is git.ts's and git-checkout.ts's business.
import { runProcess, type ProcessResult } from "../base/process.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { redactUrls } from "../base/url-text.ts";

/** How a remote is reached. */
export interface GitAccess {
  /** The caller's environment; only PATH, TMPDIR and proxy variables of it reach git. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Value of the Authorization header for the remote; see {@link gitAuthorization}. */
  readonly authorization?: string;
  /** Socket of the agent that has the keys; absent = no keys. */
  readonly sshAuthSock?: string;
  /** Host keys to trust instead of the user's known_hosts. */
  readonly knownHostsFile?: string;
  /** PEM file with all certificates to trust, instead of the system's. */
  readonly caFile?: string;
}

export interface GitCommand {
  readonly args: readonly string[];
  readonly access: GitAccess;
  /** The remote that credentials are for. */
  readonly remote: string;
  readonly cwd?: string;
  /** More variables: GIT_INDEX_FILE and the like. */
  readonly env?: Readonly<Record<string, string>>;
  /** More configuration. */
  readonly config?: readonly (readonly [string, string])[];
  readonly signal?: AbortSignal;
}

const PASSED = ["PATH", "TMPDIR", ...proxyNames("http"), ...proxyNames("https"), ...proxyNames("all")];
const NO_PROXY = ["no_proxy", "NO_PROXY"];
/** What a repository, the host's files or the user's could otherwise change about a checkout. */
const CONFIG: readonly (readonly [string, string])[] = [
  ["safe.directory", "*"],
  ["protocol.ext.allow", "never"],
  // A repository must not reach files of the host through its submodules; we ourselves may.
  ["protocol.file.allow", "user"],
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.autocrlf", "false"],
  ["credential.helper", ""],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["init.defaultBranch", "master"],
  ["init.templateDir", ""],
  ["advice.detachedHead", "false"],
  ["submodule.recurse", "false"],
];

/** Runs git whatever its exit status. Fails with "source" where there is no git. */
export async function tryGit(command: GitCommand): Promise<ProcessResult> {
  const { args, cwd, signal } = command;
  // Modes of checked-out files must not depend on our umask, and spawn cannot set one.
  const result = await runProcess("/bin/sh", ["-c", 'umask 0022; exec git "$@"', "git", ...args], {
    env: { ...gitEnvironment(command), ...command.env },
    ...(cwd === undefined ? {} : { cwd }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.exitCode === 127) {
    throw new BuildError("source", "git is not installed, and the build has a git source", {
      help: "install the package git, or use an archive URL instead",
    });
  }
  return result;
}

/** Standard output of a git that must succeed. Fails with "source", or "registry" where the network does: `<what>: <git's words>`. */
export async function runGit(what: string, command: GitCommand): Promise<string> {
  const result = await tryGit(command);
  if (result.exitCode !== 0) throw gitError(what, command, result);
  return result.stdout;
}

const NETWORK_FAILURE =
  /could not resolve host|unable to look up|connection (?:refused|reset|timed out|closed)|failed to connect|network is unreachable|no route to host|(?:remote end|hung) up unexpectedly|requested URL returned error: (?:429|5\d\d)|certificate/i;

/** What git said, without credentials, and what may help. */
export function gitError(what: string, { remote, access }: GitCommand, { stderr, signal }: ProcessResult): BuildError {
  const secret = access.authorization;
  const said = redactUrls(secret === undefined ? stderr : stderr.replaceAll(secret, "xxxxx"));
  const lines = said.split("\n").map((line) => line.trim());
  const reason =
    lines.find((line) => /^(remote: )?(fatal|error):/i.test(line)) ??
    lines.findLast((line) => line !== "") ??
    `git was ended by ${signal ?? "an unknown cause"}`;
  const help = remedy(said, remote);
  const output = lines.filter((line) => line !== "");
  const lastOutput = output.slice(-20);
  return new BuildError(
    NETWORK_FAILURE.test(said) ? "registry" : "source",
    `${redactUrls(what)}: ${reason.replace(/^(fatal|error): /i, "")}`,
    {
      ...(help === undefined ? {} : { help }),
      // One line is in the message already.
      details: output.length > 1 ? { lastOutput, outputBefore: output.length - lastOutput.length } : {},
    },
  );
}

function remedy(said: string, remote: string): string | undefined {
  if (/could not read (Username|Password)|Authentication failed|HTTP 40[13]|Repository not found/i.test(said))
    return "the repository is private or does not exist; pass a token by --secret id=GIT_AUTH_TOKEN,env=…";
  if (/Host key verification failed/i.test(said)) {
    const host = /^(?:ssh:\/\/)?(?:[^@/]*@)?([^:/]+)/.exec(remote)?.[1] ?? "HOST";
    return `add its key to ~/.ssh/known_hosts: ssh-keyscan ${host}`;
  }
  if (/Permission denied \(publickey/i.test(said)) return "pass a key by --ssh default";
  if (/certificate/i.test(said)) return "give its certificate authority with --ca-cert FILE";
  if (NETWORK_FAILURE.test(said)) return "check the host and the network, then build again";
  return undefined;
}

function gitEnvironment({ access, remote, config = [] }: GitCommand): Record<string, string> {
  const all = [...CONFIG, ...credentials(remote, access), ...config];
  const env: Record<string, string> = {
    LC_ALL: "C",
    HOME: "/nonexistent",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_SSH_COMMAND: sshCommand(access),
    GIT_CONFIG_COUNT: String(all.length),
  };
  for (const name of [...PASSED, ...NO_PROXY]) {
    const value = access.environment[name];
    if (value !== undefined) env[name] = value;
  }
  if (access.sshAuthSock !== undefined) env["SSH_AUTH_SOCK"] = access.sshAuthSock;
  all.forEach(([key, value], i) => {
    env[`GIT_CONFIG_KEY_${i}`] = key;
    env[`GIT_CONFIG_VALUE_${i}`] = value;
  });
  return env;
}

function proxyNames(scheme: string): readonly string[] {
  return [`${scheme}_proxy`, `${scheme.toUpperCase()}_PROXY`];
}

/** In the environment, not among the arguments, which every user of the host can see. */
function credentials(remote: string, access: GitAccess): readonly (readonly [string, string])[] {
  const pairs: [string, string][] = [];
  if (access.authorization !== undefined && /^https?:\/\//i.test(remote))
    pairs.push([`http.${credentialScope(remote)}.extraheader`, `Authorization: ${access.authorization}`]);
  if (access.caFile !== undefined) pairs.push(["http.sslCAInfo", access.caFile]);
  return pairs;
}

/** A token of github.com is good for its other repositories, submodules say; elsewhere only for the remote itself (as BuildKit). */
function credentialScope(remote: string): string {
  const shared = ["https://github.com/", "https://www.github.com/"].find((prefix) => remote.startsWith(prefix));
  return shared ?? remote.replace(/^(https?:\/\/)[^/]*@/i, "$1");
}

/** No file of the user decides how ssh connects or who it is: keys come from the agent that the build was given. But the host's key must be known: a build is no place to learn it. */
function sshCommand({ knownHostsFile }: GitAccess): string {
  const known =
    knownHostsFile === undefined ? "" : ` -o UserKnownHostsFile='${knownHostsFile.replaceAll("'", "'\\''")}'`;
  return `ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o StrictHostKeyChecking=yes${known}`;
}

/** A secret that may hold credentials for a git remote. */
export interface GitSecret {
  readonly id: string;
  readonly kind: "header" | "token";
}

/** Ids of the secrets to look for, the first that exists counts (AD10); none for remotes that are not reached over HTTP. */
export function gitSecrets(remote: string): readonly GitSecret[] {
  if (!/^https?:\/\//i.test(remote) || !URL.canParse(remote)) return [];
  const { host } = new URL(remote);
  return [
    { id: `GIT_AUTH_HEADER.${host}`, kind: "header" },
    { id: `GIT_AUTH_TOKEN.${host}`, kind: "token" },
    { id: "GIT_AUTH_HEADER", kind: "header" },
    { id: "GIT_AUTH_TOKEN", kind: "token" },
  ];
}

/** Value of the Authorization header that a secret stands for. */
export function gitAuthorization({ kind }: GitSecret, value: string): string {
  if (kind === "header") return value;
  return `basic ${Buffer.from(`x-access-token:${value}`).toString("base64")}`;
}
