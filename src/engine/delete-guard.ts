// `mode=delete` of a local output removes what the result does not have. What it may never reach, and what it needs leave for (reference E05).
import { realpathSync } from "node:fs";
import { dirname, join, basename, resolve } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import { parseContext } from "../source/context.ts";
import type { BuildOptions } from "./options.ts";

export const DELETE_ENTITLEMENT = "buildx.local.delete";

/** Fails with "entitlement" or "usage" where a directory must not be emptied. `storeRoot` and the inputs of the build never may. */
export function checkDeletes(
  { outputs, allow, context, dockerfile, buildContexts }: BuildOptions,
  { cwd, storeRoot }: { readonly cwd: string; readonly storeRoot: string },
): void {
  const places = outputs.flatMap((output) => (output.kind === "local" && output.mode === "delete" ? output.dest : []));
  if (places.length === 0) return;
  const inputs = [context, ...buildContexts.values(), ...(dockerfile === undefined ? [] : [dockerfile])].flatMap(
    (text) => (parseContext(text).kind === "directory" && !text.includes("://") ? [resolve(cwd, text)] : []),
  );
  for (const dest of places) {
    const real = realPath(dest);
    const reached = [...inputs, cwd, storeRoot, "/"].map(realPath).find((path) => isWithin(path, real));
    if (reached !== undefined)
      throw new BuildError("usage", `mode=delete would remove files of ${reached}, which lies in ${dest}`, {
        help: "choose a directory of its own for the output",
      });
    if (isWithin(real, realPath(cwd)) || allow.includes(DELETE_ENTITLEMENT)) continue;
    throw new BuildError("entitlement", `mode=delete may not remove files of ${dest}: it is not below ${cwd}`, {
      help: `allow it with --allow ${DELETE_ENTITLEMENT}`,
    });
  }
}

/** Where a path leads, as far as it is there. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const above = dirname(path);
    return above === path ? path : join(realPath(above), basename(path));
  }
}

/** Whether `path` is `folder` or lies in it. */
function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}
