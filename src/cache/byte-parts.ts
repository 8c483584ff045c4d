// A stream of bytes in parts of one size, whatever slices it comes in.

/** Parts of `size` bytes, the last one shorter; each is the receiver's to keep. */
export async function* byteParts(bytes: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let filled = 0;
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + size - filled);
      chunks.push(Buffer.from(piece));
      filled += piece.length;
      at += piece.length;
      if (filled < size) continue;
      yield Buffer.concat(chunks);
      [chunks, filled] = [[], 0];
    }
  }
  if (filled > 0) yield Buffer.concat(chunks);
}

/** One piece of bytes as a stream. */
export async function* onePart(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** All bytes of a small stream. */
export async function wholeOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}
