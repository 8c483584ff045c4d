// How often and how long to try again (reference RG17, pain 5): bounded exponential backoff with jitter that obeys Retry-After. Time and chance come in from outside.
import { setTimeout as delay } from "node:timers/promises";
import { msOfIso, nowMs, randomName } from "../base/clock.ts";
import type { BuildError } from "../diagnostics/build-error.ts";

/** Time and chance, so that tests can say what they are. */
export interface RetryClock {
  /** Wall-clock milliseconds. */
  readonly now: () => number;
  /** Waits; rejects with the signal's reason where it fires. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export const systemClock: RetryClock = {
  now: nowMs,
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
  random: () => Number.parseInt(randomName(4), 16) / 2 ** 32,
};

/** One failed attempt. `error` is what the caller sees if it was the last one. */
export interface Failure {
  readonly error: BuildError;
  readonly isTransient: boolean;
  /** The connection broke or was never made: the first repetition comes at once. */
  readonly isConnection?: boolean;
  /** What the server asked for. */
  readonly retryAfterMs?: number;
  /** How much of the budget it uses up. Default 1. */
  readonly cost?: number;
}

/** Carries a {@link Failure} from where it is noticed to the loop that decides about it. Never leaves this folder. */
export class FailedAttempt extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.error.message, { cause: failure.error });
    this.failure = failure;
  }
}

/** Attempts of one operation: the first and four repetitions. */
const MAX_ATTEMPTS = 5;
/** The longest wait that a server may ask for before we give up instead. */
export const MAX_RETRY_AFTER_MS = 120_000;
const RECONNECT_MS = 50;
const BASE_MS = 1_000;
const MAX_MS = 8_000;

export interface BackoffOptions {
  readonly clock: RetryClock;
  readonly attempts?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The patience of one operation, shared by all its requests, so that layers of retrying do not multiply. */
export class Backoff {
  readonly #clock: RetryClock;
  readonly #attempts: number;
  readonly #signal: AbortSignal | undefined;
  #used = 0;
  #waits = 0;

  constructor({ clock, attempts = MAX_ATTEMPTS, signal }: BackoffOptions) {
    this.#clock = clock;
    this.#attempts = attempts;
    this.#signal = signal;
  }

  /** Waits until the next attempt may start; throws the failure's error where there is no next attempt. */
  async failed(failure: Failure): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#used += failure.cost ?? 1;
    if (!failure.isTransient || this.#used >= this.#attempts) throw failure.error;
    if ((failure.retryAfterMs ?? 0) > MAX_RETRY_AFTER_MS) throw failure.error;
    const ms = backoffMs(this.#waits++, this.#clock.random(), failure);
    await this.#clock.sleep(ms, this.#signal);
  }

  /** The operation got further than ever before: patience starts again. */
  progressed(): void {
    this.#used = 0;
    this.#waits = 0;
  }
}

/** Milliseconds before repetition `index` (0 = first): 1, 2, 4, 8 s less up to half of it, or what the server asked for plus up to a tenth. */
export function backoffMs(
  index: number,
  random: number,
  { isConnection = false, retryAfterMs }: Pick<Failure, "isConnection" | "retryAfterMs"> = {},
): number {
  if (retryAfterMs !== undefined) return Math.round(retryAfterMs * (1 + random / 10));
  if (isConnection && index === 0) return RECONNECT_MS;
  return Math.round(Math.min(BASE_MS * 2 ** index, MAX_MS) * (1 - random / 2));
}

/** Reads Retry-After, seconds or an HTTP date, as milliseconds from `now`; undefined where it is neither. */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const at = /[A-Za-z]{3}/.test(value) ? msOfIso(value) : undefined;
  return at === undefined ? undefined : Math.max(0, at - now);
}
