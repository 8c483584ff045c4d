// What a cache tells another machine about the steps it was filled with: enough to name what differs, and nothing else (pain 1).
import { expect, test } from "vitest";
import {
  differingNames,
  encodeParts,
  parseParts,
  shortDigestOf,
  stepLike,
  type StepParts,
} from "../../../src/cache/step-parts.ts";

function step(text: string, parts: Readonly<Record<string, string>>, place = 1, stage = "build"): StepParts {
  const digests = Object.entries(parts).map(([name, value]) => [name, shortDigestOf(value)] as const);
  return { stage, op: "exec", place, text: shortDigestOf(text), parts: digests };
}

test("written and read again, without any value; damage is nothing", () => {
  const steps = [step("RUN make", { command: "make", "env TOKEN": "hush" })];
  const bytes = encodeParts(steps);
  expect(parseParts(bytes)).toEqual(steps);
  expect(JSON.stringify(parseParts(bytes))).not.toMatch(/hush|make/);
  for (const damaged of [bytes.subarray(1), encodeParts([{ stage: 1 } as unknown as StepParts]), new Uint8Array()])
    expect(parseParts(damaged)).toBeUndefined();
});

test("the same words, else one of its kind in the same place", () => {
  const [one, two] = [step("RUN a", {}, 1), step("RUN b", {}, 2)];
  expect(stepLike(step("RUN b", { x: "y" }, 1), [one, two])).toBe(two);
  expect(stepLike(step("RUN c", {}, 2), [one, two])).toBe(two);
  expect(stepLike(step("RUN c", {}, 3), [one, two])).toBeUndefined();
  expect(stepLike(step("RUN a", {}, 1, "other"), [one])).toBeUndefined();
});

test("names of what changed, is new, or is gone", () => {
  const before = step("RUN a", { command: "a", "env CC": "gcc", "env OLD": "1" });
  const now = step("RUN a", { command: "a", "env CC": "clang", "env NEW": "1" });
  expect(differingNames(before.parts, now.parts)).toEqual(["env CC", "env NEW", "env OLD"]);
  expect(differingNames(before.parts, before.parts)).toEqual([]);
});
