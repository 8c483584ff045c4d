// Keeps secret values out of everything that is printed or logged: exact bytes, their base64 and their URL-encoded form, also where output arrives in pieces.
import { lineForms, wholeForms } from "./secret-forms.ts";

const MASK = Buffer.from("***");
/** Shorter values would mask ordinary text. */
const MIN_LENGTH = 4;

/** Replaces secret values in one stream of output. Bytes that may be the start of a secret are held back until it is decided. */
export class Redactor {
  readonly #needles: readonly Buffer[];
  #held: Buffer = Buffer.alloc(0);

  constructor(values: readonly Uint8Array[]) {
    const needles = new Map<string, Buffer>();
    for (const value of values)
      for (const form of [...wholeForms(value), ...lineForms(value)])
        if (form.length >= MIN_LENGTH) needles.set(form.toString("latin1"), form);
    this.#needles = [...needles.values()].sort((a, b) => b.length - a.length);
  }

  /** What can be shown now. */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#needles.length === 0) return chunk;
    const text = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : Buffer.from(chunk);
    const { shown, rest } = this.#mask(text);
    this.#held = rest;
    return shown;
  }

  /** The rest, at the end of the stream. */
  end(): Uint8Array {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest;
  }

  #mask(text: Buffer): { readonly shown: Buffer; readonly rest: Buffer } {
    const out: Buffer[] = [];
    let from = 0;
    for (;;) {
      const hit = this.#firstHit(text, from);
      if (!hit) break;
      out.push(text.subarray(from, hit.at), MASK);
      from = hit.at + hit.length;
    }
    const keep = this.#undecidedLength(text.subarray(from));
    out.push(text.subarray(from, text.length - keep));
    return { shown: Buffer.concat(out), rest: Buffer.from(text.subarray(text.length - keep)) };
  }

  #firstHit(text: Buffer, from: number): { readonly at: number; readonly length: number } | undefined {
    let best: { at: number; length: number } | undefined;
    for (const needle of this.#needles) {
      const at = text.indexOf(needle, from);
      if (at >= 0 && (!best || at < best.at)) best = { at, length: needle.length };
    }
    return best;
  }

  /** Length of the longest tail that is a proper prefix of a secret. */
  #undecidedLength(text: Buffer): number {
    let longest = 0;
    for (const needle of this.#needles) {
      for (let length = Math.min(needle.length - 1, text.length); length > longest; length--) {
        if (text.subarray(text.length - length).equals(needle.subarray(0, length))) longest = length;
      }
    }
    return longest;
  }
}
