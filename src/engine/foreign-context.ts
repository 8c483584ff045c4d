// Main contexts that are no directory of this machine: standard input (X02), a repository (X03), a URL (X04), and the Dockerfile that goes with each.
// An ignore file in them is a file like any other, as for BuildKit.
import { createReadStream } from "node:fs";
import { isAbsolute } from "node:path";
import { relativePath } from "../base/container-path.ts";
import { parseGoBool } from "../base/go-text.ts";
import { suggest } from "../base/suggest.ts";
import { redactUrls } from "../base/url-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { SourceFile } from "../diagnostics/source.ts";
import type { GitOp, HttpOp } from "../graph/op.ts";
import { isHttpUrl } from "../plan/copy-paths.ts";
import { gitOp } from "../plan/git-source.ts";
import { resolvePath } from "../rootfs/resolve.ts";
import { ARCHIVE_PROBE_SIZE, isArchive, type Context } from "../source/context.ts";
import { MAX_TEXT_SIZE, readDockerfile, readTextStream, type DockerfileText } from "../source/dockerfile-file.ts";
import { openLocalTree } from "../source/local.ts";
import type { Tree } from "../tree/tree.ts";
import { openArchiveContext } from "./archives.ts";
import { downloadTree } from "./listed-tree.ts";
import { LOCAL_CONTEXT, type MainContext, type PrepareOptions } from "./main-context.ts";
import { DOWNLOAD_NAME } from "./named-contexts.ts";

/** Fetches the context as far as its Dockerfile needs it, and reads that. Fails with "usage", or as reading and fetching do. */
export function openForeignContext(
  context: Exclude<Context, { kind: "directory" }>,
  options: PrepareOptions,
): Promise<MainContext> {
  switch (context.kind) {
    case "stdin":
      return openStdin(options);
    case "git":
      return openGit(gitOp(context.url, { keepGitDir: isGitDirKept(options) }), options);
    case "http":
      return openHttp(context.url, options);
  }
}

/** A24. */
function isGitDirKept({ build }: PrepareOptions): boolean {
  return parseGoBool(build.buildArgs.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR") ?? "") === true;
}

async function openGit(op: GitOp, options: PrepareOptions): Promise<MainContext> {
  const { directory } = await (await options.remote()).checkout(op);
  await using tree = await openLocalTree({ root: directory, signal: options.signal });
  const text = (await ownDockerfile(options)) ?? (await dockerfileIn(tree, options));
  return { op, text, place: `${redactUrls(op.remote)}#${op.ref ?? ""}:${op.subdir ?? ""}` };
}

/** An archive is the context. Anything else is the Dockerfile, and for BuildKit also the only file of the context, called "context". */
async function openHttp(url: string, options: PrepareOptions): Promise<MainContext> {
  const remote = await options.remote();
  const op: HttpOp = { kind: "http", url, filename: DOWNLOAD_NAME };
  const place = redactUrls(url);
  const archive = await remote.archive(op);
  const own = await ownDockerfile(options);
  if (archive) {
    return { op: { ...op, unpack: true }, text: own ?? (await dockerfileIn(archive.tree, options)), place };
  }
  if (own) return { op, text: own, place };
  if (options.build.dockerfile !== undefined) throw ambiguous("the context");
  const source = await readFrom(downloadTree(await remote.fetch(op), DOWNLOAD_NAME), DOWNLOAD_NAME, place, options);
  return { op, text: { source: source ?? { path: place, text: "" }, path: undefined }, place };
}

/** An archive is the context. Anything else is the Dockerfile of an empty one. */
async function openStdin(options: PrepareOptions): Promise<MainContext> {
  const { build, makeScratchDir, signal } = options;
  if (!build.stdin) throw new BuildError("usage", "there is no standard input to read the context from");
  const [head, whole] = await peek(build.stdin, ARCHIVE_PROBE_SIZE);
  if (!isArchive(head)) {
    if (build.dockerfile !== undefined) throw ambiguous("stdin");
    const source = await readTextStream(whole, "Dockerfile");
    return { op: LOCAL_CONTEXT, local: { kind: "empty" }, text: { source, path: undefined }, place: "-" };
  }
  const name = "standard input";
  const { tree, newest } = await openArchiveContext(whole, { tempDir: makeScratchDir(), name, signal });
  const text = (await ownDockerfile(options)) ?? (await dockerfileIn(tree, options));
  return { op: LOCAL_CONTEXT, local: { kind: "files", tree }, text, place: "-", newest };
}

function ambiguous(what: string): BuildError {
  return new BuildError("usage", `ambiguous Dockerfile source: both ${what} and flag correspond to Dockerfiles`, {
    help: "leave -f out, or give a directory or an archive as the context",
  });
}

/** The Dockerfile that `-f` names outside the context: on standard input, by URL, by an absolute path. */
async function ownDockerfile(options: PrepareOptions): Promise<DockerfileText | undefined> {
  const { dockerfile: file, stdin } = options.build;
  if (file === undefined) return undefined;
  if (isHttpUrl(file)) return downloadDockerfile(file, options);
  if (file !== "-" && !isAbsolute(file)) return undefined;
  return readDockerfile({ cwd: options.cwd, file, ...(stdin === undefined ? {} : { stdin }) });
}

/** The Dockerfile behind a URL. */
export async function downloadDockerfile(url: string, { remote, signal }: PrepareOptions): Promise<DockerfileText> {
  const { path } = await (await remote()).fetch({ url });
  return { source: await readTextStream(createReadStream(path, { signal }), redactUrls(url)), path: undefined };
}

async function dockerfileIn(tree: Tree, options: PrepareOptions): Promise<DockerfileText> {
  const { dockerfile: file } = options.build;
  const names = file === undefined ? ["Dockerfile", "dockerfile"] : [file];
  for (const name of names) {
    const source = await readFrom(tree, name, name, options);
    if (source) return { source, path: undefined };
  }
  const near = suggest(names[0]!, await tree.readdir(""));
  throw new BuildError("source", `failed to read dockerfile: open ${names[0]}: no such file or directory`, {
    help: near === undefined ? "name a file of the context with -f" : `did you mean "${near}"? Add -f ${near}`,
  });
}

/** A file's text, called `shownAs`; undefined where there is none. Links are followed as in an image: what comes from elsewhere must not lead to a file of this machine. */
async function readFrom(
  tree: Tree,
  name: string,
  shownAs: string,
  { signal }: PrepareOptions,
): Promise<SourceFile | undefined> {
  const { entry } = await resolvePath(tree, relativePath(name));
  if (!entry) return undefined;
  if (entry.type !== "file") {
    const what = entry.type === "dir" ? "is a directory" : "is no regular file";
    throw new BuildError("source", `failed to read dockerfile: "${shownAs}" ${what}`, {
      help: "name a file of the context by -f",
    });
  }
  const bytes = await tree.locate(entry);
  if (bytes.kind === "inline") return readTextStream(once(bytes.data), shownAs);
  return readTextStream(createReadStream(bytes.path, { end: MAX_TEXT_SIZE, signal }), shownAs);
}

async function* once(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
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
