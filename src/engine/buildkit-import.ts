// A cache that BuildKit has filled, for one build: which of its layers are steps of this build, and fit on what lies below them here.
import type { BuildKitCache } from "../cache/buildkit/config.ts";
import { BuildKitMatcher, type MatchedLayer } from "../cache/buildkit/matcher.ts";
import type { StepKeyOptions } from "../cache/buildkit/step-key.ts";
import type { Vertex } from "../graph/graph.ts";
import type { ExecOp, FileOp } from "../graph/op.ts";
import type { Descriptor } from "../oci/image.ts";
import type { Digest } from "../oci/digest.ts";
import type { BuildView } from "../solve/services.ts";

export interface FindOptions extends StepKeyOptions {
  /** Whether the cache still has a blob. */
  readonly isThere: (blob: Descriptor) => Promise<boolean>;
}

export class BuildKitImport {
  readonly #cache: BuildKitCache;
  /** Per attempt of the build. */
  readonly #matchers = new WeakMap<BuildView, BuildKitMatcher>();
  /** Steps → whether a layer was found. */
  readonly #asked = new Map<Digest, boolean>();
  /** Steps that have no key of BuildKit → what they are. */
  readonly #reasons = new Map<Digest, string>();

  constructor(cache: BuildKitCache) {
    this.#cache = cache;
  }

  /** The newest layer of the step that was made on exactly what lies below it here. `isThere` is asked at once, so that many steps do not wait for each other. */
  async find(
    step: Vertex & { readonly op: ExecOp | FileOp },
    build: BuildView,
    { isThere, ...options }: FindOptions,
  ): Promise<MatchedLayer | undefined> {
    this.#asked.set(step.id, false);
    const layers = await this.#matcher(build, options).layers(step);
    if (typeof layers === "string") {
      this.#reasons.set(step.id, layers);
      return undefined;
    }
    const there = await Promise.all(layers.map(({ layer }) => isThere(layer.blob)));
    const present = layers.filter((_, index) => there[index] === true);
    const found = present.find(({ below }) => below === undefined) ?? (await fitting(present, step.inputs[0], build));
    if (found) this.#asked.set(step.id, true);
    return found;
  }

  /** What came of it, for people; undefined where nothing was asked. */
  summary(): string | undefined {
    if (this.#asked.size === 0) return undefined;
    const { records } = this.#cache;
    const used = [...this.#asked.values()].filter(Boolean).length;
    const withLayers = records.filter(({ results }) => results.length > 0).length;
    const kinds = Map.groupBy(this.#reasons.values(), (reason) => reason);
    const missed = [...kinds].map(([reason, steps]) => `${steps.length} × ${reason}`);
    const unmatched = missed.length === 0 ? "" : `; steps that have no key there: ${missed.join(", ")}`;
    return `it is BuildKit's: ${used} of its ${withLayers} layers were used for the ${this.#asked.size} steps that were not in the local cache${unmatched}`;
  }

  #matcher(build: BuildView, options: StepKeyOptions): BuildKitMatcher {
    const known = this.#matchers.get(build);
    if (known) return known;
    const matcher = new BuildKitMatcher(
      this.#cache,
      {
        vertex: (id) => build.vertex(id),
        diffIds: async (image) => (await build.rootfs(image)).map((layer) => layer.knownDiffId()!),
        tree: async (local) => (await build.tree(local)).tree,
      },
      options,
    );
    this.#matchers.set(build, matcher);
    return matcher;
  }
}

async function fitting(
  layers: readonly MatchedLayer[],
  base: Digest | undefined,
  build: BuildView,
): Promise<MatchedLayer | undefined> {
  if (layers.length === 0) return undefined;
  const rootfs = base === undefined ? [] : await build.rootfs(base);
  const here = rootfs.map((layer) => layer.knownDiffId());
  return layers.find(({ below }) => below?.length === here.length && below.every((diffId, at) => diffId === here[at]));
}
