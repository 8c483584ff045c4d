// What the stages of a plan ask of who builds them: build arguments, secrets, ssh, cache mounts. Written down while stages are walked, read by the outline.
import type { Span } from "../diagnostics/source.ts";
import type { MountOp } from "../graph/op.ts";

/** An ARG of a stage. */
export interface NeededArg {
  readonly name: string;
  /** Undefined = declared without a value. */
  readonly value: string | undefined;
  /** Neither a build argument nor a default of its own: it means the global one, where there is one. */
  readonly isBare: boolean;
  /** Of the whole instruction. */
  readonly span: Span;
  readonly comments: readonly string[];
}

/** A secret, an ssh agent or a cache that a RUN mounts. */
export interface NeededMount {
  readonly kind: "secret" | "ssh" | "cache";
  readonly id: string;
  readonly isRequired: boolean;
  /** Of the whole instruction. */
  readonly span: Span;
}

/** Grows in the order of the stage's instructions, triggers first. */
export interface StageNeeds {
  readonly args: NeededArg[];
  readonly mounts: NeededMount[];
  /** Indices of stages whose files it takes, beside those of its base. */
  readonly sources: number[];
}

/** Nothing yet. */
export function noNeeds(): StageNeeds {
  return { args: [], mounts: [], sources: [] };
}

/** Writes down the mounts of a RUN that come from outside of the Dockerfile. */
export function noteMounts(needs: StageNeeds, mounts: Iterable<MountOp>, span: Span): void {
  for (const mount of mounts) {
    if (mount.kind === "secret" || mount.kind === "ssh")
      needs.mounts.push({ kind: mount.kind, id: mount.id, isRequired: mount.required, span });
    else if (mount.kind === "cache") needs.mounts.push({ kind: mount.kind, id: mount.id, isRequired: false, span });
  }
}
