// Files that are known as a list of entries with bytes: what an archive holds, a download. Owners and modes are the entries' own, as BuildKit keeps them.
import { assert } from "../base/assert.ts";
import { digestHex } from "../oci/digest.ts";
import { RootfsView } from "../rootfs/view.ts";
import type { FetchedFile } from "../source/http.ts";
import type { Entry } from "../tree/entry.ts";
import type { Tree } from "../tree/tree.ts";

/** A tree of `entries`: sorted, each path once, files with sha256 and bytes. Directories that nobody describes are 0755 and root's. */
export function listedTree(entries: readonly Entry[]): Tree {
  const locate = (entry: Entry) => {
    assert(entry.bytes, `the bytes of "${entry.path}" are listed with it`);
    return Promise.resolve(entry.bytes);
  };
  return new RootfsView([{ entries: () => Promise.resolve(entries), locate }]);
}

/** A download as BuildKit shows it to a step: one file, mode 0600, root's, with the server's time (AD03). */
export function downloadTree(file: FetchedFile, filename: string): Tree {
  const { path, digest, size, lastModifiedMs = 0 } = file;
  const entry: Entry = {
    path: filename,
    type: "file",
    mode: 0o600,
    uid: 0,
    gid: 0,
    size,
    mtimeNs: BigInt(lastModifiedMs) * 1_000_000n,
    sha256: digestHex(digest),
    bytes: { kind: "host", path },
  };
  return listedTree([entry]);
}
