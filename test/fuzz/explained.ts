// Differences from docker that are meant, each with its row and its reason. Everything else that the fuzzer finds is a fault.
// Each holds only for what its own cause makes: the instruction is looked up, and what docker did there is worked out from it.
// "docker" here is docker 28.5 with BuildKit 0.25 and containerd's snapshots; rows are those of the reference.
import type { Difference } from "../compare/differences.ts";
import type { LayerFacts } from "../compare/image-facts.ts";
import type { Outcome } from "./builders.ts";
import { EXPLAINED_ERRORS } from "./explained-errors.ts";
import { EXPLAINED_FILES } from "./explained-files.ts";
import { EXPLAINED_METADATA } from "./explained-metadata.ts";
import { EXPLAINED_SCRIPTS } from "./explained-scripts.ts";
import type { FuzzCase } from "./fuzz-case.ts";

export interface Circumstances {
  readonly each: FuzzCase;
  readonly docker: Outcome;
  readonly tsbuild: Outcome;
  /** What docker did with the case before it was edited; undefined = this is the first build. */
  readonly before: Outcome | undefined;
  /** What the layers hold that are only a name in the facts. */
  readonly base: readonly LayerFacts[];
}

export interface Explanation {
  readonly row: string;
  readonly why: string;
  readonly holds: (difference: Difference, circumstances: Circumstances) => boolean;
}

/** All of them: a test has a true case and a near miss for each. */
export const EXPLANATIONS: readonly Explanation[] = [
  ...EXPLAINED_METADATA,
  ...EXPLAINED_FILES,
  ...EXPLAINED_SCRIPTS,
  ...EXPLAINED_ERRORS,
];

/** Row and reason; undefined = not explained. */
export function explain(difference: Difference, circumstances: Circumstances): string | undefined {
  const found = EXPLANATIONS.find(({ holds }) => holds(difference, circumstances));
  return found && `${found.row}: ${found.why}`;
}
