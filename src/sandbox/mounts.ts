// The mounts that a step asked for (RUN --mount, heredoc scripts), made ready on the host so that the runtime has nothing left to do but bind them.
// Reference 1.7 (M10–M52, run time), S63, S64, S67, S68. Where targets are made: stubs.ts.
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync, type Stats } from "node:fs";
import { join } from "node:path";
import { cleanPath, comparePaths } from "../base/container-path.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { mount, MNT_DETACH, MS_NODEV, MS_NOSUID, umount, UMOUNT_NOFOLLOW } from "../base/libc.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import { adoptRoot, mountOverlay } from "./overlay.ts";
import { resolveInRoot } from "./root-path.ts";
import type { SandboxMount } from "./step-request.ts";
import type { PreparedMount } from "./spec.ts";
import { openAgentProxy } from "./ssh.ts";
import { MountStubs, type MountPoint } from "./stubs.ts";

export interface MountRequest {
  readonly mounts: readonly SandboxMount[];
  readonly pipes: readonly { readonly name: string; readonly content: string }[];
  /** Existing empty directory for what has to lie somewhere. */
  readonly scratchDir: string;
  readonly isRootless: boolean;
}

/** A mount whose source is there. */
export interface OpenedMount extends PreparedMount, MountPoint {
  /** Whether its target lies in the step's root file system and not in another mount. */
  readonly isInRootfs: boolean;
  /** Of targets inside it that were made for other mounts: the mode of the directory that was there before. */
  readonly covered?: ReadonlyMap<string, number | undefined>;
}

/** Where heredoc scripts are; on the step's /dev, so never in a layer. */
const PIPES_TARGET = "/dev/pipes";

/** A secret may be this big, as in BuildKit. */
const MAX_SECRET_SIZE = 500 * 1024;

/** File systems of every container: what is mounted below them needs no stub in the image. */
const SYSTEM_TARGETS: readonly string[] = ["/dev", "/proc", "/sys"];

/** Opens all mounts, parents first; `held` takes what has to be closed after the step. */
export async function openMounts(asked: MountRequest, held: AsyncDisposableStack): Promise<readonly OpenedMount[]> {
  // S68: of mounts with one target only the uppermost is made.
  const upwards = asked.mounts.toSorted((a, b) => heightOf(a) - heightOf(b));
  const request = { ...asked, mounts: upwards };
  const byTarget = new Map(upwards.map((one) => [cleanPath(`/${one.target}`), one]));
  const targets = [...byTarget.keys()].sort(comparePaths);
  const secrets = new SecretFiles(request, held);
  const opened: OpenedMount[] = [];
  for (const [index, target] of targets.entries()) {
    const inner = targets.filter((other) => other !== target && isBelow(other, target));
    const source = await openOne(byTarget.get(target)!, { target, inner, request, secrets, held, name: `m${index}` });
    const isInRootfs = ![...SYSTEM_TARGETS, ...targets].some((outer) => outer !== target && isBelow(target, outer));
    opened.push({ target, isInRootfs, ...source });
  }
  if (request.pipes.length > 0) opened.push(writePipes(request));
  return opened;
}

/** BuildKit puts secrets over what else is at a place, and ssh agents over secrets, whatever their order. */
function heightOf({ kind }: SandboxMount): number {
  return kind === "ssh" ? 2 : kind === "secret" ? 1 : 0;
}

interface OneMount {
  readonly target: string;
  /** Targets of other mounts inside this one. */
  readonly inner: readonly string[];
  readonly request: MountRequest;
  readonly secrets: SecretFiles;
  readonly held: AsyncDisposableStack;
  readonly name: string;
}

type OpenedSource = Omit<OpenedMount, "target" | "isInRootfs">;

async function openOne(one: SandboxMount, context: OneMount): Promise<OpenedSource> {
  switch (one.kind) {
    case "bind":
      return {
        source: one.source,
        isDirectory: statSync(one.source).isDirectory(),
        options: [one.readonly ? "ro" : "rw"],
      };
    case "overlay":
      return openOverlay(one, context);
    case "tmpfs":
      return {
        type: "tmpfs",
        source: "tmpfs",
        isDirectory: true,
        options: [
          "nosuid",
          ...(one.readonly === true ? ["ro"] : []),
          ...(one.size === undefined ? [] : [`size=${one.size}`]),
        ],
      };
    case "secret":
      return openSecret(one, context);
    case "ssh": {
      const path = join(context.secrets.directory(), context.name);
      context.held.use(await openAgentProxy({ ...one, path }));
      return { source: path, isDirectory: false, options: ["nosuid", "nodev", "noexec"] };
    }
  }
}

