// Who a step runs as: USER resolved against the passwd and group files of its root file system (reference O06), by the rules of moby/sys/user.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../base/fs-atomic.ts";
import { resolveInRoot } from "./root-path.ts";

export interface StepUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** From passwd; "/" without an entry. */
  readonly home: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const MAX_ID = 2 ** 31 - 1;

/** A name that the databases do not have, or a number out of range; the message is BuildKit's. */
export class UnknownUserError extends Error {
  override readonly name = "UnknownUserError";
}

/** Resolves `user` (`name`, `uid`, either with `:group` or `:gid`; "" = root) in the root file system at `rootfs`. Throws {@link UnknownUserError}. */
export function resolveUser(rootfs: string, user: string): StepUser {
  return lookUpUser(user, readInRoot(rootfs, "/etc/passwd"), readInRoot(rootfs, "/etc/group"));
}

/** {@link resolveUser} on the texts of the two files. */
export function lookUpUser(user: string, passwdText: string, groupText: string): StepUser {
  const [userPart = "", groupPart = ""] = splitOnce(user === "" ? "0" : user);
  const uid = numberOf(userPart);
  const entry = parsePasswd(passwdText).find((one) => (uid === undefined ? one.name === userPart : one.uid === uid));
  if (!entry && uid === undefined && userPart !== "") {
    throw new UnknownUserError(`unable to find user ${userPart}: no matching entries in passwd file`);
  }
  const found = entry ?? { name: "", uid: checkRange(uid ?? 0), gid: 0, home: "/" };
  const home = found.home === "" ? "/" : found.home;
  if (groupPart !== "") return { uid: found.uid, gid: lookUpGroup(groupPart, groupText), additionalGids: [], home };
  const memberships = entry ? parseGroup(groupText).filter(({ members }) => members.includes(entry.name)) : [];
  return { uid: found.uid, gid: found.gid, additionalGids: memberships.map(({ gid }) => gid), home };
}

function lookUpGroup(group: string, groupText: string): number {
  const gid = numberOf(group);
  const entry = parseGroup(groupText).find((one) => (gid === undefined ? one.name === group : one.gid === gid));
  if (entry) return entry.gid;
  if (gid === undefined) throw new UnknownUserError(`unable to find group ${group}: no matching entries in group file`);
  return checkRange(gid);
}

function splitOnce(text: string): readonly string[] {
  const colon = text.indexOf(":");
  return colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)];
}

/** Go's Atoi as far as ids go. */
function numberOf(text: string): number | undefined {
  return /^[+-]?\d+$/.test(text) ? Number(text) : undefined;
}

function checkRange(id: number): number {
  if (id < 0 || id > MAX_ID) throw new UnknownUserError(`uids and gids must be in range 0-${MAX_ID}`);
  return id;
}

function parsePasswd(text: string): readonly PasswdEntry[] {
  return fieldsOf(text).map(([name = "", , uid = "", gid = "", , home = ""]) => {
    return { name, uid: numberOf(uid) ?? 0, gid: numberOf(gid) ?? 0, home };
  });
}

function parseGroup(text: string): readonly GroupEntry[] {
  return fieldsOf(text).map(([name = "", , gid = "", members = ""]) => {
    return { name, gid: numberOf(gid) ?? 0, members: members.split(",") };
  });
}

function fieldsOf(text: string): readonly (readonly string[])[] {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "").map((line) => line.split(":"));
}

function readInRoot(rootfs: string, path: string): string {
  try {
    const { existing, missing, stats } = resolveInRoot(rootfs, path);
    return missing.length > 0 || !stats.isFile() ? "" : readFileSync(join(rootfs, existing), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOTDIR") || isErrno(error, "ELOOP")) return "";
    throw error;
  }
}
