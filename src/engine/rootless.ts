// How to start again as root of a user namespace, for the command line. Loaded only where this process is not root.
import { existsSync, readdirSync } from "node:fs";
import type { RootlessOptions } from "../sandbox/rootless.ts";
import { storePaths } from "../store/layout.ts";

/** See sandbox/rootless.ts. */
export async function rootlessCommand(options: RootlessOptions): Promise<readonly string[]> {
  const rootless = await import("../sandbox/rootless.ts");
  return rootless.rootlessCommand(options);
}

/**
 * Ends what killed builds of the store at `root` left running. Before this process is root of a namespace: over the namespaces of dead builds, and over
 * the users that only they have, just the user who made them has rights, and root of another of his namespaces has none.
 */
export async function endDeadBuilds(root: string): Promise<void> {
  try {
    const { leases } = storePaths(root);
    if (!existsSync(leases) || readdirSync(leases).length === 0) return;
    const [{ visitDeadLeases }, { reapLeftovers }] = await Promise.all([
      import("../store/dead-leases.ts"),
      import("../sandbox/sandbox.ts"),
    ]);
    await visitDeadLeases(root, reapLeftovers);
  } catch {
    // Who opens the store after this says what is wrong with it.
  }
}
