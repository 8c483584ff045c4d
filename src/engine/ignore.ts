// The ignore file of a context that is a directory of the client (reference I01); what comes from elsewhere has none, as in BuildKit.
import { BuildError } from "../diagnostics/build-error.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import { parseDockerignore } from "../frontend/dockerignore.ts";
import { readIgnoreFile } from "../source/dockerfile-file.ts";
import type { PatternMatcher } from "../tree/patterns.ts";

export interface ContextIgnore {
  readonly matcher: PatternMatcher;
  /** As the user would name the file. */
  readonly path: string;
  readonly diagnostics: readonly Diagnostic[];
}

/** The patterns for the directory `root`, where the Dockerfile is (undefined = not in a file); undefined where there is no ignore file. Fails with "dockerfile" where one makes no sense. */
export function contextIgnore(root: string, dockerfilePath: string | undefined): ContextIgnore | undefined {
  const file = readIgnoreFile(root, dockerfilePath);
  if (!file) return undefined;
  const { matcher, diagnostics } = parseDockerignore(file);
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length > 0)
    throw new BuildError("dockerfile", `failed parsing .dockerignore: ${errors[0]!.message}`, { diagnostics: errors });
  return { matcher, path: file.path, diagnostics };
}
