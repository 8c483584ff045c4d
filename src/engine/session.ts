// One build's share of the world: its lease (taken when something is to be made), its layers, its sandbox, and the services that the solver is given. Disposing leaves nothing of the build but what the store keeps.
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { nowMs } from "../base/clock.ts";
import { redactUrls } from "../base/url-text.ts";
import { BuildError } from "../diagnostics/build-error.ts";
import type { Vertex } from "../graph/graph.ts";
import type { GitOp, HttpOp } from "../graph/op.ts";
import { digestHex } from "../oci/digest.ts";
import { parseReference } from "../oci/reference.ts";
import type { EventSink } from "../progress/events.ts";

import { LayerFaces } from "../rootfs/layer-faces.ts";
import type { RemoteBlob } from "../rootfs/layer.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { Sandbox, StepResources } from "../sandbox/sandbox.ts";
import type { SshAgent } from "../sandbox/ssh-agent.ts";
import type { SolvedStep, SolveServices } from "../solve/services.ts";
import type { Lease } from "../store/leases.ts";
import type { Room } from "../store/room.ts";
import type { RoomClaim } from "../store/room-claim.ts";
import type { WatchedWork, WatchOptions } from "../store/watched-work.ts";
import type { Store } from "../store/store.ts";
import { datedNs } from "../tree/dated.ts";
import { BaseImages, LAYOUT_PREFIX, layoutBlobName } from "./base-images.ts";
import type { CacheImports } from "./cache-imports.ts";
import type { Devices } from "./devices.ts";
import { cacheIndex } from "./cache-index.ts";
import type { ExtraHost } from "./hosts.ts";
import type { EngineOptions, SecretSource, SshSource, PullPolicy } from "./options.ts";
import { offlineError } from "./offline.ts";
import { pastBuilds } from "./past-builds.ts";
import type { RemoteSources } from "./remote-sources.ts";
import type { SourceTrees } from "./source-trees.ts";

export interface SessionOptions {
  readonly engine: EngineOptions;
  readonly store: Store;
  readonly client: () => Promise<RegistryClient>;
  readonly isRootless: boolean;
  readonly pull: PullPolicy;
  readonly kind: "build" | "run" | "pull";
  /** Caches of other machines. */
  readonly imports?: CacheImports | undefined;
  readonly signal: AbortSignal;
}

export interface BuildInputs {
  readonly trees: SourceTrees;
  readonly secrets: readonly SecretSource[];
  readonly ssh: readonly SshSource[];
  /** Entitlements. */
  readonly allow: readonly string[];
  readonly extraHosts: readonly ExtraHost[];
  readonly resources: StepResources | undefined;
  /** Seconds since the epoch, from SOURCE_DATE_EPOCH. */
  readonly epoch: number | undefined;
  /** What names the Dockerfile's place, for explanations. */
  readonly slotScope: string;
  /** Which builds this one is compared with: see build-recorder. */
  readonly scope: string;
  /** What other processes that have to wait for a step of this build are told it is: its Dockerfile. */
  readonly place: string;
  readonly onSolved: ((step: SolvedStep) => void) | undefined;
}

