// Builds whose layers are alike, or not there.
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

test("C16: a RUN on top of the same COPY and WORKDIR twice", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nCOPY a /a\nRUN rm /a\nCOPY a /a\nWORKDIR /w\nWORKDIR /w\nRUN cat /a > /b\n",
    a: "content",
  });
  await rig.must(["-t", "twice", context]);
  expect((await rig.must(["run", "twice", "cat", "/b"])).stdout).toBe("content");
});

test("F04: COPY and RUN --mount from a stage that is FROM scratch alone", async () => {
  const context = rig.context({
    Dockerfile:
      "FROM scratch AS nothing\nFROM busybox\nCOPY --from=nothing / /n/\nRUN --mount=from=nothing,target=/m ls -A /m /n > /list\n",
  });
  await rig.must(["-t", "nothing", context]);
  expect((await rig.must(["run", "nothing", "cat", "/list"])).stdout).toBe("/m:\n\n/n:\n");
});
