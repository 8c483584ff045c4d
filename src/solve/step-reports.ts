// What is told of the vertices while they are solved: when each was started and how it ended. Decides nothing.
import { nowMs } from "../base/clock.ts";
import { locate, messageOf } from "../diagnostics/build-error.ts";
import type { Vertex } from "../graph/graph.ts";
import type { ImageOp } from "../graph/op.ts";
import type { Digest } from "../oci/digest.ts";
import type { EventSink } from "../progress/events.ts";

export class StepReports {
  readonly #onEvent: EventSink;
  readonly #signal: AbortSignal;
  readonly #seen = new Set<Digest>();

  constructor(options: { readonly onEvent: EventSink; readonly signal: AbortSignal }) {
    this.#onEvent = options.onEvent;
    this.#signal = options.signal;
  }

  /** Whether anything was told of the vertex. */
  hasSeen(id: Digest): boolean {
    return this.#seen.has(id);
  }

  started(id: Digest, atMs: number = nowMs()): void {
    this.#seen.add(id);
    this.#onEvent({ kind: "vertex-started", vertex: id, atMs });
  }

  succeeded(id: Digest): void {
    this.#onEvent({ kind: "vertex-finished", vertex: id, atMs: nowMs(), result: "succeeded" });
  }

  /** `how`: under its own key, or by content under a key that is new. */
  cached(id: Digest, how: "found" | "kept" = "found"): void {
    const atMs = nowMs();
    this.started(id, atMs);
    const isKept = how === "kept" ? { isKept: true as const } : {};
    this.#onEvent({ kind: "vertex-finished", vertex: id, atMs, result: "cached", ...isKept });
  }

  /** What an image is called by those that build on it. */
  keyedImage({ id, meta }: Vertex, { reference, digest }: ImageOp, key: Digest): void {
    const { stage, instruction } = meta;
    const parts = [{ name: "image", value: digest, note: `${reference}@${digest}` }];
    this.#onEvent({ kind: "step-keyed", vertex: id, stage, instruction, op: "image", key, parts });
  }

  /** Tells how a vertex ended badly; what to throw: the failure with its place, or the reason why everything stops. */
  failed({ id, meta }: Vertex, error: unknown): unknown {
    const isCancelled = this.#signal.aborted && error === this.#signal.reason;
    const finished = { kind: "vertex-finished", vertex: id, atMs: nowMs() } as const;
    if (!this.#seen.has(id)) this.started(id);
    this.#onEvent(
      isCancelled ? { ...finished, result: "cancelled" } : { ...finished, result: "failed", error: messageOf(error) },
    );
    return isCancelled ? error : locate(error, meta.span);
  }

  /** For the `catch` of a promise: throws what {@link failed} gives. */
  failing(vertex: Vertex): (error: unknown) => never {
    return (error) => {
      throw this.failed(vertex, error);
    };
  }

  /** Does the work of a vertex between its start and its end. */
  async observe<T>(vertex: Vertex, work: () => Promise<T>, result: "succeeded" | "cached" = "succeeded"): Promise<T> {
    this.started(vertex.id);
    try {
      const value = await work();
      this.#onEvent({ kind: "vertex-finished", vertex: vertex.id, atMs: nowMs(), result });
      return value;
    } catch (error) {
      throw this.failed(vertex, error);
    }
  }
}
