// A git URL as an op (reference AD06–AD09, X03): what the URL says, and what only the instruction or the build says. How URLs are read: base/git-url.ts.
import type { GitUrl } from "../base/git-url.ts";
import type { GitOp } from "../graph/op.ts";

export interface GitOpOptions {
  /** Where the URL does not say. */
  readonly keepGitDir: boolean;
  /** Of `--checksum`; the URL's own counts first. */
  readonly checksum?: string | undefined;
}

/** The op of a git source. */
export function gitOp(url: GitUrl, options: GitOpOptions): GitOp {
  const { remote, ref, subdir, submodules, mtime } = url;
  const checksum = url.checksum ?? options.checksum;
  return {
    kind: "git",
    remote,
    ...(ref === undefined ? {} : { ref }),
    ...(subdir === undefined ? {} : { subdir }),
    keepGitDir: url.keepGitDir ?? options.keepGitDir,
    submodules,
    mtime,
    ...(checksum === undefined ? {} : { checksum }),
  };
}
