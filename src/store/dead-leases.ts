// Leases whose owner died, for who has no store open. Removing them is the sweep's business.
import { closeSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { tryLockExisting } from "./file-lock.ts";
import { storePaths } from "./layout.ts";
import { NEWBORN } from "./leases.ts";

/** Calls `visit` with the directory of each, which nobody else sweeps meanwhile. */
export async function visitDeadLeases(root: string, visit: (directory: string) => Promise<void>): Promise<void> {
  const { leases } = storePaths(root);
  for (const name of readdirSync(leases).filter((one) => !one.startsWith(NEWBORN))) {
    const fd = tryLockExisting(join(leases, name, "lock"), "exclusive");
    if (fd === undefined) continue;
    try {
      await visit(join(leases, name));
    } finally {
      closeSync(fd);
    }
  }
}
