// The graph that a Dockerfile becomes, for people and programs that want to see it (reference K44). Nothing is built.
import { redactUrls } from "../base/url-text.ts";
import { printGraph } from "../graph/print.ts";
import type { Op } from "../graph/op.ts";
import type { Digest } from "../oci/digest.ts";
import type { BuildOptions } from "./options.ts";
import type { EngineParts } from "./parts.ts";
import { openSession, planBuild, readsOnlyDirectories, textError } from "./plan-build.ts";

export interface GraphReport {
  /** One step per line, inputs first, numbers for digests. */
  readonly text: string;
  /** Inputs first. */
  readonly vertices: readonly {
    readonly id: Digest;
    readonly name: string;
    /** Null = nothing: a step on scratch. */
    readonly inputs: readonly (Digest | null)[];
    /** Without credentials in URLs. */
    readonly op: Op;
  }[];
  /** The vertex whose files the image has; undefined = none. */
  readonly target: Digest | undefined;
}

/** Plans and does nothing more. Fails where a build would before it runs anything. */
export async function graphOf(parts: EngineParts, options: BuildOptions): Promise<GraphReport> {
  const signal = options.signal ?? new AbortController().signal;
  await using session = openSession(parts, { client: () => parts.client(), pull: options.pull, signal });
  if (!readsOnlyDirectories(options)) await session.protect();
  const { result, diagnostics } = await planBuild(parts, options, session, { signal });
  if (!result.plan) throw textError(diagnostics);
  const { graph, target } = result.plan;
  const vertices = [...graph.vertices.values()].map(({ id, meta, inputs, op }) => {
    return { id, name: meta.name, inputs: inputs.map((input) => input ?? null), op: withoutCredentials(op) };
  });
  return { text: printGraph(graph), vertices, target };
}

function withoutCredentials(op: Op): Op {
  if (op.kind === "http") return { ...op, url: redactUrls(op.url) };
  return op.kind === "git" ? { ...op, remote: redactUrls(op.remote) } : op;
}
