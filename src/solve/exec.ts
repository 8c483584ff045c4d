// RUN: turns an exec op and the layers below it into one call of the sandbox, and what the step left behind into a layer.
import { mkdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { nowMs, randomName } from "../base/clock.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Vertex } from "../graph/graph.ts";
import type { CacheMount, ExecOp, MountOp } from "../graph/op.ts";
import type { OutputStream } from "../progress/events.ts";
import type { Layer, Rootfs } from "../rootfs/layer.ts";
import { lowerDirsOf } from "../rootfs/lower-dirs.ts";
import { RootfsView } from "../rootfs/view.ts";
import { StepBrake } from "../sandbox/brake.ts";
import type { SandboxMount, StepRequest } from "../sandbox/sandbox.ts";
import { cacheSeed, openCacheMount } from "./cache-mounts.ts";
import { isRootfs, type Results } from "./key-inputs.ts";
import { LastLines } from "./last-lines.ts";
import {
  cacheStart,
  findMounted,
  manifestOf,
  selectMountedFiles,
  type CacheStart,
  type MountedFiles,
} from "./mounted-files.ts";
import { Redactor } from "./redact.ts";
import type { MountedSecret } from "./secret-leak.ts";
import type { SolveServices, StepLog } from "./services.ts";
import { shortName } from "./step-name.ts";

export interface ExecExecutorOptions {
  readonly services: SolveServices;
  readonly results: Results;
  readonly signal: AbortSignal;
}

/** What stands behind a mount that has an input: directory faces to mount, or files to start a cache with. */
export interface MountInput {
  readonly lowerDirs: readonly string[];
  /** What of them is mounted, where they hold no more than that; else it is what the mount says. */
  readonly subpath?: string;
  readonly files?: MountedFiles;
}

/** By index of the vertex's input. */
export type MountInputs = ReadonlyMap<MountOp, MountInput>;

/** What a step's mounts turn into, held until the step has ended. */
interface OpenMounts extends AsyncDisposable {
  readonly mounts: readonly SandboxMount[];
  readonly env: readonly string[];
  readonly secrets: readonly MountedSecret[];
  /** Directories of the store that the step may write to. */
  readonly cachePaths: readonly string[];
}

interface OpenCaches {
  /** What is mounted: a directory, or the one file of a cache that started with a file. */
  readonly sources: ReadonlyMap<MountOp, string>;
  readonly directories: readonly string[];
}

export class ExecExecutor {
  readonly #services: SolveServices;
  readonly #results: Results;
  readonly #signal: AbortSignal;

  constructor({ services, results, signal }: ExecExecutorOptions) {
    this.#services = services;
    this.#results = results;
    this.#signal = signal;
  }

  /** Makes what the mounts of a step are made of. Needs no slot: it may wait for other steps. */
  async prepareInputs(op: ExecOp, vertex: Vertex): Promise<MountInputs> {
    const inputs = new Map<MountOp, MountInput>();
    for (const mount of op.mounts) {
      if ((mount.kind !== "bind" && mount.kind !== "cache") || mount.input === undefined) continue;
      const id = vertex.inputs[mount.input];
      if (id === undefined) continue;
      const isStage = isRootfs(this.#results.vertex(id));
      if (mount.kind === "bind" && isStage) {
        const rootfs = await this.#results.rootfs(id);
        const isImage = this.#results.vertex(id).op.kind === "image";
        const label = isImage ? "the mounted image" : "the mounted stage";
        const ofImage = isImage ? op.args : undefined;
        if (mount.source !== "") await findMounted(new RootfsView(rootfs), mount.source, label, ofImage);
        inputs.set(mount, { lowerDirs: await lowerDirsOf(rootfs) });
        continue;
      }
      const source = isStage
        ? { tree: new RootfsView(await this.#results.rootfs(id)), label: "the mounted stage" }
        : await this.#results.tree(id);
      const selected = await selectMountedFiles(source.tree, mount.source, source.label);
      if (mount.kind === "cache") inputs.set(mount, { lowerDirs: [], files: selected });
      else
        inputs.set(mount, {
          subpath: selected.path,
          lowerDirs: await lowerDirsOf([this.#services.layers.fromManifest(manifestOf(selected.whole), "")]),
        });
    }
    return inputs;
  }

  /** Runs the step and takes its changes as a layer. */
  async run(vertex: Vertex, op: ExecOp, below: Rootfs, inputs: MountInputs): Promise<Layer> {
    const [sandbox, lowerDirs] = await Promise.all([this.#services.sandbox(), lowerDirsOf(below)]);
    const scratchDir = this.#services.makeScratchDir(randomName(4));
    const upperDir = join(scratchDir, "u");
    mkdirSync(upperDir, { mode: 0o755 });
    await using opened = await this.#openMounts(vertex, op, inputs);
    using log = this.#services.openLog(vertex);
    const output = new StepOutput(
      this.#services,
      vertex,
      log,
      opened.secrets.map(({ value }) => value),
    );
    const brake = new StepBrake();
    const request: Omit<StepRequest, "id" | "signal"> = {
      brake,
      scratchDir: join(scratchDir, "b"),
      lowerDirs,
      upperDir,
      ...requestOf(op),
      env: [...op.env, ...(vertex.meta.hiddenEnv ?? []), ...opened.env],
      mounts: opened.mounts,
      ...(op.devices ? { devices: await this.#services.deviceEdits(op.devices) } : {}),
      extraHosts: this.#services.extraHosts,
      ...(this.#services.resources ? { resources: this.#services.resources } : {}),
      ...(this.#services.caCert === undefined ? {} : { caCert: this.#services.caCert }),
      onOutput: (stream, chunk) => {
        output.push(stream, chunk);
      },
    };
    mkdirSync(request.scratchDir, { mode: 0o700 });
    const watched = {
      scratch: [upperDir],
      kept: opened.cachePaths,
      hold: () => brake.hold(),
      reset: async () => {
        await rm(upperDir, { recursive: true });
        mkdirSync(upperDir, { mode: 0o755 });
      },
    };
    // Awaited here: mounts and log are held until the step has ended.
    return await this.#services.watchStep(shortName(vertex), watched, async (signal, settle) => {
      const id = `tsbuild-${randomName(8)}`;
      const result = await sandbox.run({ ...request, id, signal: AbortSignal.any([this.#signal, signal]) });
      output.end();
      if (result.usage) this.#services.onEvent({ kind: "step-used", vertex: vertex.id, ...result.usage });
      signal.throwIfAborted();
      this.#signal.throwIfAborted();
      if (result.exitCode !== 0) {
        const { commandError } = await import("./command-error.ts");
        const { storePath } = this.#services;
        const lastOutput = output.last.read();
        throw await commandError({ vertex, op, result, lastOutput, logPath: log.path, storePath, below });
      }
      await settle();
      await this.#assertNoLeak(opened.secrets, upperDir, below, signal);
      const layer = await this.#services.layers.fromUpper(upperDir, vertex.meta.instruction, below);
      rmSync(scratchDir, { recursive: true, force: true });
      return layer;
    });
  }

  async #assertNoLeak(
    mounted: readonly MountedSecret[],
    upperDir: string,
    below: Rootfs,
    signal: AbortSignal,
  ): Promise<void> {
    const secrets = mounted.filter(({ id }) => !this.#services.isLeakAllowed(id));
    if (secrets.length === 0) return;
    const { assertNoLeak } = await import("./secret-leak.ts");
    const { xattrNamespace } = this.#services;
    await assertNoLeak({ upperDir, below: new RootfsView(below), secrets, xattrNamespace, signal });
  }

  async #openMounts(vertex: Vertex, op: ExecOp, inputs: MountInputs): Promise<OpenMounts> {
    const held = new AsyncDisposableStack();
    const mounts: SandboxMount[] = [];
    const env: string[] = [];
    const secrets: MountedSecret[] = [];
    try {
      const caches = await this.#openCaches(vertex, op, inputs, held);
      for (const mount of op.mounts) {
        switch (mount.kind) {
          case "bind": {
            const { source, target, writable } = mount;
            const { lowerDirs = [], subpath = source } = inputs.get(mount) ?? {};
            mounts.push({ kind: "overlay", target, lowerDirs, subpath, writable });
            break;
          }
          case "cache":
            mounts.push({
              kind: "bind",
              target: mount.target,
              source: caches.sources.get(mount)!,
              readonly: mount.readonly,
            });
            break;
          case "tmpfs":
            mounts.push(mount);
            break;
          case "secret": {
            const value = await this.#secretOf(mount);
            if (value === undefined) break;
            secrets.push({ id: mount.id, value });
            if (mount.env !== undefined) env.push(`${mount.env}=${Buffer.from(value).toString()}`);
            const { target, mode, uid, gid } = mount;
            if (target !== undefined) mounts.push({ kind: "secret", target, data: value, mode, uid, gid });
            break;
          }
          case "ssh": {
            const socket = await this.#sshSocketOf(mount);
            if (socket === undefined) break;
            const { target, mode, uid, gid } = mount;
            mounts.push({ kind: "ssh", target, socket, mode, uid, gid });
            const isSet = [...op.env, ...env].some((variable) => variable.startsWith("SSH_AUTH_SOCK="));
            if (!isSet) env.push(`SSH_AUTH_SOCK=${target}`);
            break;
          }
        }
      }
      return {
        mounts,
        env,
        secrets,
        cachePaths: caches.directories,
        [Symbol.asyncDispose]: () => held.disposeAsync(),
      };
    } catch (error) {
      await held.disposeAsync();
      throw error;
    }
  }

  /** Directories of the step's caches. In the order of their ids, so that two steps which lock the same ones never wait for each other. */
  async #openCaches(vertex: Vertex, op: ExecOp, inputs: MountInputs, held: AsyncDisposableStack): Promise<OpenCaches> {
    const sources = new Map<MountOp, string>();
    const opened = new Map<string, string>();
    const caches = op.mounts.filter((mount) => mount.kind === "cache");
    for (const mount of caches.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))) {
      const start = cacheStart(mount, inputs.get(mount)?.files, op.args);
      const seed = cacheSeed(mount, start);
      // One cache at two places of a step is one directory; the step must not wait for itself.
      const known = `${seed} ${mount.id}`;
      const path = opened.get(known) ?? (await this.#openCache(vertex, mount, start, held));
      opened.set(known, path);
      sources.set(mount, start.file === undefined ? path : join(path, start.file));
    }
    return { sources, directories: [...new Set(opened.values())] };
  }

  async #openCache(vertex: Vertex, mount: CacheMount, start: CacheStart, held: AsyncDisposableStack): Promise<string> {
    if (mount.isLockedByDefault === true) {
      const message = `${shortName(vertex)}: one step at a time uses cache mount ${mount.target}, for package managers lock it (sharing=shared lets them share it)`;
      this.#services.onEvent({ kind: "notice", message });
    }
    return held.use(await openCacheMount(this.#services, { vertex, mount, start, signal: this.#signal })).path;
  }

  async #secretOf(mount: MountOp & { readonly kind: "secret" }): Promise<Uint8Array | undefined> {
    const value = await this.#services.secret(mount.id);
    if (value !== undefined) return value;
    if (mount.required) {
      throw new BuildError("source", `secret ${mount.id}: not found`, {
        summary: `this RUN needs the secret "${mount.id}", and the build was not given it`,
        help: `give it with --secret id=${mount.id},src=FILE or --secret id=${mount.id},env=NAME`,
        details: { word: `id=${mount.id}` },
      });
    }
    return mount.env === undefined ? undefined : new Uint8Array();
  }

  async #sshSocketOf(mount: MountOp & { readonly kind: "ssh" }): Promise<string | undefined> {
    const socket = await this.#services.sshSocket(mount.id);
    if (socket === undefined && mount.required) {
      throw new BuildError("source", `unset ssh forward key ${mount.id}`, {
        summary: `this RUN needs the ssh agent "${mount.id}", and the build was not given one`,
        help: `give a key with --ssh ${mount.id}=KEYFILE, or a running ssh agent with --ssh ${mount.id}`,
        details: { word: "type=ssh" },
      });
    }
    return socket;
  }
}

/** What a step is asked for in so many words. */
function requestOf(op: ExecOp) {
  const { args, platform, cwd, user, hostname = "buildkitsandbox", network, security, shmSize, cgroupParent } = op;
  return {
    args,
    platform,
    cwd,
    user,
    hostname,
    network,
    security,
    pipes: op.pipes ?? [],
    ulimits: op.ulimits ?? [],
    ...(shmSize === undefined ? {} : { shmSize }),
    ...(cgroupParent === undefined ? {} : { cgroupParent }),
  };
}

/** A step's output on its way to the log, the events and the error: complete, without secrets. */
class StepOutput {
  readonly #services: SolveServices;
  readonly #vertex: Vertex;
  readonly #log: StepLog;
  readonly #redactors: Readonly<Record<OutputStream, Redactor>>;
  readonly last = new LastLines();

  constructor(services: SolveServices, vertex: Vertex, log: StepLog, secrets: readonly Uint8Array[]) {
    this.#services = services;
    this.#vertex = vertex;
    this.#log = log;
    this.#redactors = { stdout: new Redactor(secrets), stderr: new Redactor(secrets) };
  }

  push(stream: OutputStream, chunk: Uint8Array): void {
    this.#show(stream, this.#redactors[stream].push(chunk));
  }

  end(): void {
    this.#show("stdout", this.#redactors.stdout.end());
    this.#show("stderr", this.#redactors.stderr.end());
  }

  #show(stream: OutputStream, data: Uint8Array): void {
    if (data.length === 0) return;
    this.#log.write(data);
    this.last.push(data);
    this.#services.onEvent({ kind: "vertex-output", vertex: this.#vertex.id, stream, data, atMs: nowMs() });
  }
}
