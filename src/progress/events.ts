// Everything that happens during a build, as one union. Renderers, history, reports and explanations only read this stream.
import type { Diagnostic } from "../diagnostics/diagnostic.ts";
import type { Digest } from "../oci/digest.ts";
import type { MissCause } from "./miss.ts";

/** Which of the step's streams a line came from. */
export type OutputStream = "stdout" | "stderr";

/** A step exists. Sent once per vertex, inputs first, before anything else about it. */
export interface VertexAdded {
  readonly kind: "vertex-added";
  readonly vertex: Digest;
  readonly name: string;
  readonly inputs: readonly Digest[];
}

export interface VertexStarted {
  readonly kind: "vertex-started";
  readonly vertex: Digest;
  readonly atMs: number;
}

/** Bytes that the step printed, as they came: lines may be split, nothing is dropped. */
export interface VertexOutput {
  readonly kind: "vertex-output";
  readonly vertex: Digest;
  readonly stream: OutputStream;
  readonly data: Uint8Array;
  readonly atMs: number;
}

/** A part of a step's work with a size: a download, an upload, a wait. `id` is unique within the vertex. */
export interface VertexStatus {
  readonly kind: "vertex-status";
  readonly vertex: Digest;
  readonly id: string;
  readonly current: number;
  /** 0 where it is not known. */
  readonly total: number;
  readonly startedMs: number;
  readonly completedMs?: number;
}

export interface VertexFinished {
  readonly kind: "vertex-finished";
  readonly vertex: Digest;
  readonly atMs: number;
  readonly result: "succeeded" | "cached" | "failed" | "cancelled";
  readonly error?: string;
  /** The key was a new one, and what the step sees is what it was: reused by content. */
  readonly isKept?: true;
}

/** What a step is called by the cache, and of what that was made. Not sent for steps that nobody had to look at. */
export interface StepKeyed {
  readonly kind: "step-keyed";
  readonly vertex: Digest;
  readonly stage: string;
  /** The words that made the step: `RUN make`. */
  readonly instruction: string;
  readonly op: "image" | "exec" | "file";
  readonly key: Digest;
  /** Values of variables that look like secrets are masked. */
  readonly parts: readonly KeyPart[];
}

/** The step has led to a layer of the store. */
export interface LayerKnown {
  readonly kind: "layer-known";
  readonly vertex: Digest;
  readonly layer: string;
}

/** What a RUN took of the machine, however it ended. Not sent where nobody counts. */
export interface StepUsed {
  readonly kind: "step-used";
  readonly vertex: Digest;
  readonly cpuMs: number;
  /** Bytes, with what the kernel kept of files for it. */
  readonly peakMemory?: number;
}

/** One thing that a step can see. `name` is for people: "command", "env CC", "files of mount /src". */
export interface KeyPart {
  readonly name: string;
  readonly value: string;
  /** For people, and in no key: what the value stands for. */
  readonly note?: string;
}

/** Why a step runs. */
export interface CacheMissed {
  readonly kind: "cache-missed";
  readonly vertex: Digest;
  readonly cause: MissCause;
}

/** A step that ran again made what it had made before, so that `keptCount` steps which use it did not run. */
export interface ResultKept {
  readonly kind: "result-kept";
  readonly vertex: Digest;
  readonly keptCount: number;
}

export interface DiagnosticReported {
  readonly kind: "diagnostic";
  readonly diagnostic: Diagnostic;
}

/** Something that the user should know and that has no place in a Dockerfile. */
export interface Notice {
  readonly kind: "notice";
  readonly message: string;
}

/** A cost that speed claims are made of; counted by tests, never shown by default. `name` is a dotted noun: "blob.read", "layer.packed". */
export interface Counted {
  readonly kind: "counted";
  readonly name: string;
  readonly subject: string;
  readonly bytes?: number;
}

export type BuildEvent =
  | VertexAdded
  | VertexStarted
  | VertexOutput
  | VertexStatus
  | VertexFinished
  | StepKeyed
  | LayerKnown
  | StepUsed
  | CacheMissed
  | ResultKept
  | DiagnosticReported
  | Notice
  | Counted;

/** Takes events in order; never throws, never waits. */
export type EventSink = (event: BuildEvent) => void;
