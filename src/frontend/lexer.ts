// Drives the moo tables of /grammar: physical lines → logical lines (continuations joined, comments dropped), and a
// logical line → its words. The one door to moo. Knows no instruction. Reference L01–L05, L09, L12, H02.
import moo from "moo";
import { lexerRules } from "../../grammar/dockerfile.lexer.ts";
import type { SourceFile, Span } from "../diagnostics/source.ts";
import { trimRange, trimSpace, type LogicalLine, type Piece, type Range } from "./logical-line.ts";

interface Lexers {
  readonly lines: moo.Lexer;
  readonly words: moo.Lexer;
}

const compiled = new Map<string, Lexers>();

function lexersFor(escape: string): Lexers {
  const known = compiled.get(escape);
  if (known) return known;
  const { lines, words } = lexerRules(escape);
  const made = { lines: moo.states(mutable(lines), "line"), words: moo.states(mutable(words), "list") };
  compiled.set(escape, made);
  return made;
}

function mutable(states: object): Record<string, moo.Rules> {
  return states as Record<string, moo.Rules>;
}

/** A heredoc's body as it lies in the file. */
export interface HeredocBody {
  readonly body: Span;
  /** Offset after the terminator's text; the end of the file where there is none. */
  readonly end: number;
  readonly isTerminated: boolean;
}

/** Yields the logical lines of one source in order. Heredoc bodies are taken by the caller between two lines. */
export class LineReader {
  readonly #source: SourceFile;
  readonly #lexer: moo.Lexer;
  /** Source offset of the lexer's buffer. */
  #base = 0;
  #position = 0;

  constructor(options: { readonly source: SourceFile; readonly escape: string; readonly start: number }) {
    this.#source = options.source;
    this.#lexer = lexersFor(options.escape).lines;
    this.#restart(options.start);
  }

  #restart(offset: number): void {
    this.#base = offset;
    this.#position = offset;
    this.#lexer.reset(this.#source.text.slice(offset), { line: 1, col: 1, state: "line" });
  }

  #next(): moo.Token | undefined {
    const token = this.#lexer.next();
    if (token) this.#position = this.#base + token.offset + token.text.length;
    return token;
  }

  /** The next line that holds an instruction; undefined at the end. */
  next(): LogicalLine | undefined {
    let comments: string[] = [];
    for (let token = this.#next(); token !== undefined; token = this.#next()) {
      if (token.type === "comment") {
        const comment = trimSpace(token.text.slice(token.text.indexOf("#") + 1));
        if (comment === "") comments = [];
        else comments.push(comment);
      } else if (token.type !== "blank" && token.type !== "space") return this.#join(token, comments);
    }
    return undefined;
  }

  #join(first: moo.Token, comments: readonly string[]): LogicalLine {
    let text = "";
    const pieces: Piece[] = [];
    const emptyLines: Span[] = [];
    let lastStart = this.#base + first.offset;
    let expected = -1;
    for (let token: moo.Token | undefined = first; token !== undefined; token = this.#next()) {
      const offset = this.#base + token.offset;
      if (token.type === "newline") break;
      if (token.type === "continuation" || token.type === "comment" || token.type === "empty") {
        if (token.type === "empty") emptyLines.push(this.#line(offset));
        if (this.#position < this.#source.text.length) lastStart = this.#position;
      } else {
        if (offset !== expected) pieces.push({ index: text.length, offset });
        text += token.text;
        expected = offset + token.text.length;
      }
    }
    return {
      source: this.#source,
      text,
      pieces,
      comments,
      emptyLines,
      lastLine: this.#line(lastStart),
    };
  }

  /** The physical line that starts at `start`, without its end. */
  #line(start: number): Span {
    const { text } = this.#source;
    const newline = text.indexOf("\n", start);
    let end = newline < 0 ? text.length : newline;
    while (end > start && text.charCodeAt(end - 1) === 13) end--;
    return { source: this.#source, start, end };
  }

  /** Takes the lines up to the one that equals `name` (leading tabs aside where chomped) out of the stream. */
  takeHeredoc(name: string, isChomped: boolean): HeredocBody {
    const source = this.#source;
    const start = this.#position;
    for (let at = start; at < source.text.length;) {
      const line = this.#line(at);
      const word = source.text.slice(line.start, line.end);
      const newline = source.text.indexOf("\n", at);
      const next = newline < 0 ? source.text.length : newline + 1;
      if ((isChomped ? word.replace(/^\t+/, "") : word) === name) {
        this.#restart(next);
        return { body: { source, start, end: at }, end: line.end, isTerminated: true };
      }
      at = next;
    }
    this.#restart(source.text.length);
    return { body: { source, start, end: source.text.length }, end: source.text.length, isTerminated: false };
  }
}

