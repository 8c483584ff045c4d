// Symlink resolution strictly inside a tree: absolute targets start at its root and ".." stops there (T29). The same rules as continuity's fs.RootPath,
// because BuildKit's results depend on them: what does not exist is kept as text, so that it can be made.
import { joinRelative, parentPath, relativePath } from "../base/container-path.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Entry } from "../tree/entry.ts";

/** Links followed before a path counts as a loop. */
const MAX_LINKS = 255;

/** Anything that can say what is at a path. */
export interface PathLookup {
  lstat(path: string): Promise<Entry | undefined>;
}

export interface ResolveOptions {
  /** Whether a symlink as the last component is followed. Default true. */
  readonly followLast?: boolean;
  /** What BuildKit's text says before it comes to the links. */
  readonly failure?: string;
}

export interface ResolvedPath {
  /** Where it leads: relative, clean, with no symlink in it (but for the last component, if that was not followed). */
  readonly path: string;
  /** What is there; undefined where nothing is. */
  readonly entry: Entry | undefined;
  /** The part of `path` that does not exist; "" where all does. */
  readonly missing: string;
  /** The component that is neither directory nor symlink and has something behind it; then `entry` is undefined. */
  readonly blockedBy: string | undefined;
}

/** Resolves `path` (relative or absolute, clean or not). Fails with `source` when links never end. */
export async function resolvePath(
  tree: PathLookup,
  path: string,
  { followLast = true, failure = "" }: ResolveOptions = {},
): Promise<ResolvedPath> {
  const todo = components(path).reverse();
  const state: State = { at: "", entry: undefined, missingFrom: undefined, blockedBy: undefined };
  let links = 0;
  while (todo.length > 0) {
    const name = todo.pop()!;
    if (name === "..") {
      await ascend(tree, state);
      continue;
    }
    const next = state.at === "" ? name : `${state.at}/${name}`;
    const entry = state.missingFrom === undefined ? await tree.lstat(next) : undefined;
    if (entry?.type === "symlink" && (todo.length > 0 || followLast)) {
      if (++links > MAX_LINKS) throw tooManyLinks(path, failure);
      const target = entry.linkname ?? "";
      if (target.startsWith("/")) [state.at, state.entry] = ["", undefined];
      todo.push(...components(target).reverse());
      continue;
    }
    descend(state, next, entry);
  }
  const { at, entry, missingFrom, blockedBy } = state;
  const missing = missingFrom === undefined ? "" : at.slice(missingFrom === "" ? 0 : missingFrom.length + 1);
  if (missing !== "") return { path: at, entry: undefined, missing, blockedBy };
  return { path: at, entry: at === "" ? await tree.lstat("") : entry, missing, blockedBy };
}

/** Of a path that is blocked, the one that BuildKit asks for in vain: what follows a link it looks up behind the link's target before it resolves that. */
export async function refusedPath(tree: PathLookup, path: string): Promise<string> {
  let wanted = relativePath(path);
  for (let links = 0; links <= MAX_LINKS; links++) {
    let at = "";
    for (const name of components(wanted)) {
      const next = joinRelative(at, name);
      const { entry, blockedBy } = await resolvePath(tree, next, { followLast: false });
      if (blockedBy !== undefined) return next;
      const target = entry?.type === "symlink" ? (entry.linkname ?? "") : undefined;
      at = target === undefined ? next : relativePath(target.startsWith("/") ? target : `${at}/${target}`);
    }
    wanted = at;
  }
  return wanted;
}

interface State {
  at: string;
  /** What is at `at`; undefined also for the root, which nobody asks for unless it is the answer: in a stack of layers that means to list them all. */
  entry: Entry | undefined;
  /** Last component that exists, once one does not. */
  missingFrom: string | undefined;
  blockedBy: string | undefined;
}

function descend(state: State, next: string, entry: Entry | undefined): void {
  if (!entry && state.missingFrom === undefined) {
    state.missingFrom = state.at;
    if (state.entry && state.entry.type !== "dir") state.blockedBy = state.at;
  }
  state.at = next;
  state.entry = entry;
}

async function ascend(tree: PathLookup, state: State): Promise<void> {
  state.at = parentPath(state.at);
  if (state.missingFrom !== undefined && state.at.length > state.missingFrom.length) return;
  // Back where things exist: ".." undoes a name that is not there.
  state.missingFrom = undefined;
  state.blockedBy = undefined;
  state.entry = state.at === "" ? undefined : await tree.lstat(state.at);
}

function components(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function tooManyLinks(path: string, failure: string): BuildError {
  return new BuildError("source", `${failure}too many links`, {
    summary: `too many links in "/${components(path).join("/")}"`,
    help: "a symbolic link points at itself, directly or by way of others",
    details: { word: components(path).join("/") },
  });
}
