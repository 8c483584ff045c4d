// `--build-context NAME=VALUE` (reference X05). Only read as text here: whether what a value names is there is asked when a step needs it.
import { resolve } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import { parseDigest } from "../oci/digest.ts";
import { parseReference } from "../oci/reference.ts";
import { gitOp } from "../plan/git-source.ts";
import type { NamedContext } from "../plan/options.ts";
import { parseContext } from "../source/context.ts";
import { contextIgnore } from "./ignore.ts";
import type { LocalContext } from "./source-trees.ts";

export interface NamedContexts {
  readonly contexts: ReadonlyMap<string, NamedContext>;
  /** The directories among them. */
  readonly locals: ReadonlyMap<string, LocalContext>;
}

/** Name of the file that a download is, as in BuildKit: nobody knows what the server would call it before it is asked. */
export const DOWNLOAD_NAME = "context";

/** Fails with "usage" where a value makes no sense. */
export function namedContexts(texts: ReadonlyMap<string, string>, cwd: string): NamedContexts {
  const contexts = new Map<string, NamedContext>();
  const locals = new Map<string, LocalContext>();
  for (const [name, text] of texts) {
    assertName(name);
    contexts.set(name, namedContext(name, text, cwd));
    const root = resolve(cwd, text);
    if (contexts.get(name)?.kind === "local")
      locals.set(name, { kind: "directory", root, ignore: () => contextIgnore(root, undefined)?.matcher });
  }
  return { contexts, locals };
}

/** A name that no stage and no image can have is a mistake. `::` and a platform may follow. */
function assertName(name: string): void {
  const image = name.split("::")[0] ?? "";
  if (parseReference(image)) return;
  const lower = image.toLowerCase();
  throw new BuildError("usage", `invalid context name ${name}: invalid reference format`, {
    help: parseReference(lower)
      ? `write ${JSON.stringify(lower)}: names of stages and images are compared in lower case`
      : "it is the name of a stage or of an image",
  });
}

function namedContext(name: string, text: string, cwd: string): NamedContext {
  if (text.startsWith("docker-image://")) return { kind: "image", reference: text.slice("docker-image://".length) };
  if (text.startsWith("oci-layout://")) return layoutContext(text, cwd);
  if (text.startsWith("target:"))
    throw new BuildError(
      "usage",
      `${JSON.stringify(`${name}=${text}`)} is a target of a bake file, which tsbuild does not read`,
      {
        help: "build that target first, and name its image: docker-image://REFERENCE or oci-layout://DIR",
      },
    );
  const context = parseContext(text);
  switch (context.kind) {
    case "directory":
      return { kind: "local" };
    case "git":
      return { kind: "source", op: gitOp(context.url, { keepGitDir: false }) };
    case "http":
      return { kind: "source", op: { kind: "http", url: context.url, filename: DOWNLOAD_NAME } };
    case "stdin":
      throw new BuildError(
        "usage",
        `invalid context ${JSON.stringify(`${name}=-`)}: only the main one can be on standard input`,
      );
  }
}

function layoutContext(text: string, cwd: string): NamedContext {
  const match = /^oci-layout:\/\/(.+?)(?::([A-Za-z0-9_][A-Za-z0-9_.-]*))?(?:@(.+))?$/.exec(text);
  const digest = match?.[3] === undefined ? undefined : parseDigest(match[3]);
  if (!match?.[1] || (match[3] !== undefined && digest === undefined)) {
    throw new BuildError("usage", `invalid context ${JSON.stringify(text)}`, {
      help: "write it as oci-layout://DIR[:TAG][@DIGEST]",
    });
  }
  return {
    kind: "oci-layout",
    path: resolve(cwd, match[1]),
    ...(match[2] === undefined ? {} : { tag: match[2] }),
    ...(digest === undefined ? {} : { digest }),
  };
}
