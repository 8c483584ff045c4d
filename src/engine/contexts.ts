// Turns the context arguments of a build into a main context, a Dockerfile and named contexts (reference X01–X06).
//
// How the main context reaches the planner: a directory, and what comes on standard input, as the local context "context"; a repository as a git op and a URL as an
// http op, which is what they are: they are fetched before planning because the Dockerfile is in them, and the step that reads them finds them fetched.
// What named contexts refer to is not touched here. Contexts that are no directory are foreign-context.ts's business, loaded where there is one.
import { resolve } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { SourceFile } from "../diagnostics/source.ts";
import type { GitOp, HttpOp, LocalOp } from "../graph/op.ts";
import { isHttpUrl } from "../plan/copy-paths.ts";
import type { NamedContext } from "../plan/options.ts";
import { parseContext } from "../source/context.ts";
import { readDockerfile, type DockerfileText } from "../source/dockerfile-file.ts";
import type { PatternMatcher } from "../tree/patterns.ts";
import { contextIgnore } from "./ignore.ts";
import { LOCAL_CONTEXT, type MainContext, type PrepareOptions } from "./main-context.ts";
import { namedContexts } from "./named-contexts.ts";
import type { LocalContext } from "./source-trees.ts";

export interface PreparedContexts {
  readonly dockerfile: SourceFile;
  /** Absolute; undefined where it is no file of the client's. */
  readonly dockerfilePath: string | undefined;
  /** Names the Dockerfile for explanations: its path, or the context's. */
  readonly place: string;
  readonly main: LocalOp | GitOp | HttpOp;
  /** By name; "context" is the main one, where that is local. */
  readonly locals: ReadonlyMap<string, LocalContext>;
  readonly named: ReadonlyMap<string, NamedContext>;
  /** Of the main context, with where its lines are. */
  readonly ignore: PatternMatcher | undefined;
  readonly ignorePath: string | undefined;
  /** Seconds since the epoch: how new an archive on standard input is, for `SOURCE_DATE_EPOCH=context`. */
  readonly newest: number | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads the Dockerfile and finds the contexts. Fails with "usage", or as reading and fetching do. */
export async function prepareContexts(options: PrepareOptions): Promise<PreparedContexts> {
  const { build, cwd } = options;
  const main = await openMain(options);
  const { text, local } = main;
  const root = local?.kind === "directory" ? local.root : undefined;
  const ignore = root === undefined ? undefined : contextIgnore(root, text.path);
  const named = namedContexts(build.buildContexts, cwd);
  const locals = new Map(named.locals);
  if (root !== undefined) locals.set("context", { kind: "directory", root, ignore: () => ignore?.matcher });
  else if (local) locals.set("context", local);
  return {
    dockerfile: text.source,
    dockerfilePath: text.path,
    place: text.path ?? main.place,
    main: main.op,
    locals,
    named: named.contexts,
    ignore: ignore?.matcher,
    ignorePath: ignore?.path,
    newest: main.newest,
    diagnostics: ignore?.diagnostics ?? [],
  };
}

async function openMain(options: PrepareOptions): Promise<MainContext> {
  const { build, cwd } = options;
  const context = parseContext(build.context);
  if (context.kind === "stdin" && build.dockerfile === "-") {
    throw new BuildError("usage", "invalid argument: can't use stdin for both build context and dockerfile", {
      help: "give one of them as a path",
    });
  }
  if (context.kind !== "directory") {
    const { openForeignContext } = await import("./foreign-context.ts");
    return openForeignContext(context, options);
  }
  const root = resolve(cwd, context.path);
  const local: LocalContext = { kind: "directory", root, ignore: () => undefined };
  return { op: LOCAL_CONTEXT, local, text: await findDockerfile(root, options), place: root };
}

async function findDockerfile(contextDir: string, options: PrepareOptions): Promise<DockerfileText> {
  const { dockerfile, stdin } = options.build;
  if (dockerfile !== undefined && isHttpUrl(dockerfile)) {
    const { downloadDockerfile } = await import("./foreign-context.ts");
    return downloadDockerfile(dockerfile, options);
  }
  return readDockerfile({
    cwd: options.cwd,
    contextDir,
    ...(dockerfile === undefined ? {} : { file: dockerfile }),
    ...(stdin === undefined ? {} : { stdin }),
  });
}
