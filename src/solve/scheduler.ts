// Slots for work: who runs now, in which lane, in which order. Knows nothing of what the work is.
// Whoever asks for a slot has already awaited what it depends on, so no slot is ever held by a waiter and one slot cannot deadlock.
import PQueue from "p-queue";

/** Work that competes for different things: CPUs (RUN), disk (packing, copying), network. A pull holds no CPU slot. */
export type Lane = "exec" | "disk" | "network";

export interface SchedulerOptions {
  /** RUN steps at once, ≥ 1. */
  readonly jobs: number;
  readonly signal: AbortSignal;
}

/** p-queue per lane. A task gets its slot by priority and its signal by argument: it ends by itself, so a slot is free only when its work has truly ended. */
export class Scheduler {
  readonly #lanes: Readonly<Record<Lane, PQueue>>;
  readonly #signal: AbortSignal;

  constructor({ jobs, signal }: SchedulerOptions) {
    this.#signal = signal;
    this.#lanes = {
      exec: new PQueue({ concurrency: jobs }),
      disk: new PQueue({ concurrency: Math.max(2, jobs) }),
      network: new PQueue({ concurrency: 8 }),
    };
  }

  /** Runs `task` when a slot of `lane` is free; higher priority first, equal ones in order of arrival. A build that was cancelled meanwhile does not start it. */
  run<T>(lane: Lane, priority: number, task: () => Promise<T>): Promise<T> {
    return this.#lanes[lane].add(
      async () => {
        this.#signal.throwIfAborted();
        return task();
      },
      { priority },
    );
  }
}
