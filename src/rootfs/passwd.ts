// Reads the user and group databases of a root file system, without trusting them: symlinks stay inside the root, only regular files, at most 10 MiB (C10).
import { open } from "node:fs/promises";
import { BuildError } from "../diagnostics/build-error.ts";
import type { FileBytes } from "../tree/entry.ts";
import { parseGroup, parsePasswd, type PasswdGroup, type PasswdUser } from "../tree/passwd.ts";
import type { Tree } from "../tree/tree.ts";
import { resolvePath } from "./resolve.ts";

const MAX_SIZE = 10 * 1024 * 1024;

/** Users of the tree's /etc/passwd; none where there is no such file. Fails with `source` where it is no regular file or too big. */
export async function readUsers(tree: Tree): Promise<readonly PasswdUser[]> {
  const text = await readDatabase(tree, "etc/passwd");
  return text === undefined ? [] : parsePasswd(text);
}

/** Groups of the tree's /etc/group; none where there is no such file. Fails as {@link readUsers} does. */
export async function readGroups(tree: Tree): Promise<readonly PasswdGroup[]> {
  const text = await readDatabase(tree, "etc/group");
  return text === undefined ? [] : parseGroup(text);
}

async function readDatabase(tree: Tree, path: string): Promise<string | undefined> {
  const { entry } = await resolvePath(tree, path);
  if (!entry) return undefined;
  if (entry.type !== "file") {
    const summary = `/${path} of the image is not a regular file`;
    // BuildKit waits for ever where it is a named pipe.
    const message = entry.type === "dir" ? `read /${path}: is a directory` : summary;
    throw new BuildError("source", message, { summary, help: HELP });
  }
  if (entry.size > MAX_SIZE)
    throw new BuildError("source", `/${path} of the image is larger than 10 MiB`, { help: HELP });
  return readText(await tree.locate(entry), entry.size);
}

const HELP = "name users and groups by number";

async function readText(bytes: FileBytes, size: number): Promise<string> {
  if (bytes.kind === "inline") return Buffer.from(bytes.data).toString("utf8");
  await using file = await open(bytes.path);
  const buffer = Buffer.alloc(size);
  let length = 0;
  while (length < size) {
    const { bytesRead } = await file.read(buffer, length, size - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.toString("utf8", 0, length);
}
