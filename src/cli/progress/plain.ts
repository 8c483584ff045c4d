// `--progress plain`, in BuildKit's shape: `#5 [build 2/3] RUN make`, `#5 0.123 output`, `#5 DONE 0.4s`. Lines of one step are kept together; a step that is left unfinished is taken up again with its name.
import type { BuildEvent } from "../../index.ts";
import { formatBytes, formatSeconds } from "./format.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { ProgressRenderer, ProgressTarget } from "./target.ts";

interface Step {
  readonly number: number;
  readonly name: string;
  startedMs: number;
  readonly lines: LineSplitter;
}

export function plainProgress(target: ProgressTarget): ProgressRenderer {
  const names = new Map<string, string>();
  const steps = new Map<string, Step>();
  let current: string | undefined;

  /** Prints a line of a step, naming the step first where another one spoke last. */
  const say = (vertex: string, text: string): void => {
    const known = steps.get(vertex);
    const step = known ?? {
      number: steps.size + 1,
      name: names.get(vertex) ?? vertex,
      startedMs: 0,
      lines: new LineSplitter(),
    };
    if (!known) steps.set(vertex, step);
    if (current !== vertex) {
      if (current !== undefined)
        target.write(steps.has(current) && current !== vertex ? `#${steps.get(current)!.number} ...\n\n` : "\n");
      target.write(`#${step.number} ${step.name}\n`);
      current = vertex;
    }
    target.write(`#${step.number} ${text}\n`);
  };
  /** The step has ended: the next line of anybody starts a new block. */
  const close = (vertex: string): void => {
    if (current !== vertex) return;
    target.write("\n");
    current = undefined;
  };

  const event = (happened: BuildEvent): void => {
    switch (happened.kind) {
      case "vertex-added":
        names.set(happened.vertex, happened.name);
        return;
      case "vertex-started": {
        const number = steps.get(happened.vertex)?.number ?? steps.size + 1;
        const name = names.get(happened.vertex) ?? happened.vertex;
        steps.set(happened.vertex, { number, name, startedMs: happened.atMs, lines: new LineSplitter() });
        return;
      }
      case "vertex-output": {
        const step = steps.get(happened.vertex);
        if (!step) return;
        const time = ((happened.atMs - step.startedMs) / 1000).toFixed(3);
        for (const line of step.lines.push(happened.data)) say(happened.vertex, `${time} ${line}`);
        return;
      }
      case "vertex-status":
        if (happened.completedMs !== undefined) {
          const seconds = formatSeconds(happened.completedMs - happened.startedMs);
          const size = happened.total > 0 ? ` ${formatBytes(happened.current)} / ${formatBytes(happened.total)}` : "";
          say(happened.vertex, `${happened.id}${size} ${seconds} done`);
        }
        return;
      case "vertex-finished": {
        const step = steps.get(happened.vertex);
        const rest = step?.lines.end();
        if (rest !== undefined)
          say(happened.vertex, `${((happened.atMs - step!.startedMs) / 1000).toFixed(3)} ${rest}`);
        const outcome = {
          succeeded: `DONE ${formatSeconds(happened.atMs - (step?.startedMs ?? happened.atMs))}`,
          cached: "CACHED",
          failed: `ERROR: ${happened.error ?? "failed"}`,
          cancelled: "CANCELED",
        }[happened.result];
        say(happened.vertex, outcome);
        close(happened.vertex);
        return;
      }
      case "cache-missed":
        say(happened.vertex, `not cached: ${happened.reason}`);
        return;
      case "notice":
        if (current !== undefined) target.write(`#${steps.get(current)!.number} ...\n\n`);
        current = undefined;
        target.write(`note: ${happened.message}\n\n`);
        return;
      case "diagnostic":
      case "counted":
        return;
    }
  };
  return { event, end: () => {} };
}
