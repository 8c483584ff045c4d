// Names of files: bytes on Linux, text in tsbuild. Bytes that are no UTF-8 travel as lone surrogates U+DC80–U+DCFF, so every name survives the way
// there and back (the idea of Python's PEP 383). Whoever writes names down or hashes them encodes them here: UTF-8 alone has no lone surrogates.
import { isUtf8 } from "node:buffer";

const ESCAPE = 0xdc00;

/** Text of a name; never fails. */
export function decodeName(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
