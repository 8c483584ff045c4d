// A tree with nothing in it: the context of a Dockerfile that came alone.
import type { Entry, FileBytes } from "../tree/entry.ts";
import type { Tree } from "../tree/tree.ts";

const ROOT: Entry = { path: "", type: "dir", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeNs: 0n };

export class EmptyTree implements Tree {
  lstat(path: string): Promise<Entry | undefined> {
    return Promise.resolve(path === "" ? ROOT : undefined);
  }

  readdir(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  walk(path: string): Promise<readonly Entry[]> {
    return Promise.resolve(path === "" ? [ROOT] : []);
  }

  locate(entry: Entry): Promise<FileBytes> {
    return Promise.resolve(entry.bytes ?? { kind: "inline", data: new Uint8Array() });
  }
}
