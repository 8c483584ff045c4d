// Which files of a source a COPY takes: wildcards, symlinks on the way, --parents patterns and --exclude (reference C02, C07, C08, C13, C14).
// Not responsible for where they go: copy.ts.
import { baseName, joinRelative, relativePath } from "../../base/container-path.ts";
import { suggest } from "../../base/suggest.ts";
import { BuildError } from "../../diagnostics/build-error.ts";
import { resolvePath } from "../../rootfs/resolve.ts";
import type { Entry } from "../../tree/entry.ts";
import type { Sequence } from "../../tree/sequence.ts";
import { badPattern, compileGlob } from "../../tree/glob.ts";
import { PatternMatcher } from "../../tree/patterns.ts";
import type { Tree } from "../../tree/tree.ts";

/** A source as the user wrote it, taken apart. */
export interface SourceSpec {
  /** Path or wildcard pattern within the source, clean. */
  readonly base: string;
  /** With --parents: what is taken of each match of `base`, as a path pattern relative to it; undefined = all of it. */
  readonly include: string | undefined;
}

/** One match of a source. */
export interface SelectedSource {
  /** Where it really is: no symlink in it. */
  readonly path: string;
  /** Last name as written or matched, which is what a file is called in a directory. */
  readonly name: string;
  readonly entry: Entry;
}

export interface SelectOptions {
  readonly isWildcardAllowed: boolean;
  /** --exclude, for what a wildcard matches. */
  readonly exclude: PatternMatcher | undefined;
  /** Word for the source in messages. */
  readonly label: string;
}

/** Takes a source apart. With --parents only what follows the first "/./" keeps its directories. */
export function parseSource(pattern: string, parents: boolean): SourceSpec {
  if (!parents) return { base: relativePath(pattern), include: undefined };
  const pivot = pattern.indexOf("/./");
  const include = relativePath(pivot < 0 ? pattern : pattern.slice(pivot + 3));
  return {
    base: pivot < 0 ? "" : relativePath(pattern.slice(0, pivot)),
    include: include === "" ? undefined : include,
  };
}

