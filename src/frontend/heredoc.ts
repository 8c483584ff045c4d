// Finds `<<WORD` in an instruction, as BuildKit does: the whole text must lex as shell words, else it holds no heredoc at all.
// Only boundaries matter here, so nothing is expanded. Taking the bodies out of the file is the lexer's work. Reference 1.3.
import { isSpace, type Range } from "./logical-line.ts";

/** A `<<WORD` token. */
export interface HeredocWord {
  readonly name: string;
  readonly fileDescriptor: number;
  readonly isChomped: boolean;
  readonly isExpanded: boolean;
}

/** Deeper `${…${…}}` than this is not looked into. */
const depthLimit = 500;

/** A failed scan, as an index. */
const failed = -1;

/** The heredoc words of an instruction's text in order; none where the text is not lexically complete. */
export function findHeredocs(text: string): readonly { readonly word: HeredocWord; readonly range: Range }[] {
  if (!text.includes("<<")) return [];
  const found: { word: HeredocWord; range: Range }[] = [];
  for (const range of shellWords(text) ?? []) {
    const word = parseHeredocWord(text.slice(range.start, range.end));
    if (word) found.push({ word, range });
  }
  return found;
}

/** `<<EOF`, `<<-EOF`, `3<<"EOF"`, …; undefined for anything else (`<<<`, `<<`, two words). */
export function parseHeredocWord(text: string): HeredocWord | undefined {
  const match = /^(\d*)<<(-?)[\t\n\f\r ]*([^<]*)$/.exec(text);
  if (match === null) return undefined;
  const rest = match[3]!;
  const words = shellWords(rest);
  if (words?.length !== 1) return undefined;
  const { name, isQuoted } = unquote(rest.slice(words[0]!.start, words[0]!.end));
  if (name === "") return undefined;
  return { name, fileDescriptor: Number(match[1]), isChomped: match[2] === "-", isExpanded: !isQuoted };
}

/** Leading tabs of every line removed (`<<-`). */
export function chompTabs(content: string): string {
  return content.replace(/^\t+/gm, "");
}

function unquote(word: string): { readonly name: string; readonly isQuoted: boolean } {
  let name = "";
  let isQuoted = false;
  let quote = "";
  for (let i = 0; i < word.length; i++) {
    const char = word[i]!;
    if (quote === "" && (char === "'" || char === '"')) {
      quote = char;
      isQuoted = true;
    } else if (char === quote) quote = "";
    else if (char === "\\" && quote !== "'") {
      const next = word[i + 1] ?? "";
      if (quote === '"' && !'"$\\'.includes(next)) name += char;
      name += next;
      i++;
    } else name += char;
  }
  return { name, isQuoted };
}

/** Ranges of the blank-separated words; undefined where a quote or a substitution is not closed or not known. */
function shellWords(text: string): Range[] | undefined {
  const words: Range[] = [];
  let start = -1;
  let at = 0;
  while (at < text.length) {
    if (isSpace(text.charCodeAt(at))) {
      if (start >= 0) words.push({ start, end: at });
      start = -1;
      at++;
      continue;
    }
    if (start < 0) start = at;
    at = skipUnit(text, at, 0);
    if (at === failed) return undefined;
  }
  if (start >= 0) words.push({ start, end: Math.min(at, text.length) });
  return words;
}

/** Index after the quoted text, escape, substitution, `<<` or single character at `at`. */
function skipUnit(text: string, at: number, depth: number): number {
  switch (text.charAt(at)) {
    case "'": {
      const close = text.indexOf("'", at + 1);
      return close < 0 ? failed : close + 1;
    }
    case '"':
      return skipDoubleQuoted(text, at + 1, depth);
    case "$":
      return skipDollar(text, at + 1, depth);
    case "\\":
      return at + 2;
    case "<": {
      if (text[at + 1] !== "<") return at + 1;
      // blanks between "<<" and the word belong to the word
      let next = at + 2;
      while (text[next] === " " || text[next] === "\t" || text[next] === "\r") next++;
      return next;
    }
    default:
      return at + 1;
  }
}

function skipDoubleQuoted(text: string, from: number, depth: number): number {
  let at = from;
  while (at < text.length) {
    const char = text[at];
    if (char === '"') return at + 1;
    if (char === "$") {
      at = skipDollar(text, at + 1, depth);
      if (at === failed) return failed;
    } else if (char === "\\") at += '\\$"'.includes(text[at + 1] ?? " ") ? 2 : 1;
    else at++;
  }
  return failed;
}

function skipDollar(text: string, from: number, depth: number): number {
  if (text[from] !== "{") return skipName(text, from);
  if (depth >= depthLimit || "{}:".includes(text[from + 1] ?? "}")) return failed;
  let at = skipName(text, from + 1);
  let modifier = text[at++];
  if (modifier === "}") return at;
  if (modifier === "/") {
    if (text[at] === "/") at++;
    const pattern = skipUntil(text, at, "/", depth + 1);
    return pattern === failed ? failed : skipUntil(text, pattern, "}", depth + 1);
  }
  const hasColon = modifier === ":";
  if (hasColon) modifier = text[at++];
  if (modifier === undefined || !(hasColon ? "+-?" : "+-?#%").includes(modifier)) return failed;
  return skipUntil(text, at, "}", depth + 1);
}

function skipName(text: string, from: number): number {
  const rest = text.slice(from, from + 1);
  if (rest !== "" && "@*#?-$!0".includes(rest)) return from + 1;
  const pattern = /[0-9]+|[\p{L}_][\p{L}\p{Nd}_]*/uy;
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
}

function skipUntil(text: string, from: number, stop: string, depth: number): number {
  let at = from;
  while (at < text.length) {
    if (text[at] === stop) return at + 1;
    at = skipUnit(text, at, depth);
    if (at === failed) return failed;
  }
  return failed;
}
