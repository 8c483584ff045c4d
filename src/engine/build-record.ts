// What is written down of a build: plain data, without secrets, read by `why`, `--report`, `plan`. Written by the recorder, from the stream of events.
import { redactUrls } from "../base/url-text.ts";
import type { Digest } from "../oci/digest.ts";
import type { KeyPart } from "../progress/events.ts";
import type { MissCause } from "../progress/miss.ts";

export type StepOutcome =
  | "ran"
  /** Found by its key, or not needed because what is made of it was found. */
  | "cached"
  /** Its key was a new one, and what it sees is what it was. */
  | "kept"
  | "failed"
  | "cancelled"
  | "not-run";

export interface StepRecord {
  /** `[build 2/4] RUN make`. */
  readonly name: string;
  /** "" for what belongs to no stage: sources, exports. */
  readonly stage: string;
  /** `RUN make`; "" for what is no instruction. */
  readonly instruction: string;
  readonly op: "image" | "exec" | "file" | "other";
  /** Indexes of the steps it uses. */
  readonly inputs: readonly number[];
  readonly key?: Digest;
  readonly parts?: readonly KeyPart[];
  readonly outcome: StepOutcome;
  /** Why it ran. */
  readonly cause?: MissCause;
  /** It ran again and made the same: how many steps that use it did not run. */
  readonly keptCount?: number;
  /** Milliseconds since the epoch. */
  readonly startedMs?: number;
  readonly endedMs?: number;
  /** Milliseconds of processor time that its processes took. */
  readonly cpuMs?: number;
  /** Bytes of memory that they and the files that they used took at the worst moment. */
  readonly peakMemory?: number;
  /** Bytes fetched or pushed. */
  readonly transferred?: number;
  /** Id of its layer. */
  readonly layer?: string;
  /** Bytes of the layer's tar, where it was packed. */
  readonly layerSize?: number;
  readonly error?: string;
}

export interface BuildRecord {
  readonly version: 1;
  /** Names the build: `--build REF`. */
  readonly ref: string;
  /** Names the Dockerfile's place and the target: builds of one scope are compared. */
  readonly scope: string;
  /** Path of the Dockerfile, or what stands for it. */
  readonly dockerfile: string;
  readonly context: string;
  readonly target?: string;
  readonly tags: readonly string[];
  readonly startedMs: number;
  readonly endedMs: number;
  readonly outcome: "succeeded" | "failed" | "cancelled";
  readonly error?: string;
  /** Digest of the manifest. */
  readonly image?: Digest;
  readonly steps: readonly StepRecord[];
}

/** `text` as it may be kept. */
export function keepable(text: string): string {
  return redactUrls(text);
}

/** Name of a record's file: sorted by time, found by ref and by scope. */
export function recordName({ startedMs, ref, scope }: Pick<BuildRecord, "startedMs" | "ref" | "scope">): string {
  return `${startedMs.toString(36).padStart(9, "0")}-${ref}-${scope}`;
}

/** The parts of {@link recordName}; undefined where `name` is another file's. */
export function parseRecordName(name: string): { readonly ref: string; readonly scope: string } | undefined {
  const match = /^[0-9a-z]{9,}-([0-9a-f]+)-([0-9a-f]+)$/.exec(name);
  return match ? { ref: match[1]!, scope: match[2]! } : undefined;
}
