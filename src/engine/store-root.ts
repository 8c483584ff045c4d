// Where the store is when nobody says.
import { BuildError } from "../diagnostics/build-error.ts";
import { defaultStoreRoot } from "../store/layout.ts";

/** `TSBUILD_ROOT`, else the place for this user; fails with "store" where the environment names no home. */
export function storeRoot(environment: Readonly<Record<string, string | undefined>>, uid: number): string {
  const root = defaultStoreRoot(environment, uid);
  if (root === undefined)
    throw new BuildError("store", "there is no place for the store: HOME is not set", { help: "set TSBUILD_ROOT" });
  return root;
}
