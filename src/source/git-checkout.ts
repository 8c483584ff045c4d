// Files of a commit in a directory (reference AD09). A bare repository per remote is kept, so that the next commit costs only what changed; a checkout appears whole and is used again.
//   <cacheDir>/repositories/<id>.git (+ .lock)      <cacheDir>/checkouts/<id>/files
// The folders' own times say when they were last used.
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { randomName } from "../base/clock.ts";
import { touchFolder } from "../base/fs-atomic.ts";
import { tryFlock, utimensNoFollow } from "../base/libc.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { digestHex, digestOfJson } from "../oci/digest.ts";
import { gitError, runGit, tryGit, type GitAccess, type GitCommand } from "./git-command.ts";
import { assertChecksum, isCommitHash, resolveGit, type ResolvedGit } from "./git.ts";
import { redactUrls } from "../base/url-text.ts";

export interface CheckoutGitOptions {
  readonly remote: string;
  readonly ref?: string;
  /** Clean relative path of the directory that becomes the root. */
  readonly subdir?: string;
  readonly checksum?: string;
  /** Keep `.git`; not with `subdir`, as BuildKit. */
  readonly keepGitDir: boolean;
  readonly submodules: boolean;
  /** "commit" gives every file the time of the commit. */
  readonly mtime: "checkout" | "commit";
  /** Never fetch by the ref's name. Without it that is tried where the server refuses to give a commit by its hash. */
  readonly isFetchedByCommit?: boolean;
  /** What {@link resolveGit} said; absent = ask now. */
  readonly resolved?: ResolvedGit;
  readonly cacheDir: string;
  readonly access: GitAccess;
  readonly signal?: AbortSignal;
}

export interface GitCheckout {
  /** Absolute path, in the cache: not to be written to. */
  readonly directory: string;
  readonly commit: string;
}

/** Fetches what is missing and checks it out. Fails with "source", "registry" (the network), "content" (checksum) or "usage". */
export async function checkoutGit(options: CheckoutGitOptions): Promise<GitCheckout> {
  const resolved = options.resolved ?? (await resolveGit(options));
  const folder = join(options.cacheDir, "checkouts", checkoutId(options, resolved));
  const directory = join(folder, "files");
  // A hash from the user may be a tag's, and is checked only against what was fetched.
  if (options.checksum === undefined && touchFolder(folder)) return { directory, commit: resolved.commit };
  const job: Job = { ...options, resolved, repository: repositoryPath(options) };
  using _lock = await lockRepository(job);
  const commit = await fetchCommit(job);
  if (touchFolder(folder)) return { directory, commit };
  const [work, made] = [`${folder}.${randomName()}.tmp`, `${folder}.${randomName()}.tmp`];
  try {
    for (const path of [work, made]) mkdirSync(path);
    renameSync(await materialise(job, commit, work), join(made, "files"));
    renameSync(made, folder);
  } finally {
    for (const path of [work, made]) rmSync(path, { recursive: true, force: true });
  }
  return { directory, commit };
}

/** When the commit was made, in seconds since the epoch (A31). Fetches it where it is not there. Fails as {@link checkoutGit} does. */
export async function gitCommitTime(options: CheckoutGitOptions): Promise<number> {
  const resolved = options.resolved ?? (await resolveGit(options));
  const job: Job = { ...options, resolved, repository: repositoryPath(options) };
  using _lock = await lockRepository(job);
  return commitSeconds(job, await fetchCommit(job));
}

async function commitSeconds(job: Job, commit: string): Promise<number> {
  const shown = inRepository(job, "show", "-s", "--no-show-signature", "--format=%ct", commit);
  return Number((await runGit("failed to read commit", shown)).trim());
}

async function lockRepository(job: Job): Promise<Disposable> {
  mkdirSync(join(job.cacheDir, "repositories"), { recursive: true });
  mkdirSync(join(job.cacheDir, "checkouts"), { recursive: true });
  const lock = await lockFile(`${job.repository}.lock`, job.signal);
  touchFolder(job.repository);
  return lock;
}

interface Job extends CheckoutGitOptions {
  readonly resolved: ResolvedGit;
  readonly repository: string;
}

/** Everything that a checkout's files depend on. */
function checkoutId(options: CheckoutGitOptions, { commit, tag, refName }: ResolvedGit): string {
  const { remote, subdir = "", keepGitDir, submodules, mtime } = options;
  const kept = keepGitDir ? { tag: tag ?? "", refName: refName ?? "" } : {};
  return digestHex(digestOfJson(["tsbuild.git.v1", remote, commit, subdir, keepGitDir, submodules, mtime, kept]));
}

function repositoryPath({ cacheDir, remote }: CheckoutGitOptions): string {
  return join(cacheDir, "repositories", `${digestHex(digestOfJson(["tsbuild.git.v1", remote]))}.git`);
}

