// The end of a step's output, which its error shows, and how much was before it.

const MOST_LINES = 20;
/** Bytes that are kept. */
const MOST_BYTES = 16_384;
const LINE_END = 0x0a;

export interface LastOutput {
  /** Without line ends; `…` stands for the cut beginning of a very long line. */
  readonly lines: readonly string[];
  /** How many lines the output has before these. */
  readonly before: number;
}

/** Takes output as it comes, and keeps its end only. */
export class LastLines {
  #tail: Uint8Array = new Uint8Array();
  #lineEnds = 0;
  #isCut = false;

  push(data: Uint8Array): void {
    for (let at = data.indexOf(LINE_END); at >= 0; at = data.indexOf(LINE_END, at + 1)) this.#lineEnds++;
    const all = Buffer.concat([this.#tail, data.subarray(-MOST_BYTES)]);
    this.#isCut ||= this.#tail.length + data.length > MOST_BYTES;
    this.#tail = all.subarray(-MOST_BYTES);
  }

  read(): LastOutput {
    const text = Buffer.from(this.#tail).toString();
    const all = text.split("\n");
    if (all.at(-1) === "") all.pop();
    // Half a character may stand where the output was cut.
    if (this.#isCut && all.length > 0) all[0] = `…${all[0]!.replace(/^\uFFFD+/, "")}`;
    const lines = all.slice(-MOST_LINES).map((line) => line.replace(/\r$/, ""));
    const total = this.#lineEnds + Number(text !== "" && !text.endsWith("\n"));
    return { lines, before: total - lines.length };
  }
}
