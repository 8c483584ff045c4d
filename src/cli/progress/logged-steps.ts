// What the two renderers for logs share: steps numbered in the order in which they are first spoken of, and the words for how one ended.
import type { BuildEvent } from "../../index.ts";
import { formatSeconds } from "./format.ts";
import { LineSplitter } from "./line-splitter.ts";

export type EventOf<K extends BuildEvent["kind"]> = Extract<BuildEvent, { readonly kind: K }>;

export interface LoggedStep {
  readonly number: number;
  readonly name: string;
  /** 0 until it starts. */
  startedMs: number;
  readonly lines: LineSplitter;
}

export class LoggedSteps<S extends LoggedStep> {
  readonly #names = new Map<string, string>();
  readonly #steps = new Map<string, S>();
  readonly #make: (step: LoggedStep) => S;

  /** @param make adds what a renderer keeps of a step. */
  constructor(make: (step: LoggedStep) => S) {
    this.#make = make;
  }

  name(vertex: string, name: string): void {
    this.#names.set(vertex, name);
  }

  get(vertex: string): S {
    const known = this.#steps.get(vertex);
    if (known) return known;
    const name = this.#names.get(vertex) ?? vertex;
    const step = this.#make({ number: this.#steps.size + 1, name, startedMs: 0, lines: new LineSplitter() });
    this.#steps.set(vertex, step);
    return step;
  }

  running(isEnded: (step: S) => boolean): readonly S[] {
    return [...this.#steps.values()].filter((step) => step.startedMs > 0 && !isEnded(step));
  }
}

/** Seconds since the step began, as BuildKit prints them. */
export function since(step: LoggedStep, atMs: number): string {
  return ((atMs - step.startedMs) / 1000).toFixed(3);
}

/** The last line of a step. */
export function endText(step: LoggedStep, { result, error, atMs }: EventOf<"vertex-finished">): string {
  switch (result) {
    case "succeeded":
      return `DONE ${formatSeconds(atMs - (step.startedMs || atMs))}`;
    case "cached":
      return "CACHED";
    case "failed":
      return `ERROR: ${error ?? "failed"}`;
    case "cancelled":
      return "CANCELED";
  }
}
