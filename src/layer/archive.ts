// Archives that ADD unpacks: recognised by their content, never by their name (reference AD01, AD02), read into a list of entries whose bytes lie in a folder of the
// caller's. Where the entries go in an image is not decided here. xz and bzip2 are read by the system's own programs.
import { closeSync, createReadStream, createWriteStream, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Header } from "tar/header";
import { hostPath } from "../base/file-name.ts";
import { runProcess } from "../base/process.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { Entry } from "../tree/entry.ts";
import { decompress } from "./compress.ts";
import type { Inode } from "./member-tree.ts";
import { BLOCK } from "./tar-header.ts";
import { readMembers, type ContentSink } from "./unpack.ts";

export interface ArchiveOptions {
  /** An empty folder for the archive's files. It stays the caller's, who removes it when nobody needs the entries any more. */
  readonly tempDir: string;
  readonly signal?: AbortSignal | undefined;
}

export interface Archive {
  /** What the archive holds, sorted, regular files with sha256 and bytes. "" is the root, if the archive describes it. */
  readonly entries: readonly Entry[];
  /** Directories that hold entries but that the archive does not describe: made as 0755 root where nothing is, else left as they are. */
  readonly impliedDirectories: readonly string[];
}

type Format = "tar" | "gzip" | "zstd" | "xz" | "bzip2";

/** First bytes of each compressed format. */
const MAGIC: readonly (readonly [Format, string])[] = [
  ["gzip", "\x1f\x8b"],
  ["bzip2", "BZh"],
  ["xz", "\xfd7zXZ\0"],
  ["zstd", "\x28\xb5\x2f\xfd"],
];
const PACKAGES = { xz: "xz-utils (Debian, Ubuntu) or xz", bzip2: "bzip2" } as const;
const READ_SIZE = 1 << 18;

/**
 * The archive in a file or a stream, or undefined where the content is none, which costs a look at its first bytes.
 * Fails with "content" where it is damaged or tries to leave its root, with "source" where it cannot be read or a program is missing,
 * with "store" where its files cannot be kept.
 */
export async function openArchive(
  source: string | AsyncIterable<Uint8Array>,
  options: ArchiveOptions,
): Promise<Archive | undefined> {
  try {
    return await open(source, options);
  } catch (error) {
    throw hostFailure(error, typeof source === "string" ? source : "the archive");
  }
}

async function open(source: string | AsyncIterable<Uint8Array>, options: ArchiveOptions): Promise<Archive | undefined> {
  const { tempDir, signal } = options;
  const raw = typeof source === "string" ? createReadStream(hostPath(source), { highWaterMark: READ_SIZE }) : source;
  const [head, bytes] = await peek(raw);
  const format = formatOf(head);
  if (format === "xz" || format === "bzip2") {
    const file = typeof source === "string" ? source : await spool(bytes, join(tempDir, "compressed"), signal);
    await bytes.return(undefined);
    const tar = await decompressFile(file, format, options);
    return tar === undefined ? undefined : readArchive(createReadStream(tar, { highWaterMark: READ_SIZE }), options);
  }
  if (format === "tar") return isTar(head) ? readArchive(bytes, options) : end(bytes);
  const [tarHead, tar] = await peek(decompress(bytes, { compression: format, signal }), isDamage);
  return isTar(tarHead) ? readArchive(tar, options) : end(tar);
}

function hostFailure(error: unknown, name: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (error instanceof BuildError || code === undefined || syscall === undefined) return error;
  const isWriting = syscall === "write" || code === "ENOSPC";
  const what = isWriting ? `cannot keep the files of "${name}"` : `cannot read "${name}"`;
  return new BuildError(isWriting ? "store" : "source", `${what}: ${messageOf(error)}`, { cause: error });
}

async function readArchive(tar: AsyncIterable<Uint8Array>, options: ArchiveOptions): Promise<Archive> {
  const sink = new Spool(options.tempDir);
  try {
    const { entries, impliedDirectories } = await readMembers(tar, { sink, whiteouts: "keep", signal: options.signal });
    return { entries: entries.filter((entry) => entry.type !== "whiteout"), impliedDirectories };
  } finally {
    sink.close();
  }
}

