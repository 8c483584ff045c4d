// Patience: how long, how often, and for what, on a clock that only we move.
import { expect, test } from "vitest";
import { BuildError } from "../../../src/diagnostics/build-error.ts";
import { Backoff, backoffMs, parseRetryAfter, type Failure, type RetryClock } from "../../../src/registry/retry.ts";

function fakeClock(random = 0): RetryClock & { readonly slept: number[] } {
  const slept: number[] = [];
  let now = 0;
  return {
    slept,
    now: () => now,
    random: () => random,
    sleep(ms, signal) {
      signal?.throwIfAborted();
      slept.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
}

const error = new BuildError("registry", "no");
const failAll = async (backoff: Backoff, failure: Omit<Failure, "error">): Promise<void> => {
  for (;;) await backoff.failed({ error, ...failure });
};

test("RG17: five attempts, 1, 2, 4, 8 s between them, then the error itself", async () => {
  const clock = fakeClock();
  await expect(failAll(new Backoff({ clock }), { isTransient: true })).rejects.toBe(error);
  expect(clock.slept).toEqual([1000, 2000, 4000, 8000]);
});

test("RG17: a broken connection is tried again at once, an unreachable host twice only", async () => {
  const clock = fakeClock();
  await expect(failAll(new Backoff({ clock }), { isTransient: true, isConnection: true, cost: 2 })).rejects.toBe(error);
  expect(clock.slept).toEqual([50, 2000]);
});

test("RG17: what cannot get better is not tried again", async () => {
  const clock = fakeClock();
  await expect(failAll(new Backoff({ clock }), { isTransient: false })).rejects.toBe(error);
  expect(clock.slept).toEqual([]);
});

test("pain 5: Retry-After is obeyed, but not for ever", async () => {
  const clock = fakeClock(1);
  const backoff = new Backoff({ clock });
  await backoff.failed({ error, isTransient: true, retryAfterMs: 30_000 });
  expect(clock.slept).toEqual([33_000]);
  await expect(backoff.failed({ error, isTransient: true, retryAfterMs: 3_600_000 })).rejects.toBe(error);
});

test("pain 5: jitter takes off at most half, and progress gives new patience", async () => {
  expect([0, 0.5, 1].map((random) => backoffMs(2, random))).toEqual([4000, 3000, 2000]);
  const clock = fakeClock();
  const backoff = new Backoff({ clock, attempts: 2 });
  await backoff.failed({ error, isTransient: true });
  backoff.progressed();
  await backoff.failed({ error, isTransient: true });
  await expect(backoff.failed({ error, isTransient: true })).rejects.toBe(error);
});

test("a cancelled operation rejects with the signal's reason, not with the failure", async () => {
  const reason = new Error("stop");
  const backoff = new Backoff({ clock: fakeClock(), signal: AbortSignal.abort(reason) });
  await expect(backoff.failed({ error, isTransient: true })).rejects.toBe(reason);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.UTC(2026, 0, 1);
  expect(parseRetryAfter("7", now)).toBe(7000);
  expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:09 GMT", now)).toBe(9000);
  expect(parseRetryAfter("Thu, 01 Jan 2015 00:00:09 GMT", now)).toBe(0);
  expect([undefined, "", "soon", "-1", "1.5"].map((text) => parseRetryAfter(text, now))).toEqual(
    Array(5).fill(undefined),
  );
});