/** A stage or context, seen through an overlay of its own: what is written is thrown away. */
function openOverlay(one: SandboxMount & { readonly kind: "overlay" }, context: OneMount): OpenedSource {
  const { request, held, inner, name } = context;
  const view = join(request.scratchDir, name);
  mkdirSync(view);
  // Also a read-only view gets an upper directory when other mounts lie inside it, so that their targets can be made.
  const isWritten = one.writable || inner.length > 0;
  const upperDir = `${view}.u`;
  if (isWritten) {
    mkdirSync(upperDir, { mode: 0o755 });
    adoptRoot(one.lowerDirs, upperDir);
  }
  const { lowerDirs } = one;
  const { isRootless } = request;
  held.use(
    mountOverlay({ lowerDirs, ...(isWritten ? { upperDir } : {}), target: view, scratchDir: `${view}.w`, isRootless }),
  );
  const { path, stats } = resolveSubpath(view, one.subpath);
  const covered = new Map<string, number | undefined>();
  if (stats.isDirectory()) {
    const stubs = new MountStubs(path, join(upperDir, path.slice(view.length)));
    for (const target of inner) {
      const relative = target.slice(context.target.length);
      covered.set(target, stubs.directoryMode(relative));
      makeInner(stubs, relative, target, request);
    }
  }
  return { source: path, isDirectory: stats.isDirectory(), options: [one.writable ? "rw" : "ro"], covered };
}

/** S67: links are followed inside the view, never out of it. */
function resolveSubpath(view: string, subpath: string): { readonly path: string; readonly stats: Stats } {
  try {
    const { existing, missing, stats } = resolveInRoot(view, subpath);
    if (missing.length === 0) return { path: join(view, existing), stats };
  } catch (error) {
    if (!isErrno(error, "ENOTDIR") && !isErrno(error, "ELOOP")) throw error;
    throw new BuildError("command", `unable to safely resolve subpath ${subpath}`, { cause: error });
  }
  throw new BuildError("command", `open ${subpath}: no such file or directory`);
}

function makeInner(stubs: MountStubs, relative: string, target: string, request: MountRequest): void {
  const inner = request.mounts.findLast((one) => cleanPath(`/${one.target}`) === target);
  const isDirectory =
    inner?.kind === "bind" ? statSync(inner.source).isDirectory() : inner?.kind !== "secret" && inner?.kind !== "ssh";
  stubs.prepare({ target: relative, isDirectory });
}

function openSecret(one: SandboxMount & { readonly kind: "secret" }, context: OneMount): OpenedSource {
  if (one.data.byteLength > MAX_SECRET_SIZE) {
    throw new BuildError(
      "source",
      `secret for ${one.target} is too big: ${one.data.byteLength} bytes, at most ${MAX_SECRET_SIZE} are possible`,
    );
  }
  const path = join(context.secrets.directory(), context.name);
  writeFileSync(path, one.data, { mode: 0o600, flag: "wx" });
  chownSync(path, one.uid, one.gid);
  chmodSync(path, one.mode & 0o777);
  const isProgram = (one.mode & 0o111) !== 0;
  return { source: path, isDirectory: false, options: ["ro", "nosuid", "nodev", ...(isProgram ? [] : ["noexec"])] };
}

/** Memory for secrets and agent sockets: they never touch a disk. Made when first asked for. */
class SecretFiles {
  readonly #request: MountRequest;
  readonly #held: AsyncDisposableStack;
  #directory: string | undefined;

  constructor(request: MountRequest, held: AsyncDisposableStack) {
    this.#request = request;
    this.#held = held;
  }

  directory(): string {
    if (this.#directory !== undefined) return this.#directory;
    const directory = join(this.#request.scratchDir, "secrets");
    mkdirSync(directory, { mode: 0o700 });
    mountMemory(directory);
    this.#held.defer(() => umount(directory, MNT_DETACH | UMOUNT_NOFOLLOW));
    return (this.#directory = directory);
  }
}

function mountMemory(directory: string): void {
  const flags = MS_NOSUID | MS_NODEV;
  try {
    mount("tmpfs", directory, "tmpfs", flags, "mode=0700,noswap");
  } catch (error) {
    // Kernels before 6.4, and user namespaces, do not take noswap.
    if (!isErrno(error, "EINVAL") && !isErrno(error, "EPERM")) throw error;
    mount("tmpfs", directory, "tmpfs", flags, "mode=0700");
  }
}

function writePipes({ pipes, scratchDir }: MountRequest): OpenedMount {
  const source = join(scratchDir, "pipes");
  mkdirSync(source);
  chmodSync(source, 0o755);
  for (const { name, content } of pipes) {
    const path = join(source, name);
    writeFileSync(path, content, { flag: "wx" });
    chmodSync(path, 0o755);
  }
  return { target: PIPES_TARGET, source, isDirectory: true, isInRootfs: false, options: ["ro", "nosuid", "nodev"] };
}

export function isBelow(path: string, outer: string): boolean {
  return path === outer || path.startsWith(outer === "/" ? "/" : `${outer}/`);
}
