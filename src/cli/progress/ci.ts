// `--progress ci`, for logs that people read afterwards (pain 24): each step's output is one block. The step that runs longest is shown as it goes, the others when it is their
// turn; nothing is interleaved, no percentages, a sign of life when nothing is said for long, and blocks that GitHub and GitLab can fold.
import { missLine, type BuildEvent } from "../../index.ts";
import { nowMs } from "../../base/clock.ts";
import { formatBytes } from "../../base/size-text.ts";
import { formatSeconds, keptText } from "./format.ts";
import { endText, LoggedSteps, since, type EventOf, type LoggedStep } from "./logged-steps.ts";
import type { ProgressRenderer, ProgressTarget } from "./target.ts";

const HEARTBEAT_MS = 30_000;
/** Of a step that waits for its turn so many lines are kept; its complete log is in the store. */
const MAX_WAITING_LINES = 10_000;
/** So many running steps are named by a heartbeat. */
const MAX_NAMED = 5;

export interface CiOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Calls back every so many milliseconds until disposed. */
  readonly every?: (ms: number, beat: () => void) => Disposable;
  readonly now?: () => number;
}

interface Step extends LoggedStep {
  /** Lines that wait for the step's turn. */
  waiting: string[];
  droppedCount: number;
  transferredCount: number;
  transferredBytes: number;
  isEnded: boolean;
}

export function ciProgress(target: ProgressTarget, options: CiOptions): ProgressRenderer {
  return new CiProgress(target, options);
}

