// Names of files: bytes on Linux, text in tsbuild. Bytes that are no UTF-8 travel as lone surrogates U+DC80–U+DCFF, so every name survives the way
// there and back (the idea of Python's PEP 383). Also the names that the image format keeps for itself (image-spec layer.md, "Whiteouts").
import { isUtf8 } from "node:buffer";
import { BuildError } from "../diagnostics/build-error.ts";

/** What a file name starts with in a tar if it says "the rest of this name is gone". */
export const WHITEOUT_PREFIX = ".wh.";
/** Name of the file that says "this directory hides what is below it". */
export const OPAQUE_MARKER = ".wh..wh..opq";

const ESCAPE = 0xdc00;

/** Text of a name; never fails. */
export function decodeName(bytes: Uint8Array): string {
  const buffer = asBuffer(bytes);
  if (isUtf8(buffer)) return buffer.toString("utf8");
  let text = "";
  for (let i = 0; i < buffer.length;) {
    const lead = buffer[i]!;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const sequence = buffer.subarray(i, i + length);
    const isValid = isUtf8(sequence) && sequence.length === length;
    text += isValid ? sequence.toString("utf8") : String.fromCharCode(ESCAPE + lead);
    i += isValid ? length : 1;
  }
  return text;
}

/** Bytes of a name that {@link decodeName} gave, or of any text. */
export function encodeName(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name);
  const parts: Buffer[] = [];
  for (const character of name) {
    const unit = character.charCodeAt(0);
    const isEscape = character.length === 1 && unit >= ESCAPE + 0x80 && unit <= ESCAPE + 0xff;
    parts.push(isEscape ? Buffer.of(unit - ESCAPE) : Buffer.from(character));
  }
  return Buffer.concat(parts);
}

/** A path as node:fs and base/libc take it: text where that is exact, else bytes. */
export function hostPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : encodeName(path);
}

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