async function end(bytes: AsyncGenerator<Uint8Array>): Promise<undefined> {
  await bytes.return(undefined);
}

function formatOf(head: Buffer): Format {
  // zstd may begin with a skippable frame, whose first byte has four free bits.
  if (head.length >= 4 && (head.readUInt32LE() & 0xfffffff0) >>> 0 === 0x184d2a50) return "zstd";
  const text = head.toString("latin1", 0, 16);
  return MAGIC.find(([, magic]) => text.startsWith(magic))?.[0] ?? "tar";
}

/** Whether a first header can be read; an archive without members is none, as in BuildKit. */
function isTar(head: Buffer): boolean {
  if (head.length < BLOCK) return false;
  try {
    return new Header(head).cksumValid;
  } catch {
    return false;
  }
}

/** The first block, and all the bytes with it. An error that `isEnd` accepts before that ends the bytes. */
async function peek(
  source: AsyncIterable<Uint8Array>,
  isEnd: (error: unknown) => boolean = () => false,
): Promise<readonly [Buffer, AsyncGenerator<Uint8Array>]> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let size = 0;
  try {
    while (size < BLOCK) {
      const next = await iterator.next();
      if (next.done === true) break;
      first.push(next.value);
      size += next.value.length;
    }
  } catch (error) {
    if (!isEnd(error)) throw error;
  }
  return [Buffer.concat(first), resume(first, iterator)];
}

async function* resume(first: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* first;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof BuildError && error.code === "content";
}

async function spool(bytes: AsyncIterable<Uint8Array>, path: string, signal: AbortSignal | undefined): Promise<string> {
  await pipeline(bytes, createWriteStream(path, { flags: "wx" }), signal ? { signal } : {});
  return path;
}

/** Path of the decompressed tar, or undefined where the content is none. Its first block is looked at before all of it is written. */
async function decompressFile(
  file: string,
  format: "xz" | "bzip2",
  options: ArchiveOptions,
): Promise<string | undefined> {
  const [head, tar] = [join(options.tempDir, "head"), join(options.tempDir, "tar")];
  await runShell(`${format} -dc <"$1" 2>/dev/null | head -c ${BLOCK} >"$2"`, format, file, head, options);
  if (!isTar(readFileSync(head))) return undefined;
  const failure = await runShell(`exec ${format} -dc <"$1" >"$2"`, format, file, tar, options);
  if (failure !== undefined) throw new BuildError("content", `the ${format} data of "${file}" is damaged: ${failure}`);
  return tar;
}

/** Runs a line of shell with a file to read and a file to write; what it complained of if it failed. */
async function runShell(
  line: string,
  program: "xz" | "bzip2",
  input: string,
  output: string,
  options: ArchiveOptions,
): Promise<string | undefined> {
  const script = `command -v ${program} >/dev/null 2>&1 || exit 127\n${line}`;
  const { signal } = options;
  const result = await runProcess("/bin/sh", ["-c", script, "sh", input, output], signal ? { signal } : {});
  if (result.exitCode === 127)
    throw new BuildError(
      "source",
      `cannot unpack "${input}": it is compressed with ${program}, and there is no program ${program} here`,
      {
        help: `install ${PACKAGES[program]}, or keep the file as it is with ADD --unpack=false`,
      },
    );
  if (result.exitCode === 0) return undefined;
  return result.stderr.trim().split("\n").at(-1) ?? `exit code ${result.exitCode}`;
}

/** Keeps each regular file under a number of its own: no name of the archive is ever a name on disk. */
class Spool implements ContentSink {
  readonly #dir: string;
  #count = 0;
  #fd: number | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  directory(): void {}
  link(): void {}
  whiteout(): void {}
  remove(): void {}

  object(_path: string, inode: Inode): void {
    if (inode.type !== "file") return;
    if (inode.size === 0) {
      inode.bytes = { kind: "inline", data: new Uint8Array() };
      return;
    }
    const path = join(this.#dir, String(this.#count++));
    this.#fd = openSync(path, "wx", 0o600);
    inode.bytes = { kind: "host", path };
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd!, bytes, done);
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
