// `--context-mode=git`: files of a context have the modes that git would give them, so that keys and layers do not depend on the umask of whoever checked them out (pain 29).
import type { Entry } from "../tree/entry.ts";
import { mapped } from "../tree/sequence.ts";
import type { Tree } from "../tree/tree.ts";

/** `tree` with 0644 or, where the owner may execute, 0755 for files, and 0755 for directories. */
export function withGitModes(tree: Tree): Tree {
  return {
    lstat: async (path) => {
      const entry = await tree.lstat(path);
      return entry && withGitMode(entry);
    },
    readdir: (path) => tree.readdir(path),
    walk: async (path, keep) => mapped(await tree.walk(path, keep), withGitMode),
    locate: (entry) => tree.locate(entry),
  };
}

function withGitMode(entry: Entry): Entry {
  if (entry.type === "dir") return { ...entry, mode: 0o755 };
  if (entry.type !== "file") return entry;
  return { ...entry, mode: (entry.mode & 0o100) === 0 ? 0o644 : 0o755 };
}
