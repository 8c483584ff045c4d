// Build arguments that speak to the builder and not to the Dockerfile (reference A26, A28).
import { parseGoBool } from "../base/go-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { createDiagnostic } from "../diagnostics/catalog.ts";
import { isDockerfileSyntax } from "../frontend/directives.ts";
import { spanOfOption } from "../plan/global-args.ts";

type BuildArgs = ReadonlyMap<string, string>;

/** Whether BUILDKIT_SYNTAX says what the Dockerfile is written in, so that its own directive does not count. Fails where that is no Dockerfile. */
export function isSyntaxGiven(buildArgs: BuildArgs): boolean {
  const given = buildArgs.get("BUILDKIT_SYNTAX") ?? "";
  if (given === "") return false;
  const frontend = given.split(" ", 1)[0]!;
  if (isDockerfileSyntax(frontend)) return true;
  const message = `the frontend image "${frontend}" is not supported`;
  const span = spanOfOption("--build-arg", `BUILDKIT_SYNTAX=${given}`);
  throw new BuildError("dockerfile", message, {
    diagnostics: [
      createDiagnostic("UnsupportedSyntax", span, message, {
        help: "tsbuild reads docker/dockerfile syntax only; leave the build argument BUILDKIT_SYNTAX out if the file needs nothing else",
      }),
    ],
  });
}

/** Refuses BUILDKIT_MULTI_PLATFORM=1: it asks for an index or for a directory per platform. */
export function refuseMultiPlatform(buildArgs: BuildArgs): void {
  const text = buildArgs.get("BUILDKIT_MULTI_PLATFORM") ?? "";
  if (text === "") return;
  const isWanted = parseGoBool(text);
  if (isWanted === undefined)
    throw new BuildError("usage", `invalid boolean value ${JSON.stringify(text)} for BUILDKIT_MULTI_PLATFORM`, {
      help: "leave the argument out, or write BUILDKIT_MULTI_PLATFORM=false",
    });
  if (isWanted)
    throw new BuildError("unsupported", "BUILDKIT_MULTI_PLATFORM=1 is not built yet: tsbuild makes plain manifests", {
      help: "leave the argument out: images of one platform need no index",
    });
}
