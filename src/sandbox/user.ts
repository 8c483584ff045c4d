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

/** The largest id that a user and a group that are both numbers may have. */
const MAX_PLAIN_ID = 2 ** 32 - 1;

/** A name that the databases do not have, or a number out of range; the message is BuildKit's, the summary says it for people. */
export class UnknownUserError extends Error {
  override readonly name = "UnknownUserError";
  readonly summary: string;
  readonly help: string;

  constructor(message: string, summary: string, help: string) {
    super(message);
    this.summary = summary;
    this.help = help;
  }
}

/** Resolves `user` (`name`, `uid`, either with `:group` or `:gid`; "" = root) in the root file system at `rootfs`. Throws {@link UnknownUserError}. */
export function resolveUser(rootfs: string, user: string): StepUser {
  return lookUpUser(user, readInRoot(rootfs, "/etc/passwd"), readInRoot(rootfs, "/etc/group"));
}

/** {@link resolveUser} on the texts of the two files; undefined = there is no such file. */
export function lookUpUser(user: string, passwdText: string | undefined, groupText: string | undefined): StepUser {
  const [userPart = "", groupPart = ""] = splitOnce(user === "" ? "0" : user);
  const [plainUid, plainGid] = [plainId(userPart), plainId(groupPart)];
  const isPlain = plainUid !== undefined && plainGid !== undefined;
  const uid = isPlain ? plainUid : numberOf(userPart);
  const users = parsePasswd(passwdText ?? "");
  const entry = users.find((one) => (uid === undefined ? one.name === userPart : one.uid === uid));
  const home = entry === undefined || entry.home === "" ? "/" : entry.home;
  if (isPlain) return { uid: plainUid, gid: plainGid, additionalGids: [], home };
  if (!entry && uid === undefined && userPart !== "") throw unknownUser(userPart, passwdText !== undefined);
  const found = entry ?? { name: "", uid: checkRange(uid ?? 0), gid: 0 };
  if (groupPart !== "")
    return { uid: found.uid, gid: lookUpGroup(groupPart, groupText, found.name), additionalGids: [], home };
  const memberships = entry ? parseGroup(groupText ?? "").filter(({ members }) => members.includes(entry.name)) : [];
  return { uid: found.uid, gid: found.gid, additionalGids: memberships.map(({ gid }) => gid), home };
}

function lookUpGroup(group: string, groupText: string | undefined, userName: string): number {
  const gid = numberOf(group);
  const groups = parseGroup(groupText ?? "");
  const entry = groups.find((one) => (gid === undefined ? one.name === group : one.gid === gid));
  if (entry) return entry.gid;
  if (gid === undefined) throw unknownGroup(group, groupText !== undefined, userName);
  return checkRange(gid);
}

function unknownUser(user: string, hasFile: boolean): UnknownUserError {
  if (!hasFile)
    return new UnknownUserError(
      `unable to find user ${user}: invalid argument`,
      `this stage has no user "${user}": it has no /etc/passwd`,
      "use numbers, as in USER 1000:1000, or copy an /etc/passwd before this USER",
    );
  return new UnknownUserError(
    `unable to find user ${user}: no matching entries in passwd file`,
    `this stage has no user "${user}"`,
    `create it before this USER: RUN adduser -D ${user} (Alpine, BusyBox) or RUN useradd ${user} (Debian, Fedora); or use a number: USER 1000`,
  );
}

function unknownGroup(group: string, hasFile: boolean, userName: string): UnknownUserError {
  if (!hasFile)
    return new UnknownUserError(
      `unable to find groups for spec ${userName}: invalid argument`,
      `this stage has no group "${group}": it has no /etc/group`,
      "use a number, or copy an /etc/group before this USER",
    );
  return new UnknownUserError(
    `unable to find group ${group}: no matching entries in group file`,
    `this stage has no group "${group}"`,
    "create it in a RUN before this USER, or use a number",
  );
}

/** BuildKit takes a user and a group without the databases where each is a number or "root". */
function plainId(text: string): number | undefined {
  if (text === "root") return 0;
  return /^\d+$/.test(text) && Number(text) <= MAX_PLAIN_ID ? Number(text) : undefined;
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
  const message = `uids and gids must be in range 0-${MAX_ID}`;
  if (id < 0 || id > MAX_ID) throw new UnknownUserError(message, message, "use a smaller number");
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

/** undefined = there is no such file. */
function readInRoot(rootfs: string, path: string): string | undefined {
  try {
    const { existing, missing, stats } = resolveInRoot(rootfs, path);
    return missing.length > 0 || !stats.isFile() ? undefined : readFileSync(join(rootfs, existing), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOTDIR") || isErrno(error, "ELOOP")) return undefined;
    throw error;
  }
}
