// Slots for work: who runs now, in which lane, in which order. Knows nothing of what the work is.
// Whoever asks for a slot has already awaited what it depends on, so no slot is ever held by a waiter and one slot cannot deadlock.
import type PQueue from "p-queue";

/** Work that competes for different things: CPUs (RUN), disk (packing, copying), network. A pull holds no CPU slot. */
export type Lane = "exec" | "disk" | "network";

export interface SchedulerOptions {
  /** RUN steps at once, ≥ 1. */
  readonly jobs: number;
  readonly signal: AbortSignal;
}

/** p-queue per lane. A task gets its slot by priority and its signal by argument: it ends by itself, so a slot is free only when its work has truly ended. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  #lanes: Promise<Readonly<Record<Lane, PQueue>>> | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Runs `task` when a slot of `lane` is free; higher priority first, equal ones in order of arrival. A build that was cancelled meanwhile does not start it. */
  async run<T>(lane: Lane, priority: number, task: () => Promise<T>): Promise<T> {
    const lanes = await (this.#lanes ??= openLanes(this.#options.jobs));
    return lanes[lane].add(
      async () => {
        this.#options.signal.throwIfAborted();
        return task();
      },
      { priority },
    );
  }
}

/** Loaded with the first task: a build in which nothing changed has none. */
async function openLanes(jobs: number): Promise<Readonly<Record<Lane, PQueue>>> {
  const { default: Queue } = await import("p-queue");
  return {
    exec: new Queue({ concurrency: jobs }),
    disk: new Queue({ concurrency: Math.max(2, jobs) }),
    network: new Queue({ concurrency: 8 }),
  };
}
