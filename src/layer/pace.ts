// Long synchronous work in slices: the event loop breathes between them, so that output, other steps and cancellation go on.
import { setImmediate } from "node:timers/promises";
import { monotonicMs } from "../base/clock.ts";

const SLICE_MS = 15;

/** One run of synchronous work. */
export class Pace {
  readonly #signal: AbortSignal | undefined;
  #since = monotonicMs();

  constructor(options: { readonly signal?: AbortSignal | undefined }) {
    this.#signal = options.signal;
    this.#signal?.throwIfAborted();
  }

  /** Whether the slice is used up. Cheap enough for every file. */
  isDue(): boolean {
    return monotonicMs() - this.#since > SLICE_MS;
  }

  /** Lets others run, then starts the next slice. Throws the signal's reason once it is aborted. */
  async rest(): Promise<void> {
    await setImmediate();
    this.#signal?.throwIfAborted();
    this.#since = monotonicMs();
  }
}