/** Exclusive lock of a file, across processes; disposing frees it, and so does death. */
async function lockFile(path: string, signal: AbortSignal | undefined): Promise<Disposable> {
  const fd = openSync(path, "a");
  try {
    while (!tryFlock(fd, "exclusive")) await delay(50, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    closeSync(fd);
    signal?.throwIfAborted();
    throw error;
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

function command(job: Job, args: readonly string[], more: Partial<GitCommand> = {}): GitCommand {
  const { access, remote, signal } = job;
  return { args, access, remote, ...(signal === undefined ? {} : { signal }), ...more };
}

function inRepository(job: Job, ...args: readonly string[]): GitCommand {
  return command(job, [`--git-dir=${job.repository}`, ...args]);
}

/** Makes the commit present in the bare repository, and says which one it is. */
async function fetchCommit(job: Job): Promise<string> {
  const { repository, resolved } = job;
  const wanted = resolved.tag ?? resolved.commit;
  if (!existsSync(join(repository, "HEAD"))) await initialise(job, repository, wanted, true);
  // We hold the lock, so whoever left this is dead.
  rmSync(join(repository, "shallow.lock"), { force: true });
  if (!(await hasObject(job, wanted))) await fetchMissing(job, wanted);
  const commit = (await runGit("failed to read commit", inRepository(job, "rev-parse", `${wanted}^{commit}`))).trim();
  if (!isCommitHash(commit)) throw new BuildError("source", `invalid commit sha ${JSON.stringify(commit)}`);
  assertChecksum(job.checksum, commit === wanted ? { commit } : { commit, tag: wanted });
  return commit;
}

async function initialise(job: Job, path: string, hash: string, isBare: boolean): Promise<void> {
  const format = hash.length === 64 ? ["--object-format=sha256"] : [];
  const bare = isBare ? ["--bare"] : [];
  await runGit(`failed to init repo for ${job.remote}`, command(job, ["init", "--quiet", ...bare, ...format, path]));
}

async function hasObject(job: Job, hash: string): Promise<boolean> {
  const { exitCode } = await tryGit(inRepository(job, "cat-file", "-e", `${hash}^{commit}`));
  return exitCode === 0;
}

interface FetchAttempt {
  readonly flags: readonly string[];
  readonly refspecs: readonly string[];
}

/** By its hash, which cannot move under us; else by its name; else everything, where the server can do neither. */
function fetchAttempts(job: Job, wanted: string): readonly FetchAttempt[] {
  const { refName } = job.resolved;
  const shallow = ["--depth=1"];
  const byHash = { flags: shallow, refspecs: [`+${wanted}:${keptRef(wanted)}`] };
  if (job.isFetchedByCommit === true) return [byHash];
  const byName = refName === undefined ? [] : [{ flags: shallow, refspecs: [`+${refName}:${keptRef(wanted)}`] }];
  const unshallow = existsSync(join(job.repository, "shallow")) ? ["--unshallow"] : [];
  const refspecs = ["+refs/heads/*:refs/origin/heads/*", "+refs/tags/*:refs/origin/tags/*"];
  return [byHash, ...byName, { flags: unshallow, refspecs }];
}

const REFUSED = /not our ref|unadvertised|does not allow request|shallow|depth|couldn't find remote ref/i;

async function fetchMissing(job: Job, wanted: string): Promise<void> {
  const attempts = fetchAttempts(job, wanted);
  for (const [index, { flags, refspecs }] of attempts.entries()) {
    const common = ["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
    const fetch = inRepository(job, "fetch", ...common, ...flags, "--", job.remote, ...refspecs);
    const result = await tryGit(fetch);
    const isLast = index === attempts.length - 1;
    if (result.exitCode !== 0 && (isLast || !REFUSED.test(result.stderr)))
      throw gitError(`failed to fetch remote ${job.remote}`, fetch, result);
    if (await hasObject(job, wanted)) {
      // Keeps it from being collected, and lets other repositories fetch it by a name.
      await runGit("failed to keep commit", inRepository(job, "update-ref", keptRef(wanted), wanted));
      return;
    }
  }
  throw new BuildError("source", `commit ${wanted} is not in ${redactUrls(job.remote)}`, {
    help: "a branch may have been rewritten; name a commit that a branch or tag still leads to",
  });
}

function keptRef(hash: string): string {
  return `refs/tsbuild/${hash}`;
}

/** Writes the files below `staging` and returns the directory that is the result. */
async function materialise(job: Job, commit: string, staging: string): Promise<string> {
  const tree = join(staging, "tree");
  mkdirSync(tree);
  const isGitDirKept = job.keepGitDir && job.subdir === undefined;
  const hasSubmodules = job.submodules && (await hasGitmodules(job, commit));
  if (isGitDirKept || hasSubmodules) await cloneInto(job, commit, tree, { isGitDirKept, hasSubmodules });
  else await writeFiles(job, commit, tree, join(staging, "index"));
  const root = job.subdir === undefined ? tree : subdirectory(tree, job.subdir, job.remote);
  chmodSync(root, 0o755);
  if (job.mtime === "commit") {
    setTimes(root, BigInt(await commitSeconds(job, commit)) * 1_000_000_000n);
  }
  return root;
}

async function hasGitmodules(job: Job, commit: string): Promise<boolean> {
  const { exitCode } = await tryGit(inRepository(job, "cat-file", "-e", `${commit}:.gitmodules`));
  return exitCode === 0;
}

/** A checkout without a repository: the index is thrown away, so that builds of several commits do not share one. */
async function writeFiles(job: Job, commit: string, tree: string, index: string): Promise<void> {
  const args = [`--git-dir=${job.repository}`, `--work-tree=${tree}`, "read-tree", "--reset", "-u", commit];
  const readTree = command(job, args, { cwd: tree, env: { GIT_INDEX_FILE: index } });
  await runGit(`failed to checkout remote ${job.remote}`, readTree);
}

interface CloneKind {
  readonly isGitDirKept: boolean;
  readonly hasSubmodules: boolean;
}

/** A checkout with a repository of its own, which submodules need and `--keep-git-dir` keeps. */
async function cloneInto(job: Job, commit: string, tree: string, kind: CloneKind): Promise<void> {
  const { refName, tag } = job.resolved;
  const failed = `failed to checkout remote ${job.remote}`;
  const run = (...args: readonly string[]): Promise<string> => runGit(failed, command(job, args, { cwd: tree }));
  await initialise(job, tree, commit, false);
  // Over the file protocol: a local clone would share or copy whatever files the repository names.
  const source = keptRef(tag ?? commit);
  const known = await tryGit(inRepository(job, "rev-parse", "--verify", "--quiet", source));
  if (known.exitCode !== 0) await runGit(failed, inRepository(job, "update-ref", source, tag ?? commit));
  const target = kind.isGitDirKept && refName !== undefined ? `:${refName}` : "";
  const flags = ["--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--update-head-ok"];
  await run("fetch", ...flags, `file://${job.repository}`, `+${source}${target}`);
  await run("checkout", "--quiet", "--detach", commit);
  if (kind.hasSubmodules) await updateSubmodules(job, tree);
  if (kind.isGitDirKept) {
    await run("remote", "add", "origin", redactUrls(job.remote));
    for (const name of ["FETCH_HEAD", "logs"]) rmSync(join(tree, ".git", name), { recursive: true, force: true });
    redactConfiguration(join(tree, ".git"));
  } else removeGitDirs(tree);
}

async function updateSubmodules(job: Job, tree: string): Promise<void> {
  const what = `failed to update submodules for ${job.remote}`;
  // Relative URLs of submodules start from the remote; in git's environment, not in a file that a kept .git would show.
  // Not for the update: git hands that down to the submodules, whose own submodules start from where they came from.
  const config = [["remote.origin.url", job.remote]] as const;
  await runGit(what, command(job, ["submodule", "--quiet", "init"], { cwd: tree, config }));
  const update = (depth: readonly string[]): GitCommand =>
    command(job, ["submodule", "--quiet", "update", "--init", "--recursive", ...depth], { cwd: tree });
  const result = await tryGit(update(["--depth=1"]));
  if (result.exitCode === 0) return;
  if (!/shallow|depth|not our ref|unadvertised/i.test(result.stderr)) throw gitError(what, update([]), result);
  await runGit(what, update([]));
}

/** Of a URL that starts from the remote git wrote down the whole, with the remote's credentials; for the submodules, too. */
function redactConfiguration(gitDir: string): void {
  const modules = join(gitDir, "modules");
  const inModules = existsSync(modules) ? readdirSync(modules, { recursive: true, withFileTypes: true }) : [];
  const files = inModules.filter((entry) => entry.name === "config" && entry.isFile());
  for (const path of [join(gitDir, "config"), ...files.map(({ parentPath }) => join(parentPath, "config"))]) {
    const text = readFileSync(path, "utf8");
    const redacted = redactUrls(text);
    if (redacted !== text) writeFileSync(path, redacted);
  }
}

/** Names called .git are never tracked: all are git's own, a submodule's among them. */
function removeGitDirs(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === ".git") rmSync(path, { recursive: true, force: true });
    else if (entry.isDirectory()) removeGitDirs(path);
  }
}

/** Only real directories on the way: a link in the repository must not lead out of it. */
function subdirectory(tree: string, subdir: string, remote: string): string {
  let path = tree;
  for (const name of subdir.split("/")) {
    path = join(path, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) continue;
    const isMissing = stat === undefined;
    const reason = isMissing
      ? `failed to lstat "${name}": statat ${name}: no such file or directory`
      : `git subpath "/${subdir}" contains non-directory "${name}"`;
    throw new BuildError("source", `invalid subdir /${subdir}: ${reason}`, {
      summary: isMissing
        ? `there is no directory "${subdir}" in ${redactUrls(remote)}`
        : `"${name}" of "${subdir}" in ${redactUrls(remote)} is no directory`,
      help: "the subdirectory is looked up in the repository's root at that commit",
    });
  }
  return path;
}

function setTimes(path: string, mtimeNs: bigint): void {
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) setTimes(join(path, name), mtimeNs);
  utimensNoFollow(path, { mtimeNs });
}
