// What BuildKit calls a COPY, ADD or WORKDIR: the JSON of its actions, and of each input the paths that they select.
import { baseName } from "../../base/container-path.ts";
import { encodeGoJson } from "../../base/go-json.ts";
import type { Vertex } from "../../graph/graph.ts";
import type { CopyAction, CopySource, FileOp, MkdirAction } from "../../graph/op.ts";
import { digestOf, type Digest } from "../../oci/digest.ts";
import {
  recordDigest,
  selectorOf,
  type ContentSelector,
  type KeyInput,
  type StepKey,
  type Unmatchable,
} from "./key.ts";

export function fileOpKey({ action, isLinked }: FileOp, inputs: Vertex["inputs"]): StepKey | Unmatchable {
  return action.kind === "mkdir" ? mkdirKey(action, inputs) : copyKey(action, isLinked, inputs);
}

function mkdirKey({ path, user, mode }: MkdirAction, inputs: Vertex["inputs"]): StepKey | Unmatchable {
  const base = inputs[0];
  const owner = user === "" ? undefined : ownerOf(user, base === undefined ? -1 : 0);
  if (user !== "" && !owner) return { reason: "WORKDIR of a user by name on scratch" };
  const action = { path, mode: mode & 0o777, makeParents: true, ...(owner ? { owner } : {}), timestamp: -1 };
  const below = base === undefined ? [] : [{ of: base, selector: "" }];
  return fileKey([action], [[base === undefined ? -1 : 0, -1, 0]], below);
}

/** A copy of BuildKit as it is put together: its inputs, each once, and what is selected of each. */
interface CopyInputs {
  readonly of: (Digest | StepKey)[];
  readonly selected: Map<number, ContentSelector[]>;
}

function copyKey(action: CopyAction, isLinked: boolean, inputs: Vertex["inputs"]): StepKey | Unmatchable {
  const word = action.unpack === "never" ? "COPY" : "ADD";
  if (action.parents) return { reason: `${word} --parents` };
  if (action.exclude.length > 0) return { reason: `${word} --exclude` };
  // A linked copy is made on nothing, and merged.
  const base = isLinked ? undefined : inputs[0];
  const below = base === undefined ? -1 : 0;
  const owner = action.chown === undefined ? undefined : ownerOf(action.chown, below);
  if (action.chown !== undefined && !owner) return { reason: `${word} --chown by name on scratch or with --link` };
  const put: CopyInputs = { of: base === undefined ? [] : [base], selected: new Map() };
  const sources = action.sources.map((source) => placeSource(source, put, base, inputs));
  if (!sources.every((source) => source !== undefined)) return { reason: "ADD of a URL or a repository" };
  if (hasTwins(put)) return { reason: `${word} of sources that have one name` };
  const actions = sources.map(({ src, isPath }) => ({
    src: baseName(src) === "" ? "/" : baseName(src),
    dest: action.dest,
    ...(owner ? { owner } : {}),
    ...modeOf(action.chmod),
    ...(isPath ? { followSymlink: true, dirCopyContents: true } : {}),
    ...(isPath && action.unpack !== "never" ? { attemptUnpackDockerCompatibility: true } : {}),
    createDestPath: true,
    ...(isPath ? { allowWildcard: true, allowEmptyWildcard: true } : {}),
    timestamp: -1,
    ...symbolicModeOf(action.chmod),
  }));
  const last = sources.length - 1;
  const indexes = sources.map(({ input }, index) => [
    index === 0 ? below : put.of.length + index - 1,
    input,
    index === last ? 0 : -1,
  ]);
  const own = fileKey(
    actions,
    indexes,
    put.of.map((of, index) => copyInput(of, put.selected.get(index))),
  );
  return isLinked && inputs[0] !== undefined ? mergeKey(inputs[0], own) : own;
}

