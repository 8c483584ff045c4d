// Failures of the user's disk while an output is written.
import { BuildError, messageOf } from "../diagnostics/build-error.ts";

/** What the file system says becomes a BuildError "export" that begins with `what`; everything else passes as it is. */
export function exportFailure(error: unknown, what: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (!(error instanceof Error) || error instanceof BuildError || !/^E[A-Z0-9]+$/.test(code ?? "")) return error;
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  return new BuildError("export", `${what}: ${messageOf(error)}`, {
    cause: error,
    ...(isFull ? { help: "free disk space; what the build made is in the store, so that it is not made again" } : {}),
  });
}
