// What the file system says while a source is read, as the user's words. Source errors name the path that the user knows, not a path of the store.
import { BuildError, messageOf } from "../diagnostics/build-error.ts";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
  EIO: "input/output error",
  EMFILE: "too many open files",
  ESTALE: "stale file handle",
};

/** The system's error code ("ENOENT"), or "" where `error` is none of its errors. */
export function errnoOf(error: unknown): string {
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? "") : "";
}

/** `cannot <what> "<path>": permission denied`, with the remedy where there is one. */
export function readError(what: string, path: string, error: unknown, help?: string): BuildError {
  const code = errnoOf(error);
  const remedy =
    help ??
    (code === "EACCES" || code === "EPERM"
      ? "make it readable for the user who builds, or name it in .dockerignore"
      : undefined);
  return new BuildError("source", `cannot ${what} "${path}": ${REASONS[code] ?? messageOf(error)}`, {
    cause: error,
    ...(remedy === undefined ? {} : { help: remedy }),
  });
}
