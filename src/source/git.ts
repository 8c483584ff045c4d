// What a git source means right now: the commit behind a branch, a tag, a ref or a hash (reference AD07, AD09, Q03). One question to the remote, nothing is fetched.
import { BuildError } from "../diagnostics/build-error.ts";
import { runGit, type GitAccess } from "./git-command.ts";
import { redactUrls } from "../base/url-text.ts";

export interface ResolveGitOptions {
  readonly remote: string;
  /** Branch, tag, full or partial ref, or commit; undefined = the remote's default branch. */
  readonly ref?: string;
  /** Hash, or a prefix of it, that must come out. */
  readonly checksum?: string;
  readonly access: GitAccess;
  readonly signal?: AbortSignal;
}

export interface ResolvedGit {
  /** Full hash, lower case. Of a hash that the user gave it may still be a tag's: only a checkout finds out. */
  readonly commit: string;
  /** Full name of the ref; undefined where the user gave a hash. */
  readonly refName?: string;
  /** Hash of the tag object, where the ref is an annotated tag. */
  readonly tag?: string;
}

/** Whether `text` is a full SHA-1 or SHA-256 hash. */
export function isCommitHash(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** The commit that the source means. Fails with "source" where the remote cannot be asked, has no such ref, or the checksum does not match. */
export async function resolveGit(options: ResolveGitOptions): Promise<ResolvedGit> {
  const { remote, checksum } = options;
  assertRemote(remote);
  if (checksum !== undefined && !/^[0-9a-f]{1,64}$/i.test(checksum))
    throw new BuildError("usage", `invalid checksum ${checksum} for Git URL, expected hex commit hash`);
  if (options.ref !== undefined && isCommitHash(options.ref)) return { commit: options.ref };
  const resolved = await askRemote(options, options.ref ?? (await defaultBranch(options)));
  assertChecksum(checksum, resolved);
  return resolved;
}

/** Fails where neither the commit nor the tag that points to it starts with `checksum`. */
export function assertChecksum(checksum: string | undefined, { commit, tag }: ResolvedGit): void {
  const hashes = tag === undefined ? [commit] : [tag, commit];
  if (checksum === undefined || hashes.some((hash) => hash.startsWith(checksum.toLowerCase()))) return;
  throw new BuildError("content", `expected checksum to match ${checksum}, got ${hashes.join(" or ")}`, {
    help: "if this is the commit that you want, change the checksum; otherwise the ref was moved",
  });
}

/** git takes what starts with "-" for an option, and knows URLs that run commands. */
function assertRemote(remote: string): void {
  if (!remote.startsWith("-") && !remote.includes("::")) return;
  throw new BuildError("usage", `"${redactUrls(remote)}" is no git URL`, { help: "write https://host/path.git" });
}

async function defaultBranch(options: ResolveGitOptions): Promise<string> {
  const shown = redactUrls(options.remote);
  const listed = await lsRemote(options, ["--symref", "--", options.remote, "HEAD"]);
  const name = /^ref: (refs\/heads\/\S+)\tHEAD$/m.exec(listed)?.[1];
  if (name !== undefined) return name;
  throw new BuildError("source", `could not find default branch for repository: ${shown}`, {
    help: "the repository is empty, or its HEAD is detached; name a branch: #main",
  });
}

async function lsRemote(options: ResolveGitOptions, args: readonly string[]): Promise<string> {
  const { remote, access, signal } = options;
  return runGit(`failed to fetch remote ${remote}`, {
    args: ["ls-remote", ...args],
    access,
    remote,
    ...(signal === undefined ? {} : { signal }),
  });
}

async function askRemote(options: ResolveGitOptions, ref: string): Promise<ResolvedGit> {
  const listed = await lsRemote(options, ["--", options.remote, ref, `${ref}^{}`]);
  const hashes = new Map<string, string>();
  for (const line of listed.split("\n")) {
    const [hash = "", name = ""] = line.split("\t");
    if (name !== "") hashes.set(name, hash);
  }
  // What `git checkout` would take: a ref by its full name, then a branch, then a tag.
  const names = ["refs/", "refs/heads/", "refs/tags/"].map((prefix) => prefix + withoutPrefix(ref, prefix));
  const refName = names.find((name) => hashes.has(name));
  if (refName === undefined) {
    throw new BuildError("source", `repository does not contain ref ${ref}, output: ${JSON.stringify(listed)}`, {
      summary: `${redactUrls(options.remote)} has no branch or tag "${ref}"`,
      help: /^[0-9a-f]{4,39}$/.test(ref)
        ? "commits need their full hash: git rev-parse <short hash>"
        : `git ls-remote ${redactUrls(options.remote)} lists what there is`,
      details: { word: `#${ref}` },
    });
  }
  const hash = hashes.get(refName)!;
  if (!isCommitHash(hash)) throw new BuildError("source", `invalid commit sha ${JSON.stringify(hash)}`);
  const commit = hashes.get(`${refName}^{}`);
  return commit === undefined ? { commit: hash, refName } : { commit, refName, tag: hash };
}

function withoutPrefix(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : text;
}
