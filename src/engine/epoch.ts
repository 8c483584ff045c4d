// SOURCE_DATE_EPOCH as the age of something (reference A31): asks what the planner found it to refer to.
import type { Dockerfile } from "../frontend/ast.ts";
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import { findEpochSource, type EpochSource } from "../plan/epoch-source.ts";
import type { PlanOptions } from "../plan/options.ts";
import type { RemoteSources } from "./remote-sources.ts";

export interface ResolveEpochOptions {
  readonly plan: PlanOptions;
  /** Of an archive on standard input. */
  readonly newest: number | undefined;
  readonly remote: () => Promise<RemoteSources>;
}

export interface ResolvedEpoch {
  /** As {@link PlanOptions.epoch}. */
  readonly epoch?: number | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** What the planner is to take for the epoch. Fails as fetching does. */
export async function resolveEpoch(dockerfile: Dockerfile, options: ResolveEpochOptions): Promise<ResolvedEpoch> {
  const { source, diagnostics } = findEpochSource(dockerfile, options.plan);
  if (diagnostics.length > 0) return { epoch: null, diagnostics };
  if (!source) return { diagnostics };
  return { epoch: (await timeOf(source, options)) ?? null, diagnostics };
}

async function timeOf(source: EpochSource, options: ResolveEpochOptions): Promise<number | undefined> {
  const op = opOf(source, options);
  if (op === undefined) return undefined;
  // Directories and images have no time of their own.
  if (op.kind === "local") return source.kind === "main-context" ? options.newest : undefined;
  return (await options.remote()).timeOf(op);
}

function opOf(source: EpochSource, { plan }: ResolveEpochOptions): PlanOptions["context"] | undefined {
  if (source.kind === "main-context") return plan.context;
  if (source.kind === "stage") return source.op;
  return source.context.kind === "source" ? source.context.op : undefined;
}
