// The names that the image format keeps for itself (image-spec layer.md, "Whiteouts"), and memory as Buffers.
import { BuildError } from "../diagnostics/build-error.ts";

/** What a file name starts with in a tar if it says "the rest of this name is gone". */
export const WHITEOUT_PREFIX = ".wh.";
/** Name of the file that says "this directory hides what is below it". */
export const OPAQUE_MARKER = ".wh..wh..opq";

/** Refuses a name that no layer can hold, because tar readers would take the file for a whiteout. */
export function assertNotReserved(path: string): void {
  if (!path.startsWith(WHITEOUT_PREFIX) && !path.includes(`/${WHITEOUT_PREFIX}`)) return;
  throw new BuildError(
    "unsupported",
    `an image layer cannot hold "${path}": names that begin with ".wh." mark deletions`,
    {
      help: "rename or remove the file",
    },
  );
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
