// Two directory trees, compared attribute by attribute: names are bytes, times are nanoseconds, hard links are groups, extended attributes come from getfattr.
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readSync, readdirSync, readlinkSync, type BigIntStats } from "node:fs";
import { accepted } from "./judges.ts";

/** All that can be said of one file, as text to compare. */
export interface FileAttributes {
  readonly type: string;
  readonly mode: string;
  readonly owner: string;
  /** Nanoseconds. */
  readonly mtime: string;
  readonly content?: string;
  readonly target?: string;
  readonly device?: string;
  /** All names of a file that has several here. */
  readonly links?: readonly string[];
  readonly xattrs?: Readonly<Record<string, string>>;
}

const TYPES: Readonly<Record<number, string>> = {
  0o010000: "fifo",
  0o020000: "char",
  0o040000: "dir",
  0o060000: "block",
  0o100000: "file",
  0o120000: "symlink",
  0o140000: "socket",
};

/** Attributes of everything below `root` and of itself (""); names are latin1 text of their bytes. */
export async function listTree(root: string): Promise<ReadonlyMap<string, FileAttributes>> {
  const xattrs = await readXattrs(root);
  const found = new Map<string, FileAttributes>();
  const groups = new Map<string, string[]>();
  const visit = (path: string): void => {
    const full = Buffer.from(path === "" ? root : `${root}/${path}`, "latin1");
    const stat = lstatSync(full, { bigint: true });
    const type = TYPES[Number(stat.mode) & 0o170000] ?? "unknown";
    if (type !== "dir" && stat.nlink > 1n) {
      const inode = `${String(stat.dev)}:${String(stat.ino)}`;
      groups.set(inode, [...(groups.get(inode) ?? []), path]);
    }
    const attributes = xattrs.get(path);
    found.set(path, {
      ...statAttributes(stat, type),
      ...(type === "file" ? { content: contentOf(full, Number(stat.size)) } : {}),
      ...(type === "symlink" ? { target: readlinkSync(full, { encoding: "latin1" }) } : {}),
      ...(attributes ? { xattrs: attributes } : {}),
    });
    if (type !== "dir") return;
    const names = readdirSync(full, { encoding: "latin1" }).sort();
    for (const name of names) visit(path === "" ? name : `${path}/${name}`);
  };
  visit("");
  for (const links of groups.values())
    for (const path of links) if (links.length > 1) found.set(path, { ...found.get(path)!, links });
  return found;
}

function statAttributes(stat: BigIntStats, type: string): FileAttributes {
  return {
    type,
    mode: (Number(stat.mode) & 0o7777).toString(8),
    owner: `${String(stat.uid)}:${String(stat.gid)}`,
    mtime: String(stat.mtimeNs),
    ...(type === "char" || type === "block" ? { device: String(stat.rdev) } : {}),
  };
}

function contentOf(path: Buffer, size: number): string {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(1 << 20);
  const fd = openSync(path, "r");
  try {
    for (let count = readSync(fd, chunk); count > 0; count = readSync(fd, chunk)) hash.update(chunk.subarray(0, count));
  } finally {
    closeSync(fd);
  }
  return `${String(size)} bytes, ${hash.digest("hex").slice(0, 16)}`;
}

/** Path → attribute → value in hexadecimal. Only those that belong to the file, not to the machine's security module. */
async function readXattrs(root: string): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>> {
  const pattern = "^(user\\.|trusted\\.|security\\.capability)";
  const flags = ["-R", "-P", "-h", "-d", "-m", pattern, "-e", "hex", "--absolute-names"];
  const found = new Map<string, Record<string, string>>();
  let current: Record<string, string> = {};
  const text = Buffer.from(await accepted("getfattr", [...flags, root]), "utf8").toString("utf8");
  for (const line of text.split("\n")) {
    const file = /^# file: (.*)$/.exec(line)?.[1];
    if (file !== undefined) {
      current = {};
      found.set(pathOf(file, root), current);
    }
    const [, name, value] = /^([^#=]+)(?:=(.*))?$/.exec(line) ?? [];
    if (name !== undefined) current[name] = value ?? "";
  }
  return found;
}

/** getfattr writes what is not plain as `\ooo`. */
function pathOf(text: string, root: string): string {
  const bytes = text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  const latin1 = Buffer.from(bytes, "utf8").toString("latin1");
  return latin1 === root ? "" : latin1.slice(root.length + 1);
}

/** Differences as lines, "path: attribute: expected → found"; empty = equal. */
export function differences(
  expected: ReadonlyMap<string, FileAttributes>,
  found: ReadonlyMap<string, FileAttributes>,
): string[] {
  const lines: string[] = [];
  for (const [path, wanted] of expected) {
    const actual = found.get(path);
    if (!actual) {
      lines.push(`${JSON.stringify(path)} is missing`);
      continue;
    }
    const names = new Set([...Object.keys(wanted), ...Object.keys(actual)]) as Set<keyof FileAttributes>;
    for (const name of names) {
      const [a, b] = [JSON.stringify(wanted[name]), JSON.stringify(actual[name])];
      if (a !== b) lines.push(`${JSON.stringify(path)}: ${name}: ${a ?? "none"} → ${b ?? "none"}`);
    }
  }
  for (const path of found.keys()) if (!expected.has(path)) lines.push(`${JSON.stringify(path)} should not be there`);
  return lines;
}
