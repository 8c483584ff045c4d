// Finds and reads the Dockerfile and the .dockerignore that belongs to it, as texts with a name (reference X01, X06, I01). What they say is the frontend's business.
// Both are read beside the context's tree, so that a Dockerfile which .dockerignore names still works (I05).
import { closeSync, constants, fstatSync, openSync, readdirSync, readlinkSync, readSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { suggest } from "../base/suggest.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { SourceFile } from "../diagnostics/source.ts";
import { errnoOf, readError } from "./read-error.ts";

/** A Dockerfile and where it was found. */
export interface DockerfileText {
  readonly source: SourceFile;
  /** Absolute path; undefined where it came from a stream. */
  readonly path: string | undefined;
}

export interface ReadDockerfileOptions {
  /** As `-f`: a path relative to `cwd`, else to the context; "-" = `stdin`; undefined = Dockerfile in the context, else dockerfile. */
  readonly file?: string;
  /** Absolute path of a local context's directory; undefined where there is none (only `file` counts then). */
  readonly contextDir?: string;
  readonly cwd: string;
  readonly stdin?: AsyncIterable<Uint8Array>;
}

/** Bytes of a Dockerfile or .dockerignore at most. */
export const MAX_TEXT_SIZE: number = 2 * 1024 * 1024;

const NAMES = ["Dockerfile", "dockerfile"] as const;

/** The build's Dockerfile. Fails with "source" where there is none, or it is too big or no UTF-8. */
export async function readDockerfile(options: ReadDockerfileOptions): Promise<DockerfileText> {
  const { file, contextDir, cwd, stdin } = options;
  if (file === "-") {
    if (stdin === undefined)
      throw new BuildError("usage", "cannot read the Dockerfile from standard input: there is none", {
        help: "name the Dockerfile by -f",
      });
    return { source: await readTextStream(stdin, "Dockerfile"), path: undefined };
  }
  const places = file === undefined ? [] : [resolve(cwd, file)];
  if (contextDir !== undefined)
    for (const name of file === undefined ? NAMES : [file]) places.push(join(contextDir, name));
  for (const path of places) {
    const text = readTextIfExists(path, "Dockerfile");
    if (text !== undefined) return { source: { path: shownPath(path, cwd), text }, path };
  }
  if (contextDir !== undefined) assertDirectory(contextDir, cwd);
  throw missing(file ?? NAMES[0], places[0] ?? resolve(cwd, NAMES[0]));
}

/** Text of at most {@link MAX_TEXT_SIZE} bytes from a stream, called `name`. */
export async function readTextStream(stream: AsyncIterable<Uint8Array>, name: string): Promise<SourceFile> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > MAX_TEXT_SIZE) throw tooBig(name);
    chunks.push(chunk);
  }
  return { path: name, text: decodeText(Buffer.concat(chunks), name) };
}

/**
 * The ignore file that goes with a Dockerfile: `<its name>.dockerignore` beside it, else `.dockerignore` in the context, never both (I01).
 * Undefined where neither exists. A Dockerfile from a stream has only the context's.
 */
export function readIgnoreFile(contextDir: string, dockerfilePath: string | undefined): SourceFile | undefined {
  const places = [join(contextDir, ".dockerignore")];
  if (dockerfilePath !== undefined) places.unshift(`${dockerfilePath}.dockerignore`);
  for (const path of places) {
    const text = readTextIfExists(path, basename(path));
    if (text !== undefined) return { path: shownPath(path, contextDir), text };
  }
  return undefined;
}

/** As the user would name it: relative where it is below `from`. */
function shownPath(path: string, from: string): string {
  const shown = relative(from, path);
  return shown === "" || shown.startsWith("..") || isAbsolute(shown) ? path : shown;
}

function assertDirectory(contextDir: string, cwd: string): void {
  const stat = statSync(contextDir, { throwIfNoEntry: false });
  if (stat === undefined) throw noContext(contextDir, cwd);
  if (stat.isDirectory()) return;
  const shown = shownPath(contextDir, cwd);
  throw new BuildError("source", `unable to prepare context: path "${shown}" not found`, {
    summary: `the context "${shown}" is a file, not a directory`,
    help: `if it is the Dockerfile: -f ${shown}, and the directory that COPY copies from, ${dirname(shown)} for example`,
  });
}

function noContext(contextDir: string, cwd: string): BuildError {
  const shown = shownPath(contextDir, cwd);
  const near = suggest(basename(contextDir), directoriesIn(dirname(contextDir)));
  return new BuildError("source", `unable to prepare context: path "${shown}" not found`, {
    summary: `there is no directory "${shown}" to build from`,
    help: near === undefined ? "the last argument is the directory that COPY copies from" : `did you mean "${near}"?`,
  });
}

function directoriesIn(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    // Only a hint, as below.
    return [];
  }
}

function missing(name: string, looked: string): BuildError {
  const message = `failed to read dockerfile: open ${name}: no such file or directory`;
  const target = linkTarget(looked);
  if (target !== undefined)
    return new BuildError("source", message, {
      summary: `"${basename(looked)}" in ${dirname(looked)} is a link to what is not there: ${target}`,
      help: "correct the link, or name the Dockerfile with -f",
    });
  const near = nearby(looked);
  const help = near === undefined ? "name the Dockerfile with -f" : `did you mean "${near}"? Add -f ${near}`;
  return new BuildError("source", message, {
    summary: `there is no file "${basename(looked)}" in ${dirname(looked)}`,
    help,
  });
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** A file beside the missing one that may be what was meant: spelt almost so, else some Dockerfile. */
function nearby(path: string): string | undefined {
  try {
    const names = readdirSync(dirname(path), { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.endsWith(".dockerignore"))
      .map((entry) => entry.name)
      .sort();
    return suggest(basename(path), names) ?? names.find((name) => /dockerfile|containerfile/i.test(name));
  } catch {
    // Only a hint: a directory that cannot be read has none.
    return undefined;
  }
}

/** The text of a regular file (or a link to one); undefined where there is none. */
function readTextIfExists(path: string, what: string): string | undefined {
  let fd: number;
  try {
    // Does not wait for the other end of a pipe.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw readError(`read ${what}`, path, error);
  }
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) {
      throw new BuildError("source", `failed to read ${what.toLowerCase()}: "${path}" is a directory`, {
        help: "name the file in it by -f",
      });
    }
    return decodeText(readBounded(fd, path), path);
  } finally {
    closeSync(fd);
  }
}

function readBounded(fd: number, path: string): Buffer {
  const buffer = Buffer.alloc(MAX_TEXT_SIZE + 1);
  let length = 0;
  for (;;) {
    const count = readSync(fd, buffer, length, buffer.length - length, -1);
    if (count === 0) return buffer.subarray(0, length);
    length += count;
    if (length > MAX_TEXT_SIZE) throw tooBig(path);
  }
}

function tooBig(name: string): BuildError {
  return new BuildError("source", `"${name}" is larger than ${MAX_TEXT_SIZE / 1024 / 1024} MiB`, {
    help: "this is no Dockerfile; check what -f or the context names",
  });
}

/** UTF-8 without its byte order mark; other bytes would be shown and compared as something they are not. */
function decodeText(data: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch (error) {
    throw new BuildError("source", `"${name}" is not valid UTF-8`, { cause: error, help: "save it as UTF-8 text" });
  }
}
