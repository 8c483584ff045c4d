// `--progress rawjson`: BuildKit's SolveStatus, one JSON object a line, for tools that read buildx's.
import { positionAt, type BuildEvent, type Diagnostic } from "../../index.ts";
import { isoOfMs } from "../../base/clock.ts";
import type { ProgressRenderer, ProgressTarget } from "./target.ts";

interface RawVertex {
  digest: string;
  inputs?: readonly string[];
  name: string;
  started?: string;
  completed?: string;
  cached?: boolean;
  error?: string;
}

export function rawJsonProgress(target: ProgressTarget): ProgressRenderer {
  const vertices = new Map<string, RawVertex>();
  const send = (status: object): void => {
    target.write(`${JSON.stringify(status)}\n`);
  };
  const update = (digest: string, change: Partial<RawVertex>): void => {
    const vertex = { ...(vertices.get(digest) ?? { digest, name: digest }), ...change };
    vertices.set(digest, vertex);
    send({ vertexes: [vertex] });
  };
  const event = (happened: BuildEvent): void => {
    switch (happened.kind) {
      case "vertex-added":
        return update(happened.vertex, {
          name: happened.name,
          ...(happened.inputs.length > 0 ? { inputs: happened.inputs } : {}),
        });
      case "vertex-started": {
        // A build that starts again has not ended what it ended before.
        const { name = happened.vertex, inputs } = vertices.get(happened.vertex) ?? {};
        vertices.set(happened.vertex, { digest: happened.vertex, name, ...(inputs ? { inputs } : {}) });
        return update(happened.vertex, { started: isoOfMs(happened.atMs) });
      }
      case "vertex-finished":
        return update(happened.vertex, {
          completed: isoOfMs(happened.atMs),
          ...(happened.result === "cached" ? { cached: true } : {}),
          ...(happened.result === "failed" ? { error: happened.error ?? "failed" } : {}),
          ...(happened.result === "cancelled" ? { error: "context canceled" } : {}),
        });
      case "vertex-output": {
        const stream = happened.stream === "stdout" ? 1 : 2;
        const data = Buffer.from(happened.data).toString("base64");
        return send({ logs: [{ vertex: happened.vertex, stream, data, timestamp: isoOfMs(happened.atMs) }] });
      }
      case "vertex-status": {
        const { vertex, id, current, total, startedMs, completedMs } = happened;
        const timestamp = isoOfMs(completedMs ?? startedMs);
        const completed = completedMs === undefined ? {} : { completed: isoOfMs(completedMs) };
        return send({
          statuses: [{ id, vertex, name: id, current, total, timestamp, started: isoOfMs(startedMs), ...completed }],
        });
      }
      case "diagnostic": {
        if (happened.diagnostic.severity === "warning") send({ warnings: [rawWarning(happened.diagnostic)] });
        return undefined;
      }
      case "step-keyed":
      case "layer-known":
      case "step-used":
      case "cache-missed":
      case "result-kept":
      case "notice":
      case "counted":
        return undefined;
    }
  };
  return { event, end: () => {} };
}

/** BuildKit's VertexWarning, without the LLB definition of the source. */
function rawWarning({ code, message, url, description, span }: Diagnostic): object {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const { source, start, end } = span.source.trigger?.runBy ?? span;
  const line = (offset: number): number => positionAt(source, offset).line;
  const [first, last] = [line(start), line(Math.max(start, end - 1))];
  return {
    level: 1,
    short: base64(`${code}: ${message} (line ${first})`),
    detail: description === undefined ? [] : [base64(description)],
    ...(url === undefined ? {} : { url }),
    sourceInfo: { filename: source.path, data: base64(source.text), language: "Dockerfile" },
    range: [{ start: { line: first }, end: { line: last } }],
  };
}
