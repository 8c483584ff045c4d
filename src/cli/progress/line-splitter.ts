// Output bytes → lines, as a terminal log shows them: a carriage return starts the line again.

/** Splits one stream; a character cut by a chunk boundary is put together. */
export class LineSplitter {
  readonly #decoder = new TextDecoder();
  #partial = "";

  /** The lines that are complete now. */
  push(data: Uint8Array): string[] {
    const lines = (this.#partial + this.#decoder.decode(data, { stream: true })).split("\n");
    this.#partial = lines.pop() ?? "";
    return lines.map(lastRewrite);
  }

  /** The last line, where it has no line end. */
  end(): string | undefined {
    const rest = this.#partial;
    this.#partial = "";
    return rest === "" ? undefined : lastRewrite(rest);
  }
}

/** Progress bars rewrite their line: what stands at the end counts. */
function lastRewrite(line: string): string {
  const text = line.replace(/\r+$/, "");
  return text.slice(text.lastIndexOf("\r") + 1);
}
