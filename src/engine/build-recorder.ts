// Listens to one build and writes down what it was like, however it ends. A few hundred bytes a step, once, at the end; a record that cannot be written fails nothing.
import { nowMs, randomName } from "../base/clock.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import { digestHex, digestOfJson, type Digest } from "../oci/digest.ts";
import type { BuildEvent, EventSink, StepKeyed, StepUsed } from "../progress/events.ts";
import type { MissCause } from "../progress/miss.ts";
import { keepable, recordName, type BuildRecord, type StepOutcome, type StepRecord } from "./build-record.ts";
import type { BuildOptions, BuildResult } from "./options.ts";
import type { EngineParts } from "./parts.ts";

/** What is known of a vertex so far. */
interface Seen {
  readonly index: number;
  readonly name: string;
  readonly inputs: readonly Digest[];
  keyed?: StepKeyed;
  outcome: StepOutcome;
  cause?: MissCause;
  keptCount?: number;
  startedMs?: number;
  endedMs?: number;
  readonly transfers: Map<string, number>;
  layer?: string;
  used?: StepUsed;
  error?: string;
}

/** Names a Dockerfile's place and a target. */
export function scopeOf(place: string, target: string | undefined): string {
  return digestHex(digestOfJson([place, target ?? null])).slice(0, 16);
}

/** Told the Dockerfile's place. */
export type Begin = (place: string) => void;

/** Runs `work` with an engine whose events are recorded. `begin` says what is built, as soon as that is known. */
export async function recorded(
  parts: EngineParts,
  options: BuildOptions,
  work: (parts: EngineParts, begin: Begin) => Promise<BuildResult>,
): Promise<BuildResult> {
  const recorder = new BuildRecorder(parts, options);
  const { onEvent } = parts.options;
  const sink: EventSink = (event) => {
    recorder.note(event);
    onEvent(event);
  };
  try {
    const result = await work({ ...parts, options: { ...parts.options, onEvent: sink } }, (place) => {
      recorder.place = place;
    });
    await recorder.end("succeeded", result, undefined);
    return result;
  } catch (error) {
    await recorder.end(options.signal?.aborted === true ? "cancelled" : "failed", undefined, error);
    throw error;
  }
}

class BuildRecorder {
  /** Path of the Dockerfile, or what stands for it. */
  place = "";
  readonly #parts: EngineParts;
  readonly #options: BuildOptions;
  readonly #startedMs = nowMs();
  readonly #seen = new Map<Digest, Seen>();

  constructor(parts: EngineParts, options: BuildOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  note(event: BuildEvent): void {
    if (event.kind === "vertex-added") {
      const { vertex, name, inputs } = event;
      if (this.#seen.has(vertex)) return;
      this.#seen.set(vertex, { index: this.#seen.size, name, inputs, outcome: "not-run", transfers: new Map() });
      return;
    }
    const seen = "vertex" in event ? this.#seen.get(event.vertex) : undefined;
    if (!seen) return;
    switch (event.kind) {
      case "step-keyed":
        seen.keyed = event;
        return;
      case "layer-known":
        seen.layer = event.layer;
        return;
      case "step-used":
        seen.used = event;
        return;
      case "vertex-started":
        seen.startedMs ??= event.atMs;
        return;
      case "vertex-status":
        seen.transfers.set(event.id, event.current);
        return;
      case "cache-missed":
        seen.cause = event.cause;
        return;
      case "result-kept":
        seen.keptCount = event.keptCount;
        return;
      case "vertex-finished":
        seen.endedMs = event.atMs;
        seen.outcome = event.result === "succeeded" ? "ran" : event.isKept ? "kept" : event.result;
        if (event.error !== undefined) seen.error = event.error;
        return;
      case "vertex-output":
      case "notice":
      case "diagnostic":
      case "counted":
        return;
    }
  }

  async end(outcome: BuildRecord["outcome"], result: BuildResult | undefined, error: unknown): Promise<void> {
    const record = this.#record(outcome, result, error);
    const { store, options } = this.#parts;
    try {
      store.builds.write(recordName(record), JSON.stringify(record));
    } catch (failure) {
      options.onEvent({ kind: "notice", message: `the build could not be recorded: ${messageOf(failure)}` });
    }
    const { reportFile } = this.#options;
    if (reportFile === undefined) return;
    const { writeReport } = await import("./report.ts");
    writeReport(reportFile, record, store);
  }

  #record(outcome: BuildRecord["outcome"], result: BuildResult | undefined, error: unknown): BuildRecord {
    const { context, target, tags } = this.#options;
    return {
      version: 1,
      ref: randomName(6),
      scope: scopeOf(this.place, target),
      dockerfile: keepable(this.place),
      context: keepable(context),
      ...(target === undefined ? {} : { target }),
      tags,
      startedMs: this.#startedMs,
      endedMs: nowMs(),
      outcome,
      ...(error === undefined ? {} : { error: keepable(headline(error)) }),
      ...(result?.manifestDigest === undefined ? {} : { image: result.manifestDigest }),
      steps: [...this.#seen.values()].map((seen) => this.#stepOf(seen)),
    };
  }

  #stepOf(seen: Seen): StepRecord {
    const { keyed, name, outcome, cause, keptCount, startedMs, endedMs, layer, used, error } = seen;
    const transferred = [...seen.transfers.values()].reduce((sum, bytes) => sum + bytes, 0);
    const size =
      layer === undefined || outcome !== "ran" ? undefined : this.#parts.store.layers.get(layer)?.uncompressedSize;
    return {
      name: keepable(name),
      stage: keyed?.stage ?? "",
      instruction: keepable(keyed?.instruction ?? ""),
      op: keyed?.op ?? "other",
      inputs: seen.inputs.flatMap((input) => this.#seen.get(input)?.index ?? []),
      ...(keyed ? { key: keyed.key, parts: keyed.parts } : {}),
      outcome,
      ...(cause === undefined ? {} : { cause }),
      ...(keptCount === undefined ? {} : { keptCount }),
      ...(startedMs === undefined ? {} : { startedMs }),
      ...(endedMs === undefined ? {} : { endedMs }),
      ...(used === undefined ? {} : { cpuMs: used.cpuMs }),
      ...(used?.peakMemory === undefined ? {} : { peakMemory: used.peakMemory }),
      ...(transferred > 0 ? { transferred } : {}),
      ...(layer === undefined ? {} : { layer }),
      ...(size === undefined ? {} : { layerSize: size }),
      ...(error === undefined ? {} : { error: keepable(error) }),
    };
  }
}

function headline(error: unknown): string {
  return error instanceof BuildError ? error.message : messageOf(error);
}
