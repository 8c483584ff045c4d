// `--progress tty`: steps that have ended scroll away above a live block with the running steps and the last lines of what they print.
import type { BuildEvent } from "../../index.ts";
import { nowMs } from "../../base/clock.ts";
import { fit, formatBytes, formatSeconds } from "./format.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { ProgressRenderer, ProgressTarget } from "./target.ts";

const FRAME_MS = 100;
/** Lines of output shown under each running step. */
const OUTPUT_LINES = 6;

interface Running {
  readonly name: string;
  readonly startedMs: number;
  readonly splitter: LineSplitter;
  output: string[];
  reason?: string;
  readonly statuses: Map<string, string>;
}

export function ttyProgress(target: ProgressTarget): ProgressRenderer {
  const paint = (code: string, text: string): string => (target.color ? `\u001b[${code}m${text}\u001b[0m` : text);
  const names = new Map<string, string>();
  const running = new Map<string, Running>();
  const started = nowMs();
  let pending = "";
  let drawn = 0;
  let finished = 0;

  /** A line above the live block, for good. */
  const settle = (mark: string, name: string, tail: string): void => {
    const width = target.columns() - tail.length - 3;
    pending += `${mark} ${fit(name, width).padEnd(Math.max(0, width))} ${tail}\n`;
  };
  const liveLines = (): string[] => {
    const lines = [paint("1", `[+] Building ${formatSeconds(nowMs() - started)} (${finished}/${names.size})`)];
    const perStep = Math.max(
      0,
      Math.min(OUTPUT_LINES, Math.floor((target.rows() - 3) / Math.max(1, running.size)) - 1),
    );
    for (const step of running.values()) {
      const seconds = formatSeconds(nowMs() - step.startedMs);
      const width = target.columns() - seconds.length - 5;
      lines.push(`${paint("34", "=>")} ${fit(step.name, width).padEnd(Math.max(0, width))} ${seconds}`);
      for (const [id, text] of step.statuses) lines.push(paint("2", fit(`   ${id} ${text}`, target.columns() - 1)));
      if (perStep > 0)
        for (const line of step.output.slice(-perStep))
          lines.push(paint("2", fit(`   # ${printable(line)}`, target.columns() - 1)));
    }
    return lines.slice(0, Math.max(1, target.rows() - 1));
  };
  const draw = (isLast = false): void => {
    const up = drawn > 0 ? `\u001b[${drawn}A` : "";
    const live = isLast
      ? [paint("1", `[+] Built ${formatSeconds(nowMs() - started)} (${finished}/${names.size})`)]
      : liveLines();
    target.write(`\u001b[?2026h${up}\u001b[0J${pending}${live.join("\n")}\n\u001b[?2026l`);
    pending = "";
    drawn = live.length;
  };

  const event = (happened: BuildEvent): void => {
    switch (happened.kind) {
      case "vertex-added":
        names.set(happened.vertex, happened.name);
        return;
      case "vertex-started": {
        const name = names.get(happened.vertex) ?? happened.vertex;
        const { atMs: startedMs } = happened;
        running.set(happened.vertex, {
          name,
          startedMs,
          splitter: new LineSplitter(),
          output: [],
          statuses: new Map(),
        });
        return;
      }
      case "vertex-output": {
        const step = running.get(happened.vertex);
        if (step) step.output = [...step.output, ...step.splitter.push(happened.data)].slice(-OUTPUT_LINES);
        return;
      }
      case "vertex-status": {
        const { id, current, total, completedMs } = happened;
        const size =
          total > 0 ? `${formatBytes(current)} / ${formatBytes(total)}` : current > 0 ? formatBytes(current) : "";
        const statuses = running.get(happened.vertex)?.statuses;
        if (completedMs === undefined) statuses?.set(id, size);
        else statuses?.delete(id);
        return;
      }
      case "cache-missed":
        pending += paint("2", `   ${names.get(happened.vertex) ?? ""} not cached: ${happened.reason}`) + "\n";
        return;
      case "vertex-finished": {
        const step = running.get(happened.vertex);
        running.delete(happened.vertex);
        finished++;
        const name = step?.name ?? names.get(happened.vertex) ?? happened.vertex;
        const seconds = formatSeconds(happened.atMs - (step?.startedMs ?? happened.atMs));
        if (happened.result === "cached") settle(paint("32", "✓"), `CACHED ${name}`, seconds);
        else if (happened.result === "succeeded") settle(paint("32", "✓"), name, seconds);
        else if (happened.result === "failed") settle(paint("31", "✗"), `ERROR ${name}`, seconds);
        else settle(paint("33", "-"), `CANCELED ${name}`, seconds);
        return;
      }
      case "notice":
        pending += `${paint("33", "note:")} ${happened.message}\n`;
        return;
      case "diagnostic":
      case "counted":
        return;
    }
  };
  const timer = setInterval(draw, FRAME_MS);
  const end = (): void => {
    clearInterval(timer);
    draw(true);
  };
  return { event, end };
}

/** Without control sequences, which would break the block. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is taken out
  return text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replace(/[\u0000-\u001f\u007f]/g, " ");
}
