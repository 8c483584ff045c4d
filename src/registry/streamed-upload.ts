// Sending a blob while it is still being made: a session, one request whose length nobody knows yet, and the digest at its end (distribution-spec "Pushing a blob in chunks").
// A first attempt only: where it breaks, the blob is pushed in the ordinary way once it is whole, so nothing here is tried twice and no failure is told.
import type { Descriptor } from "../oci/image.ts";
import {
  cancelSession,
  finishSession,
  locationOf,
  requestOf,
  startSession,
  type UploadTarget,
} from "./upload-session.ts";

/** An upload under way. Somebody has to {@link finish} or {@link cancel} it. */
export class StreamedUpload {
  readonly #target: UploadTarget;
  readonly #stop: AbortController = new AbortController();
  /** Whether all of it was taken; never fails. */
  readonly #sending: Promise<boolean>;
  #session: URL | undefined;
  #size = 0;
  #isSent = false;

  /** Begins to send what `open` yields. */
  constructor(target: UploadTarget, open: () => AsyncIterable<Uint8Array>) {
    this.#target = target;
    this.#sending = this.#send(open).then(
      () => (this.#isSent = true),
      () => false,
    );
  }

  /** Whether all bytes are there, and only the digest is missing. */
  get isSent(): boolean {
    return this.#isSent;
  }

  async #send(open: () => AsyncIterable<Uint8Array>): Promise<void> {
    const { signal: outer } = this.#target;
    const signal = outer ? AbortSignal.any([outer, this.#stop.signal]) : this.#stop.signal;
    const target = { ...this.#target, signal };
    this.#session = await startSession(target);
    const response = await target.exchange.attempt(
      requestOf(target, "PATCH", "", {
        location: this.#session,
        headers: { "content-type": "application/octet-stream" },
        body: { size: undefined, open: () => this.#counted(open()) },
        lane: "stream",
        accept: [202],
      }),
    );
    await response.discard();
    this.#session = locationOf(response, target);
  }

  /** The request may be sent again after a challenge: then all of it counts anew. */
  async *#counted(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    this.#size = 0;
    for await (const chunk of bytes) {
      this.#size += chunk.length;
      yield chunk;
    }
  }

  /** Says what it was, when all of it is there. False: it has to be pushed in another way, and the session is gone. Throws only the target's signal. */
  async finish({ digest, size }: Descriptor): Promise<boolean> {
    const isWhole = (await this.#sending) && this.#size === size;
    this.#target.signal?.throwIfAborted();
    try {
      if (isWhole && this.#session) {
        const body = { size: 0, open: nothing };
        await finishSession(this.#target, this.#session, { digest, body, isFresh: false });
        this.#session = undefined;
        return true;
      }
    } catch {
      this.#target.signal?.throwIfAborted();
    }
    await this.cancel();
    return false;
  }

  /** Stops, and frees what the registry keeps. After {@link finish}, or where the build ends, nothing. */
  async cancel(): Promise<void> {
    this.#stop.abort();
    await this.#sending;
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined && !this.#target.signal?.aborted) await cancelSession(this.#target, session);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
