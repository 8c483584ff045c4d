// The records that an image carries in its own config: those of the steps whose layers are the image's (reference G02, A25). Loaded only where they are asked for.
import { INLINE_MEMBER, encodeInline, type InlineStep } from "../cache/inline-cache.ts";
import type { Digest } from "../oci/digest.ts";
import type { SolvedStep } from "../solve/services.ts";
import { opDigest } from "../solve/solver.ts";
import type { Store } from "../store/store.ts";

/** Keys per layer: that of this build, and those by content. */
const MAX_KEYS = 4;

/** Collects the steps of a build as they are solved. */
export class InlineCache {
  readonly #store: Store;
  readonly #steps = new Map<Digest, SolvedStep>();

  constructor(store: Store) {
    this.#store = store;
  }

  add(step: SolvedStep): void {
    this.#steps.set(step.vertex.id, step);
  }

  /** The members of the config of an image whose layers, bottom first, were made by these vertices (undefined = a base layer). */
  async members(vertices: readonly (Digest | undefined)[]): Promise<Readonly<Record<string, string>>> {
    const steps: InlineStep[] = [];
    for (const [layer, vertex] of vertices.entries()) {
      const step = vertex === undefined ? undefined : this.#steps.get(vertex);
      if (!step) continue;
      const { key, layer: made } = step;
      const others = this.#store.records.keysOf(made.id, MAX_KEYS).filter((other) => other !== key);
      const contentId = await made.contentId();
      const keys = [key, ...others.sort()];
      steps.push({ keys, op: opDigest(step.vertex.op), layer, contentId, createdAt: made.createdAt });
    }
    return { [INLINE_MEMBER]: encodeInline(steps, vertices.length) };
  }
}
