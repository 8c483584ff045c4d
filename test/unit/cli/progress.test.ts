import { describe, expect, test } from "vitest";
import { ciProgress } from "../../../src/cli/progress/ci.ts";
import { createRenderer, type ProgressMode } from "../../../src/cli/progress/renderer.ts";
import { digestOf, type Digest } from "../../../src/oci/digest.ts";
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

async function shown(mode: ProgressMode): Promise<string> {
  let text = "";
  const target = {
    write: (more: string) => {
      text += more;
    },
    isTerminal: false,
    color: false,
    columns: () => 60,
    rows: () => 20,
  };
  const renderer = await createRenderer(mode, target, {});
  for (const event of EVENTS) renderer.event(event);
  renderer.end();
  return text;
}

test("1.14: plain keeps the lines of a step together and takes up a step that was left", async () => {
  expect(await shown("plain")).toBe(`#1 [build 2/2] RUN make
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

test("U21: rawjson is BuildKit's SolveStatus, a line each", async () => {
  const lines = (await shown("rawjson"))
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

test("U21: a build check in rawjson is BuildKit's VertexWarning, with its line and the Dockerfile", async () => {
  let written = "";
  const renderer = await createRenderer(
    "rawjson",
    { write: (text) => (written += text), isTerminal: false, color: false, columns: () => 80, rows: () => 24 },
    {},
  );
  const text = "FROM busybox AS Base\nCMD x\n";
  const span = { source: { path: "Dockerfile", text }, start: 16, end: 20 };
  const found = {
    code: "StageNameCasing",
    severity: "warning",
    message: "Stage name 'Base' should be lowercase",
    span,
  } as const;
  renderer.event({ kind: "diagnostic", diagnostic: { ...found, description: "Stage names should be lowercase" } });
  const base64 = (one: string) => Buffer.from(one).toString("base64");
  expect(JSON.parse(written)).toEqual({
    warnings: [
      {
        level: 1,
        short: base64("StageNameCasing: Stage name 'Base' should be lowercase (line 1)"),
        detail: [base64("Stage names should be lowercase")],
        sourceInfo: { filename: "Dockerfile", data: base64(text), language: "Dockerfile" },
        range: [{ start: { line: 1 }, end: { line: 1 } }],
      },
    ],
  });
  written = "";
  const runBy = { ...span, start: 0, end: 20 };
  const source = { path: "ONBUILD of a", text: "\n\nMAINTAINER b", trigger: { runBy, index: 0 } };
  renderer.event({ kind: "diagnostic", diagnostic: { ...found, span: { source, start: 2, end: 12 } } });
  expect(JSON.parse(written)).toMatchObject({
    warnings: [{ sourceInfo: { filename: "Dockerfile" }, range: [{ start: { line: 1 } }] }],
  });
});

test("tty writes what has ended for good, and no line wider than the terminal", async () => {
  const text = await shown("tty");
  expect(text).toContain("✓ [build 2/2] RUN make");
  expect(text).toContain("✗ ERROR [stage-1 2/2] COPY --from=build /a /a");
  // oxlint-disable-next-line no-control-regex -- escape sequences take no room
  const lines = text.replace(/\u001b\[[?0-9;]*[A-Za-z]/g, "").split("\n");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
});

test("quiet and none say nothing", async () => {
  expect((await shown("quiet")) + (await shown("none"))).toBe("");
});

describe("ci (pain 24)", () => {
  const ci = (environment: Readonly<Record<string, string>> = {}) => {
    let text = "";
    const clock = { nowMs: 0, beat: () => {} };
    const target = { write: (more: string) => void (text += more), isTerminal: false, color: false };
    const renderer = ciProgress(
      { ...target, columns: () => 80, rows: () => 24 },
      {
        environment,
        now: () => clock.nowMs,
        every: (_ms, beat) => {
          clock.beat = beat;
          return { [Symbol.dispose]: () => (clock.beat = () => {}) };
        },
      },
    );
    const take = (): string => {
      const taken = text;
      text = "";
      return taken;
    };
    return { renderer, clock, take };
  };
  const added = (...vertices: readonly Digest[]): BuildEvent[] =>
    vertices.map((vertex, i) => ({
      kind: "vertex-added",
      vertex,
      name: `[${i + 1}/${vertices.length}] RUN ${i}`,
      inputs: [],
    }));
  const says = (vertex: Digest, text: string): BuildEvent => ({
    kind: "vertex-output",
    vertex,
    stream: "stdout",
    data: bytes(text),
    atMs: 1000,
  });
  const started = (vertex: Digest): BuildEvent => ({ kind: "vertex-started", vertex, atMs: 1000 });
  const ended = (vertex: Digest): BuildEvent => ({ kind: "vertex-finished", vertex, atMs: 2000, result: "succeeded" });

  test("a step's output is one block, whatever runs beside it, and the oldest is shown as it goes", () => {
    const { renderer, take } = ci();
    const [first, second] = [a, b];
    for (const event of [...added(first, second), started(first), says(first, "a1\n")]) renderer.event(event);
    expect(take()).toBe("#1 [1/2] RUN 0\n#1 0.000 a1\n");
    for (const event of [started(second), says(second, "b1\n"), says(first, "a2\n"), says(second, "b2")])
      renderer.event(event);
    expect(take()).toBe("#1 0.000 a2\n");
    for (const event of [ended(second), ended(first)]) renderer.event(event);
    renderer.end();
    expect(take()).toBe("#1 DONE 1.0s\n\n#2 [2/2] RUN 1\n#2 0.000 b1\n#2 1.000 b2\n#2 DONE 1.0s\n\n");
  });

  test("a step that says nothing is one line, between blocks; 500 MB in a hundred parts are one line too", () => {
    const { renderer, take } = ci();
    for (const event of [...added(a, b), started(a), says(a, "a1\n"), started(b)]) renderer.event(event);
    for (let i = 0; i < 100; i++) {
      const part = { kind: "vertex-status", vertex: b, id: `sha256:${i}`, total: 5_000_000, startedMs: 1000 } as const;
      for (let at = 0; at < 10; at++) renderer.event({ ...part, current: at * 500_000 });
      renderer.event({ ...part, current: 5_000_000, completedMs: 1900 });
    }
    for (const event of [ended(b), ended(a)]) renderer.event(event);
    expect(take()).toBe("#1 [1/2] RUN 0\n#1 0.000 a1\n#1 DONE 1.0s\n\n#2 [2/2] RUN 1 DONE 1.0s (500MB in 100 parts)\n");
  });

  test("a sign of life after 30 silent seconds, with what runs and for how long; none where nothing runs", () => {
    const { renderer, clock, take } = ci();
    clock.nowMs = 30_000;
    clock.beat();
    for (const event of [...added(a), started(a)]) renderer.event(event);
    clock.nowMs = 61_000;
    clock.beat();
    expect(take()).toBe("still running: #1 [1/1] RUN 0 (60.0s)\n");
    clock.nowMs = 70_000;
    clock.beat();
    expect(take()).toBe("");
    renderer.event(ended(a));
    clock.nowMs = 200_000;
    clock.beat();
    expect(take()).toBe("#1 [1/1] RUN 0 DONE 1.0s\n");
  });

  test("an interrupted build shows what waited; a step that waits keeps so many lines and says how many it did not", () => {
    const { renderer, take } = ci();
    for (const event of [...added(a, b), started(a), says(a, "a\n"), started(b)]) renderer.event(event);
    renderer.event(says(b, "b\n".repeat(12_000)));
    renderer.end();
    const text = take();
    expect(text).toContain("#2 … 2000 lines are only in its log\n");
    expect(text.split("\n").filter((line) => line === "#2 0.000 b")).toHaveLength(10_000);
  });

  test("GitHub and GitLab can fold the blocks, and output cannot give them commands", () => {
    const events = [...added(a), started(a), says(a, "::add-mask::x\n"), ended(a)];
    const github = ci({ GITHUB_ACTIONS: "true" });
    for (const event of events) github.renderer.event(event);
    expect(github.take()).toBe("::group::#1 [1/1] RUN 0\n#1 0.000 ::add-mask::x\n#1 DONE 1.0s\n::endgroup::\n");
    const gitlab = ci({ GITLAB_CI: "true" });
    gitlab.clock.nowMs = 5000;
    for (const event of events) gitlab.renderer.event(event);
    expect(gitlab.take()).toBe(
      "\u001b[0Ksection_start:5:tsbuild_1\r\u001b[0K#1 [1/1] RUN 0\n#1 0.000 ::add-mask::x\n#1 DONE 1.0s\n\u001b[0Ksection_end:5:tsbuild_1\r\u001b[0K\n",
    );
  });
});
