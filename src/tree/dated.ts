// The time of a directory that WORKDIR makes under SOURCE_DATE_EPOCH (reference O07): that second, and one nanosecond by which it is known for it. A layer that was
// kept under one epoch has to become, under a later one, what an empty store would make of it (Q37); the mark stays with the directory where a RUN or a COPY of another
// stage repeats it in its layer, and where a cache carries the layer to another machine.

const SECOND_NS = 1_000_000_000n;
const MARK_NS = 1n;

/** `epoch` in seconds; the result in nanoseconds. */
export function datedNs(epoch: number): bigint {
  return BigInt(epoch) * SECOND_NS + MARK_NS;
}

/** Whether the time, in nanoseconds, is one of {@link datedNs}. */
export function isDated(mtimeNs: bigint): boolean {
  const rest = mtimeNs % SECOND_NS;
  return (rest < 0n ? rest + SECOND_NS : rest) === MARK_NS;
}
