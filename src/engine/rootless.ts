// How to start again as root of a user namespace, for the command line. Loaded only where this process is not root.
import type { RootlessOptions } from "../sandbox/rootless.ts";

/** See sandbox/rootless.ts. */
export async function rootlessCommand(options: RootlessOptions): Promise<readonly string[]> {
  const rootless = await import("../sandbox/rootless.ts");
  return rootless.rootlessCommand(options);
}