const NO_CLAIM: RoomClaim = {
  bytes: 0,
  atLeast: () => Promise.resolve(),
  again: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** Another process removed a layer between our finding it and our pinning it. What was done until then is void, so the build starts again, pinning as it goes. */
export class LayersGone extends Error {
  override readonly name = "LayersGone";
}

export class Session implements AsyncDisposable {
  readonly images: BaseImages;
  readonly faces: LayerFaces;
  readonly #options: SessionOptions;
  readonly #held = new AsyncDisposableStack();
  readonly #onEvent: EventSink;
  readonly #agents = new Map<string, Promise<SshAgent>>();
  /** Layers that were found before there was a lease to pin them with. */
  readonly #found = new Set<string>();
  #protecting: Promise<void> | undefined;
  #openedLease: Lease | undefined;
  /** Undefined also where there is no ceiling. */
  #room: Room | undefined;
  #sandbox: Promise<Sandbox> | undefined;
  #devices: Promise<Devices> | undefined;

  constructor(options: SessionOptions) {
    const { engine, store, signal, client, pull, imports } = options;
    const isOffline = engine.isOffline === true;
    this.#options = options;
    this.#onEvent = options.engine.onEvent;
    this.images = new BaseImages({ store, client, pull, isOffline, signal, onEvent: engine.onEvent });
    this.faces = new LayerFaces({
      store,
      xattrNamespace: this.xattrNamespace,
      openRemote: (remote, offset) => this.openRemote(remote, offset),
      openCached: (cached, offset) => this.openCached(cached, offset),
      onCachedLost: (cached, reason) => imports?.lose(cached, reason),
      makeScratchDir: () => this.makeScratchDir("l"),
      pin: (layerId) => this.#pin(layerId),
      claim: (what, bytes) => this.claim(what, bytes),
      onEvent: this.#onEvent,
      signal,
    });
  }

  /**
   * Takes the lease, if there is none yet: from here on nothing that this build has found is removed by others. Needed before anything is made, run or
   * written; a build in which nothing changed never comes here. Throws {@link LayersGone} where another process has removed something meanwhile.
   */
  protect(): Promise<void> {
    return (this.#protecting ??= this.#takeLease());
  }

  async #takeLease(): Promise<void> {
    const { store, kind, signal } = this.#options;
    const lease = await store.openLease({ kind });
    // After the lease: what it pinned may go when room is counted for the last time.
    this.#held.defer(() => this.#room?.[Symbol.asyncDispose]() ?? Promise.resolve());
    this.#held.use(lease);
    this.#openedLease = lease;
    this.#room = await store.openRoom(lease.id, { signal });
    const isWhole = store.transaction(() => [...this.#found].every((id) => lease.pin("layer", id)));
    // Looked at again: what was there a moment ago may have lost its files before the pins.
    if (!isWhole || !this.faces.isIntact()) throw new LayersGone();
  }

  #pin(layerId: string): boolean {
    if (this.#openedLease) return this.#openedLease.pin("layer", layerId);
    if (this.#options.store.layers.get(layerId) === undefined) return false;
    this.#found.add(layerId);
    return true;
  }

  get #lease(): Lease {
    assert(this.#openedLease, "a build is protected before it makes anything");
    return this.#openedLease;
  }

  /** Bytes of a base layer, from its registry or from the user's OCI layout; verified at the end. */
  async *openRemote(remote: RemoteBlob, offset: number): AsyncGenerator<Uint8Array> {
    const { signal } = this.#options;
    const { repository, mediaType, digest, size, urls } = remote;
    if (repository.startsWith(LAYOUT_PREFIX)) {
      const { createReadStream } = await import("node:fs");
      const path = join(repository.slice(LAYOUT_PREFIX.length), layoutBlobName(digest));
      try {
        for await (const chunk of createReadStream(path, { start: offset, highWaterMark: 1 << 19 }))
          yield chunk as Uint8Array;
      } catch (error) {
        throw new BuildError("image", `cannot read layer ${digest} of the OCI layout`, { cause: error });
      }
      return;
    }
    const reference = parseReference(repository);
    if (!reference) throw new BuildError("image", `cannot tell where layer ${digest} comes from: ${repository}`);
    if (this.#options.engine.isOffline === true) throw offlineError("image", `layer ${digest} of ${repository}`);
    const client = await this.#options.client();
    yield* client.openBlob(reference, { mediaType, digest, size, ...(urls ? { urls } : {}) }, { offset, signal });
  }

  get xattrNamespace(): "trusted" | "user" {
    return this.#options.isRootless ? "user" : "trusted";
  }

  /** Bytes of a layer that a cache has. */
  openCached(cached: RemoteBlob, offset: number): AsyncIterable<Uint8Array> {
    const { imports, signal } = this.#options;
    assert(imports, "a cached layer comes from a cache");
    return imports.open(cached, offset, signal);
  }

  /** Room below the ceiling for what is about to be written. */
  claim(what: string, bytes: number): Promise<RoomClaim> {
    return this.#room?.claim(what, bytes) ?? Promise.resolve(NO_CLAIM);
  }

  /** Does work that shows only while it writes how much that is. `claim` undefined = what it writes to the lease stays until the end of the build. */
  async watch<T>(
    options: Omit<WatchOptions, "signal"> & { readonly claim?: RoomClaim },
    work: WatchedWork<T>,
  ): Promise<T> {
    const { signal } = this.#options;
    if (!this.#room) return work(signal, () => Promise.resolve());
    const claim = options.claim ?? (await this.#room.claim(options.what, 0));
    return this.#room.watch(claim, { ...options, signal }, work);
  }

  /** As {@link watch}, while nothing else of this build is at work: everything that is its own is looked at. */
  watchAll<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (!this.#room || !this.#openedLease) return work();
    return this.watch({ what, scratch: [this.#openedLease.tmp], kept: [this.#options.store.paths.sources] }, work);
  }

  sandbox(): Promise<Sandbox> {
    return (this.#sandbox ??= this.#openSandbox());
  }

  /** Held from the start: a build that fails while its sandbox is being made ends it as well. */
  #openSandbox(): Promise<Sandbox> {
    const opening = this.#createSandbox();
    this.#held.defer(async () => {
      await (await opening.catch(() => undefined))?.[Symbol.asyncDispose]();
    });
    return opening;
  }

  async #createSandbox(): Promise<Sandbox & AsyncDisposable> {
    const { engine, store, isRootless } = this.#options;
    const searchPath = engine.environment["PATH"];
    const { createSandbox } = await import("../sandbox/sandbox.ts");
    return createSandbox({
      stateDir: this.makeScratchDir("s"),
      cacheDir: join(store.paths.root, "sandbox"),
      isRootless,
      ownsProcess: engine.ownsProcess ?? false,
      onNotice: (message) => {
        this.#onEvent({ kind: "notice", message });
      },
      ...(searchPath === undefined ? {} : { searchPath: `${searchPath}:/usr/sbin:/sbin` }),
      ...(engine.runtime === undefined ? {} : { runtime: engine.runtime }),
      ...(engine.processes === undefined ? {} : { processes: engine.processes }),
    });
  }

  makeScratchDir(name: string): string {
    return this.#lease.tempDirectory(name);
  }

  /** What the build fetches beside images, with the secrets and agents that it was given. Loaded at the first call. */
  remoteSources(inputs: Pick<BuildInputs, "secrets" | "ssh">): () => Promise<RemoteSources> {
    const { store, engine, signal } = this.#options;
    const open = async (): Promise<RemoteSources> => {
      const { RemoteSources } = await import("./remote-sources.ts");
      return new RemoteSources({
        cacheDir: store.paths.sources,
        environment: engine.environment,
        caCert: engine.caCert,
        isOffline: engine.isOffline === true,
        makeScratchDir: () => this.makeScratchDir("r"),
        secret: (id) => this.#secretOf(id, inputs),
        sshSocket: (id) => this.#sshSocketOf(id, inputs),
        signal,
      });
    };
    let opened: Promise<RemoteSources> | undefined;
    return () => (opened ??= open());
  }

  async #secretOf(id: string, { secrets }: Pick<BuildInputs, "secrets">): Promise<Uint8Array | undefined> {
    const { readSecret } = await import("./secrets.ts");
    return readSecret(id, { secrets, environment: this.#options.engine.environment });
  }

  async #secretDigestOf(id: string, { secrets }: Pick<BuildInputs, "secrets">): Promise<string | undefined> {
    if (secrets.find((secret) => secret.id === id)?.cache !== "content") return undefined;
    const value = await this.#secretOf(id, { secrets });
    if (value === undefined) return undefined;
    const { secretDigest } = await import("./secret-key.ts");
    return secretDigest(join(this.#options.store.paths.root, "secret-key"), value);
  }

  async #sshSocketOf(id: string, { ssh }: Pick<BuildInputs, "ssh">): Promise<string | undefined> {
    const { environment } = this.#options.engine;
    const { sshSocketOf } = await import("./secrets.ts");
    return sshSocketOf(id, { ssh, environment, openAgent: (paths) => this.#openAgent(paths) });
  }

  /** Devices of this machine, with what was allowed of them. Loaded at the first call. */
  devices(allow: readonly string[]): Promise<Devices> {
    const { environment } = this.#options.engine;
    const onProblem = (message: string): void => this.#onEvent({ kind: "notice", message });
    return (this.#devices ??= import("./devices.ts").then(
      ({ Devices }) => new Devices({ environment, allow, onProblem }),
    ));
  }

  /** Everything that the solver may ask for. */
  services(inputs: BuildInputs): SolveServices {
    const { store, engine, imports } = this.#options;
    const build = `the build of ${inputs.place} (pid ${process.pid})`;
    return {
      cache: cacheIndex({ store, faces: this.faces, imports, hasEpoch: inputs.epoch !== undefined }),
      past: pastBuilds(store, inputs.scope),
      layers: this.faces,
      sandbox: () => this.sandbox(),
      openImage: (op) => this.images.open(op, this.faces),
      openTree: async (op, signal) => {
        if (op.kind === "local") return inputs.trees.open(op, signal);
        await this.protect();
        await using claim = await this.claim(nameOf(op), 0);
        const kept = [store.paths.sources];
        return await this.watch({ what: nameOf(op), claim, scratch: [], kept }, (both) => inputs.trees.open(op, both));
      },
      lockStep: async (key, onWait, signal) => {
        await this.protect();
        return store.lock(`step ${key}`, { mode: "exclusive", holder: build, onWait, signal });
      },
      acquireCacheMount: (request) =>
        store.acquireCacheMount({
          ...request,
          holder: `${request.step} of ${build}`,
          ...(imports
            ? { restore: (pool, directory) => imports.restoreMount(pool, directory, this.xattrNamespace) }
            : {}),
        }),
      storePath: store.paths.root,
      makeScratchDir: (name) => this.makeScratchDir(name),
      watchStep: async (what, watched, work) => {
        await using claim = await this.claim(what, 0);
        return await this.watch({ what, claim, ...watched }, work);
      },
      openLog: (vertex) => store.openStepLog(this.#lease.id, logName(vertex)),
      secret: (id) => this.#secretOf(id, inputs),
      secretDigest: (id) => this.#secretDigestOf(id, inputs),
      isLeakAllowed: (id) => inputs.secrets.find((secret) => secret.id === id)?.leak === "allow",
      sshSocket: (id) => this.#sshSocketOf(id, inputs),
      deviceEdits: async (requests) => (await this.devices(inputs.allow)).edits(requests),
      extraHosts: inputs.extraHosts,
      resources: inputs.resources,
      caCert: engine.caCert,
      openArchive: async (bytes, signal) => {
        const { openArchiveTree } = await import("./archives.ts");
        const dir = this.makeScratchDir("a");
        return this.watch({ what: "an archive", scratch: [dir], kept: [] }, (both) =>
          openArchiveTree(bytes, dir, AbortSignal.any([signal, both])),
        );
      },
      xattrNamespace: this.xattrNamespace,
      createdMtimeNs: inputs.epoch === undefined ? BigInt(nowMs()) * 1_000_000n : datedNs(inputs.epoch),
      slotScope: inputs.slotScope,
      onEvent: this.#onEvent,
      ...(inputs.onSolved ? { onSolved: inputs.onSolved } : {}),
    };
  }

  /** One agent per set of keys, ended with the build. */
  #openAgent(paths: readonly string[]): Promise<SshAgent> {
    const key = paths.join("\n");
    const known = this.#agents.get(key);
    if (known) return known;
    const searchPath = this.#options.engine.environment["PATH"];
    const opening = import("../sandbox/ssh-agent.ts").then(({ openSshAgent }) =>
      openSshAgent({
        paths,
        stateDir: this.makeScratchDir("s"),
        ...(searchPath === undefined ? {} : { searchPath }),
      }),
    );
    this.#agents.set(key, opening);
    this.#held.defer(async () => {
      await (await opening.catch(() => undefined))?.[Symbol.asyncDispose]();
    });
    return opening;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held.disposeAsync();
  }
}

function nameOf(op: GitOp | HttpOp): string {
  return redactUrls(op.kind === "git" ? op.remote : op.url);
}

/** A file name that tells people which step it is. */
function logName(vertex: Vertex): string {
  const words = vertex.meta.name.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return `${words.slice(0, 60)}-${digestHex(vertex.id).slice(0, 8)}`;
}
