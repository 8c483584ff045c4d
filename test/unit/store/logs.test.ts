import { readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { LOGGED_BUILDS } from "../../../src/store/logs.ts";
import { tempStore } from "../../support/store/temp-store.ts";

test("pain 8: a step's log is complete, under a safe name", () => {
  using temp = tempStore();
  const chunk = Buffer.from("line\n".repeat(100_000));
  using log = temp.store.openStepLog("2026-11-23/x", "../3 RUN make\n");
  for (let i = 0; i < 5; i++) log.write(chunk);
  expect(readFileSync(log.path).length).toBe(5 * chunk.length);
  expect(dirname(dirname(log.path))).toBe(temp.store.paths.logs);
});

test("logs of the last builds are kept, no more", () => {
  using temp = tempStore();
  for (let i = 0; i < LOGGED_BUILDS + 5; i++) {
    using log = temp.store.openStepLog(`build-${i}`, "1");
    log.write(Buffer.from("x"));
    utimesSync(dirname(log.path), i, i);
  }
  const kept = readdirSync(temp.store.paths.logs);
  expect(kept).toHaveLength(LOGGED_BUILDS);
  expect(kept).not.toContain("build-0");
});

test("a log that cannot be written is said once and fails nothing", () => {
  using temp = tempStore();
  rmSync(temp.store.paths.logs, { recursive: true });
  writeFileSync(join(temp.root, "logs"), "in the way");
  using log = temp.store.openStepLog("b", "1");
  log.write(Buffer.from("x"));
  log.write(Buffer.from("y"));
  expect(temp.notices).toHaveLength(1);
});
