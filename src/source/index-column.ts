// One column of a file, in memory or, where it is long, read in blocks as they are asked for. Rows are mostly asked for in their order.
import { readSync } from "node:fs";

/** Rows of 32 and of 48 bytes end with a block. */
const BLOCK_SIZE = 32 * 48 * 64;
const MAX_BLOCKS = 8;

interface Block {
  number: number;
  readonly bytes: Buffer;
  readonly words: Uint32Array;
}

/** Where bytes of a column are after {@link seek}, until the next one. */
export class Column {
  bytes: Buffer;
  /** The same memory by 32-bit numbers. */
  words: Uint32Array;
  /** Of what was asked for, in `bytes`. */
  offset = 0;
  readonly #fd: number | undefined;
  readonly #start: number;
  readonly #blocks: Block[] = [];
  #oldest = 0;

  private constructor(block: Omit<Block, "number">, fd: number | undefined, start: number) {
    this.bytes = block.bytes;
    this.words = block.words;
    this.#fd = fd;
    this.#start = start;
  }

  static inMemory(bytes: Buffer): Column {
    // A copy where they do not start at a multiple of four.
    const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
    return new Column({ bytes, words: new Uint32Array(buffer, byteOffset, length >>> 2) }, undefined, 0);
  }

  /** The column that starts at byte `start` of the file. */
  static inFile(fd: number, start: number): Column {
    return new Column({ bytes: Buffer.alloc(0), words: new Uint32Array(0) }, fd, start);
  }

  /** Finds the `size` bytes from byte `at` of the column on. */
  seek(at: number, size: number): void {
    if (this.#fd === undefined) {
      this.offset = at;
      return;
    }
    const number = Math.floor(at / BLOCK_SIZE);
    this.offset = at - number * BLOCK_SIZE;
    if (this.offset + size <= BLOCK_SIZE) this.#use(this.#block(number));
    else {
      const bytes = Buffer.alloc(size);
      this.#read(bytes, at);
      this.offset = 0;
      this.#use({ bytes, words: this.words });
    }
  }

  #use({ bytes, words }: Omit<Block, "number">): void {
    this.bytes = bytes;
    this.words = words;
  }

  #block(number: number): Block {
    const known = this.#blocks.find((block) => block.number === number);
    if (known) return known;
    const block = this.#blocks.length < MAX_BLOCKS ? this.#addBlock() : this.#blocks[this.#oldest]!;
    this.#oldest = (this.#oldest + 1) % MAX_BLOCKS;
    block.number = number;
    this.#read(block.bytes, number * BLOCK_SIZE);
    return block;
  }

  #addBlock(): Block {
    const bytes = Buffer.alloc(BLOCK_SIZE);
    const block = { number: -1, bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, BLOCK_SIZE / 4) };
    this.#blocks.push(block);
    return block;
  }

  #read(bytes: Buffer, at: number): void {
    // What cannot be read is what nobody has hashed.
    if (!readFully(this.#fd!, bytes, this.#start + at)) bytes.fill(0);
  }
}

/** Fills `bytes` from byte `at` of the file on, as far as that goes; false where it fails. */
export function readFully(fd: number, bytes: Uint8Array, at: number): boolean {
  try {
    for (let done = 0; done < bytes.length;) {
      const count = readSync(fd, bytes, done, bytes.length - done, at + done);
      if (count === 0) return true;
      done += count;
    }
    return true;
  } catch {
    return false;
  }
}
