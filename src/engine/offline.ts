// What `--offline` says where something would have to be fetched.
import { BuildError, type BuildErrorCode } from "../diagnostics/build-error.ts";

/** `what` is not in the store: one line that names it. */
export function offlineError(code: BuildErrorCode, what: string): BuildError {
  return new BuildError(code, `${what} is not in the store, and --offline forbids fetching it`, {
    help: "build once without --offline",
  });
}
