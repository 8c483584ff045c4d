// Which records of a BuildKit cache are steps of this build: those of the same op whose inputs are records of its inputs, as BuildKit itself looks them up.
// It says what a record led to; whether that fits on what lies below here is for the caller to see.
import type { Vertex } from "../../graph/graph.ts";
import type { ExecOp, FileOp } from "../../graph/op.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Tree } from "../../tree/tree.ts";
import { layersOf, type BuildKitCache, type BuildKitLayer } from "./config.ts";
import { contentKey } from "./content-digest.ts";
import { imageKeys, type KeyInput, type StepKey } from "./key.ts";
import { stepKey, type StepKeyOptions } from "./step-key.ts";

/** The build that records are looked up for. */
export interface MatchedBuild {
  vertex(id: Digest): Vertex;
  /** Of an image. */
  diffIds(image: Digest): Promise<readonly Digest[]>;
  /** Files of a local context. */
  tree(local: Digest): Promise<Tree>;
}

type Step = Vertex & { readonly op: ExecOp | FileOp };

/** A layer that was made by the same step. */
export interface MatchedLayer {
  readonly layer: BuildKitLayer;
  /** DiffIDs of what it was made on, bottom first; undefined = of a layer that does not depend on that. */
  readonly below: readonly Digest[] | undefined;
  /** RFC 3339. */
  readonly createdAt: string;
}

const NONE: ReadonlySet<number> = new Set();

export class BuildKitMatcher {
  readonly #cache: BuildKitCache;
  readonly #build: MatchedBuild;
  readonly #options: StepKeyOptions;
  readonly #byDigest: ReadonlyMap<Digest, readonly number[]>;
  readonly #matches = new Map<Digest, Promise<ReadonlySet<number>>>();
  readonly #contents = new Map<string, Promise<Digest | undefined>>();

  constructor(cache: BuildKitCache, build: MatchedBuild, options: StepKeyOptions) {
    this.#cache = cache;
    this.#build = build;
    this.#options = options;
    this.#byDigest = Map.groupBy(cache.records.keys(), (index) => cache.records[index]!.digest);
  }

  /** Layers that were made by the step, those of one chain newest first; or why the step has no key. */
  async layers(step: Step): Promise<readonly MatchedLayer[] | string> {
    const key = stepKey(step, this.#options);
    if ("reason" in key) return key.reason;
    const isRemote = step.inputs.some((id) => id !== undefined && isDownload(this.#build.vertex(id)));
    if (isRemote) return "step with files of a repository or a URL";
    const found = this.#layersOf(await this.#ofStep(step.id, key), false);
    if (step.op.kind !== "file" || !step.op.isLinked) return found;
    // A linked copy by itself, whatever it was merged with.
    const own = step.inputs[0] === undefined ? key : (key.inputs[1]!.of as StepKey);
    return [...this.#layersOf(await this.#ofKey(own), true), ...found];
  }

  #layersOf(records: ReadonlySet<number>, isAlone: boolean): readonly MatchedLayer[] {
    const results = [...records].flatMap((record) => this.#cache.records[record]!.results);
    const layers = results.map((result): MatchedLayer => {
      const chain = layersOf(this.#cache, result);
      const below = chain.slice(0, -1).map(({ diffId }) => diffId);
      const isFree = isAlone && below.length === 0;
      return { layer: chain.at(-1)!, below: isFree ? undefined : below, createdAt: result.createdAt };
    });
    const usable = isAlone ? layers.filter(({ below }) => below === undefined) : layers;
    return usable.sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt));
  }

  /** Records of a vertex. */
  #of(id: Digest): Promise<ReadonlySet<number>> {
    const vertex = this.#build.vertex(id);
    const { op } = vertex;
    switch (op.kind) {
      case "image":
        return this.#memo(id, async () => {
          const keys = imageKeys(op.digest, op.platform, await this.#build.diffIds(id));
          return new Set(keys.flatMap((key) => this.#byDigest.get(key) ?? []));
        });
      case "exec":
      case "file": {
        const key = stepKey({ ...vertex, op }, this.#options);
        return "reason" in key ? Promise.resolve(NONE) : this.#ofStep(id, key);
      }
      case "local":
      case "git":
      case "http":
        return Promise.resolve(NONE);
    }
  }

  #ofStep(id: Digest, key: StepKey): Promise<ReadonlySet<number>> {
    return this.#memo(id, () => this.#ofKey(key));
  }

  #memo(id: Digest, find: () => Promise<ReadonlySet<number>>): Promise<ReadonlySet<number>> {
    const known = this.#matches.get(id);
    if (known) return known;
    const found = find();
    this.#matches.set(id, found);
    return found;
  }

  /** Records of the op all of whose inputs are records of its inputs. */
  async #ofKey({ digest, inputs }: StepKey): Promise<ReadonlySet<number>> {
    let left = (this.#byDigest.get(digest) ?? []).filter(
      (record) => this.#cache.records[record]!.inputs.length === inputs.length,
    );
    for (const [index, input] of inputs.entries()) {
      if (left.length === 0) return NONE;
      left = await this.#withInput(left, index, input);
    }
    return new Set(left);
  }

  async #withInput(records: readonly number[], index: number, input: KeyInput): Promise<number[]> {
    const { of, selector, content } = input;
    const own = await (typeof of === "string" ? this.#of(of) : this.#ofKey(of));
    const has = (record: number, isInput: (link: { selector: string; record: number }) => boolean): boolean =>
      this.#cache.records[record]!.inputs[index]!.some(isInput);
    const byRecord = records.filter((at) => has(at, (link) => link.selector === selector && own.has(link.record)));
    if (byRecord.length === records.length || !content) return byRecord;
    const key = await this.#contentOf(input);
    if (key === undefined) return byRecord;
    const same = new Set(this.#byDigest.get(key));
    return records.filter(
      (at) => byRecord.includes(at) || has(at, (link) => link.selector === "" && same.has(link.record)),
    );
  }

  /** Key of the files that are selected of a context; of what steps made, the records say enough. */
  #contentOf({ of, content }: KeyInput): Promise<Digest | undefined> {
    if (typeof of !== "string" || !content || this.#build.vertex(of).op.kind !== "local")
      return Promise.resolve(undefined);
    const name = JSON.stringify([of, content]);
    const known = this.#contents.get(name);
    if (known) return known;
    const found = this.#build.tree(of).then((tree) => contentKey(tree, content));
    this.#contents.set(name, found);
    return found;
  }
}

function isDownload({ op }: Vertex): boolean {
  return op.kind === "git" || op.kind === "http";
}
