// Compression of layers: blocks of fixed size, compressed side by side on the libuv pool and joined in order, so the bytes depend on the input and the level
// only, never on the number of cores. gzip is one member (RFC 1952) of deflate blocks, each primed with the 32 KiB before it; zstd is one frame a block (RFC 8878).
// What gzip cannot make smaller is stored: deflating it takes as long as text does, for nothing.
import { availableParallelism } from "node:os";
import { constants, crc32, createDeflateRaw, createGunzip, createZstdCompress, createZstdDecompress } from "node:zlib";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { assert } from "../base/assert.ts";
import { BuildError, messageOf } from "../diagnostics/build-error.ts";
import type { Compression } from "../oci/media-type.ts";
import { asBuffer } from "./names.ts";
import { runsOf } from "./noise.ts";
import { splitFrames } from "./zstd-frames.ts";

export interface CompressOptions {
  readonly compression: Compression;
  /** gzip 0–9 (default 4, and without it where a block does not get smaller), zstd 1–22 (default 3). */
  readonly level?: number | undefined;
  /** Blocks in work at once; bounds memory, not bytes. Default: one more than there are processors. */
  readonly parallelism?: number | undefined;
  /** Each chunk is only valid until the next one is asked for: its memory is given back then, not when the collector gets round to it. */
  readonly reuseChunks?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const GZIP_BLOCK = 1 << 20;
const ZSTD_BLOCK = 1 << 22;
const DICTIONARY_SIZE = 1 << 15;
const READ_SIZE = 1 << 18;
/** On a Debian system's files 4 takes half of the time of 6 and three quarters of that of 5, and is 3 % and 2 % longer. */
const GZIP_LEVEL = 4;
/** A block is judged by slices of it: together long enough for a byte's neighbours to tell, and cheap against deflating all of it. */
const PROBE_SLICE = 1 << 12;
const PROBE_SLICES = 16;
/** Longest probe, against its plain length, that is worth going on with. */
const WORTHWHILE = 0.98;
/** No name, no time, "unknown" system: nothing but the format. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
/** An empty last block with fixed codes. */
const DEFLATE_END = Buffer.from([3, 0]);

/** Compressed bytes of `source`. Fails with "usage" for a level that the compression does not have. */
export async function* compress(
  source: AsyncIterable<Uint8Array>,
  options: CompressOptions,
): AsyncGenerator<Uint8Array> {
  checkLevel(options);
  switch (options.compression) {
    case "uncompressed":
      yield* source;
      break;
    case "gzip":
      yield* gzip(source, options);
      break;
    case "zstd":
      yield* zstd(source, options);
      break;
  }
}

/** Refuses a level that the compression does not have. */
export function checkLevel(options: Pick<CompressOptions, "compression" | "level">): void {
  const { compression, level } = options;
  if (level === undefined || compression === "uncompressed") return;
  const [low, high] = compression === "gzip" ? [0, 9] : [1, 22];
  if (Number.isInteger(level) && level >= low && level <= high) return;
  throw new BuildError("usage", `compression level ${level} is none of ${compression}`, {
    help: `use a level from ${low} to ${high}`,
  });
}

async function* gzip(source: AsyncIterable<Uint8Array>, options: CompressOptions): AsyncGenerator<Uint8Array> {
  yield GZIP_HEADER;
  let [checksum, size] = [0, 0];
  let dictionary: Buffer | undefined;
  const start = (block: Buffer): Promise<Uint8Array> => {
    checksum = crc32(block, checksum);
    size += block.length;
    const before = dictionary;
    const job = deflateBlock(block, options.level, before);
    // A copy: the block's memory is filled again once its job is done.
    dictionary = Buffer.allocUnsafeSlow(Math.min(block.length, DICTIONARY_SIZE));
    block.copy(dictionary, 0, block.length - dictionary.length);
    return before === undefined ? job : job.finally(() => release(before));
  };
  yield* inBlocks(source, GZIP_BLOCK, start, options);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield Buffer.concat([DEFLATE_END, trailer]);
}

/** Without a level, what cannot be made smaller is stored, also where it shares the block with what can. Ends on a byte with the stream still open, so that the next block follows. */
async function deflateBlock(block: Buffer, level: number | undefined, dictionary: Buffer | undefined): Promise<Buffer> {
  if (level !== undefined) return deflate(block, level, dictionary);
  const pieces: Buffer[] = [];
  let before = dictionary;
  for (const run of runsOf(block)) {
    pieces.push(await deflate(run, (await isWorthDeflating(run)) ? GZIP_LEVEL : 0, before));
    before = run.subarray(-DICTIONARY_SIZE);
  }
  if (pieces.length === 1) return pieces[0]!;
  const joined = Buffer.allocUnsafeSlow(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    at += piece.copy(joined, at);
    release(piece);
  }
  return joined;
}

function deflate(bytes: Buffer, level: number, dictionary: Buffer | undefined): Promise<Buffer> {
  const stream = createDeflateRaw({
    level,
    memLevel: 9,
    windowBits: 15,
    finishFlush: constants.Z_SYNC_FLUSH,
    chunkSize: wholeOf(bytes),
    ...(dictionary === undefined ? {} : { dictionary }),
  });
  return passThrough(stream, bytes);
}

/**
 * What `stream`, whose chunks are {@link wholeOf} the bytes, makes of them, in memory that it shares with nothing.
 * Node's own functions for this make a copy of it, since it comes in two parts, and leave the first to the collector.
 */
async function passThrough(stream: Transform, bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.on("data", (part: Buffer) => parts.push(part));
  stream.once("end", resolve);
  stream.once("error", reject);
  stream.end(bytes);
  await promise;
  const [first = Buffer.alloc(0)] = parts;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  assert(parts.at(-1)?.buffer === parts[0]?.buffer, "what is compressed fits into one chunk");
  return Buffer.from(first.buffer, first.byteOffset, length);
}

/** Longer than what comes out for `bytes` (memory that is not written to costs nothing), and so long that Node does not take it from what small buffers share. */
function wholeOf(bytes: Buffer): number {
  return Math.max(bytes.length + (bytes.length >> 8) + 1024, Buffer.poolSize);
}

/**
 * Gives back the memory of a buffer that shares it with no other. To the collector such a buffer is a small object: it lets dozens of megabytes of them
 * gather, and then goes through the whole heap to find them.
 */
function release(bytes: Uint8Array): void {
  if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
}

/** Whether bytes are likely to get smaller. Looks at nothing else, so that the same ones are always treated alike. */
async function isWorthDeflating(block: Buffer): Promise<boolean> {
  const step = Math.floor(block.length / PROBE_SLICES);
  if (step < PROBE_SLICE) return true;
  const slices = Array.from({ length: PROBE_SLICES }, (_, i) => block.subarray(i * step, i * step + PROBE_SLICE));
  const probe = Buffer.concat(slices);
  const deflated = await passThrough(createDeflateRaw({ level: 1, chunkSize: 2 * probe.length }), probe);
  const isShorter = deflated.length < probe.length * WORTHWHILE;
  release(deflated);
  release(probe);
  return isShorter;
}

async function* zstd(source: AsyncIterable<Uint8Array>, options: CompressOptions): AsyncGenerator<Uint8Array> {
  const params = {
    [constants.ZSTD_c_compressionLevel]: options.level ?? constants.ZSTD_CLEVEL_DEFAULT,
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  const start = (block: Buffer): Promise<Uint8Array> =>
    passThrough(createZstdCompress({ params, pledgedSrcSize: block.length, chunkSize: wholeOf(block) }), block);
  let isEmpty = true;
  for await (const chunk of inBlocks(source, ZSTD_BLOCK, start, options)) {
    isEmpty = false;
    yield chunk;
  }
  if (isEmpty) yield start(Buffer.alloc(0));
}

/** Cuts `source` at multiples of `size`, runs `start` on each block, at most `parallelism` at a time, and gives the results in order. */
async function* inBlocks(
  source: AsyncIterable<Uint8Array>,
  size: number,
  start: (block: Buffer) => Promise<Uint8Array>,
  options: CompressOptions,
): AsyncGenerator<Uint8Array> {
  const width = Math.max(1, options.parallelism ?? availableParallelism() + 1);
  const running: { readonly result: Promise<Uint8Array>; readonly memory: Buffer }[] = [];
  const spare: Buffer[] = [];
  async function* oldest(): AsyncGenerator<Uint8Array> {
    const { result, memory } = running[0]!;
    const bytes = await result;
    running.shift();
    spare.push(memory);
    yield bytes;
    if (options.reuseChunks) release(bytes);
  }
  const launch = (memory: Buffer, length: number): void => {
    const result = start(memory.subarray(0, length));
    // The failure is seen where the result is awaited; until then it is not "unhandled".
    result.catch(() => undefined);
    running.push({ result, memory });
  };
  try {
    let used = 0;
    let memory: Buffer = Buffer.allocUnsafeSlow(size);
    for await (const chunk of source) {
      for (let done = 0; done < chunk.length;) {
        const count = asBuffer(chunk).copy(memory, used, done);
        used += count;
        done += count;
        if (used < size) continue;
        options.signal?.throwIfAborted();
        launch(memory, used);
        while (running.length >= width) yield* oldest();
        used = 0;
        memory = spare.pop() ?? Buffer.allocUnsafeSlow(size);
      }
    }
    if (used > 0) launch(memory, used);
    while (running.length > 0) yield* oldest();
  } finally {
    // Nothing of ours still works on the pool when the caller goes on.
    await Promise.allSettled(running.map(({ result }) => result));
  }
}

/** A decoder. gzip may have several members; of zstd each write may hold bytes of one frame only. */
function createDecoder(compression: "gzip" | "zstd"): Transform {
  if (compression === "gzip") return createGunzip({ chunkSize: READ_SIZE });
  return createZstdDecompress({ chunkSize: READ_SIZE, params: { [constants.ZSTD_d_windowLogMax]: 31 } });
}

/** Tar bytes of a compressed `source`, which may be several gzip members or zstd frames in a row. Fails with "content" where the bytes are damaged or end too early; an error of the source itself passes unchanged. */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  options: { readonly compression: Compression; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  if (options.compression === "uncompressed") {
    yield* source;
    return;
  }
  const transform = createDecoder(options.compression);
  const input = options.compression === "zstd" ? splitFrames(source) : source;
  // The first error is the cause; what the other side of the pipe says afterwards is its echo.
  const fed = pipeline(input, transform, options.signal ? { signal: options.signal } : {});
  fed.catch(() => undefined);
  try {
    for await (const chunk of transform) yield chunk as Buffer;
    await fed;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw isDecoderError(error) ? damaged(options.compression, error) : error;
  } finally {
    transform.destroy();
    await Promise.allSettled([fed]);
  }
}

function isDecoderError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  return /^(Z_|ZSTD_|ERR_ZLIB|ERR_ZSTD)/.test(code);
}

function damaged(compression: Compression, cause: unknown): BuildError {
  return new BuildError("content", `the ${compression} data of a layer is damaged: ${messageOf(cause)}`, { cause });
}
