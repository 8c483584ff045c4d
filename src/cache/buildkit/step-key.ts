// What BuildKit calls a step: the digest of its op as BuildKit's solver writes it down. Facts of BuildKit 0.25, checked against its exports and its imports.
// A step that is not wholly representable has no key here, and says why: a record must never stand for a step that is another one.
import type { Vertex } from "../../graph/graph.ts";
import type { ExecOp, FileOp } from "../../graph/op.ts";
import { execKey } from "./exec-key.ts";
import { fileOpKey } from "./file-key.ts";
import type { StepKey, Unmatchable } from "./key.ts";

export interface StepKeyOptions {
  /** SOURCE_DATE_EPOCH is set: BuildKit's file ops have it in their keys. */
  readonly hasEpoch: boolean;
}

export function stepKey(
  vertex: Vertex & { readonly op: ExecOp | FileOp },
  options: StepKeyOptions,
): StepKey | Unmatchable {
  const { op, inputs } = vertex;
  if (op.kind === "exec") return execKey(op, inputs);
  return options.hasEpoch ? { reason: `${instructionOf(op)} with SOURCE_DATE_EPOCH` } : fileOpKey(op, inputs);
}

function instructionOf({ action }: FileOp): string {
  return action.kind === "mkdir" ? "WORKDIR" : action.unpack === "never" ? "COPY" : "ADD";
}
