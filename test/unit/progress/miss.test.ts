// How reasons are said: one line for the log, all of it for `tsbuild why`.
import { expect, test } from "vitest";
import { formatDuration, missLine, missLines, type KeyChange, type MissCause } from "../../../src/progress/miss.ts";

const changed = (...changes: readonly KeyChange[]): MissCause => ({ kind: "changed", changes });

test("pain 1: each kind of reason has its line", () => {
  const lines = (
    [
      { kind: "never-built", isNewInstruction: false },
      { kind: "never-built", isNewInstruction: true },
      { kind: "asked", by: "--no-cache" },
      { kind: "expired", by: "# tsbuild: ttl=24h", ttlMs: 86_400_000, ageMs: 26 * 3_600_000 },
      { kind: "evicted", atMs: 0, reason: "pruned" },
      { kind: "evicted", atMs: 0, reason: "ceiling" },
      { kind: "lost" },
      { kind: "failed-before" },
    ] as const
  ).map(missLine);
  expect(lines).toEqual([
    "never built before",
    "the instruction is new",
    "asked for by --no-cache",
    "expired: 26h old, # tsbuild: ttl=24h allows 24h",
    "removed by prune (1970-01-01T00:00:00.000Z)",
    "evicted by GC to stay below --cache-max-size (1970-01-01T00:00:00.000Z)",
    "what it made is no longer in the store",
    "it failed the last time",
  ]);
});

test("a line shows where long texts differ, and counts the files that it does not name", () => {
  const base = "x".repeat(100);
  const text: KeyChange = { kind: "text", what: "command", before: `${base}one`, after: `${base}two` };
  expect(missLine(changed(text))).toBe('command changed: "…xxxxxxxxxxxxone" -> "…xxxxxxxxxxxxtwo"');
  const files = ["a", "b", "c", "d"].map((path) => ({ path, change: "added" }));
  const many: KeyChange = { kind: "files", of: "the build context", files, more: 5 };
  expect(missLine(changed(many))).toBe("a: added; b: added; c: added; and 6 more");
  expect(missLines(changed(many)).at(-1)).toBe("  and 5 more");
});

test("a script that changed is shown line by line", () => {
  const before = "set -e\nmake\nmake test\n";
  const change: KeyChange = { kind: "text", what: "command", before, after: "set -e\nmake all\nmake test\n" };
  expect(missLines(changed(change))).toEqual(["command changed:", "  - make", "  + make all"]);
});

test("values that must not be shown are not", () => {
  expect(missLine(changed({ kind: "value", what: "secret npm" }))).toBe("secret npm changed");
});

test("durations in the largest unit that says enough", () => {
  expect([45_000, 90_000, 7_200_000, 86_400_000, 3 * 86_400_000].map(formatDuration)).toEqual([
    "45s",
    "90s",
    "2h",
    "24h",
    "3d",
  ]);
});
