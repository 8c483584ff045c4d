// What the two ways to a main context share: a directory (contexts.ts) and anything else (foreign-context.ts).
import type { GitOp, HttpOp, LocalOp } from "../graph/op.ts";
import type { DockerfileText } from "../source/dockerfile-file.ts";
import type { BuildOptions } from "./options.ts";
import type { RemoteSources } from "./remote-sources.ts";
import type { LocalContext } from "./source-trees.ts";

export interface PrepareOptions {
  readonly build: BuildOptions;
  readonly cwd: string;
  readonly remote: () => Promise<RemoteSources>;
  /** An empty directory that goes with the build. */
  readonly makeScratchDir: () => string;
  readonly signal: AbortSignal;
}

/** The main context and its Dockerfile. */
export interface MainContext {
  readonly op: LocalOp | GitOp | HttpOp;
  /** Where the op is local. */
  readonly local?: LocalContext;
  readonly text: DockerfileText;
  /** What the context is called where the Dockerfile has no path. */
  readonly place: string;
  readonly newest?: number | undefined;
}

/** The main context that is local. */
export const LOCAL_CONTEXT: LocalOp = { kind: "local", name: "context" };
