// The files that a build reads from outside: its context, named contexts, URLs, git. Opened when a step first asks; closed with the build.
// How things that are fetched become trees is remote-trees.ts's business, loaded where there are such.
import { join } from "node:path";
import { canonicalJson } from "../base/canonical-json.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { GitOp, HttpOp, LocalOp } from "../graph/op.ts";
import { digestHex, digestOf } from "../oci/digest.ts";
import type { EventSink } from "../progress/events.ts";
import type { SourceTree } from "../solve/services.ts";
import { openLocalTree, type LocalTree } from "../source/local.ts";
import type { Store } from "../store/store.ts";
import type { PatternMatcher } from "../tree/patterns.ts";
import type { Tree } from "../tree/tree.ts";
import { EmptyTree } from "./empty-tree.ts";
import type { RemoteSources } from "./remote-sources.ts";

/** What a local op's name stands for. */
export type LocalContext =
  /** A directory of the client (absolute path) and what of it does not exist for the build, asked for when the directory is first read. */
  | { readonly kind: "directory"; readonly root: string; readonly ignore: () => PatternMatcher | undefined }
  /** What came on standard input. */
  | { readonly kind: "files"; readonly tree: Tree }
  /** The context of a Dockerfile that came alone. */
  | { readonly kind: "empty" };

export interface SourceTreesOptions {
  readonly store: Store;
  /** By name; "context" is the main one. */
  readonly contexts: ReadonlyMap<string, LocalContext>;
  /** The main build context. */
  readonly main: LocalOp | GitOp | HttpOp;
  readonly remote: () => Promise<RemoteSources>;
  /** "git": see git-modes. */
  readonly contextMode: "git" | undefined;
  readonly onEvent: EventSink;
}

export class SourceTrees implements AsyncDisposable {
  readonly #options: SourceTreesOptions;
  readonly #opened: Promise<LocalTree>[] = [];

  constructor(options: SourceTreesOptions) {
    this.#options = options;
  }

  async open(op: LocalOp | HttpOp | GitOp, signal: AbortSignal): Promise<SourceTree> {
    if (op.kind === "local") return this.#openContext(op.name, signal);
    const { main, remote, onEvent } = this.#options;
    const { openRemoteTree } = await import("./remote-trees.ts");
    return openRemoteTree(op, {
      remote: await remote(),
      isMain: canonicalJson(op) === canonicalJson(main),
      openDirectory: (root) => this.#openDirectory(root, signal),
      onEvent,
    });
  }

  async #openContext(name: string, signal: AbortSignal): Promise<SourceTree> {
    const context = this.#options.contexts.get(name);
    if (!context) throw new BuildError("source", `there is no context called ${JSON.stringify(name)}`);
    const label = name === "context" ? "the build context" : `context ${name}`;
    if (context.kind === "empty") return { tree: new EmptyTree(), identity: undefined, label };
    const tree =
      context.kind === "files" ? context.tree : await this.#openDirectory(context.root, signal, context.ignore());
    if (this.#options.contextMode === undefined) return { tree, identity: undefined, label };
    const { withGitModes } = await import("./git-modes.ts");
    return { tree: withGitModes(tree), identity: undefined, label };
  }

  #openDirectory(root: string, signal: AbortSignal, ignore?: PatternMatcher): Promise<LocalTree> {
    const indexPath = contextIndexPath(this.#options.store, root);
    const opening = openLocalTree({ root, ...(ignore ? { ignore } : {}), indexPath, signal });
    this.#opened.push(opening);
    return opening;
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
