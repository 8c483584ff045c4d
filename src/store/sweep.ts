// Cleaning up after processes that died: their leases (mounts and containers through a callback, since that is not the store's trade), half-written
// blobs, half-removed layers. Costs two readdirs where nothing is left over. Safe against other sweepers, live builds and builds being born.
import { closeSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../diagnostics/build-error.ts";
import { TMP_DAMAGED, TMP_GONE, TMP_INGEST, TMP_PUT, TMP_RESUME } from "./content.ts";
import type { Database } from "./database.ts";
import { tryLockExisting } from "./file-lock.ts";
import type { StorePaths } from "./layout.ts";
import { closeAccount } from "./ledger.ts";
import { ageMs, NEWBORN } from "./leases.ts";
import { removeTree } from "./remove-tree.ts";

export interface SweepOptions {
  readonly paths: StorePaths;
  readonly database: Database;
  /** Ends what a dead build left running or mounted in its lease directory. Where it fails, the directory stays for the next sweep. */
  readonly reap: (directory: string) => Promise<void>;
  readonly onNotice: (message: string) => void;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** How old an unlocked file in tmp/ must be before it is nobody's, by its prefix. */
const TMP_AGES_MS: Readonly<Record<string, number>> = {
  [TMP_GONE]: 0,
  [TMP_INGEST]: 0,
  [TMP_RESUME]: 7 * DAY_MS,
  [TMP_PUT]: 10 * MINUTE_MS,
  [TMP_DAMAGED]: 7 * DAY_MS,
};

/** Removes what dead processes left. Returns how many leases and files that were. */
export async function sweep(options: SweepOptions): Promise<number> {
  const { leases, tmp, locks } = options.paths;
  let count = 0;
  for (const name of readdirSync(leases)) if (await sweepLease(options, name)) count++;
  // Only a build that runs may have mounted what was set aside.
  const isQuiet = readdirSync(leases).length === 0;
  for (const name of readdirSync(tmp)) if (await sweepTemporary(join(tmp, name), name, isQuiet)) count++;
  // Locks are rarely left over, so the third readdir is for days on which something else was found as well.
  if (count > 0) for (const name of readdirSync(locks)) sweepLock(join(locks, name));
  return count;
}

async function sweepLease(options: SweepOptions, name: string): Promise<boolean> {
  const { paths, database, reap, onNotice } = options;
  const directory = join(paths.leases, name);
  if (name.startsWith(NEWBORN)) {
    if (ageMs(directory) < 60 * MINUTE_MS) return false;
    await removeTree(directory);
    return true;
  }
  const fd = tryLockExisting(join(directory, "lock"), "exclusive");
  // Without a lock file it is what an interrupted removal left; the lock goes with the rest, so nobody can be using it.
  if (fd === undefined && !isLockless(directory)) return false;
  try {
    await reap(directory);
    database.run("DELETE FROM pins WHERE lease = ?", name);
    closeAccount(database, name);
    await removeTree(directory);
    return true;
  } catch (error) {
    onNotice(`what a build that died left in ${directory} could not be removed: ${messageOf(error)}`);
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function isLockless(directory: string): boolean {
  try {
    return !readdirSync(directory).includes("lock") && ageMs(directory) > MINUTE_MS;
  } catch {
    // Another sweeper has just finished with it.
    return false;
  }
}

async function sweepTemporary(path: string, name: string, isQuiet: boolean): Promise<boolean> {
  const prefix = Object.keys(TMP_AGES_MS).find((known) => name.startsWith(known));
  // Nothing of ours: leave a stranger's file for a day, in case it is in the making.
  const isFree = prefix === TMP_DAMAGED && isQuiet;
  if (!isFree && ageMs(path) < (prefix === undefined ? DAY_MS : TMP_AGES_MS[prefix]!)) return false;
  if (prefix !== TMP_INGEST && prefix !== TMP_RESUME) {
    await removeTree(path);
    return true;
  }
  const fd = tryLockExisting(path, "exclusive");
  if (fd === undefined) return false;
  rmSync(path, { force: true });
  closeSync(fd);
  return true;
}

function sweepLock(path: string): void {
  if (ageMs(path) < DAY_MS || path.endsWith(".db")) return;
  const fd = tryLockExisting(path, "exclusive");
  if (fd === undefined) return;
  rmSync(path, { force: true });
  closeSync(fd);
}
