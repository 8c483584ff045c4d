// `tsbuild fmt`: a Dockerfile in its canonical form, with the same meaning. Upper-case names, one blank between words, continuations indented by
// four blanks, at most one empty line. What a program reads is never touched: shell text, quoted text, heredocs, ONBUILD triggers.
// Works on the lexer's logical lines, not on the AST, because comments and line breaks are to stay. Reference 1.1–1.3.
import { readHead, type Head } from "./draft.ts";
import { parseDirectives } from "./directives.ts";
import type { SourceFile } from "../diagnostics/source.ts";
import { takeHeredocs } from "./heredoc-bodies.ts";
import { LineReader } from "./lexer.ts";
import { unitsOf, type Unit } from "./format-units.ts";
import { spanIn, trimSpace, type LogicalLine, type Range } from "./logical-line.ts";

const indent = "    ";

/** The canonical text of a Dockerfile that parses without errors. Formatting it again changes nothing. */
export function formatDockerfile(source: SourceFile): string {
  const start = source.text.startsWith("\uFEFF") ? 1 : 0;
  const { directives, escape, end } = parseDirectives(source, start);
  const page = new Page(source.text);
  for (const { key, value, span } of directives) if (span.start < end) page.add(`# ${key}=${value}`);
  const reader = new LineReader({ source, escape, start: end });
  let at = end;
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    const head = readHead(line, { start: 0, end: line.text.length }, escape);
    const { end: heredocEnd } = takeHeredocs(head, reader, () => {});
    const begin = page.addBetween(at, head.keyword.span.start);
    const lineEnd = endOfLine(line);
    if (begin < head.keyword.span.start) page.addRaw(begin, lineEnd);
    else for (const text of formatInstruction(head)) page.add(text);
    at = nextLine(source.text, lineEnd);
    if (heredocEnd === undefined) continue;
    page.addRaw(at, heredocEnd);
    at = nextLine(source.text, heredocEnd);
  }
  page.addBetween(at, source.text.length);
  return page.finish();
}

/** The text as it grows, in the line ends that the file has. */
class Page {
  readonly #text: string;
  readonly #lineEnd: string;
  #out = "";
  /** An empty line is due before the next text. */
  #hasGap = false;

  constructor(text: string) {
    this.#text = text;
    this.#lineEnd = /^[^\n]*\r\n/.test(text) ? "\r\n" : "\n";
  }

  /** Adds lines of ours. */
  add(text: string): void {
    this.#add(text.replaceAll("\n", this.#lineEnd));
  }

  /** Adds lines as they are in the file. */
  addRaw(start: number, end: number): void {
    this.#add(this.#text.slice(start, end));
  }

  #add(text: string): void {
    // an empty line keeps a comment on the first one from being a directive
    if (this.#hasGap && (this.#out !== "" || text.startsWith("#"))) this.#out += this.#lineEnd;
    this.#hasGap = false;
    this.#out += text + this.#lineEnd;
  }

  /**
   * Adds the comments and empty lines between two instructions. Returns where the second one begins, which is before its name where
   * an escape alone on a line stands in between.
   */
  addBetween(start: number, end: number): number {
    for (let at = start; at < end; at = nextLine(this.#text, at)) {
      const raw = this.#text.slice(at, Math.min(end, nextLine(this.#text, at)));
      const text = trimSpace(raw);
      if (text.startsWith("#")) this.add(text);
      else if (text !== "") return at;
      else this.#hasGap ||= raw.endsWith("\n");
    }
    return end;
  }

  finish(): string {
    return this.#out;
  }
}

function nextLine(text: string, from: number): number {
  const newline = text.indexOf("\n", from);
  return newline < 0 ? text.length : newline + 1;
}

function endOfLine(line: LogicalLine): number {
  const last = line.pieces.at(-1);
  const textEnd = last === undefined ? 0 : last.offset + line.text.length - last.index;
  let end = Math.max(line.lastLine.end, textEnd);
  while (line.source.text.endsWith("\r", end)) end--;
  return end;
}

/** The instruction, and comments behind its last continuation. */
function formatInstruction(head: Head): string[] {
  const { line, escape } = head;
  const units = unitsOf(head);
  let text = "";
  let previous: Unit | undefined;
  for (const unit of units) {
    if (previous) text += gapBetween(line, escape, previous, unit);
    text += (unit.text ?? rawText(line, unit, escape)) + unit.after;
    previous = unit;
  }
  const end = previous?.end ?? head.range.end;
  const isOpen = text.endsWith(escape) && !text.endsWith(escape + escape);
  // a blank that is none to the lexer keeps the escape from continuing the line
  const guard = isOpen ? (/^[ \t\r]*[^ \t\r]/.exec(line.text.slice(end))?.[0] ?? "") : "";
  const trailing = commentsIn(line, offsetAfter(line, end), endOfLine(line));
  return [text + guard, ...trailing.map(trimSpace)];
}

/** A blank, nothing, or the line break that is there, with its comments. */
function gapBetween(line: LogicalLine, escape: string, from: Unit, to: Unit): string {
  const broken = line.pieces[pieceFrom(line, Math.max(from.end, from.start + 1))];
  if (broken === undefined || broken.index > to.start) return to.isGlued ? "" : " ";
  const between = commentsIn(line, offsetAfter(line, from.end), spanIn(line, to).start);
  return ` ${escape}\n${between.map((comment) => `${indent}${trimSpace(comment)}\n`).join("")}${indent}`;
}

/** Text whose blanks may mean something: as in the file, but without what the lexer drops from it. */
function rawText(line: LogicalLine, { start, end }: Range, escape: string): string {
  let text = "";
  let at = start;
  for (let next = pieceFrom(line, start + 1); next < line.pieces.length; next++) {
    const { index, offset } = line.pieces[next]!;
    if (index >= end) break;
    const comments = commentsIn(line, offsetAfter(line, index), offset);
    text += `${line.text.slice(at, index)}${escape}\n${comments.map((comment) => `${comment}\n`).join("")}`;
    at = index;
  }
  return text + line.text.slice(at, end);
}

/** The first piece that begins at or behind `index`; how many there are where there is none. */
function pieceFrom({ pieces }: LogicalLine, index: number): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle]!.index < index) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where the file goes on after `text[index - 1]`. */
function offsetAfter(line: LogicalLine, index: number): number {
  return spanIn(line, { start: index - 1, end: index }).end;
}

/** Comment lines after the line of `start`. */
function commentsIn(line: LogicalLine, start: number, end: number): string[] {
  const lines = line.source.text.slice(start, end).split("\n").slice(1);
  return lines.filter((text) => trimSpace(text).startsWith("#")).map((text) => text.trimEnd());
}
