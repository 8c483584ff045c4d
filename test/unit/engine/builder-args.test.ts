// Build arguments that speak to the builder. What a build does with them: integration/build/later.test.ts.
import { expect, test } from "vitest";
import { refuseMultiPlatform } from "../../../src/engine/builder-args.ts";

const told =
  (value: string): (() => void) =>
  () =>
    refuseMultiPlatform(new Map([["BUILDKIT_MULTI_PLATFORM", value]]));

test("A26: BUILDKIT_MULTI_PLATFORM is a bool of Go's", () => {
  for (const no of ["", "0", "f", "F", "false", "False", "FALSE"]) expect(told(no)).not.toThrow();
  for (const yes of ["1", "t", "T", "true", "True", "TRUE"]) expect(told(yes)).toThrow("is not built yet");
  for (const none of ["2", "yes", "tRUE", " 1"]) expect(told(none)).toThrow("invalid boolean value");
});
