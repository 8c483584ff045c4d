// The engine: the only place that constructs implementations. One per process; a build at a time or several.
import { resolve } from "node:path";
import { BuildError } from "../diagnostics/build-error.ts";
import type { RegistryClient } from "../registry/client.ts";
import { openStore, type Store } from "../store/store.ts";
import type { CacheUsage } from "../store/cache-entries.ts";
import type { RemoveResult } from "../store/remove-named.ts";
import type { PruneOptions, PruneResult } from "../store/gc.ts";
import { build } from "./build.ts";
import type { BuildRecord, StepRecord } from "./build-record.ts";
import type { CheckReport, OutlineReport, TargetList } from "./check.ts";
import type { BuildForecast } from "./forecast.ts";
import type { GraphReport } from "./graph-report.ts";
import type { FixReport } from "./check-fix.ts";
import { ImageCommands, type PullOptions } from "./images.ts";
import { createClient } from "./client.ts";
import { readRecords } from "./past-builds.ts";
import type { ClientKind, EngineParts } from "./parts.ts";
import type { WarmOptions, WarmResult } from "./warm.ts";
import type { BuildOptions, BuildResult, EngineOptions, ImageSummary, RunOptions } from "./options.ts";

export interface WhyQuestion {
  /** Beginning of a build's ref. */
  readonly build?: string | undefined;
  /** `2`, `build 2/4`, or a part of the name. */
  readonly step?: string | undefined;
}

export interface WhyAnswer {
  readonly record: BuildRecord;
  readonly steps: readonly StepRecord[];
}

/** An open engine. Dispose it: it holds the store. */
export class Engine implements AsyncDisposable {
  readonly #parts: EngineParts;
  readonly #images: ImageCommands;
  readonly #clients = new Map<string, Promise<RegistryClient>>();

  /** Opens the store and removes what dead processes left in it. */
  static async open(options: EngineOptions): Promise<Engine> {
    const root = resolve(options.cwd, options.root);
    if (/[,:\\\n]/.test(root)) {
      throw new BuildError(
        "store",
        `the store's path ${JSON.stringify(root)} has characters that overlayfs cannot take`,
        { help: "set TSBUILD_ROOT to a path without commas, colons and backslashes" },
      );
    }
    const store = openStore(root, {
      ...(options.cacheMaxSize === undefined ? {} : { maxSize: options.cacheMaxSize }),
      onNotice: (message) => {
        options.onEvent({ kind: "notice", message });
      },
    });
    await store.sweep(async (directory) => {
      const { reapLeftovers } = await import("../sandbox/sandbox.ts");
      await reapLeftovers(directory);
    });
    return new Engine({ ...options, root }, store);
  }

  private constructor(options: EngineOptions, store: Store) {
    const client = (kind: ClientKind = {}): Promise<RegistryClient> => {
      const key = `${kind.isInsecure ?? false} ${kind.isHasty ?? false}`;
      const known = this.#clients.get(key);
      if (known) return known;
      const made = createClient(options, kind);
      this.#clients.set(key, made);
      return made;
    };
    this.#parts = { options, store, isRootless: options.isRootless, client };
    this.#images = new ImageCommands(this.#parts);
  }

  /** Builds. Fails with a BuildError; a build that fails leaves the store whole. */
  build(options: BuildOptions): Promise<BuildResult> {
    return build(this.#parts, options);
  }

  /** What the build checks find, and why a build would fail before it runs anything. */
  async check(options: BuildOptions): Promise<CheckReport> {
    const { check } = await import("./check.ts");
    return check(this.#parts, options);
  }

  /** The Dockerfile's text with the fixes of its warnings that are certain; writes nothing. */
  async fix(options: BuildOptions): Promise<FixReport> {
    const { fix } = await import("./check.ts");
    return fix(this.#parts, options);
  }

  /** What the target takes from who builds it. */
  async outline(options: BuildOptions): Promise<OutlineReport> {
    const { outline } = await import("./check.ts");
    return outline(this.#parts, options);
  }

  /** What the target becomes before anything is built. */
  async graph(options: BuildOptions): Promise<GraphReport> {
    const { graphOf } = await import("./graph-report.ts");
    return graphOf(this.#parts, options);
  }

  /** The stages that can be built. */
  async targets(options: BuildOptions): Promise<TargetList> {
    const { targets } = await import("./check.ts");
    return targets(this.#parts, options);
  }

  /** What {@link build} would do with these options. Executes nothing. */
  async plan(options: BuildOptions): Promise<BuildForecast> {
    const { forecast } = await import("./forecast.ts");
    return forecast(this.#parts, options);
  }

  /** A recorded build, the last one by default, and the steps of it that are asked for: all of them by default. */
  async why({ build: ref, step }: WhyQuestion): Promise<WhyAnswer> {
    const { findBuild, findSteps, stepsOf } = await import("./why.ts");
    const record = findBuild(this.#parts.store, ref);
    return { record, steps: step === undefined ? stepsOf(record) : findSteps(record, step) };
  }

  /** Recorded builds, the latest first. */
  recordedBuilds(): readonly BuildRecord[] {
    return [...readRecords(this.#parts.store)];
  }

  /** Fills the cache with what builds of a Dockerfile will need, as far as that does not depend on the build context. Makes no image. */
  async warm(options: WarmOptions): Promise<WarmResult> {
    const { warm } = await import("./warm.ts");
    return warm(this.#parts, options);
  }

  /** Runs a container of an image. */
  async run(options: RunOptions): Promise<{ readonly exitCode: number }> {
    const { runImage } = await import("./run-image.ts");
    return runImage(this.#parts, options);
  }

  images(): readonly ImageSummary[] {
    return this.#images.list();
  }

  inspect(name: string): Promise<Readonly<Record<string, unknown>>> {
    return this.#images.inspect(name);
  }

  tag(source: string, name: string): void {
    this.#images.tag(source, name);
  }

  /** Takes an image's name away and returns it in full. `prune` frees what nothing needs then. */
  remove(name: string): string {
    return this.#images.remove(name);
  }

  /** Pushes an image under its name; resolves to the manifest's digest. */
  push(name: string, options: { readonly signal: AbortSignal }): Promise<string> {
    return this.#images.push(name, options.signal);
  }

  /** Fetches an image, layers included; resolves to the manifest's digest. */
  pull(name: string, options: PullOptions): Promise<string> {
    return this.#images.pull(name, options);
  }

  /** What the store holds; `filters` as in `docker buildx prune`, all of which have to be true. */
  cacheUsage(filters: readonly string[] = []): Promise<CacheUsage> {
    return this.#parts.store.cacheUsage(filters);
  }

  prune(options: PruneOptions & { readonly filters?: readonly string[] }): Promise<PruneResult> {
    const { filters = [], ...rest } = options;
    return this.#parts.store.pruneFiltered(filters, rest);
  }

  /** Removes what the words name: keys, instructions, ids of layers, blobs and cache mounts. */
  removeCached(words: readonly string[]): Promise<RemoveResult> {
    return this.#parts.store.removeNamed(words);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of await Promise.allSettled(this.#clients.values())) {
      if (opened.status === "fulfilled") opened.value[Symbol.dispose]();
    }
    this.#parts.store[Symbol.dispose]();
  }
}
