// `--progress tty`: steps that have ended scroll away above a live block with the running steps and the last lines of what they print.
import { missLine, type BuildEvent } from "../../index.ts";
import { nowMs } from "../../base/clock.ts";
import { formatBytes } from "../../base/size-text.ts";
import { fit, formatSeconds, keptText } from "./format.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { EventOf } from "./logged-steps.ts";
import type { ProgressRenderer, ProgressTarget } from "./target.ts";

const FRAME_MS = 100;
/** Lines of output shown under each running step. */
const OUTPUT_LINES = 6;
const ESCAPE = "\u001b";
/** Synchronized output: terminals that know it show a frame at once. */
const FRAME_BEGIN = `${ESCAPE}[?2026h`;
const FRAME_END = `${ESCAPE}[?2026l`;

interface Running {
  readonly name: string;
  readonly startedMs: number;
  readonly splitter: LineSplitter;
  output: string[];
  readonly statuses: Map<string, string>;
}

export function ttyProgress(target: ProgressTarget): ProgressRenderer {
  return new TtyProgress(target);
}

class TtyProgress implements ProgressRenderer {
  readonly #target: ProgressTarget;
  readonly #names = new Map<string, string>();
  readonly #running = new Map<string, Running>();
  readonly #startedMs = nowMs();
  readonly #timer: NodeJS.Timeout;
  /** Lines for good, to be written above the block with the next frame. */
  #pending = "";
  #drawnLines = 0;
  #finishedCount = 0;

  constructor(target: ProgressTarget) {
    this.#target = target;
    this.#timer = setInterval(() => this.#draw(this.#liveLines()), FRAME_MS);
  }

  event(event: BuildEvent): void {
    switch (event.kind) {
      case "vertex-added":
        this.#names.set(event.vertex, event.name);
        return;
      case "vertex-started":
        this.#running.set(event.vertex, {
          name: this.#nameOf(event.vertex),
          startedMs: event.atMs,
          splitter: new LineSplitter(),
          output: [],
          statuses: new Map(),
        });
        return;
      case "vertex-output": {
        const step = this.#running.get(event.vertex);
        if (step) step.output = [...step.output, ...step.splitter.push(event.data)].slice(-OUTPUT_LINES);
        return;
      }
      case "vertex-status":
        this.#noteStatus(event);
        return;
      case "vertex-finished":
        this.#finish(event);
        return;
      case "cache-missed":
        this.#aside(event.vertex, `not cached: ${missLine(event.cause)}`);
        return;
      case "result-kept":
        if (event.keptCount > 0) this.#aside(event.vertex, keptText(event.keptCount));
        return;
      case "notice":
        this.#pending += `${this.#paint("33", "note:")} ${event.message}\n`;
        return;
      case "step-keyed":
      case "layer-known":
      case "step-used":
      case "diagnostic":
      case "counted":
        return;
    }
  }

  end(): void {
    clearInterval(this.#timer);
    this.#draw([this.#headline("Built")]);
  }

  /** A line about a step, for good. Where room is short, the name gives way first. */
  #aside(vertex: string, text: string): void {
    const columns = this.#target.columns();
    const name = fit(this.#nameOf(vertex), Math.max(16, columns - text.length - 4));
    const line = fit(`   ${name} ${text}`, columns);
    this.#pending += `${this.#paint("2", line)}\n`;
  }

  #noteStatus({ vertex, id, current, total, completedMs }: EventOf<"vertex-status">): void {
    const statuses = this.#running.get(vertex)?.statuses;
    if (completedMs !== undefined) statuses?.delete(id);
    else if (total > 0) statuses?.set(id, `${formatBytes(current)} / ${formatBytes(total)}`);
    else statuses?.set(id, current > 0 ? formatBytes(current) : "");
  }

  #finish(event: EventOf<"vertex-finished">): void {
    const step = this.#running.get(event.vertex);
    this.#running.delete(event.vertex);
    this.#finishedCount++;
    const [color, mark, word] = {
      succeeded: ["32", "✓", ""],
      cached: ["32", "✓", "CACHED "],
      failed: ["31", "✗", "ERROR "],
      cancelled: ["33", "-", "CANCELED "],
    }[event.result] as [string, string, string];
    const seconds = formatSeconds(event.atMs - (step?.startedMs ?? event.atMs));
    const name = word + this.#nameOf(event.vertex);
    this.#pending += `${this.#paint(color, mark)} ${this.#column(name, seconds.length + 3)} ${seconds}\n`;
  }

  #liveLines(): string[] {
    const lines = [this.#headline("Building")];
    const columns = this.#target.columns();
    const room = Math.floor((this.#target.rows() - 3) / Math.max(1, this.#running.size)) - 1;
    const shown = Math.max(0, Math.min(OUTPUT_LINES, room));
    for (const step of this.#running.values()) {
      const seconds = formatSeconds(nowMs() - step.startedMs);
      lines.push(`${this.#paint("34", "=>")} ${this.#column(step.name, seconds.length + 5)} ${seconds}`);
      const statuses = [...step.statuses].map(([id, text]) => `   ${id} ${text}`);
      const output = shown > 0 ? step.output.slice(-shown).map((line) => `   # ${printable(line)}`) : [];
      for (const line of [...statuses, ...output]) lines.push(this.#paint("2", fit(line, columns - 1)));
    }
    return lines.slice(0, Math.max(1, this.#target.rows() - 1));
  }

  #headline(word: string): string {
    return this.#paint(
      "1",
      `[+] ${word} ${formatSeconds(nowMs() - this.#startedMs)} (${this.#finishedCount}/${this.#names.size})`,
    );
  }

  /** One frame: what is for good, then the block, in place of the one before. */
  #draw(lines: readonly string[]): void {
    const up = this.#drawnLines > 0 ? `${ESCAPE}[${this.#drawnLines}A` : "";
    this.#target.write(`${FRAME_BEGIN}${up}${ESCAPE}[0J${this.#pending}${lines.join("\n")}\n${FRAME_END}`);
    this.#pending = "";
    this.#drawnLines = lines.length;
  }

  #nameOf(vertex: string): string {
    return this.#names.get(vertex) ?? vertex;
  }

  /** Text as wide as the terminal without `reserved` columns. */
  #column(text: string, reserved: number): string {
    const width = Math.max(0, this.#target.columns() - reserved);
    return fit(text, width).padEnd(width);
  }

  #paint(code: string, text: string): string {
    return this.#target.color ? `${ESCAPE}[${code}m${text}${ESCAPE}[0m` : text;
  }
}

/** Without control sequences, which would break the block. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is taken out
  return text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replace(/[\u0000-\u001f\u007f]/g, " ");
}
