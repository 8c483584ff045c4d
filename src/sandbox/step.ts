// One step from empty directories to a changed upper directory: overlay, user, mounts, network, spec, container, and all of it taken down again.
// Everything made here is undone in reverse order, whatever happens; after a kill -9 reap.ts does it from the record in the scratch directory.
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanPath } from "../base/container-path.ts";
import { isErrno } from "../base/fs-atomic.ts";
import { processFailure } from "../base/go-text.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { DeviceMount } from "./cdi.ts";
import { CA_BUNDLE_TARGET, caBundle, withCaVariables } from "./ca-bundle.ts";
import {
  oomKillCount,
  oomVerdict,
  removeCgroups,
  stepCgroup,
  stepUsage,
  type CgroupLayout,
  type StepCgroup,
} from "./cgroup.ts";
import { runContainer } from "./container.ts";
import { emulatedArgs, emulatorMounts, findEmulator } from "./emulator.ts";
import { MountPoints } from "./mount-points.ts";
import { openMounts, type OpenedMount } from "./mounts.ts";
import { resolvConfOf, type NetworkPool, type StepNetwork } from "./network.ts";
import { adoptRoot, mountOverlay } from "./overlay.ts";
import { writeStepRecord, type StepRecord } from "./reap.ts";
import { hostsFile } from "./resolv-conf.ts";
import { resolveInRoot } from "./root-path.ts";
import type { SpecSeccomp } from "./runtime-spec.ts";
import { DEFAULT_SEARCH_PATH, runtimeCommand, type RuntimeInvocation } from "./runtime.ts";
import { FILTER_ANNOTATION, type FilterCache } from "./seccomp-cache.ts";
import type { SandboxMount, StepRequest, StepResult } from "./step-request.ts";
import { DEFAULT_SHM_SIZE, runtimeSpec, type SpecHost, type SpecInput } from "./spec.ts";
import { killStrays, mountIdentity, type MountIdentity } from "./strays.ts";
import { MountStubs } from "./stubs.ts";
import { resolveUser, UnknownUserError, type StepUser } from "./user.ts";

/** What steps of one sandbox share. */
export interface StepWorld {
  /** How the runtime is called for a step that says nothing of it. */
  readonly plain: RuntimeInvocation;
  readonly layout: CgroupLayout;
  readonly isRootless: boolean;
  readonly processes: "private" | "host";
  readonly networks: NetworkPool;
  /** Where emulators are looked for, as in PATH. */
  readonly searchPath: string;
  readonly filters: FilterCache;
  readonly host: SpecHost;
}

const HIDDEN_FILE: readonly string[] = ["ro", "nosuid", "nodev", "noexec"];

/** See Sandbox.run. */
export async function runStep(world: StepWorld, request: StepRequest): Promise<StepResult> {
  const { signal, scratchDir } = request;
  signal?.throwIfAborted();
  await using held = new AsyncDisposableStack();
  held.defer(() => emptyDirectory(scratchDir));
  const cgroup = cgroupOf(world, request);
  const invocation = invocationOf(world, request);
  const record: StepRecord = {
    kill: runtimeCommand(invocation, ["delete", "--force", request.id]),
    cgroups: cgroup.directories,
  };
  writeStepRecord(scratchDir, record);
  held.defer(() => removeCgroups(cgroup.directories));
  request.brake?.attach(world.layout, cgroup);

  const network = await acquireNetwork(world, request, held);
  const rootfs = join(scratchDir, "rootfs");
  const stubs = new MountStubs(rootfs, request.upperDir);
  // Deferred before the mount, so run after the unmount: only then is the upper directory ours alone.
  held.defer(() => stubs.remove());
  mountRootfs(world, request, rootfs, held);
  const root = world.processes === "host" ? mountIdentity(rootfs) : undefined;
  if (root !== undefined) writeStepRecord(scratchDir, { ...record, root });
  const user = resolveStepUser(rootfs, request);
  makeSystemDirectories(rootfs);
  makeCwd(rootfs, request, user);
  const emulator = request.platform && findEmulator(request.platform, world.searchPath);
  const mounts = await openStepMounts(world, request, { rootfs, network, emulator }, held);
  const input: SpecInput = {
    rootfs,
    args: emulatedArgs(request.args, emulator),
    env: environmentOf(request, user),
    cwd: cleanPath(`/${request.cwd}`),
    user,
    hostname: request.hostname,
    security: request.security,
    network: specNetwork(request, network),
    mounts: new MountPoints(stubs, request.args).prepare(mounts),
    devices: request.devices,
    shmSize: request.shmSize ?? DEFAULT_SHM_SIZE,
    ulimits: request.ulimits,
    resources: request.resources ?? {},
    cgroupsPath: cgroup.specPath,
    cgroups: world.layout,
    isRootless: world.isRootless,
    processes: world.processes,
    host: world.host,
  };
  const spec = runtimeSpec(input);
  const filter = world.filters.find(spec.linux.seccomp);
  const annotations = filter === undefined ? {} : { annotations: { [FILTER_ANNOTATION]: filter } };
  writeFileSync(join(scratchDir, "config.json"), JSON.stringify({ ...spec, ...annotations }));

  signal?.throwIfAborted();
  const killsBefore = oomKillCount();
  const uncompiled = filter === undefined ? spec.linux.seccomp : undefined;
  const exitCode = await runWatched(world, request, { invocation, uncompiled, root });
  return resultOf(world, request, cgroup, { exitCode, killsBefore });
}

