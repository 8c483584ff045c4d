// WORKDIR: the directory and what is missing above it, owned by the current USER (reference O07, trap T37). What exists stays as it is: then the layer is empty.
import { BuildError } from "../../diagnostics/build-error.ts";
import { joinRelative } from "../../base/container-path.ts";
import { resolvePath } from "../../rootfs/resolve.ts";
import type { RootfsView } from "../../rootfs/view.ts";
import type { MkdirAction } from "../../graph/op.ts";
import { resolveOwner } from "./chown.ts";
import { Draft, type Manifest } from "./draft.ts";

export interface MkdirOptions {
  readonly below: RootfsView;
  /** Time of directories made here; default the epoch, so that layers are reproducible. */
  readonly createdMtimeNs?: bigint;
}

/** A WORKDIR's layer. Fails with `source` where a file is in the way, `usage` where the user cannot be resolved. */
export async function mkdirManifest(
  action: MkdirAction,
  { below, createdMtimeNs = 0n }: MkdirOptions,
): Promise<Manifest> {
  const { path, entry, missing, blockedBy } = await resolvePath(below, action.path);
  if (blockedBy !== undefined) {
    // BuildKit names the first path that cannot be below what is in the way.
    const [next = ""] = missing.split("/");
    throw await notAPlace(below, action.path, blockedBy, `lstat /${joinRelative(blockedBy, next)}`);
  }
  const draft = new Draft({ below, createdMtimeNs });
  // Resolved even if nothing is to be made: a user that cannot be looked up is an error now, not when the base changes.
  const owner = action.user === "" ? undefined : await resolveOwner(action.user, below);
  if (entry && entry.type !== "dir") throw await notAPlace(below, action.path, path, `mkdir /${path}`);
  await draft.makeDirectories(path, owner, action.mode & 0o777);
  return draft.finish();
}

/** `wanted` cannot be the working directory, for what is at `path`; `call` is the system call that BuildKit fails with. */
async function notAPlace(below: RootfsView, named: string, path: string, call: string): Promise<BuildError> {
  const wanted = named.replace(/^\/+/, "");
  const what = (await below.lstat(path))?.type === "file" ? "a file" : "no directory";
  const wish = wanted === path ? "it" : `/${wanted}`;
  return new BuildError("source", `${call}: not a directory`, {
    summary: `/${path} is ${what} in this stage, so ${wish} cannot be the working directory`,
    help: "name a directory, or a path where nothing is yet",
    details: { word: `/${wanted}` },
  });
}
