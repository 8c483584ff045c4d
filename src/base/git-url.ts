// Git URLs as BuildKit reads them (reference AD06–AD08, X03): `git@host:path`, ssh://, git://, http(s)://….git, each with `?query` and `#ref:subdir`. Pure: nothing is resolved here.
// Who reports what is wrong with one decides how: the planner at a word of the Dockerfile, the engine as a wrong argument.
import { relativePath } from "./container-path.ts";
import { parseGoBool } from "./go-text.ts";

export interface GitUrl {
  /** What git is given: no query, no fragment. May hold credentials: show it only through redactUrls. */
  readonly remote: string;
  /** Branch, tag, full or partial ref, or commit; undefined = the default branch. */
  readonly ref?: string;
  /** Clean relative path; undefined = the root. */
  readonly subdir?: string;
  /** Commit hash, or a prefix of it, that the ref must have. */
  readonly checksum?: string;
  /** Undefined = the instruction's flag decides. */
  readonly keepGitDir?: boolean;
  readonly submodules: boolean;
  readonly mtime: "checkout" | "commit";
  /** Fetch the commit of the checksum itself; the ref is only a name for it. */
  readonly isFetchedByCommit: boolean;
}

/** A git URL whose query makes no sense, in BuildKit's words. */
export interface GitUrlError {
  readonly error: string;
  readonly help: string;
}

export interface ParseGitUrlOptions {
  /** In contexts `github.com/user/repo` is a repository; for ADD it is a local path (AD06). */
  readonly isContext: boolean;
}

interface UrlParts {
  readonly remote: string;
  readonly query: string;
  readonly fragment: string;
}

const SCP = /^([A-Za-z0-9_-]+)@([A-Za-z0-9.-]+):([^?#\n]*)(?:\?([^#\n]*))?(?:#([^\n]*))?$/;
const SCHEME = /^([A-Za-z0-9]+):\/\//;
const BARE_FLAGS: ReadonlySet<string> = new Set(["submodules", "keep-git-dir", "fetch-by-commit"]);

/** The repository that `text` names; undefined where it is no git URL. */
export function parseGitUrl(text: string, { isContext }: ParseGitUrlOptions): GitUrl | GitUrlError | undefined {
  const parts = split(text, isContext);
  if (parts === undefined) return undefined;
  try {
    return withOptions(parts);
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    return { error: error.message, help: error.help };
  }
}

function split(text: string, isContext: boolean): UrlParts | undefined {
  if (text.startsWith("./") || text.startsWith("../")) return undefined;
  const isLegacy = text.startsWith("github.com/");
  if (isLegacy && !isContext) return undefined;
  const scp = SCP.exec(text);
  if (scp) {
    const [, user = "", host = "", path = "", query = "", fragment = ""] = scp;
    return { remote: `${user}@${host}:${path}`, query, fragment };
  }
  const url = isLegacy ? `https://${text}` : text;
  const scheme = SCHEME.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined || !["http", "https", "ssh", "git"].includes(scheme) || !URL.canParse(url)) return undefined;
  const [beforeFragment, fragment] = cut(url, "#");
  const [remote, query] = cut(beforeFragment, "?");
  const path = /^[^:]+:\/\/[^/]*(.*)$/s.exec(remote)?.[1] ?? "";
  const isHttp = scheme === "http" || scheme === "https";
  if (isHttp && !isLegacy && !path.endsWith(".git")) return undefined;
  if (unescape(path) === undefined || unescape(fragment) === undefined) return undefined;
  return { remote, query, fragment: unescape(fragment) ?? "" };
}

function cut(text: string, mark: string): readonly [string, string] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function unescape(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // A "%" that starts no byte: Go's parser refuses such a URL.
    return undefined;
  }
}

/** The first thing that is wrong ends the reading. */
class QueryError extends Error {
  readonly help: string;

  constructor(message: string, help: string) {
    super(message);
    this.help = help;
  }
}

type Draft = { -readonly [K in keyof GitUrl]: GitUrl[K] };

function withOptions({ remote, query, fragment }: UrlParts): GitUrl {
  const url: Draft = { remote, submodules: true, mtime: "checkout", isFetchedByCommit: false };
  const [ref, subdir] = cut(fragment, ":");
  setRef(url, ref);
  setSubdir(url, subdir);
  const values = queryValues(query);
  for (const [name, value] of values) setOption(url, name, value);
  const [tag, branch] = [values.get("tag") ?? "", values.get("branch") ?? ""];
  if (tag !== "" && branch !== "") throw new QueryError("branch conflicts with tag", "keep one of the two");
  if (tag !== "") setRef(url, qualified("refs/tags/", tag));
  if (branch !== "") setRef(url, qualified("refs/heads/", branch));
  if (url.isFetchedByCommit && url.checksum === undefined)
    throw new QueryError("fetch-by-commit requires a checksum", "write ?checksum=<commit> as well");
  // A whole checksum alone names the commit; the start of one is what the default branch must have.
  const isWhole = url.checksum !== undefined && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(url.checksum);
  if (url.isFetchedByCommit || (url.ref === undefined && isWhole)) url.ref = url.checksum!;
  return url;
}

function queryValues(query: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (values.has(name)) throw new QueryError(`query ${quote(name)} has multiple values`, "keep one of them");
    values.set(name, value);
  }
  for (const [name, value] of values)
    if (value === "" && !BARE_FLAGS.has(name))
      throw new QueryError(`query ${quote(name)} has no value`, `write ${name}=<value>, or leave it out`);
  return values;
}

function setOption(url: Draft, name: string, value: string): void {
  switch (name) {
    case "ref":
      return setRef(url, value);
    case "tag":
    case "branch":
      return; // Both needed at once: see withOptions.
    case "subdir":
      return setSubdir(url, value);
    case "checksum":
    case "commit":
      url.checksum = value;
      return;
    case "keep-git-dir":
      url.keepGitDir = flag(name, value);
      return;
    case "submodules":
      url.submodules = flag(name, value);
      return;
    case "fetch-by-commit":
      url.isFetchedByCommit = flag(name, value);
      return;
    case "mtime":
      if (value !== "checkout" && value !== "commit")
        throw new QueryError(`invalid mtime value: ${quote(value)}`, 'write "checkout" or "commit"');
      url.mtime = value;
      return;
    default:
      throw new QueryError(
        `unexpected query ${quote(name)}`,
        "known are ref, tag, branch, subdir, checksum, commit, keep-git-dir, submodules, mtime and fetch-by-commit",
      );
  }
}

function setRef(url: Draft, ref: string): void {
  if (ref === "") return;
  if (url.ref !== undefined && url.ref !== ref)
    throw new QueryError(`ref conflicts: ${quote(url.ref)} vs ${quote(ref)}`, "keep one of the two");
  url.ref = ref;
}

function setSubdir(url: Draft, subdir: string): void {
  const clean = relativePath(subdir);
  if (clean === "") return;
  if (url.subdir !== undefined && url.subdir !== clean)
    throw new QueryError(`subdir conflicts: ${quote(url.subdir)} vs ${quote(clean)}`, "keep one of the two");
  url.subdir = clean;
}

function qualified(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name;
}

/** A bare `?submodules` is true. */
function flag(name: string, value: string): boolean {
  const isSet = value === "" ? true : parseGoBool(value);
  if (isSet !== undefined) return isSet;
  throw new QueryError(`invalid ${name} value: ${quote(value)}`, 'write "true" or "false"');
}

function quote(text: string): string {
  return JSON.stringify(text);
}
