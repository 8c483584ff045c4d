// Keeps secret values out of everything that is printed or logged: as it is and in the forms that tools make of it, also where output arrives in pieces.
import { base64Cores, base64Texts, lineForms, plainForms } from "./secret-forms.ts";

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
      for (const form of [plainForms, base64Texts, base64Cores, lineForms].flatMap((forms) => forms(value)))
        if (form.length >= MIN_LENGTH) needles.set(form.toString("latin1"), form);
    this.#needles = [...needles.values()].sort((a, b) => b.length - a.length);
  }

  /** What can be shown now. */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#needles.length === 0) return chunk;
    const text = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : Buffer.from(chunk);
    const undecided = text.length - this.#undecidedLength(text);
    const { shown, from } = this.#mask(text, undecided);
    this.#held = Buffer.from(text.subarray(from));
    return shown;
  }

  /** The rest, at the end of the stream. */
  end(): Uint8Array {
    const { shown } = this.#mask(this.#held, this.#held.length);
    this.#held = Buffer.alloc(0);
    return shown;
  }

  /** Up to `limit`, or to the end of a secret that begins before it; a secret that begins behind it may be the start of a longer one. `from`: where the rest begins. */
  #mask(text: Buffer, limit: number): { readonly shown: Buffer; readonly from: number } {
    const out: Buffer[] = [];
    let from = 0;
    for (;;) {
      const hit = this.#firstHit(text, from);
      if (!hit || hit.at >= limit) break;
      out.push(text.subarray(from, hit.at), MASK);
      from = hit.at + hit.length;
    }
    if (from < limit) out.push(text.subarray(from, limit));
    return { shown: Buffer.concat(out), from: Math.max(from, limit) };
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
      const first = needle[0]!;
      const from = Math.max(0, text.length - needle.length + 1);
      for (let at = text.indexOf(first, from); at >= 0 && text.length - at > longest; at = text.indexOf(first, at + 1))
        if (text.subarray(at).equals(needle.subarray(0, text.length - at))) longest = text.length - at;
    }
    return longest;
  }
}
