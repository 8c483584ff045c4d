// What a context argument names: a directory, standard input, a git repository or something behind an HTTP URL (reference 1.10). Nothing is opened here.
import { parseGitUrl, type GitUrl } from "../base/git-url.ts";
import { redactUrls } from "../base/url-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";

export type Context =
  /** A path as the user wrote it. */
  | { readonly kind: "directory"; readonly path: string }
  /** Standard input: a tar archive, else a Dockerfile (X02). */
  | { readonly kind: "stdin" }
  | { readonly kind: "git"; readonly url: GitUrl }
  /** An archive, else a Dockerfile (X04). */
  | { readonly kind: "http"; readonly url: string };

/** Reads a context argument, or the value of a `--build-context` that is no image. Fails with "usage" where a git URL is wrong. */
export function parseContext(text: string): Context {
  if (text === "-") return { kind: "stdin" };
  const url = parseGitUrl(text, { isContext: true });
  if (url !== undefined && "error" in url)
    throw new BuildError("usage", `${url.error} in git URL "${redactUrls(text)}"`, { help: url.help });
  if (url !== undefined) return { kind: "git", url };
  return /^https?:\/\//i.test(text) ? { kind: "http", url: text } : { kind: "directory", path: text };
}

/** Bytes that {@link isArchive} needs to decide. */
export const ARCHIVE_PROBE_SIZE: number = 512;

const MAGICS: readonly (readonly number[])[] = [
  [0x1f, 0x8b], // gzip
  [0x42, 0x5a, 0x68], // bzip2
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], // xz
  [0x28, 0xb5, 0x2f, 0xfd], // zstd
];

/** Whether a stream that starts so is a tar archive, plain or compressed, rather than a Dockerfile. `start` is its first {@link ARCHIVE_PROBE_SIZE} bytes, or all of it. */
export function isArchive(start: Uint8Array): boolean {
  return MAGICS.some((magic) => magic.every((byte, i) => start[i] === byte)) || isTarHeader(start);
}

/** A tar header's checksum: the sum of its bytes, its own field counted as spaces. Holds for every tar dialect, v7 included. */
function isTarHeader(start: Uint8Array): boolean {
  if (start.length < 512) return false;
  const field = Buffer.from(start.subarray(148, 156)).toString("latin1");
  const match = /^ *([0-7]+)[ \0]*$/.exec(field);
  if (!match) return false;
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 32 : start[i]!;
  return sum === Number.parseInt(match[1]!, 8);
}
