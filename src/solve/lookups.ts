// What each step is called before anything ran: its key by definition, and whether a record of that key may be used. At most once per vertex.
// It does not say what is in a key (cache-key.ts, key-inputs.ts), nor what follows from a hit (solver.ts).
import { nowMs } from "../base/clock.ts";
import { assert } from "../base/assert.ts";
import { locate } from "../diagnostics/build-error.ts";
import type { Vertex } from "../graph/graph.ts";
import type { ExecOp, FileOp, ImageOp } from "../graph/op.ts";
import type { Digest } from "../oci/digest.ts";
import type { EventSink, KeyPart } from "../progress/events.ts";
import { execParts, fileParts, keyOf, storedParts } from "./cache-key.ts";
import type { KeyInputs } from "./key-inputs.ts";
import type { CacheIndex, CacheRecord } from "./services.ts";

/** A vertex that makes a layer. */
export type StepVertex = Vertex & { readonly op: ExecOp | FileOp };

export interface Lookup {
  readonly key: Digest;
  readonly parts: readonly KeyPart[];
  /** Whether a record of this key may be used: not below a step that runs again whatever was stored, because its new result need not be the old one. */
  readonly isTrusted: boolean;
  /** There is a record, and it is older than the step allows: milliseconds. */
  readonly expiredMs?: number;
}

export interface LookupsOptions {
  readonly vertex: (id: Digest) => Vertex;
  readonly inputs: KeyInputs;
  readonly cache: Pick<CacheIndex, "find">;
  readonly onEvent: EventSink;
  /** Called where a key cannot be worked out. */
  readonly onFailure: (error: unknown) => void;
}

export class Lookups {
  readonly #options: LookupsOptions;
  readonly #known = new Map<Digest, Promise<Lookup>>();

  constructor(options: LookupsOptions) {
    this.#options = options;
  }

  of(vertex: StepVertex): Promise<Lookup> {
    const known = this.#known.get(vertex.id);
    if (known) return known;
    const made = this.#make(vertex);
    made.catch(this.#options.onFailure);
    this.#known.set(vertex.id, made);
    return made;
  }

  started(): Iterable<Promise<Lookup>> {
    return this.#known.values();
  }

  /** Identity of a vertex's whole root file system, for those above it. */
  async rootfsKey(id: Digest): Promise<Digest> {
    const vertex = this.#options.vertex(id);
    if (vertex.op.kind === "image") return imageKey(vertex.op);
    assert(isStep(vertex), `${vertex.op.kind} has no root file system`);
    const { key } = await this.of(vertex);
    const below = vertex.inputs[0];
    if (!isLinked(vertex) || below === undefined) return key;
    // A linked layer's own key does not know what it lies on.
    return keyOf("rootfs", [
      { name: "below", value: await this.rootfsKey(below) },
      { name: "layer", value: key },
    ]);
  }

  async #make(vertex: StepVertex): Promise<Lookup> {
    const { inputs, onEvent } = this.#options;
    const { op, meta } = vertex;
    const own = op.kind === "exec" ? execParts(op) : fileParts(op);
    const seen = await inputs.definitionParts(vertex).catch((error: unknown) => {
      throw locate(error, meta.span);
    });
    const parts = [...own, ...seen];
    const key = keyOf(op.kind, parts);
    const { stage, instruction } = meta;
    onEvent({ kind: "step-keyed", vertex: vertex.id, stage, instruction, op: op.kind, key, parts: storedParts(parts) });
    const isUsable = meta.cache === "use" && (await this.#areInputsTrusted(vertex));
    const ageMs = isUsable && meta.ttl ? this.#ageOf(key) : undefined;
    const isExpired = ageMs !== undefined && meta.ttl !== undefined && ageMs > meta.ttl.ms;
    return { key, parts, isTrusted: isUsable && !isExpired, ...(isExpired ? { expiredMs: ageMs } : {}) };
  }

  async #areInputsTrusted(vertex: StepVertex): Promise<boolean> {
    // What a linked copy lies on is none of its business.
    const seen = isLinked(vertex) ? vertex.inputs.slice(1) : vertex.inputs;
    for (const id of seen) {
      const input = id === undefined ? undefined : this.#options.vertex(id);
      if (input && isStep(input) && !(await this.of(input)).isTrusted) return false;
    }
    return true;
  }

  #ageOf(key: Digest): number | undefined {
    const record = this.#options.cache.find(key);
    return record && ageOf(record);
  }
}

/** Milliseconds since the step ran. */
export function ageOf({ createdMs }: Pick<CacheRecord, "createdMs">): number {
  return Math.max(0, nowMs() - createdMs);
}

export function imageKey(op: ImageOp): Digest {
  return keyOf("rootfs", [{ name: "image", value: op.digest }]);
}

export function isStep(vertex: Vertex): vertex is StepVertex {
  return vertex.op.kind === "exec" || vertex.op.kind === "file";
}

export function isLinked({ op }: StepVertex): boolean {
  return op.kind === "file" && op.isLinked;
}
