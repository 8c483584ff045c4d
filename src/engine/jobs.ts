// How many steps run at once when nobody says: from the CPUs and the memory that this process may use (pain 10).
import { availableParallelism, totalmem } from "node:os";

/** Memory that a step is assumed to need where nothing is known of it. */
const STEP_MEMORY = 512 * 1024 * 1024;

/** One step per CPU, at least four so that steps that wait (for networks, for sleep) do not stop the others, and no more than memory holds. */
export function defaultJobs(): number {
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.max(1, Math.min(Math.max(4, availableParallelism()), Math.floor(memory / STEP_MEMORY)));
}
