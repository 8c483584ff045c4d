import fc from "fast-check";
import { expect, test } from "vitest";
import type { BuildRecord, StepRecord } from "../../../src/engine/build-record.ts";
import { criticalPath } from "../../../src/engine/report.ts";

const step = (name: string, startedMs: number, endedMs: number, inputs: readonly number[] = []): StepRecord => ({
  name,
  stage: "",
  instruction: "",
  op: "exec",
  inputs,
  outcome: "ran",
  startedMs,
  endedMs,
});

const build = (endedMs: number, steps: readonly StepRecord[]): BuildRecord => ({
  version: 1,
  ref: "0",
  scope: "0",
  dockerfile: "Dockerfile",
  context: ".",
  tags: [],
  startedMs: 0,
  endedMs,
  outcome: "succeeded",
  steps,
});

test("pain 37: the critical path follows what steps wait for, and says what lies between", () => {
  const steps = [step("a", 5, 40), step("short", 5, 44), step("b", 45, 90, [0, 1]), step("beside", 45, 80, [0])];
  expect(criticalPath(build(100, [...steps, step("export", 92, 100)]))).toEqual([
    { step: null, name: "between steps", durationMs: 5 },
    { step: 1, name: "short", durationMs: 39 },
    { step: null, name: "between steps", durationMs: 1 },
    { step: 2, name: "b", durationMs: 45 },
    { step: null, name: "between steps", durationMs: 2 },
    { step: 4, name: "export", durationMs: 8 },
  ]);
});

test("pain 37: its sum is the duration of the build, whatever the steps were", () => {
  const time = fc.integer({ min: -5, max: 120 });
  const anyStep = fc.record({ from: time, to: time, inputs: fc.array(fc.nat(5), { maxLength: 3 }) });
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 6 }), (specs) => {
      const steps = specs.map(({ from, to, inputs }, i) => step(String(i), from, to, inputs));
      const path = criticalPath(build(100, steps));
      expect(path.reduce((sum, { durationMs }) => sum + durationMs, 0)).toBe(100);
      expect(path.every(({ durationMs }) => durationMs > 0)).toBe(true);
    }),
  );
});
