// Failures of the user's disk while an output is written.
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";

/** What the file system says becomes a BuildError "export" that begins with `what`; everything else passes as it is. */
export function exportFailure(error: unknown, what: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (!(error instanceof Error) || error instanceof BuildError || !/^E[A-Z0-9]+$/.test(code ?? "")) return error;
  const problem = PROBLEMS[code ?? ""];
  if (!problem) return new BuildError("export", `${what}: ${messageOf(error)}`, { cause: error });
  const file = code === "ENOTDIR" ? fileAbove((error as NodeJS.ErrnoException).path) : undefined;
  if (file !== undefined)
    return new BuildError("export", `${what}: ${file} is a file, not a directory`, {
      help: "give another directory, for example dest=out",
    });
  // without Node's own text, which says the same with the system call
  return new BuildError("export", `${what}: ${problem.reason}`, { help: problem.help });
}

/** The part of `path` that is no directory. */
function fileAbove(path: string | undefined): string | undefined {
  for (let at = path; at !== undefined && at !== dirname(at); at = dirname(at)) {
    const found = statSync(at, { throwIfNoEntry: false });
    if (found) return found.isDirectory() ? undefined : at;
  }
  return undefined;
}

const FULL = {
  reason: "no space left on device: the disk is full",
  help: "free disk space; what the build made is in the store, so that it is not made again",
};
const READ_ONLY = { reason: "the file system is read-only", help: "name another place with dest=" };
const DENIED = { reason: "permission denied", help: "name a place with dest= that you may write to" };

const PROBLEMS: Readonly<Record<string, { readonly reason: string; readonly help: string }>> = {
  ENOSPC: FULL,
  EDQUOT: FULL,
  EROFS: READ_ONLY,
  EACCES: DENIED,
  EPERM: DENIED,
  ENOTDIR: { reason: "a part of the path is a file, not a directory", help: "name another place with dest=" },
  EISDIR: { reason: "it is a directory", help: "name a file with dest=" },
};
