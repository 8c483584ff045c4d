// The files that a build reads from outside: its context, named contexts, URLs, git. Opened when a step first asks; closed with the build.
import { join } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import type { GitOp, HttpOp, LocalOp } from "../graph/op.ts";
import { digestHex, digestOf } from "../oci/digest.ts";
import type { SourceTree } from "../solve/services.ts";
import { openLocalTree, type LocalTree } from "../source/local.ts";
import type { Store } from "../store/store.ts";
import type { PatternMatcher } from "../tree/patterns.ts";
import { EmptyTree } from "./empty-tree.ts";

/** A directory of the client and what of it does not exist for the build. */
export interface LocalContext {
  /** Absolute path; undefined = an empty context. */
  readonly root: string | undefined;
  readonly ignore: PatternMatcher | undefined;
  /** Whether what is learnt of its files is worth keeping: not for a directory that goes with the build. */
  readonly isLasting: boolean;
}

export interface SourceTreesOptions {
  readonly store: Store;
  /** By name; "context" is the main one. */
  readonly contexts: ReadonlyMap<string, LocalContext>;
}

export class SourceTrees implements AsyncDisposable {
  readonly #options: SourceTreesOptions;
  readonly #opened: Promise<LocalTree>[] = [];

  constructor(options: SourceTreesOptions) {
    this.#options = options;
  }

  async open(op: LocalOp | HttpOp | GitOp, signal: AbortSignal): Promise<SourceTree> {
    switch (op.kind) {
      case "local":
        return this.#openLocal(op.name, signal);
      case "http":
        throw new BuildError("unsupported", `ADD of a URL is not built yet: ${op.filename}`, {
          help: "fetch it in a RUN, or before the build",
        });
      case "git":
        throw new BuildError("unsupported", "git sources are not built yet", {
          help: "clone in a RUN, or before the build",
        });
    }
  }

  async #openLocal(name: string, signal: AbortSignal): Promise<SourceTree> {
    const context = this.#options.contexts.get(name);
    if (!context) throw new BuildError("source", `there is no context called ${JSON.stringify(name)}`);
    const label = name === "context" ? "the build context" : `context ${name}`;
    const { root, ignore, isLasting } = context;
    if (root === undefined) return { tree: new EmptyTree(), identity: undefined, label };
    const opening = openLocalTree({
      root,
      ...(ignore ? { ignore } : {}),
      ...(isLasting ? { indexPath: contextIndexPath(this.#options.store, root) } : {}),
      signal,
    });
    this.#opened.push(opening);
    return { tree: await opening, identity: undefined, label };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opening of await Promise.allSettled(this.#opened)) {
      if (opening.status === "fulfilled") await opening.value[Symbol.asyncDispose]();
    }
  }
}

/** Path of the stat index of a directory. */
function contextIndexPath(store: Store, root: string): string {
  return join(store.paths.contexts, digestHex(digestOf(root)).slice(0, 24));
}
