// The tree digest: what files mean, without when they were made.
import { createHash } from "node:crypto";
import { encodeName } from "../base/file-name.ts";
import { finishDigest, type Digest } from "../oci/digest.ts";
import type { LayerEntry } from "./entry.ts";
import type { Sequence } from "./sequence.ts";

/** One line of identity per entry: each field is length-prefixed or of fixed form, so that no two entries share a text. */
function identity(entry: LayerEntry): string {
  if (entry.type === "whiteout") return `${field(entry.path)}w`;
  const xattrs = Object.entries(entry.xattrs ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => field(name) + field(Buffer.from(value).toString("base64")))
    .join("");
  return [
    field(entry.path),
    entry.type,
    entry.opaque ? "o" : "-",
    entry.mode.toString(8),
    entry.uid,
    entry.gid,
    field(entry.linkname ?? ""),
    field(entry.hardlink ?? ""),
    entry.type === "file" ? entry.sha256 : `${entry.devMajor ?? 0},${entry.devMinor ?? 0}`,
    xattrs,
  ].join(" ");
}

function field(text: string): string {
  return `${text.length}:${text}`;
}

/** sha256 over sorted entries: path, type, mode, uid, gid, link target, hard link group, device, xattrs, content. No mtime, no size of directories, no place of bytes. */
export function treeDigest(entries: Sequence<LayerEntry>): Digest {
  const hash = createHash("sha256").update("tsbuild.tree.v1\n");
  for (const entry of entries) {
    const line = `${identity(entry)}\n`;
    hash.update(line.isWellFormed() ? line : encodeName(line));
  }
  return finishDigest(hash);
}
