// The graph of a build: vertices named by what they are, so that two equal steps are one vertex.
import { digestOfJson, type Digest } from "../oci/digest.ts";
import type { Span } from "../diagnostics/source.ts";
import type { Op } from "./op.ts";

/** What the user sees of a vertex, and how it is treated: never identity. */
export interface VertexMeta {
  /** `[build 2/5] RUN make`. */
  readonly name: string;
  /** Name of the stage it belongs to; "" for sources. */
  readonly stage: string;
  readonly span?: Span;
  /** "ignore" = `--no-cache` for this step. */
  readonly cache: "use" | "ignore";
  /** What asked for "ignore", for explanations: a flag or a comment. */
  readonly ignoredBy?: string;
  /** Records that are older do not count; `by` is the flag or the comment that says so. */
  readonly ttl?: { readonly ms: number; readonly by: string };
  /** Environment of a RUN that is no part of its identity: proxies, `NAME=value`. */
  readonly hiddenEnv?: readonly string[];
  /** The words that made the op, for explanations: `RUN make`. */
  readonly instruction: string;
}

export interface Vertex {
  readonly id: Digest;
  readonly op: Op;
  /** Vertices whose results it uses; input 0 of exec and file ops is the rootfs, absent = scratch. */
  readonly inputs: readonly (Digest | undefined)[];
  readonly meta: VertexMeta;
}

export interface Graph {
  /** Inputs come before those who use them. */
  readonly vertices: ReadonlyMap<Digest, Vertex>;
}

/** Name of the vertex that an op and its inputs make. */
export function vertexId(op: Op, inputs: readonly (Digest | undefined)[]): Digest {
  return digestOfJson({ op, inputs: inputs.map((input) => input ?? null) });
}

/** Collects vertices; equal ones merge (the first meta stays, but "ignore" and the shorter lifetime win). Does no I/O and knows no Dockerfile. */
export class GraphBuilder {
  readonly #vertices = new Map<Digest, Vertex>();

  add(op: Op, inputs: readonly (Digest | undefined)[], meta: VertexMeta): Digest {
    const id = vertexId(op, inputs);
    const known = this.#vertices.get(id);
    if (!known) this.#vertices.set(id, { id, op, inputs, meta });
    else this.#vertices.set(id, { ...known, meta: strictest(known.meta, meta) });
    return id;
  }

  get(id: Digest): Vertex | undefined {
    return this.#vertices.get(id);
  }

  /** The vertices that `roots` need, inputs first. */
  build(roots: readonly (Digest | undefined)[]): Graph {
    const needed = new Map<Digest, Vertex>();
    const visit = (id: Digest): void => {
      const vertex = this.#vertices.get(id);
      if (!vertex || needed.has(id)) return;
      for (const input of vertex.inputs) if (input !== undefined) visit(input);
      needed.set(id, vertex);
    };
    for (const root of roots) if (root !== undefined) visit(root);
    return { vertices: needed };
  }
}

/** `known` with what `other` is stricter in. */
function strictest(known: VertexMeta, other: VertexMeta): VertexMeta {
  const { ignoredBy, ttl } = other;
  const isIgnoredNow = other.cache === "ignore" && known.cache === "use";
  const isShorter = ttl !== undefined && (known.ttl === undefined || ttl.ms < known.ttl.ms);
  return {
    ...known,
    ...(isIgnoredNow ? { cache: "ignore", ...(ignoredBy === undefined ? {} : { ignoredBy }) } : {}),
    ...(isShorter ? { ttl } : {}),
  };
}
