// Turns the context arguments of a build into directories, a Dockerfile and named contexts. Reads standard input; fetches nothing.
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { SourceFile } from "../diagnostics/source.ts";
import { parseDockerignore } from "../frontend/dockerignore.ts";
import { openArchive } from "../layer/archive.ts";
import { materializeLayer } from "../layer/materialize.ts";
import { parseDigest } from "../oci/digest.ts";
import type { NamedContext } from "../plan/options.ts";
import { ARCHIVE_PROBE_SIZE, isArchive, parseContext } from "../source/context.ts";
import { readDockerfile, readIgnoreFile, readTextStream, type DockerfileText } from "../source/dockerfile-file.ts";
import { comparePaths } from "../base/container-path.ts";
import type { Entry } from "../tree/entry.ts";
import type { PatternMatcher } from "../tree/patterns.ts";
import type { BuildOptions } from "./options.ts";
import type { LocalContext } from "./source-trees.ts";

export interface PreparedContexts {
  readonly dockerfile: SourceFile;
  /** Names the Dockerfile for explanations: its path, or the context's. */
  readonly place: string;
  readonly locals: ReadonlyMap<string, LocalContext>;
  readonly named: ReadonlyMap<string, NamedContext>;
  /** Of the main context, with where its lines are. */
  readonly ignore: PatternMatcher | undefined;
  readonly ignorePath: string | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

export interface PrepareOptions {
  readonly build: BuildOptions;
  readonly cwd: string;
  /** An empty directory that goes with the build. */
  readonly makeScratchDir: () => string;
  readonly signal: AbortSignal;
}

/** Reads the Dockerfile and finds the contexts. */
export async function prepareContexts(options: PrepareOptions): Promise<PreparedContexts> {
  const { build, cwd } = options;
  const context = parseContext(build.context);
  if (context.kind === "git" || context.kind === "http") {
    throw new BuildError("unsupported", `${context.kind} contexts are not built yet`, {
      help: "clone or fetch it first, and give its directory",
    });
  }
  if (context.kind === "stdin" && build.dockerfile === "-") {
    throw new BuildError("usage", "invalid argument: can't use stdin for both build context and dockerfile", {
      help: "give one of them as a path",
    });
  }
  const main =
    context.kind === "directory" ? { root: resolve(cwd, context.path), isLasting: true } : await readStdin(options);
  const text =
    "dockerfile" in main ? { source: main.dockerfile, path: undefined } : await findDockerfile(main.root, options);
  const ignoreFile = main.isLasting && main.root !== undefined ? readIgnoreFile(main.root, text.path) : undefined;
  const ignored = ignoreFile && parseIgnore(ignoreFile);
  const named = namedContexts(build.buildContexts, cwd);
  const locals = new Map<string, LocalContext>([
    ["context", { root: main.root, ignore: ignored?.matcher, isLasting: main.isLasting }],
  ]);
  for (const [name, root] of named.directories) {
    const file = readIgnoreFile(root, undefined);
    locals.set(name, { root, ignore: file && parseIgnore(file).matcher, isLasting: true });
  }
  return {
    dockerfile: text.source,
    place: text.path ?? main.root ?? "-",
    locals,
    named: named.contexts,
    ignore: ignored?.matcher,
    ignorePath: ignoreFile?.path,
    diagnostics: ignored?.diagnostics ?? [],
  };
}

function findDockerfile(root: string | undefined, { build, cwd }: PrepareOptions): Promise<DockerfileText> {
  const { dockerfile, stdin } = build;
  return readDockerfile({
    cwd,
    ...(dockerfile === undefined ? {} : { file: dockerfile }),
    ...(root === undefined ? {} : { contextDir: root }),
    ...(stdin === undefined ? {} : { stdin }),
  });
}

/** Standard input as a context: an archive is unpacked, anything else is a Dockerfile with an empty context (X02). */
async function readStdin(
  options: PrepareOptions,
): Promise<
  | { readonly root: string; readonly isLasting: false }
  | { readonly root: undefined; readonly isLasting: false; readonly dockerfile: SourceFile }
> {
  const { stdin } = options.build;
  if (!stdin) throw new BuildError("usage", "there is no standard input to read the context from");
  const [head, whole] = await peek(stdin, ARCHIVE_PROBE_SIZE);
  if (!isArchive(head))
    return { root: undefined, isLasting: false, dockerfile: await readTextStream(whole, "Dockerfile") };
  const folder = options.makeScratchDir();
  const [tempDir, root] = [join(folder, "spool"), join(folder, "context")];
  mkdirSync(tempDir);
  mkdirSync(root);
  const archive = await openArchive(whole, { tempDir, signal: options.signal });
  if (!archive)
    throw new BuildError("source", "standard input is no archive that can be read", {
      help: "give a tar archive, plain or compressed by gzip, bzip2, xz or zstd",
    });
  const implied = archive.impliedDirectories.map((path): Entry => ({
    path,
    type: "dir",
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeNs: 0n,
  }));
  const last = new Map([...implied, ...archive.entries].map((entry) => [entry.path, entry]));
  last.delete("");
  const entries = [...last.values()].sort((a, b) => comparePaths(a.path, b.path));
  await materializeLayer(entries, root, { xattrNamespace: "user", signal: options.signal });
  return { root, isLasting: false };
}

async function peek(
  stream: AsyncIterable<Uint8Array>,
  size: number,
): Promise<[head: Uint8Array, whole: AsyncIterable<Uint8Array>]> {
  const iterator = stream[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < size) {
    const next = await iterator.next();
    if (next.done === true) break;
    chunks.push(next.value);
    length += next.value.length;
  }
  const head = Buffer.concat(chunks);
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield head;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  }
  return [head, whole()];
}

