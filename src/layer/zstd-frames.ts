// Cuts a zstd stream where one frame ends and the next begins (RFC 8878, sections 3.1.1 and 3.1.2). Node's decoder drops what follows the end of a frame within one
// write, without a word, so no write may hold the end of one frame and the beginning of another. Nothing is decoded here.
import { BuildError } from "../diagnostics/build-error.ts";
import { asBuffer } from "./names.ts";

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const DICTIONARY_ID_SIZE = [0, 1, 2, 4];
const CONTENT_SIZE_SIZE = [0, 2, 4, 8];
const RLE_BLOCK = 1;

/** The same bytes in other slices. Fails with "content" where a frame begins that is none. */
export async function* splitFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const frames = new FrameScanner();
  for await (const chunk of source) {
    let begin = 0;
    for (let at = 0; at < chunk.length;) {
      at += frames.take(asBuffer(chunk).subarray(at));
      if (!frames.isBetween) continue;
      yield chunk.subarray(begin, at);
      begin = at;
    }
    if (begin < chunk.length) yield chunk.subarray(begin);
  }
}

/** What the bytes being collected are, or that so many bytes are passed over. */
type Part = "magic" | "skippable-size" | "descriptor" | "block" | "payload" | "end";

class FrameScanner {
  #part: Part = "magic";
  readonly #field = Buffer.alloc(4);
  #have = 0;
  /** Bytes of the part still to come. */
  #left = 4;
  #hasChecksum = false;
  #isLastBlock = false;

  /** Whether the bytes so far are whole frames. */
  get isBetween(): boolean {
    return this.#part === "magic" && this.#have === 0;
  }

  /** Takes some bytes from the front, at least one and at most to the end of a frame; how many. */
  take(bytes: Buffer): number {
    const count = Math.min(this.#left, bytes.length);
    const isField = this.#part !== "payload" && this.#part !== "end";
    if (isField) this.#have += bytes.copy(this.#field, this.#have, 0, count);
    this.#left -= count;
    // A part without bytes ends as soon as it begins.
    while (this.#left === 0) this.#partDone();
    return count;
  }

  #partDone(): void {
    const field = this.#field;
    switch (this.#part) {
      case "magic": {
        const magic = field.readUInt32LE();
        if (magic === FRAME_MAGIC) return this.#expect("descriptor", 1);
        if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) return this.#expect("skippable-size", 4);
        throw new BuildError("content", "the zstd data of a layer is damaged: a frame begins with the wrong bytes");
      }
      case "skippable-size":
        return this.#expect("end", field.readUInt32LE());
      case "descriptor":
        return this.#frameHeader(field[0]!);
      case "block":
        return this.#blockHeader(field.readUIntLE(0, 3));
      case "payload":
        return this.#isLastBlock ? this.#expect("end", this.#hasChecksum ? 4 : 0) : this.#expect("block", 3);
      case "end":
        return this.#expect("magic", 4);
    }
  }

  #frameHeader(descriptor: number): void {
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >> 6;
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    this.#isLastBlock = false;
    const sizeField = sizeFlag === 0 && isSingleSegment ? 1 : CONTENT_SIZE_SIZE[sizeFlag]!;
    this.#expect("payload", (isSingleSegment ? 0 : 1) + DICTIONARY_ID_SIZE[descriptor & 3]! + sizeField);
  }

  #blockHeader(header: number): void {
    this.#isLastBlock = (header & 1) !== 0;
    this.#expect("payload", ((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3);
  }

  #expect(part: Part, size: number): void {
    this.#part = part;
    this.#left = size;
    this.#have = 0;
  }
}