/** Throws BuildError `runtime` where the step is to be limited and can have no group. */
function cgroupOf({ layout }: StepWorld, { id, cgroupParent, resources = {} }: StepRequest): StepCgroup {
  const cgroup = stepCgroup(layout, id, cgroupParent);
  if (cgroup.specPath === undefined && Object.keys(resources).length > 0)
    throw new BuildError("runtime", "limits of RUN need a cgroup of its own, and none can be made here", {
      help: "build as root where /sys/fs/cgroup is writable, or leave the limits out",
    });
  return cgroup;
}

/** While the step's group is still there. */
function resultOf(
  { layout }: StepWorld,
  request: StepRequest,
  cgroup: StepCgroup,
  { exitCode, killsBefore }: { readonly exitCode: number; readonly killsBefore: number },
): StepResult {
  const verdict = oomVerdict({ layout, cgroup, exitCode, limit: request.resources?.memory, killsBefore });
  const signalName = signalOf(exitCode);
  const usage = stepUsage(layout, cgroup);
  return { exitCode, ...(signalName === undefined ? {} : { signal: signalName }), ...verdict, ...(usage && { usage }) };
}

/** Runs the container; `uncompiled` is the seccomp profile that its runtime has to compile, `root` what processes are known by that nothing else ends. */
async function runWatched(
  world: StepWorld,
  request: StepRequest,
  how: {
    readonly invocation: RuntimeInvocation;
    readonly uncompiled: SpecSeccomp | undefined;
    readonly root: MountIdentity | undefined;
  },
): Promise<number> {
  const { id, onOutput, scratchDir, signal } = request;
  const { invocation, uncompiled, root } = how;
  using watches = new DisposableStack();
  watches.use(world.filters.watch(uncompiled, join(invocation.root, id)));
  return await runContainer({
    id,
    bundle: scratchDir,
    invocation,
    onOutput,
    ...(signal ? { signal } : {}),
    ...(root === undefined ? {} : { endStrays: () => killStrays(root) }),
  });
}

function invocationOf({ plain }: StepWorld, request: StepRequest): RuntimeInvocation {
  return request.cgroupParent?.includes(":") ? { ...plain, isSystemdCgroup: true } : plain;
}

/** Undefined where the step has nothing but what the runtime makes: no network, or the host's. */
async function acquireNetwork(
  world: StepWorld,
  request: StepRequest,
  held: AsyncDisposableStack,
): Promise<StepNetwork | undefined> {
  if (request.network !== "default") return undefined;
  const network = await world.networks.acquire();
  held.defer(() => world.networks.release(network, request.security === "insecure"));
  return network;
}

function specNetwork(request: StepRequest, network: StepNetwork | undefined): SpecInput["network"] {
  if (request.network === "none" || network?.isConnected === false) return { kind: "none" };
  return network?.path === undefined ? { kind: "host" } : { kind: "path", path: network.path };
}

function mountRootfs(world: StepWorld, request: StepRequest, rootfs: string, held: AsyncDisposableStack): void {
  const { lowerDirs, upperDir, scratchDir } = request;
  mkdirSync(rootfs);
  adoptRoot(lowerDirs, upperDir);
  try {
    held.use(
      mountOverlay({
        lowerDirs,
        upperDir,
        target: rootfs,
        scratchDir: join(scratchDir, "overlay"),
        isRootless: world.isRootless,
      }),
    );
  } catch (error) {
    throw new BuildError("runtime", `cannot mount the step's root file system: ${messageOf(error)}`, {
      cause: error,
      help: "the store must be on a file system that overlayfs can write to (ext4, xfs, btrfs, tmpfs), not on another overlay",
    });
  }
}

function resolveStepUser(rootfs: string, request: StepRequest): StepUser {
  try {
    return resolveUser(rootfs, request.user);
  } catch (error) {
    if (!(error instanceof UnknownUserError)) throw error;
    const { message, summary, help } = error;
    const details = { culprit: "user" } as const;
    throw new BuildError("command", processFailure(request.args, message), { cause: error, summary, details, help });
  }
}