/** Whether Go's `filepath.Match` would see more than plain text in `pattern`. */
export function hasWildcards(pattern: string): boolean {
  return /^(?:[^\\*?[]|\\.)*[*?[]/su.test(pattern);
}

/**
 * Matches of `base` in the order of their names; a path without wildcards is its own match, backslashes included. Symlinks are followed on the way and at the end,
 * but a wildcard does not look behind them. Fails with `source` where a path without wildcards, or a match that is a symlink, leads nowhere.
 */
export async function selectSources(tree: Tree, base: string, options: SelectOptions): Promise<SelectedSource[]> {
  const paths = options.isWildcardAllowed && hasWildcards(base) ? await expand(tree, base, options) : [base];
  const selected: SelectedSource[] = [];
  for (const path of paths) {
    const { path: real, entry } = await resolvePath(tree, path, { failure: noChecksum(options.label) });
    if (!entry) throw await missingSource(tree, path, options.label);
    selected.push({ path: real, name: baseName(path), entry });
  }
  return selected;
}

async function expand(tree: Tree, pattern: string, { exclude, label }: SelectOptions): Promise<string[]> {
  if (!compileGlob(pattern)) throw brokenPattern(pattern, label);
  const parts = namePatterns(pattern);
  const firstWild = parts.findIndex(hasWildcards);
  const literal = parts.slice(0, firstWild).join("/");
  const start = await resolvePath(tree, literal, { failure: noChecksum(label) });
  if (!start.entry) {
    const reason = start.blockedBy === undefined ? "no such file or directory" : "not a directory";
    throw new BuildError("source", `lstat /${start.path}: ${reason}`, { help: "only file names may match nothing" });
  }
  // BuildKit walks whatever is there: in a file there is nothing to match.
  if (start.entry.type !== "dir") return [];
  let matches = [start.path];
  for (const [i, part] of parts.slice(firstWild).entries()) {
    const isMatch = compileGlob(part)!;
    const isLast = firstWild + i === parts.length - 1;
    const next: string[] = [];
    for (const directory of matches) {
      for (const name of await tree.readdir(directory)) {
        if (!isMatch(name)) continue;
        const path = joinRelative(directory, name);
        if (isLast || (await tree.lstat(path))?.type === "dir") next.push(path);
      }
    }
    matches = next;
  }
  const prefix = start.path === "" ? 0 : start.path.length + 1;
  return matches.filter((path) => !exclude?.excludes(path.slice(prefix)));
}

/** The pattern of each name: a slash within a class divides nothing. */
function namePatterns(pattern: string): string[] {
  const parts: string[] = [];
  let open = "";
  for (const part of pattern.split("/")) {
    const whole = open + part;
    open = compileGlob(whole) ? "" : `${whole}/`;
    if (open === "") parts.push(whole);
  }
  return parts;
}

function brokenPattern(pattern: string, label: string): BuildError {
  const where = isInImage(label) ? noChecksum(label) : `invalid includepatterns: [${pattern}]: `;
  return new BuildError("source", `${where}${badPattern}`, {
    summary: `"${pattern}" is no pattern for file names`,
    help: "end a class with ], or write [[] for a name that has a [",
    details: { word: pattern },
  });
}

/** Makes sure that a --parents source without wildcards is there, itself and not behind a symlink, which would not be looked behind. Fails with `source`. */
export async function requirePath(
  tree: Tree,
  base: string,
  { base: written, include = "" }: SourceSpec,
  label: string,
): Promise<void> {
  const path = joinRelative(base, include);
  const found = await resolvePath(tree, path, { followLast: false });
  if (!found.entry || found.path !== path) throw await missingSource(tree, joinRelative(written, include), label);
}

/** The error for a source that is not there; `label` says where it was looked for. */
export async function missingSource(tree: Tree, path: string, label: string): Promise<BuildError> {
  const parent = await resolvePath(tree, path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "");
  const names = parent.entry?.type === "dir" ? await tree.readdir(parent.path) : [];
  const similar = suggest(baseName(path), names);
  const shown = (at: string): string => (isInImage(label) ? `/${at}` : at);
  const near = shown(joinRelative(parent.path, similar ?? ""));
  const { entry: link } = await resolvePath(tree, path, { followLast: false });
  const why = similar?.toLowerCase() === baseName(path).toLowerCase() ? " Only upper and lower case differ" : "";
  return new BuildError("source", `${noChecksum(label)}${JSON.stringify(`/${path}`)}: not found`, {
    ...(link?.type === "symlink"
      ? {
          summary: `"${shown(path)}" in ${label} is a link to "${link.linkname ?? ""}", which is not there`,
          help: "make what it leads to, or name another path",
        }
      : {
          summary: `there is no "${shown(path)}" in ${label}`,
          help: similar === undefined ? whereItLooked(label) : `did you mean "${near}"?${why}`,
        }),
    details: { word: path },
  });
}

function isInImage(label: string): boolean {
  return /^(?:stage|image|the mounted) /.test(label);
}

/** How BuildKit begins to say why it cannot have a source. */
export function noChecksum(label: string): string {
  // BuildKit's names of refs are two random words.
  const ref = label === "the build context" ? "local::context" : label.replaceAll('"', "").replaceAll(" ", "::");
  return `failed to compute cache key: failed to calculate checksum of ref ${ref}: `;
}

function whereItLooked(label: string): string {
  return label === "the build context"
    ? "create it, or correct the path: paths start at the build context, not at the Dockerfile"
    : `paths start at the root of ${label}`;
}

/** What of one source is copied. */
export interface Copied {
  /** Path of the source, "" = its tree's root. */
  readonly root: string;
  /** Parents first. */
  readonly entries: Sequence<Entry>;
  /** The entries as the copy sees them, one at a time: there may be a million. */
  each(): Iterable<CopiedEntry>;
}

/** A file of a selected source; `path` is relative to the source, "" = the source itself. */
export interface CopiedEntry {
  readonly path: string;
  readonly entry: Entry;
  /** False: a directory that is only there for the sake of what is in it. */
  readonly isIncluded: boolean;
}

/** What of one source is copied. */
export async function copiedEntries(
  tree: Tree,
  source: SelectedSource,
  { include, exclude }: { readonly include: string | undefined; readonly exclude: PatternMatcher | undefined },
): Promise<Copied> {
  const prefix = source.path === "" ? 0 : source.path.length + 1;
  const wanted = include === undefined ? undefined : parsePatterns([include]);
  const isIncluded = (path: string): boolean =>
    path === "" || ((wanted?.excludes(path) ?? true) && !(exclude?.excludes(path) ?? false));
  const isUnfiltered = !wanted && !exclude;
  const keep = (full: string, isDirectory: boolean): "keep" | "skip" | "prune" => {
    const path = full.slice(prefix);
    if (isIncluded(path)) return "keep";
    if (!isDirectory) return "skip";
    const isHopeless = exclude?.canPrune(path) === true || (include !== undefined && !mayMatchBelow(include, path));
    return isHopeless ? "prune" : "keep";
  };
  const entries = await (isUnfiltered ? tree.walk(source.path) : tree.walk(source.path, keep));
  function* each(): Generator<CopiedEntry> {
    for (const entry of entries) {
      const path = entry.path.slice(prefix);
      yield { path, entry, isIncluded: isUnfiltered || isIncluded(path) };
    }
  }
  return { root: source.path, entries, each };
}

/** Compiles --exclude or --parents patterns. Fails with `usage` where one is none. */
export function parsePatterns(patterns: readonly string[]): PatternMatcher {
  const matcher = PatternMatcher.parse(patterns.map((text, i) => ({ text, line: i + 1 })));
  const [error] = matcher.errors;
  if (!error) return matcher;
  throw new BuildError("source", `invalid excludepatterns: [${patterns.join(" ")}]: ${error.message}`, {
    help: `write "${patterns[error.line - 1]}" as a .dockerignore pattern`,
  });
}

/** Whether `pattern`, as a --parents pattern, can match something in the directory `path`: all of it where it matches the directory or one above. */
function mayMatchBelow(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const parts = path.split("/");
  for (const [i, part] of parts.entries()) {
    const segment = wanted[i];
    if (segment === undefined || segment.includes("**")) return true;
    if (compileGlob(segment)?.(part) !== true) return false;
  }
  return true;
}