/** Splits on `[\t\v\f\r ]+`, no quoting. */
export function listWords(text: string, range: Range, escape: string): Range[] {
  const found: Range[] = [];
  for (const token of tokens(text, range, escape, "list")) {
    if (token.type === "word") {
      found.push({ start: range.start + token.offset, end: range.start + token.offset + token.text.length });
    }
  }
  return found;
}

/** The first word of a list and where the word after it starts; undefined where there is none. */
export function firstWord(
  text: string,
  range: Range,
  escape: string,
): { readonly word: Range; readonly rest: number } | undefined {
  let word: Range | undefined;
  for (const token of tokens(text, range, escape, "list")) {
    const start = range.start + token.offset;
    const end = start + token.text.length;
    if (word !== undefined) return { word, rest: end };
    if (token.type === "word") word = { start, end };
  }
  return word && { word, rest: range.end };
}

/** Splits on blanks outside quotes; quotes and escapes stay in the words, an escape at the very end is dropped (L12). */
export function quotedWords(text: string, range: Range, escape: string): Range[] {
  const found: Range[] = [];
  let start = -1;
  let end = -1;
  for (const token of tokens(text, range, escape, "words")) {
    const at = range.start + token.offset;
    if (token.type === "space") {
      if (start >= 0) found.push({ start, end });
      start = -1;
    } else if (token.type !== "dangling") {
      if (start < 0) start = at;
      end = at + token.text.length;
    }
  }
  if (start >= 0) found.push({ start, end });
  return found;
}

/** A flag token with quotes and escapes removed: each character of `text` and where it was. */
export interface FlagToken {
  readonly text: string;
  readonly indices: readonly number[];
  readonly range: Range;
}

/** The tokens that start with `--`, and where the arguments begin. `--` alone ends them. */
export function flagTokens(
  text: string,
  range: Range,
  escape: string,
): { readonly flags: readonly FlagToken[]; readonly rest: number } {
  const flags: FlagToken[] = [];
  let word: { text: string; indices: number[]; start: number; end: number } | undefined;
  const isFlag = (at: number): boolean => text.startsWith("--", at) && at + 2 <= range.end;
  const first = trimRange(text, range).start;
  if (!isFlag(first)) return { flags, rest: first };
  for (const token of tokens(text, { start: first, end: range.end }, escape, "flags")) {
    const at = first + token.offset;
    const end = at + token.text.length;
    if (token.type === "space") {
      if (word?.text === "--") return { flags, rest: at };
      if (word) flags.push(finish(word));
      word = undefined;
      if (!isFlag(end)) return { flags, rest: end };
      continue;
    }
    word ??= { text: "", indices: [], start: at, end };
    word.end = end;
    if (token.type !== "chars" && token.type !== "pair") continue;
    const skip = token.type === "pair" ? 1 : 0;
    word.text += token.text.slice(skip);
    for (let i = at + skip; i < end; i++) word.indices.push(i);
  }
  if (word && word.text !== "--") flags.push(finish(word));
  return { flags, rest: range.end };
}

function finish(word: { text: string; indices: number[]; start: number; end: number }): FlagToken {
  return { text: word.text, indices: word.indices, range: { start: word.start, end: word.end } };
}

function* tokens(text: string, range: Range, escape: string, state: string): Generator<moo.Token> {
  const lexer = lexersFor(escape).words;
  lexer.reset(text.slice(range.start, range.end), { line: 1, col: 1, state });
  for (let token = lexer.next(); token !== undefined; token = lexer.next()) yield token;
}