function parseIgnore(file: SourceFile): {
  readonly matcher: PatternMatcher;
  readonly diagnostics: readonly Diagnostic[];
} {
  const { matcher, diagnostics } = parseDockerignore(file);
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length > 0)
    throw new BuildError("dockerfile", `failed parsing .dockerignore: ${errors[0]!.message}`, { diagnostics: errors });
  return { matcher, diagnostics };
}

/** `--build-context` (X05). Whether a directory is there is only asked when a step reads it. */
function namedContexts(
  texts: ReadonlyMap<string, string>,
  cwd: string,
): { readonly contexts: Map<string, NamedContext>; readonly directories: Map<string, string> } {
  const contexts = new Map<string, NamedContext>();
  const directories = new Map<string, string>();
  for (const [name, text] of texts) {
    if (text.startsWith("docker-image://"))
      contexts.set(name, { kind: "image", reference: text.slice("docker-image://".length) });
    else if (text.startsWith("oci-layout://")) contexts.set(name, layoutContext(text, cwd));
    else {
      const { kind } = parseContext(text);
      if (kind !== "directory")
        throw new BuildError("unsupported", `a ${kind} context is not built yet: --build-context ${name}`, {
          help: "give a directory, docker-image:// or oci-layout://",
        });
      contexts.set(name, { kind: "local" });
      directories.set(name, resolve(cwd, text));
    }
  }
  return { contexts, directories };
}

function layoutContext(text: string, cwd: string): NamedContext {
  const match = /^oci-layout:\/\/(.+?)(?::([A-Za-z0-9_][A-Za-z0-9_.-]*))?(?:@(.+))?$/.exec(text);
  const digest = match?.[3] === undefined ? undefined : parseDigest(match[3]);
  if (!match?.[1] || (match[3] !== undefined && digest === undefined)) {
    throw new BuildError("usage", `invalid context ${JSON.stringify(text)}`, {
      help: "write it as oci-layout://DIR[:TAG][@DIGEST]",
    });
  }
  return {
    kind: "oci-layout",
    path: resolve(cwd, match[1]),
    ...(match[2] === undefined ? {} : { tag: match[2] }),
    ...(digest === undefined ? {} : { digest }),
  };
}
