// Where in a block lies what looks like noise: bytes that are encrypted, compressed or random, and that deflate would search for repeats in vain.
// A look at a sixteenth of the bytes, by their frequencies only; the result depends on nothing else. What follows from it is compress.ts's business.

/** What is judged as a whole. Longer than deflate's window, so that each run primes the next one. */
const PART = 1 << 16;
const SLICE = 1 << 10;
const SLICES = 4;
const VALUES = 256;
/** Square sum of the frequencies against that of evenly spread random bytes. Files with the least of structure have twice as much. */
const EVEN = 1.1;

/** The block in order, cut where noise begins and ends. Every run but the last is a multiple of 64 KiB long. */
export function runsOf(block: Buffer): Buffer[] {
  const runs: Buffer[] = [];
  let start = 0;
  let wasNoise: boolean | undefined;
  for (let at = 0; at < block.length; at += PART) {
    const isNoise = isNoisy(block.subarray(at, at + PART));
    if (wasNoise !== undefined && isNoise !== wasNoise) {
      runs.push(block.subarray(start, at));
      start = at;
    }
    wasNoise = isNoise;
  }
  if (start < block.length) runs.push(block.subarray(start));
  return runs;
}

/** From all over the part: one that is noise in parts only is none. */
function isNoisy(part: Buffer): boolean {
  const step = Math.floor(part.length / SLICES);
  if (step < SLICE) return false;
  const counts = new Uint16Array(VALUES);
  for (let slice = 0; slice < SLICES; slice++) {
    const end = slice * step + SLICE;
    for (let at = slice * step; at < end; at++) counts[part[at]!]!++;
  }
  const size = SLICE * SLICES;
  const squares = counts.reduce((sum, count) => sum + count * count, 0);
  return squares < EVEN * (size + (size * size) / VALUES);
}