/** The process's timer. */
function everyInterval(ms: number, beat: () => void): Disposable {
  const timer = setInterval(beat, ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

class CiProgress implements ProgressRenderer {
  readonly #write: (text: string) => void;
  readonly #fold: Fold;
  readonly #now: () => number;
  readonly #timer: Disposable;
  readonly #steps = new LoggedSteps<Step>((step) => ({
    ...step,
    waiting: [],
    droppedCount: 0,
    transferredCount: 0,
    transferredBytes: 0,
    isEnded: false,
  }));
  /** Steps that have begun to say something and are not wholly shown, oldest first; the first one's block is open. */
  #turns: Step[] = [];
  /** Lines that wait for the open block's end. */
  #asides: string[] = [];
  #saidMs: number;

  constructor(target: ProgressTarget, options: CiOptions) {
    const { environment, every = everyInterval, now = nowMs } = options;
    this.#now = now;
    this.#saidMs = now();
    this.#write = (text) => {
      this.#saidMs = now();
      target.write(text);
    };
    this.#fold = foldOf(environment, now);
    this.#timer = every(HEARTBEAT_MS, () => {
      this.#beat();
    });
  }

  event(event: BuildEvent): void {
    switch (event.kind) {
      case "vertex-added":
        this.#steps.name(event.vertex, event.name);
        return;
      case "vertex-started":
        this.#steps.get(event.vertex).startedMs = event.atMs;
        return;
      case "vertex-output": {
        const step = this.#steps.get(event.vertex);
        for (const line of step.lines.push(event.data)) this.#say(step, `${since(step, event.atMs)} ${line}`);
        return;
      }
      case "vertex-status":
        this.#noteStatus(event);
        return;
      case "vertex-finished":
        this.#finish(event);
        return;
      case "cache-missed":
        this.#say(this.#steps.get(event.vertex), `not cached: ${missLine(event.cause)}`);
        return;
      case "result-kept":
        if (event.keptCount > 0) this.#aside(`#${this.#steps.get(event.vertex).number} ${keptText(event.keptCount)}\n`);
        return;
      case "notice":
        this.#write(`note: ${event.message}\n`);
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
    this.#timer[Symbol.dispose]();
    for (const step of this.#turns) step.isEnded = true;
    this.#takeTurns();
  }

  #noteStatus({ vertex, total, completedMs }: EventOf<"vertex-status">): void {
    if (completedMs === undefined || total === 0) return;
    const step = this.#steps.get(vertex);
    step.transferredCount++;
    step.transferredBytes += total;
  }

  #finish(event: EventOf<"vertex-finished">): void {
    const step = this.#steps.get(event.vertex);
    const rest = step.lines.end();
    if (rest !== undefined) this.#say(step, `${since(step, event.atMs)} ${rest}`);
    const parts = step.transferredCount === 1 ? "" : ` in ${step.transferredCount} parts`;
    const moved = step.transferredCount === 0 ? "" : ` (${formatBytes(step.transferredBytes)}${parts})`;
    const outcome = endText(step, event) + (event.result === "succeeded" ? moved : "");
    step.isEnded = true;
    if (this.#turns.includes(step)) this.#say(step, outcome);
    // A step that said nothing is one line, and waits for nobody.
    else this.#aside(`#${step.number} ${step.name} ${outcome}\n`);
    this.#takeTurns();
  }

  /** A line of a step: at once if its block is open, else when it is its turn. */
  #say(step: Step, text: string): void {
    if (!this.#turns.includes(step)) {
      this.#turns.push(step);
      if (this.#turns.length === 1) this.#write(this.#fold.open(step));
    }
    const line = `#${step.number} ${text}\n`;
    if (this.#turns[0] === step) this.#write(line);
    else if (step.waiting.length < MAX_WAITING_LINES || step.isEnded) step.waiting.push(line);
    else step.droppedCount++;
  }

  /** A line between blocks. */
  #aside(line: string): void {
    if (this.#turns.length === 0) this.#write(line);
    else this.#asides.push(line);
  }

  /** Closes blocks of steps that have ended and opens the next one's. */
  #takeTurns(): void {
    for (let step = this.#turns[0]; step?.isEnded; step = this.#turns[0]) {
      this.#write(this.#fold.close(step) + this.#asides.join(""));
      this.#asides = [];
      // what has ended is shown before what still runs
      this.#turns = this.#turns.slice(1).sort((a, b) => Number(b.isEnded) - Number(a.isEnded));
      if (this.#turns[0]) this.#open(this.#turns[0]);
    }
  }

  #open(step: Step): void {
    const last = step.isEnded ? step.waiting.pop() : undefined;
    const dropped = step.droppedCount === 0 ? "" : `#${step.number} … ${step.droppedCount} lines are only in its log\n`;
    this.#write(this.#fold.open(step) + step.waiting.join("") + dropped + (last ?? ""));
    step.waiting = [];
    step.droppedCount = 0;
  }

  #beat(): void {
    const now = this.#now();
    if (now - this.#saidMs < HEARTBEAT_MS) return;
    const running = this.#steps.running((step) => step.isEnded);
    if (running.length === 0) return;
    const named = running
      .slice(0, MAX_NAMED)
      .map((step) => `#${step.number} ${step.name} (${formatSeconds(now - step.startedMs)})`);
    const more = running.length > MAX_NAMED ? ` and ${running.length - MAX_NAMED} more` : "";
    this.#write(`still running: ${named.join(", ")}${more}\n`);
  }
}

/** First and last line of a block. */
interface Fold {
  readonly open: (step: Step) => string;
  readonly close: (step: Step) => string;
}

function foldOf(environment: CiOptions["environment"], now: () => number): Fold {
  const title = ({ number, name }: Step): string => `#${number} ${name.replace(/[\r\n]+/g, " ")}`;
  if (environment["GITHUB_ACTIONS"] === "true")
    return { open: (step) => `::group::${title(step)}\n`, close: () => "::endgroup::\n" };
  if (environment["GITLAB_CI"] === "true") {
    const mark = (edge: string, { number }: Step): string =>
      `\u001b[0Ksection_${edge}:${Math.floor(now() / 1000)}:tsbuild_${number}\r\u001b[0K`;
    return { open: (step) => `${mark("start", step)}${title(step)}\n`, close: (step) => `${mark("end", step)}\n` };
  }
  return { open: (step) => `${title(step)}\n`, close: () => "\n" };
}