/** Where a source lies, among the inputs: by its index. Undefined where BuildKit's key of it is not known. */
function placeSource(
  source: CopySource,
  { of, selected }: CopyInputs,
  base: Digest | undefined,
  inputs: Vertex["inputs"],
): { readonly src: string; readonly input: number; readonly isPath: boolean } | undefined {
  const isPath = source.kind === "path";
  if (isPath && !source.isWildcardAllowed) return undefined;
  const src = isPath ? `/${source.pattern}` : `/${source.name}`;
  const input = isPath ? inputs[source.input] : heredocKey(source.name, source.content);
  // A source that is nothing at all is no input.
  if (input === undefined) return { src, input: -1, isPath };
  const known = of.indexOf(input);
  const index = known < 0 ? of.push(input) - 1 : known;
  // What is seen of the base is all of it.
  if (base === undefined || index > 0)
    selected.set(index, [
      ...(selected.get(index) ?? []),
      { path: src, isPattern: isPath && /[*?[]/.test(unescaped(src)) },
    ]);
  return { src, input: index, isPath };
}

/** Without the characters that a backslash takes their meaning from. */
function unescaped(pattern: string): string {
  return pattern.replace(/\\./gs, "");
}

function copyInput(of: Digest | StepKey, selected: readonly ContentSelector[] | undefined): KeyInput {
  if (!selected) return { of, selector: "" };
  const paths = selected.map(({ path }) => Buffer.from(path)).sort((a, b) => Buffer.compare(b, a));
  return { of, selector: selectorOf(paths), ...(isPlain(selected) ? { content: selected } : {}) };
}

/**
 * Whether the content of what is selected says enough. BuildKit's key has the last names of the sources in their order, and the digests in the order of the whole paths:
 * of sources in several directories it does not say which digest is whose.
 */
function isPlain(selected: readonly ContentSelector[]): boolean {
  const folders = new Set(selected.map(({ path }) => path.slice(0, path.lastIndexOf("/"))));
  return selected.length === 1 || (folders.size === 1 && selected.every(({ path }) => path !== "/"));
}

/** Two sources of one input with one name: BuildKit's key does not say which one comes first, and may be of either. */
function hasTwins({ selected }: CopyInputs): boolean {
  return [...selected.values()].some((paths) => new Set(paths.map(({ path }) => baseName(path))).size < paths.length);
}

function heredocKey(name: string, content: string): StepKey {
  const data = Buffer.from(content).toString("base64");
  return fileKey(
    [{ path: `/${name}`, mode: 0o644, ...(data === "" ? {} : { data }), timestamp: -1 }],
    [[-1, -1, 0]],
    [],
  );
}

function mergeKey(base: Digest, own: StepKey): StepKey {
  const merge = { Type: "buildkit.merge.v0", Merge: { inputs: [{}, { input: 1 }] } };
  const inputs = [base, own].map((of) => ({ of, selector: "" }));
  return { digest: recordDigest(digestOf(encodeGoJson(merge)), 0), inputs };
}

function fileKey(
  actions: readonly object[],
  indexes: readonly (readonly number[])[],
  inputs: readonly KeyInput[],
): StepKey {
  const value = {
    Type: "buildkit.file.v0",
    Actions: actions.map((action) => Buffer.from(encodeGoJson(action)).toString("base64")),
    ...(areUsual(indexes) ? {} : { indexes }),
  };
  return { digest: recordDigest(digestOf(encodeGoJson(value)), 0), inputs };
}

/** Whether BuildKit leaves the indexes out. That it counts actions where it means inputs is a part of its keys. */
function areUsual(indexes: readonly (readonly number[])[]): boolean {
  const { length } = indexes;
  return indexes.every(([input, source, output], index) => {
    const isNext = input === (index === 0 ? 0 : length + index - 1);
    return isNext && (source === -1 || source === 1) && output === (index === length - 1 ? 0 : -1);
  });
}

/** `user[:group]` as BuildKit marshals it; undefined for a name that nothing can look up. */
function ownerOf(text: string, base: number): object | undefined {
  const [user = "", ...rest] = text.split(":");
  const group = rest.length === 0 ? undefined : rest.join(":");
  const parts = { user: accountOf(user, base), group: group === undefined ? undefined : accountOf(group, base) };
  if (!parts.user || (group !== undefined && !parts.group)) return undefined;
  return { user: parts.user, ...(parts.group ? { group: parts.group } : {}) };
}

function accountOf(text: string, base: number): object | undefined {
  const id = text === "root" || text === "" ? 0 : /^\+?\d+$/.test(text) ? Number(text) : undefined;
  if (id !== undefined && id < 2 ** 31) return { User: id === 0 ? {} : { byId: id } };
  return base < 0 ? undefined : { User: { byName: { name: text } } };
}

function modeOf(chmod: string | undefined): object {
  if (chmod === undefined) return { mode: -1 };
  const mode = /^[0-7]+$/.test(chmod) ? Number.parseInt(chmod, 8) : 0;
  return mode === 0 ? {} : { mode };
}

function symbolicModeOf(chmod: string | undefined): object {
  return chmod === undefined || /^[0-7]+$/.test(chmod) ? {} : { modeStr: chmod };
}
