// /etc/passwd and /etc/group as text: pure parsing, no files. As forgiving as the parser that Docker's tools share (moby/sys/user): a line that lacks fields
// has empty ones, a number that is none is 0. Who reads the files: rootfs/passwd.ts and sandbox/.

export interface PasswdUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

export interface PasswdGroup {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Users of an /etc/passwd, in order. */
export function parsePasswd(text: string): PasswdUser[] {
  return fieldsOf(text).map(([name = "", , uid, gid, , home = "", shell = ""]) => {
    return { name, uid: idOf(uid), gid: idOf(gid), home, shell };
  });
}

/** Groups of an /etc/group, in order. */
export function parseGroup(text: string): PasswdGroup[] {
  return fieldsOf(text).map(([name = "", , gid, members = ""]) => {
    return { name, gid: idOf(gid), members: members === "" ? [] : members.split(",") };
  });
}

function fieldsOf(text: string): string[][] {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "").map((line) => line.split(":"));
}

function idOf(text: string | undefined): number {
  return text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : 0;
}
