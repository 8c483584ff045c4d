// Git URLs as sources of ADD and as build contexts: forms, fragment and query (reference AD06–AD09, X03). Pure text work.
import { relativePath } from "../base/container-path.ts";
import { quoteGo } from "./go-format.ts";
import type { GitOp } from "../graph/op.ts";

export interface GitSource {
  /** Without fragment and query. */
  readonly remote: string;
  readonly ref: string | undefined;
  /** Clean, relative; undefined = the root. */
  readonly subdir: string | undefined;
  readonly checksum: string | undefined;
  /** Undefined where the URL does not say. */
  readonly keepGitDir: boolean | undefined;
  readonly submodules: boolean | undefined;
  readonly mtime: "checkout" | "commit";
}

/** Undefined = the text is no git URL at all. */
export type GitSourceResult = { readonly source: GitSource } | { readonly error: string } | undefined;

/** Reads a git URL. `github.com/x/y` without scheme is one only where `isBareHostAllowed` (contexts, not ADD). */
export function parseGitSource(text: string, isBareHostAllowed = false): GitSourceResult {
  if (text.startsWith("./") || text.startsWith("../")) return undefined;
  const isBare = text.startsWith("github.com/");
  if (isBare && !isBareHostAllowed) return undefined;
  const parts = splitUrl(isBare ? `https://${text}` : text, isBare);
  if (!parts) return undefined;
  const [ref, subdir] = splitOnce(decode(parts.fragment), ":");
  return readQuery(parts.remote, ref, subdir, parts.query);
}

interface UrlParts {
  readonly remote: string;
  readonly query: string;
  readonly fragment: string;
}

function splitUrl(text: string, isAnyPathAllowed: boolean): UrlParts | undefined {
  const url = /^([a-z0-9]+):\/\/([^?#]*)(?:\?([^#]*))?(?:#([\s\S]*))?$/i.exec(text);
  if (url) {
    const [, scheme = "", rest = "", query = "", fragment = ""] = url;
    const remote = `${scheme}://${rest}`;
    if (/^https?$/i.test(scheme)) {
      return rest.endsWith(".git") || isAnyPathAllowed ? { remote, query, fragment } : undefined;
    }
    return /^(?:ssh|git)$/i.test(scheme) ? { remote, query, fragment } : undefined;
  }
  const scp = /^([a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:[^?#]*)(?:\?([^#]*))?(?:#([\s\S]*))?$/.exec(text);
  return scp ? { remote: scp[1]!, query: scp[2] ?? "", fragment: scp[3] ?? "" } : undefined;
}

/** Errors have BuildKit's texts; the first one ends the reading. */
class QueryError extends Error {}

function readQuery(remote: string, ref: string, subdir: string, query: string): GitSourceResult {
  try {
    const values = queryValues(query);
    const named = prefixed("refs/tags/", values.get("tag"));
    const branch = prefixed("refs/heads/", values.get("branch"));
    if (named !== undefined && branch !== undefined) throw new QueryError("branch conflicts with tag");
    const explicit = agree("ref", agree("ref", agree("ref", ref, values.get("ref")), named), branch);
    const checksum = values.get("checksum") ?? values.get("commit");
    const isByCommit = readFlag("fetch-by-commit", values) === true;
    if (isByCommit && checksum === undefined) throw new QueryError("fetch-by-commit requires a checksum");
    const wanted = isByCommit ? checksum! : explicit === "" ? (checksum ?? "") : explicit;
    const folder = relativePath(agree("subdir", subdir, values.get("subdir")));
    const mtime = values.get("mtime") ?? "checkout";
    if (mtime !== "checkout" && mtime !== "commit") throw new QueryError(`invalid mtime value: ${quoteGo(mtime)}`);
    return {
      source: {
        remote,
        ref: wanted === "" ? undefined : wanted,
        subdir: folder === "" ? undefined : folder,
        checksum,
        keepGitDir: readFlag("keep-git-dir", values),
        submodules: readFlag("submodules", values),
        mtime,
      },
    };
  } catch (error) {
    if (error instanceof QueryError) return { error: error.message };
    throw error;
  }
}

const KEYS = new Set(["ref", "tag", "branch", "subdir", "checksum", "commit", "mtime"]);
const FLAGS = new Set(["keep-git-dir", "submodules", "fetch-by-commit"]);

function queryValues(query: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const [key, value] = splitOnce(pair, "=").map(decode) as [string, string];
    if (!KEYS.has(key) && !FLAGS.has(key)) throw new QueryError(`unexpected query ${quoteGo(key)}`);
    if (values.has(key)) throw new QueryError(`query ${quoteGo(key)} has multiple values`);
    if (value === "" && !FLAGS.has(key)) throw new QueryError(`query ${quoteGo(key)} has no value`);
    values.set(key, value);
  }
  return values;
}

function readFlag(name: string, values: ReadonlyMap<string, string>): boolean | undefined {
  const value = values.get(name);
  if (value === undefined) return undefined;
  if (value === "") return true;
  const flag = parseGoBool(value);
  if (flag === undefined) throw new QueryError(`invalid ${name} value: ${quoteGo(value)}`);
  return flag;
}

/** Go's strconv.ParseBool. */
export function parseGoBool(text: string): boolean | undefined {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

/** The one value that both places say. */
function agree(what: "ref" | "subdir", known: string, other: string | undefined): string {
  if (other === undefined || other === known) return known;
  if (known !== "") throw new QueryError(`${what} conflicts: ${quoteGo(known)} vs ${quoteGo(other)}`);
  return other;
}

function prefixed(prefix: string, name: string | undefined): string | undefined {
  return name === undefined || name.startsWith(prefix) ? name : prefix + name;
}

function splitOnce(text: string, separator: string): [string, string] {
  const cut = text.indexOf(separator);
  return cut < 0 ? [text, ""] : [text.slice(0, cut), text.slice(cut + separator.length)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The op of a git source; `keepGitDir` and `checksum` are what the instruction's flags say. */
export function gitOp(source: GitSource, keepGitDir: boolean, checksum: string | undefined): GitOp {
  const { remote, ref, subdir, submodules, mtime } = source;
  return {
    kind: "git",
    remote,
    ...(ref === undefined ? {} : { ref }),
    ...(subdir === undefined ? {} : { subdir }),
    keepGitDir: source.keepGitDir ?? keepGitDir,
    submodules: submodules ?? true,
    mtime,
    ...(checksum === undefined ? {} : { checksum }),
  };
}
