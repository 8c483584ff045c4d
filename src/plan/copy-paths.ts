// Sources and destination of COPY and ADD as the file op wants them (reference C02, C03, C13, AD03). Text work on expanded words.
import { baseName, cleanPath, relativePath, resolveIn } from "../base/container-path.ts";

/** A source below its root: clean, relative, `..` cannot leave it; with `--parents` the first `/./` stays as the pivot. */
export function sourcePattern(text: string, parents: boolean): string {
  const pivot = parents ? text.indexOf("/./") : -1;
  if (pivot < 0) return relativePath(text);
  const above = relativePath(text.slice(0, pivot));
  const below = relativePath(text.slice(pivot + 3));
  return above === "" ? below : `${above}/./${below}`;
}

/** Absolute destination; a trailing slash means "a directory". */
export function destinationPath(text: string, workdir: string): string {
  const path = resolveIn(workdir, text === "" ? "." : text);
  const isDirectory = text === "" || text === "." || /(?:^|\/)\.?$/.test(text);
  return isDirectory && path !== "/" ? `${path}/` : path;
}

/** Whether ADD downloads it. Git URLs are asked for first. */
export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//.test(text);
}

/** The name that a downloaded file gets. */
export function urlFilename(url: string): string {
  const path = /^https?:\/\/[^/?#]*([^?#]*)/.exec(url)?.[1] ?? "";
  const name = baseName(cleanPath(decodePath(path)));
  return name === "" || name === "." ? "__unnamed__" : name;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** `--chmod` values: octal up to 07777, or symbolic as chmod(1) (C11). */
export function isFileMode(text: string): boolean {
  if (/^[0-7]+$/.test(text)) return Number.parseInt(text, 8) <= 0o7777;
  return /^[ugoa]*(?:[-+=][rwxXstugo]*)+(?:,[ugoa]*(?:[-+=][rwxXstugo]*)+)*$/.test(text);
}
