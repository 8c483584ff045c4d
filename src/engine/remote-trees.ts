// Git and http ops as trees. What tells two states of one apart is the commit, or the digest of the file, so that an unchanged one is neither checked out nor read.
// The main context is the exception: it is at hand anyway, since its Dockerfile was read from it, and by content a step outlives commits that do not touch its files.
import { monotonicMs, nowMs } from "../base/clock.ts";
import { redactUrls } from "../base/url-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { vertexId } from "../graph/graph.ts";
import type { GitOp, HttpOp } from "../graph/op.ts";
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { EventSink } from "../progress/events.ts";
import type { SourceTree } from "../solve/services.ts";
import type { Tree } from "../tree/tree.ts";
import { LazyTree } from "./lazy-tree.ts";
import { downloadTree } from "./listed-tree.ts";
import type { DownloadProgress, RemoteSources } from "./remote-sources.ts";

export interface RemoteTreeOptions {
  readonly remote: RemoteSources;
  readonly isMain: boolean;
  /** A directory of this machine as a tree, closed with the build. */
  readonly openDirectory: (root: string) => Promise<Tree>;
  readonly onEvent: EventSink;
}

/** A download says how far it is so often. */
const PROGRESS_MS = 100;

/** Opens what `op` names. Fails as resolving and fetching it do. */
export function openRemoteTree(op: HttpOp | GitOp, options: RemoteTreeOptions): Promise<SourceTree> {
  return op.kind === "http" ? openHttp(op, options) : openGit(op, options);
}

async function openHttp(op: HttpOp, { remote, isMain, onEvent }: RemoteTreeOptions): Promise<SourceTree> {
  const { url, filename, checksum } = op;
  const label = redactUrls(url);
  if (op.unpack === true) {
    const archive = await remote.archive(op);
    if (!archive) throw new BuildError("source", `${label} is no archive that can be read`);
    return { tree: archive.tree, identity: undefined, label };
  }
  const fetch = () => remote.fetch(op, progressOf(op, onEvent));
  if (checksum !== undefined) {
    const tree = new LazyTree(async () => downloadTree(await fetch(), filename));
    return { tree, identity: digestOfJson(["tsbuild.http.v1", checksum, filename]), label };
  }
  const file = await fetch();
  const identity = digestOfJson(["tsbuild.http.v1", file.digest, filename, file.lastModifiedMs ?? null]);
  return { tree: downloadTree(file, filename), identity: isMain ? undefined : identity, label };
}

async function openGit(op: GitOp, { remote, isMain, openDirectory }: RemoteTreeOptions): Promise<SourceTree> {
  const label = redactUrls(op.remote);
  const open = async () => openDirectory((await remote.checkout(op)).directory);
  if (isMain) return { tree: await open(), identity: undefined, label };
  return { tree: new LazyTree(open), identity: await gitIdentity(op, remote), label };
}

async function gitIdentity(op: GitOp, remote: RemoteSources): Promise<Digest> {
  const { commit, refName, tag } = await remote.resolve(op);
  const { subdir, keepGitDir, submodules, mtime, checksum } = op;
  // A hash of the user's is compared with the checksum only when it is fetched: another checksum is another question.
  const plain = { commit, subdir, submodules, mtime, checksum };
  // A kept .git shows where it came from, and under which name.
  const kept = keepGitDir ? { remote: redactUrls(op.remote), refName, tag } : {};
  return digestOfJson(["tsbuild.git.v1", plain, kept]);
}

function progressOf(op: HttpOp, onEvent: EventSink): DownloadProgress {
  const status = { kind: "vertex-status", vertex: vertexId(op, []), id: op.filename, startedMs: nowMs() } as const;
  let toldMs = monotonicMs();
  return (current, total) => {
    const now = monotonicMs();
    if (now - toldMs < PROGRESS_MS && current !== total) return;
    toldMs = now;
    onEvent({ ...status, current, total, ...(current === total ? { completedMs: nowMs() } : {}) });
  };
}
