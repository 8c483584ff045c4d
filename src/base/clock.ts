// The one door to time and chance, so that tests and reproducible outputs can say what they are.
import { randomBytes } from "node:crypto";

/** Wall-clock milliseconds since the epoch. */
export function nowMs(): number {
  return Date.now();
}

/** The present moment as RFC 3339 with milliseconds, UTC. */
export function nowIso(): string {
  return new Date().toISOString();
}

/** RFC 3339 UTC text of milliseconds since the epoch. */
export function isoOfMs(ms: number): string {
  return new Date(ms).toISOString();
}

/** Milliseconds of an RFC 3339 text, or undefined where it is none. */
export function msOfIso(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Monotonic milliseconds, for durations only. */
export function monotonicMs(): number {
  return performance.now();
}

/** A random lower-case hexadecimal name of `2 * bytes` characters. */
export function randomName(bytes = 8): string {
  return randomBytes(bytes).toString("hex");
}
