// One random build as data: what generators make, edits change, shrinking takes apart and a person can read and replay.
import { chmodSync, linkSync, lutimesSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execFileSync } from "node:child_process";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { lsetxattr } from "../../src/base/libc.ts";
import { CONTEXT_TIME } from "../compare/image-facts.ts";
import { archive, member } from "../unit/layer/raw-tar.ts";

export interface FuzzCase {
  /** The Dockerfile, cut where shrinking may cut: a directive, a comment, an instruction with its heredocs. Joined by line ends. */
  readonly parts: readonly string[];
  readonly lineEnd: "\n" | "\r\n";
  readonly files: readonly ContextFile[];
  /** Lines of .dockerignore; none = no such file. */
  readonly ignore: readonly string[];
  /** What that file is called, if not .dockerignore. */
  readonly ignoreName?: string;
  /** Flags for both builders, each one word; `{second}` is a copy of the context, `{base}` the layout of the base image. */
  readonly args: readonly string[];
}

/** Modes are octal, as in "0644"; `xattr` is the value of user.fuzz. */
export type ContextFile =
  | {
      readonly kind: "file";
      readonly path: string;
      readonly mode: string;
      readonly text: string;
      readonly xattr?: string;
    }
  | { readonly kind: "directory"; readonly path: string; readonly mode: string }
  | { readonly kind: "symlink"; readonly path: string; readonly target: string }
  | { readonly kind: "hard link"; readonly path: string; readonly target: string }
  | { readonly kind: "fifo"; readonly path: string }
  | {
      readonly kind: "archive";
      readonly path: string;
      readonly compression: "none" | "gzip" | "zstd" | "bzip2";
      readonly members: readonly ArchiveMember[];
    };

export interface ArchiveMember {
  readonly name: string;
  /** Type flag of tar: 0 file, 1 hard link, 2 symbolic link, 5 directory. */
  readonly type: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly data?: string;
  readonly target?: string;
  /** `security.capability`, in hex. */
  readonly capability?: string;
}

export function dockerfileText({ parts, lineEnd }: FuzzCase): string {
  return `${parts.join("\n")}\n`.replaceAll("\n", lineEnd);
}

/** Makes the context in `folder`, which must not exist. What a path cannot be, because of what is there, it is not. */
export function writeContext(each: FuzzCase, folder: string): void {
  mkdirSync(folder);
  const made: ContextFile[] = [];
  for (const file of each.files) if (writeEntry(folder, file)) made.push(file);
  const ignoreName = each.ignoreName ?? ".dockerignore";
  if (each.ignore.length > 0) writeFileSync(join(folder, ignoreName), `${each.ignore.join("\n")}\n`);
  writeFileSync(join(folder, "Dockerfile"), dockerfileText(each));
  // Directories last: a mode without x would be in the way of a user who is not root.
  for (const file of made.toReversed()) if ("mode" in file) chmodSync(join(folder, file.path), mode(file.mode));
  for (const file of made) lutimesSync(join(folder, file.path), CONTEXT_TIME, CONTEXT_TIME);
}

function writeEntry(folder: string, file: ContextFile): boolean {
  const path = join(folder, file.path);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    switch (file.kind) {
      case "file":
        writeFileSync(path, file.text, { flag: "wx" });
        if (file.xattr !== undefined) lsetxattr(path, "user.fuzz", Buffer.from(file.xattr));
        break;
      case "directory":
        mkdirSync(path);
        break;
      case "symlink":
        symlinkSync(file.target, path);
        break;
      case "hard link":
        linkSync(join(folder, file.target), path);
        break;
      case "fifo":
        execFileSync("mkfifo", [path], { stdio: "ignore" });
        break;
      case "archive":
        writeFileSync(path, archiveBytes(file), { flag: "wx" });
        break;
    }
    return true;
  } catch {
    return false;
  }
}

function mode(text: string): number {
  return Number.parseInt(text, 8);
}

function archiveBytes({ members, compression }: ContextFile & { readonly kind: "archive" }): Buffer {
  const blocks = members.map(({ target = "", capability, mode: bits, ...rest }) =>
    member({
      ...rest,
      mode: mode(bits),
      mtimeNs: BigInt(CONTEXT_TIME) * 10n ** 9n,
      linkname: target,
      xattrs: capability === undefined ? {} : { "security.capability": Buffer.from(capability, "hex") },
    }),
  );
  const tar = archive(...blocks);
  if (compression === "none") return tar;
  if (compression === "bzip2") return execFileSync(compression, ["-c"], { input: tar });
  return compression === "gzip" ? gzipSync(tar) : zstdCompressSync(tar);
}
