// What the whole Dockerfile and the contexts say of a failed step: which earlier instruction is at fault, and why a source is not there (pain 17).
import { lstatSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isErrno } from "../base/fs-atomic.ts";
import { amend, BuildError } from "../diagnostics/build-error.ts";
import { positionAt } from "../diagnostics/source.ts";
import { parseContext } from "../source/context.ts";
import type { BuildOptions } from "./options.ts";
import type { Planned } from "./plan-build.ts";

/** The failure with what is known of its place; anything else thrown as it is. */
export function withPlace(error: unknown, planned: Planned, options: BuildOptions): unknown {
  if (!(error instanceof BuildError) || !error.span) return error;
  if (error.details.culprit !== undefined) return atCulprit(error, planned);
  return error.code === "source" ? withContextHint(error, planned, options) : error;
}

/** A user or a shell that is not there is the mistake of the USER or SHELL that names it, not of the RUN; a file that a flag names is the command line's. */
function atCulprit(error: BuildError, { parsed }: Planned): BuildError {
  const { span, summary = error.message } = error;
  if (span && error.details.culprit === "option") {
    const { path } = span.source;
    const needed = `line ${positionAt(span.source, span.start).line} of ${path} needs it`;
    const focus = { source: { path, text: "", isOption: true }, start: 0, end: 0 } as const;
    return amend(error, { focus, summary: `${summary} (${needed})` });
  }
  const stage = parsed.dockerfile.stages.find(({ instructions }) => instructions.some((one) => one.span === span));
  const found = stage?.instructions.findLast(
    (one) => one.kind === error.details.culprit && one.span.start < (span?.start ?? 0),
  );
  if (!found || !span) return error;
  const focus = found.kind === "user" ? found.user.span : found.span;
  return amend(error, { focus, summary: `${summary} (line ${positionAt(span.source, span.start).line} needs it)` });
}

/** A source that is missing because it lies outside the context, or because the ignore file leaves it out, says so. */
function withContextHint(error: BuildError, { result, contexts }: Planned, { context }: BuildOptions): BuildError {
  const { ignore, ignorePath } = contexts;
  const { start = 0, end = 0, source } = error.span ?? {};
  if (source === undefined) return error;
  if (source.text.startsWith("../", start)) {
    const path = source.text.slice(start, end);
    const parent = parseContext(context).kind === "directory" ? join(context, dirname(path)) : dirname(path);
    const name = /^[a-z0-9]+$/.exec(basename(parent))?.[0] ?? "other";
    const help = `name its directory as a context of its own: --build-context ${name}=${parent} and COPY --from=${name} ${basename(path)} …`;
    return amend(error, { summary: `"${path}" is outside the build context`, help });
  }
  if (!ignore) return error;
  for (const { path, span } of result.contextCopies) {
    const pattern =
      span.source === source && span.start <= end && span.end >= start ? ignore.excludedBy(path) : undefined;
    if (!pattern) continue;
    const line = `line ${pattern.line} of ${ignorePath ?? ".dockerignore"}`;
    const local = contexts.locals.get("context");
    if (local?.kind === "directory" && !isThere(join(local.root, path))) {
      const summary = `"${path}" is not in the build context, and ${line} (${pattern.text}) would exclude it`;
      return amend(error, { summary, help: `create it before the build, and add below ${line}: !${path}` });
    }
    const summary = `"${path}" is excluded by ${line} (${pattern.text})`;
    return amend(error, { summary, help: `delete that line, or add a line below it: !${path}` });
  }
  return error;
}

function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    // What cannot be looked at may be there.
    return !isErrno(error, "ENOENT") && !isErrno(error, "ENOTDIR");
  }
}
