import { expect, test } from "vitest";
import { noteUnknownStages } from "../../../src/engine/no-cache-stages.ts";

test("Q31: a stage that --no-cache-filter names and that is not there is told, with what was meant", () => {
  const told: string[] = [];
  const stages = [{ name: "Build" }, {}, { name: "test" }];
  noteUnknownStages(["BUILD", "biuld", "1", "stage-1", "test"], stages, (event) => {
    if (event.kind === "notice") told.push(event.message);
  });
  expect(told).toEqual([
    '--no-cache-filter biuld: no stage is called so; did you mean "Build"?',
    "--no-cache-filter 1: no stage is called so; name it by FROM … AS NAME",
    "--no-cache-filter stage-1: no stage is called so; name it by FROM … AS NAME",
  ]);
});
