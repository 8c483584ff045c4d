// `--progress plain`, in BuildKit's shape: `#5 [build 2/3] RUN make`, `#5 0.123 output`, `#5 DONE 0.4s`. Lines of one step are kept together; a step that is left unfinished is taken up again with its name.
import { missLine, type BuildEvent } from "../../index.ts";
import { formatBytes } from "../../base/size-text.ts";
import { formatSeconds, keptText } from "./format.ts";
import { endText, LoggedSteps, since, type EventOf } from "./logged-steps.ts";
import type { ProgressRenderer, ProgressTarget } from "./target.ts";

export function plainProgress(target: ProgressTarget): ProgressRenderer {
  return new PlainProgress(target);
}

class PlainProgress implements ProgressRenderer {
  readonly #write: (text: string) => void;
  readonly #steps = new LoggedSteps((step) => step);
  /** The step that spoke last and has not ended. */
  #current: string | undefined;

  constructor(target: ProgressTarget) {
    this.#write = target.write;
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
        for (const line of step.lines.push(event.data)) this.#say(event.vertex, `${since(step, event.atMs)} ${line}`);
        return;
      }
      case "vertex-status":
        this.#showStatus(event);
        return;
      case "vertex-finished":
        this.#showEnd(event);
        return;
      case "cache-missed":
        this.#say(event.vertex, `not cached: ${missLine(event.cause)}`);
        return;
      case "result-kept":
        this.#showKept(event);
        return;
      case "notice":
        this.#leave();
        this.#write(`note: ${event.message}\n\n`);
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
    this.#leave();
  }

  #showStatus(event: EventOf<"vertex-status">): void {
    if (event.completedMs === undefined) return;
    const size = event.total > 0 ? ` ${formatBytes(event.current)} / ${formatBytes(event.total)}` : "";
    this.#say(event.vertex, `${event.id}${size} ${formatSeconds(event.completedMs - event.startedMs)} done`);
  }

  #showEnd(event: EventOf<"vertex-finished">): void {
    const step = this.#steps.get(event.vertex);
    const rest = step.lines.end();
    if (rest !== undefined) this.#say(event.vertex, `${since(step, event.atMs)} ${rest}`);
    this.#say(event.vertex, endText(step, event));
    this.#write("\n");
    this.#current = undefined;
  }

  /** The step has ended before: its line is a paragraph of its own. */
  #showKept({ vertex, keptCount }: EventOf<"result-kept">): void {
    if (keptCount === 0) return;
    this.#say(vertex, keptText(keptCount));
    this.#write("\n");
    this.#current = undefined;
  }

  /** Prints a line of a step, naming the step first where another one spoke last. */
  #say(vertex: string, text: string): void {
    const step = this.#steps.get(vertex);
    if (this.#current !== vertex) {
      this.#leave();
      this.#write(`#${step.number} ${step.name}\n`);
      this.#current = vertex;
    }
    this.#write(`#${step.number} ${text}\n`);
  }

  /** Leaves a step that has not ended. */
  #leave(): void {
    if (this.#current !== undefined) this.#write(`#${this.#steps.get(this.#current).number} ...\n\n`);
    this.#current = undefined;
  }
}
