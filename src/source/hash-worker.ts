// The worker thread of hash-pool.ts: a batch of files in, their digests out. An entry point of its own, from sources and in the bundle.
import { parentPort } from "node:worker_threads";
import { stampAt, STAMP_FIELDS } from "./file-stamp.ts";
import { hashFile, READ_SIZE, type HashedFile } from "./hash-file.ts";

export interface HashRequest {
  readonly id: number;
  readonly paths: readonly string[];
  /** A row per path: see file-stamp.ts. */
  readonly stamps: BigUint64Array;
}

/** The file was not read, or was in another state afterwards. */
export interface UnreadFile {
  /** The system's error code; "" = it changed. */
  readonly code: string;
  readonly message: string;
}

/** Outcomes in the order of the request. */
export interface HashReply {
  readonly id: number;
  readonly files: readonly (HashedFile | UnreadFile)[];
}

const buffer = Buffer.allocUnsafeSlow(READ_SIZE);

function hashOrReason({ paths, stamps }: HashRequest, index: number): HashedFile | UnreadFile {
  try {
    const stamp = stampAt(stamps, index * STAMP_FIELDS);
    return hashFile(paths[index]!, stamp, buffer) ?? { code: "", message: "it changed while it was read" };
  } catch (error) {
    const { code = "EIO", message } = error as NodeJS.ErrnoException;
    return { code, message };
  }
}

parentPort?.on("message", (request: HashRequest) => {
  const files = request.paths.map((_path, index) => hashOrReason(request, index));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage({ id: request.id, files } satisfies HashReply);
});
