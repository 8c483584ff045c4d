import { expect, test } from "vitest";
import { createRenderer, type ProgressMode } from "../../../src/cli/progress/renderer.ts";
import { digestOf } from "../../../src/oci/digest.ts";
import type { BuildEvent } from "../../../src/progress/events.ts";

const [a, b] = [digestOf("a"), digestOf("b")];
const bytes = (text: string) => Buffer.from(text);

const EVENTS: readonly BuildEvent[] = [
  { kind: "vertex-added", vertex: a, name: "[build 2/2] RUN make", inputs: [] },
  { kind: "vertex-added", vertex: b, name: "[stage-1 2/2] COPY --from=build /a /a", inputs: [a] },
  { kind: "vertex-started", vertex: a, atMs: 1000 },
  {
    kind: "cache-missed",
    vertex: a,
    cause: { kind: "changed", changes: [{ kind: "value", what: "variable CC", before: "gcc", after: "clang" }] },
  },
  { kind: "vertex-output", vertex: a, stream: "stdout", data: bytes("one\ntw"), atMs: 1100 },
  { kind: "vertex-started", vertex: b, atMs: 1150 },
  { kind: "vertex-output", vertex: b, stream: "stderr", data: bytes("10%\r50%\r99%\n"), atMs: 1160 },
  { kind: "vertex-output", vertex: a, stream: "stdout", data: bytes("o\nlast"), atMs: 1200 },
  {
    kind: "vertex-status",
    vertex: b,
    id: "pushing",
    current: 2_000_000,
    total: 2_000_000,
    startedMs: 1150,
    completedMs: 1250,
  },
  { kind: "vertex-finished", vertex: a, atMs: 1400, result: "succeeded" },
  { kind: "vertex-finished", vertex: b, atMs: 1450, result: "failed", error: "no room" },
  { kind: "notice", message: "said once" },
];

function shown(mode: ProgressMode): string {
  let text = "";
  const renderer = createRenderer(mode, {
    write: (more) => (text += more),
    isTerminal: false,
    color: false,
    columns: () => 60,
    rows: () => 20,
  });
  for (const event of EVENTS) renderer.event(event);
  renderer.end();
  return text;
}

test("1.14: plain keeps the lines of a step together and takes up a step that was left", () => {
  expect(shown("plain")).toBe(`#1 [build 2/2] RUN make
#1 not cached: variable CC changed: "gcc" -> "clang"
#1 0.100 one
#1 ...

#2 [stage-1 2/2] COPY --from=build /a /a
#2 0.010 99%
#2 ...

#1 [build 2/2] RUN make
#1 0.200 two
#1 ...

#2 [stage-1 2/2] COPY --from=build /a /a
#2 pushing 2MB / 2MB 0.1s done
#2 ...

#1 [build 2/2] RUN make
#1 0.400 last
#1 DONE 0.4s

#2 [stage-1 2/2] COPY --from=build /a /a
#2 ERROR: no room

note: said once

`);
});

test("U21: rawjson is BuildKit's SolveStatus, a line each", () => {
  const lines = shown("rawjson")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines[0]).toEqual({ vertexes: [{ digest: a, name: "[build 2/2] RUN make" }] });
  expect(lines.find((line) => "logs" in line)).toEqual({
    logs: [{ vertex: a, stream: 1, data: bytes("one\ntw").toString("base64"), timestamp: "1970-01-01T00:00:01.100Z" }],
  });
  expect(lines.findLast((line) => "vertexes" in line)).toMatchObject({
    vertexes: [{ digest: b, error: "no room", completed: "1970-01-01T00:00:01.450Z" }],
  });
});

test("tty writes what has ended for good, and no line wider than the terminal", () => {
  const text = shown("tty");
  expect(text).toContain("✓ [build 2/2] RUN make");
  expect(text).toContain("✗ ERROR [stage-1 2/2] COPY --from=build /a /a");
  // oxlint-disable-next-line no-control-regex -- escape sequences take no room
  const lines = text.replace(/\u001b\[[?0-9;]*[A-Za-z]/g, "").split("\n");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
});

test("quiet and none say nothing", () => {
  expect(shown("quiet") + shown("none")).toBe("");
});
