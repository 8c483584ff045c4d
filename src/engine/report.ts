// `--report`: what a build did, as JSON for machines: each step with its key, how it ended and why, times and sizes, and the critical path.
import { writeFileAtomic } from "../base/fs-atomic.ts";
import { isoOfMs } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { missLine } from "../progress/miss.ts";
import type { Store } from "../store/store.ts";
import type { BuildRecord, StepRecord } from "./build-record.ts";

/** A stretch of the way that took the whole time: a step, or what lies between steps. */
export interface PathPart {
  /** Index of the step; null = between steps: reading, planning, waiting for a slot. */
  readonly step: number | null;
  readonly name: string;
  readonly durationMs: number;
}

/** Writes the report. Fails with "export" where the file cannot be written. */
export function writeReport(path: string, record: BuildRecord, store: Store): void {
  try {
    writeFileAtomic(
      path,
      `${JSON.stringify(
        reportOf(record, (id) => layerSize(store, id)),
        undefined,
        2,
      )}\n`,
    );
  } catch (error) {
    throw new BuildError("export", `cannot write the report ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** The report as data; `sizeOf` gives the bytes of a layer's files, where they are known. */
export function reportOf(record: BuildRecord, sizeOf: (layer: string) => number | undefined): object {
  const { ref, dockerfile, context, target, tags, startedMs, endedMs, outcome, error, image } = record;
  return {
    version: 1,
    ref,
    dockerfile,
    context,
    target: target ?? null,
    tags,
    outcome,
    error: error ?? null,
    image: image ?? null,
    started: isoOfMs(startedMs),
    ended: isoOfMs(endedMs),
    durationMs: endedMs - startedMs,
    steps: record.steps.map((step) => reportedStep(step, sizeOf)),
    criticalPath: criticalPath(record),
  };
}

function reportedStep(step: StepRecord, sizeOf: (layer: string) => number | undefined): object {
  const { name, stage, instruction, inputs, key, outcome, cause, keptCount, startedMs, endedMs, layer, error } = step;
  return {
    name,
    stage,
    instruction,
    inputs,
    key: key ?? null,
    outcome,
    reason: cause ? missLine(cause) : null,
    cause: cause ?? null,
    keptCount: keptCount ?? null,
    started: startedMs === undefined ? null : isoOfMs(startedMs),
    ended: endedMs === undefined ? null : isoOfMs(endedMs),
    durationMs: startedMs === undefined || endedMs === undefined ? null : endedMs - startedMs,
    cpuMs: step.cpuMs ?? null,
    peakMemoryBytes: step.peakMemory ?? null,
    transferredBytes: step.transferred ?? 0,
    layerBytes: (layer === undefined ? undefined : (step.layerSize ?? sizeOf(layer))) ?? null,
    error: error ?? null,
  };
}

/** Sum of its files. */
function layerSize(store: Store, id: string): number | undefined {
  const size = store.layers.get(id)?.uncompressedSize;
  if (size !== undefined) return size;
  const entries = store.layers.readEntries(id);
  if (!entries) return undefined;
  let sum = 0;
  for (const entry of entries) if (entry.type !== "whiteout") sum += entry.size;
  return sum;
}

/**
 * The way that took the whole time, first part first: from the end of the build back, from each step to the last of those it uses, else to what ended last before it.
 * Its sum is the duration of the build, because what lies between steps is a part too.
 */
export function criticalPath({ startedMs, endedMs, steps }: BuildRecord): readonly PathPart[] {
  const timed = steps.flatMap((step, index): Timed[] => {
    if (step.startedMs === undefined || step.endedMs === undefined) return [];
    const [from, to] = [Math.max(step.startedMs, startedMs), Math.min(step.endedMs, endedMs)];
    return to <= from ? [] : [{ index, name: step.name, inputs: step.inputs, from, to }];
  });
  const path: PathPart[] = [];
  let end = endedMs;
  let step = lastBefore(timed, end);
  while (step) {
    if (step.to < end) path.unshift({ step: null, name: "between steps", durationMs: end - step.to });
    path.unshift({ step: step.index, name: step.name, durationMs: step.to - step.from });
    const { inputs, from } = step;
    end = from;
    step =
      lastBefore(
        timed.filter(({ index }) => inputs.includes(index)),
        from,
      ) ?? lastBefore(timed, from);
  }
  if (end > startedMs) path.unshift({ step: null, name: "between steps", durationMs: end - startedMs });
  return path;
}

interface Timed {
  readonly index: number;
  readonly name: string;
  readonly inputs: readonly number[];
  readonly from: number;
  readonly to: number;
}

/** What ended last, not after `end`. */
function lastBefore(steps: readonly Timed[], end: number): Timed | undefined {
  return steps.reduce<Timed | undefined>(
    (best, step) => (step.to <= end && (!best || step.to > best.to) ? step : best),
    undefined,
  );
}
