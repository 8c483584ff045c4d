// What speed is made of, as numbers that are the same on every machine, and how much each may differ from what is written down.
export interface Counts {
  /** Programs that were started, our own included. */
  readonly processes: number;
  /** Files of program text that were loaded. */
  readonly modules: number;
  /** Files and directories of the store and the context that were opened. */
  readonly files: number;
  /** Calls that made, renamed or removed something in the store. */
  readonly changes: number;
  /** fsync and fdatasync. */
  readonly syncs: number;
  readonly writtenBytes: number;
  /** To the registry. */
  readonly requests: number;
  /** Steps that were not found in the cache. */
  readonly steps: number;
  /** Layers of the store that lie unpacked on the disk. */
  readonly faces: number;
}

export type RecordedCounts = Readonly<Record<string, Counts>>;

/**
 * Shares that may come on top, rounded down: where time has a hand in it (pages that SQLite writes, names with times in them, looks at a container that is starting),
 * and for how the bundle is cut into chunks. Of a build in which nothing changed, that is nothing.
 */
const TOLERANCE: Partial<Record<keyof Counts, number>> = { writtenBytes: 0.1, files: 0.1, changes: 0.1, modules: 0.15 };

/** What grew beyond what is written down, a line each. */
export function grown(recorded: RecordedCounts, counted: RecordedCounts): string[] {
  return Object.entries(counted).flatMap(([scenario, counts]) => {
    const before = recorded[scenario];
    if (!before) return [`${scenario}: not written down yet`];
    return keysOf(counts).flatMap((name) => {
      const limit = before[name] + slack(name, before[name]);
      return counts[name] > limit ? [`${scenario}: ${name} grew from ${before[name]} to ${counts[name]}`] : [];
    });
  });
}

/** What is so much smaller that it should be written down, so that it stays so. */
export function shrunk(recorded: RecordedCounts, counted: RecordedCounts): string[] {
  return Object.entries(counted).flatMap(([scenario, counts]) =>
    keysOf(counts).flatMap((name) => {
      const before = recorded[scenario]?.[name] ?? 0;
      const limit = before - slack(name, before);
      return counts[name] < limit ? [`${scenario}: ${name} fell from ${before} to ${counts[name]}`] : [];
    }),
  );
}

function slack(name: keyof Counts, count: number): number {
  return Math.floor(count * (TOLERANCE[name] ?? 0));
}

function keysOf(counts: Counts): (keyof Counts)[] {
  return Object.keys(counts) as (keyof Counts)[];
}
