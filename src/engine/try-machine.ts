// The doctor's examination: each thing that a build needs is done once, not guessed from what is installed. Changes nothing that stays.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { mount, MNT_DETACH, umount } from "../base/libc.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { detectCgroups } from "../sandbox/cgroup.ts";
import { mountOverlay } from "../sandbox/overlay.ts";
import { blocker, UNCONFINED } from "../sandbox/confinement.ts";
import { rootlessCommand, tryNamespace } from "../sandbox/rootless.ts";
import { createSandbox, type Sandbox } from "../sandbox/sandbox.ts";

export interface Finding {
  readonly name: string;
  /** "degraded": builds run, with less. */
  readonly state: "good" | "degraded" | "bad";
  readonly detail: string;
  readonly remedy?: string;
}

export interface DoctorOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Directory of the store, which need not be there. */
  readonly root: string;
  /** This process is root of a user namespace that it made for itself. */
  readonly isRootless: boolean;
  /** As EngineOptions has it. */
  readonly processes?: "private" | "host";
}

export interface UserOptions {
  readonly uid: number;
  /** Login name, for /etc/subuid. */
  readonly userName: string;
  readonly searchPath: string;
}

/** See doctor.ts. */
export async function tryUser(options: UserOptions): Promise<readonly Finding[]> {
  try {
    const [unshare = ""] = await rootlessCommand({ ...options, argv: [] });
    await tryNamespace(unshare);
    return [{ name: "user", state: "good", detail: `${options.userName}, with subordinate ids and user namespaces` }];
  } catch (error) {
    return [{ name: "user", state: "bad", ...told(error) }];
  }
}

/** See doctor.ts. */
export async function tryMachine(options: DoctorOptions): Promise<readonly Finding[]> {
  const user = options.isRootless ? [] : [{ name: "user", state: "good", detail: "root" } as const];
  const mounts = tryMount();
  const first: readonly Finding[] = [{ name: "node", state: "good", detail: process.version }, ...user, mounts];
  // Without a mount nothing of the rest can be tried.
  if (mounts.state === "bad") return first;
  return [...first, ...(await withFolder(options, (folder) => tryStep(options, folder))), cgroups(options.isRootless)];
}

/** A directory on the store's file system, where it is or will be. */
async function withFolder(
  { root }: DoctorOptions,
  work: (folder: string) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  let place = root;
  while (!existsSync(place)) place = dirname(place);
  let folder: string;
  try {
    folder = mkdtempSync(join(place, ".tsbuild-doctor-"));
  } catch (error) {
    const remedy = "set TSBUILD_ROOT to a directory that you can write to";
    return [{ name: "store", state: "bad", detail: `${root} cannot be written: ${messageOf(error)}`, remedy }];
  }
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function tryMount(): Finding {
  const folder = mkdtempSync(join(tmpdir(), "tsbuild-doctor-"));
  try {
    mount("tmpfs", folder, "tmpfs", 0, "");
    umount(folder, MNT_DETACH);
    return { name: "mount", state: "good", detail: "allowed" };
  } catch (error) {
    const reason = blocker();
    const detail = `mount(2) is refused: ${reason ?? messageOf(error)}`;
    const remedy = reason?.includes("CAP_SYS_ADMIN")
      ? "run it as a user other than root, who gets a user namespace, or with --cap-add SYS_ADMIN"
      : UNCONFINED;
    return { name: "mount", state: "bad", detail, remedy };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An overlay on the store's file system, then a container on it. */
async function tryStep(options: DoctorOptions, folder: string): Promise<readonly Finding[]> {
  for (const name of ["lower", "upper", "target", "scratch", "upper2", "state"]) mkdirSync(join(folder, name));
  const lowerDirs = [join(folder, "lower")];
  try {
    const upperDir = join(folder, "upper");
    const target = join(folder, "target");
    mountOverlay({ lowerDirs, upperDir, target, scratchDir: join(folder, "overlay"), isRootless: options.isRootless })[
      Symbol.dispose
    ]();
  } catch (error) {
    const remedy =
      "keep the store (TSBUILD_ROOT) on ext4, xfs, btrfs or tmpfs, not on another overlay, and load the module: modprobe overlay";
    return [{ name: "overlayfs", state: "bad", detail: `below ${options.root}: ${messageOf(error)}`, remedy }];
  }
  return [{ name: "overlayfs", state: "good", detail: "mounts" }, ...(await tryContainer(options, folder, lowerDirs))];
}

/** Starts a program that is not there: a runtime that says so has made everything else that a step needs. */
async function tryContainer(
  { environment, isRootless, processes }: DoctorOptions,
  folder: string,
  lowerDirs: readonly string[],
): Promise<readonly Finding[]> {
  const notices: string[] = [];
  const runtime = environment["TSBUILD_OCI_RUNTIME"];
  try {
    await using sandbox = await createSandbox({
      stateDir: join(folder, "state"),
      isRootless,
      searchPath: `${environment["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`,
      onNotice: (text) => notices.push(text),
      ...(runtime === undefined ? {} : { runtime }),
      ...(processes === undefined ? {} : { processes }),
    });
    await runNothing(sandbox, folder, lowerDirs);
    const { name, version } = sandbox.runtime;
    return [{ name: "OCI runtime", state: "good", detail: `${name} ${version}` }, network(notices)];
  } catch (error) {
    return [{ name: "OCI runtime", state: "bad", ...told(error) }];
  }
}

async function runNothing(sandbox: Sandbox, folder: string, lowerDirs: readonly string[]): Promise<void> {
  await sandbox.run({
    id: `tsbuild-doctor-${process.pid}`,
    scratchDir: join(folder, "scratch"),
    upperDir: join(folder, "upper2"),
    lowerDirs,
    args: ["/nothing"],
    env: [],
    cwd: "/",
    user: "",
    hostname: "doctor",
    network: "default",
    security: "sandbox",
    mounts: [],
    pipes: [],
    ulimits: [],
    extraHosts: [],
    onOutput: () => undefined,
  });
}

function network(notices: readonly string[]): Finding {
  if (notices.length === 0) return { name: "private network", state: "good", detail: "works" };
  const detail = notices.join("; ");
  const remedy = /tun/.test(detail)
    ? "make /dev/net/tun usable by everybody: chmod 666 /dev/net/tun"
    : "apt-get install passt (or slirp4netns)";
  return { name: "private network", state: "degraded", detail, remedy };
}

function cgroups(isRootless: boolean): Finding {
  const { layout } = detectCgroups(isRootless);
  if (layout !== "none") return { name: "cgroups", state: "good", detail: layout };
  const detail =
    "not writable here: limits of RUN are refused, and an out-of-memory kill is told from exit status 137 only";
  return { name: "cgroups", state: "degraded", detail };
}

function told(error: unknown): { readonly detail: string; readonly remedy?: string } {
  const help = error instanceof BuildError ? error.help : undefined;
  return { detail: messageOf(error), ...(help === undefined ? {} : { remedy: help }) };
}