/** All that is mounted beside the system's file systems. */
async function openStepMounts(
  { isRootless }: StepWorld,
  request: StepRequest,
  {
    rootfs,
    network,
    emulator,
  }: Pick<SpecInput, "rootfs"> & {
    readonly network: StepNetwork | undefined;
    readonly emulator: string | undefined;
  },
  held: AsyncDisposableStack,
): Promise<readonly OpenedMount[]> {
  const { pipes, scratchDir } = request;
  const wanted = [...(request.devices?.mounts ?? []).map(mountOfDevice), ...request.mounts];
  const opened = await openMounts({ mounts: wanted, pipes, scratchDir, isRootless }, held);
  const files = writeStepFiles(rootfs, request, network, opened);
  return [...files, ...opened, ...emulatorMounts(emulator)];
}

/** S62: where an image lacks them they become part of the layer; made here so that they are the same with every runtime. */
function makeSystemDirectories(rootfs: string): void {
  for (const path of ["/proc", "/dev", "/sys"]) {
    const { existing, missing } = resolveInRoot(rootfs, path);
    if (missing.length > 0) mkdirSync(join(rootfs, existing, ...missing), { recursive: true, mode: 0o755 });
  }
}

/** Files of the machine that a device needs. */
function mountOfDevice({ hostPath, containerPath, options = [], type = "bind" }: DeviceMount): SandboxMount {
  if (type !== "bind" && type !== "none")
    throw new BuildError("unsupported", `a device asks for a mount of type ${type} at ${containerPath}`);
  return { kind: "bind", target: containerPath, source: hostPath, readonly: options.includes("ro") };
}

/** S11, S65. */
function makeCwd(rootfs: string, { cwd, args }: StepRequest, user: StepUser): void {
  try {
    const { existing, missing, stats } = resolveInRoot(rootfs, cwd);
    if (missing.length === 0 && !stats.isDirectory())
      // BuildKit lets the runtime find out, which exits with 1.
      throw new BuildError("command", processFailure(args, "exit code: 1"), {
        summary: `the working directory ${cwd} is not a directory`,
      });
    let path = join(rootfs, existing);
    for (const name of missing) {
      path = join(path, name);
      mkdirSync(path);
      chmodSync(path, 0o755);
      chownSync(path, user.uid, user.gid);
    }
  } catch (error) {
    if (!isErrno(error, "ENOTDIR") && !isErrno(error, "ELOOP")) throw error;
    throw new BuildError("command", `cannot make the working directory ${cwd}: ${messageOf(error)}`, { cause: error });
  }
}

/** Files of our own that the step sees: S52, S53, pain 19. A mount of the step's over their place wins. */
function writeStepFiles(
  rootfs: string,
  request: StepRequest,
  network: StepNetwork | undefined,
  opened: readonly OpenedMount[],
): readonly OpenedMount[] {
  const isHost =
    request.network === "host" || (network !== undefined && network.isConnected && network.path === undefined);
  const namespace = network ?? { path: undefined, isConnected: false, forwarder: undefined };
  const texts: readonly (readonly [string, string, string])[] = [
    ["/etc/resolv.conf", "resolv.conf", resolvConfOf(isHost ? undefined : namespace)],
    ["/etc/hosts", "hosts", hostsFile(request.hostname, request.extraHosts)],
    ...(request.caCert === undefined
      ? []
      : [[CA_BUNDLE_TARGET, "ca-bundle.pem", caBundle(rootfs, request.caCert)] as const]),
  ];
  const isHidden = (target: string): boolean =>
    opened.some((mount) => target === mount.target || target.startsWith(`${mount.target}/`));
  return texts
    .filter(([target]) => !isHidden(target))
    .map(([target, name, text]) => {
      const source = join(request.scratchDir, name);
      writeFileSync(source, text);
      chmodSync(source, 0o644);
      return { target, source, isDirectory: false, isInRootfs: target !== CA_BUNDLE_TARGET, options: HIDDEN_FILE };
    });
}

/** S10, R08: what the step says, the last of each name; PATH and HOME only where it says nothing. */
function environmentOf(request: StepRequest, user: StepUser): readonly string[] {
  const byName = new Map<string, string>();
  for (const variable of [...request.env, ...(request.devices?.env ?? [])])
    byName.set(variable.split("=", 1)[0] ?? "", variable);
  if (!byName.has("PATH")) byName.set("PATH", `PATH=${DEFAULT_SEARCH_PATH}`);
  if (!byName.has("HOME")) byName.set("HOME", `HOME=${user.home}`);
  const env = [...byName.values()];
  return request.caCert === undefined ? env : withCaVariables(env);
}

/** Shells and runtimes say "ended by signal n" as 128 + n. */
function signalOf(exitCode: number): string | undefined {
  return {
    130: "SIGINT",
    132: "SIGILL",
    134: "SIGABRT",
    135: "SIGBUS",
    136: "SIGFPE",
    137: "SIGKILL",
    139: "SIGSEGV",
    141: "SIGPIPE",
    143: "SIGTERM",
  }[exitCode];
}

function emptyDirectory(path: string): void {
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true });
}
