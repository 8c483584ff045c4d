// One request at the test registry and the ways to answer it, faults of the answer included.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Fault } from "./faults.ts";
import { errorBody } from "./access.ts";
import type { LogEntry } from "./server.ts";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly entry: LogEntry;
  readonly fault: Fault | undefined;
  readonly url: URL;
}

type Headers = Readonly<Record<string, string>>;

/** Answers with bytes at hand. */
export function answerBytes(exchange: Exchange, status: number, headers: Headers, bytes: Uint8Array): void {
  const { request, response, entry, fault } = exchange;
  if (fault?.kind === "lose-answer") {
    request.socket.resetAndDestroy();
    return;
  }
  const isHead = request.method === "HEAD";
  const body = fault?.kind === "corrupt" && bytes.length > 0 ? damaged(bytes) : bytes;
  entry.status = status;
  entry.bytesOut += isHead ? 0 : body.length;
  response.writeHead(status, status === 204 ? headers : { "content-length": String(body.length), ...headers });
  response.end(isHead || status === 204 ? undefined : body);
  // What the client still sends is not wanted: reading it keeps the connection usable.
  request.resume();
}

export function answerJson(exchange: Exchange, status: number, body: unknown, headers: Headers = {}): void {
  answerBytes(exchange, status, { "content-type": "application/json", ...headers }, Buffer.from(JSON.stringify(body)));
}

export function answerError(exchange: Exchange, status: number, code: string, message: string): void {
  answerJson(exchange, status, errorBody(code, message));
}

/** Answers with a stream, broken where the fault says so. */
export async function answerStream(
  exchange: Exchange,
  status: number,
  headers: Headers,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { request, response, entry, fault } = exchange;
  entry.status = status;
  response.writeHead(status, headers);
  let isFirst = true;
  for await (let chunk of body) {
    if (response.destroyed) return;
    if (fault?.kind === "corrupt" && isFirst) chunk = damaged(chunk);
    isFirst = false;
    const isCut = fault?.kind === "drop-download" || fault?.kind === "stall-download";
    const room = isCut ? fault.afterBytes - entry.bytesOut : Infinity;
    const part = chunk.length > room ? chunk.subarray(0, Math.max(0, room)) : chunk;
    entry.bytesOut += part.length;
    await write(response, part);
    if (part.length < chunk.length) {
      if (fault?.kind === "stall-download") return;
      // Not RST: that would take back what the client has not read yet.
      request.socket.destroy();
      return;
    }
  }
  response.end();
}

/** Resolves when the bytes are with the kernel, so that a reset after them does not take them back. */
function write(response: ServerResponse, chunk: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  response.write(chunk, () => resolve());
  response.once("close", resolve);
  return promise.finally(() => response.off("close", resolve));
}

function damaged(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}
