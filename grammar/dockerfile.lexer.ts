// The lexical grammar of a Dockerfile as moo state tables. Data only: what the tokens mean is decided in src/frontend/lexer.ts.
// A function of the escape character, because `# escape=` changes it (reference 1.1, L03–L05, L09, L12; P04).

/** One rule of a moo state; the subset of moo.Rule that this grammar needs. */
export interface LexerRule {
  readonly match: RegExp | string;
  readonly lineBreaks?: true;
  readonly next?: string;
  readonly push?: string;
  readonly pop?: 1;
}

export type LexerState = Readonly<Record<string, LexerRule>>;

export interface LexerRules {
  /** Physical lines: comments, blank lines, continuations. Starts in `line`. */
  readonly lines: Readonly<Record<"line" | "body" | "continued", LexerState>>;
  /** The inside of one joined instruction: `list` (blank separated), `words` (quotes kept), `flags` (quotes removed later). */
  readonly words: Readonly<
    Record<"list" | "words" | "wordSingle" | "wordDouble" | "flags" | "flagSingle" | "flagDouble", LexerState>
  >;
}

/** What Go's unicode.IsSpace accepts, without the line feed, for use in a character class. */
export const spaceClass = "\\t\\v\\f\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/** What separates the words of a list: narrower than spaceClass (L12). */
export const listSpaceClass = "\\t\\v\\f\\r ";

const endOfText = "(?![^])";

/** The token tables for one escape character, "\\" or "`". */
export function lexerRules(escape: string): LexerRules {
  return { lines: lineStates(`\\${escape}`), words: wordStates(`\\${escape}`) };
}

function lineStates(escape: string): LexerRules["lines"] {
  // A run of escapes is data; only a single one before the line's end continues it (L04).
  const body = (text: RegExp): LexerState => ({
    escapes: { match: new RegExp(`${escape}{2,}`), next: "body" },
    continuation: {
      match: new RegExp(`${escape}[ \\t]*\\r*(?:\\n|${endOfText})`),
      lineBreaks: true,
      next: "continued",
    },
    escape: { match: new RegExp(escape), next: "body" },
    text: { match: text, next: "body" },
  });
  const newline: LexerRule = { match: "\n", lineBreaks: true, next: "line" };
  return {
    line: {
      comment: { match: new RegExp(`[${spaceClass}]*#[^\\n]*`) },
      blank: { match: new RegExp(`[${spaceClass}]*\\n`), lineBreaks: true },
      space: { match: new RegExp(`[${spaceClass}]+`) },
      ...body(new RegExp(`[^\\n${escape}]+`)),
    },
    body: { newline, ...body(new RegExp(`[^\\n${escape}]+`)) },
    continued: {
      comment: { match: new RegExp(`[${spaceClass}]*#[^\\n]*(?:\\n|${endOfText})`), lineBreaks: true },
      empty: { match: new RegExp(`[${spaceClass}]*\\n|[${spaceClass}]+${endOfText}`), lineBreaks: true },
      ...body(new RegExp(`[^\\n${escape}]+`)),
    },
  };
}

function wordStates(escape: string): LexerRules["words"] {
  return {
    list: {
      space: { match: new RegExp(`[${listSpaceClass}]+`) },
      word: { match: new RegExp(`[^${listSpaceClass}]+`), lineBreaks: true },
    },
    words: quotedWords(escape, "wordSingle", "wordDouble"),
    wordSingle: { close: { match: "'", pop: 1 }, chars: { match: /[^']+/, lineBreaks: true } },
    wordDouble: quoted('"', escape),
    // In flags the backslash escapes whatever the directive says, in both kinds of quotes (L09).
    flags: quotedWords("\\\\", "flagSingle", "flagDouble"),
    flagSingle: quoted("'", "\\\\"),
    flagDouble: quoted('"', "\\\\"),
  };
}

function quotedWords(escape: string, single: string, double: string): LexerState {
  return {
    space: { match: new RegExp(`[\\n${spaceClass}]+`), lineBreaks: true },
    pair: { match: new RegExp(`${escape}[^]`), lineBreaks: true },
    dangling: { match: new RegExp(escape) },
    single: { match: "'", push: single },
    double: { match: '"', push: double },
    chars: { match: new RegExp(`[^\\n${spaceClass}'"${escape}]+`) },
  };
}

function quoted(quote: string, escape: string): LexerState {
  return {
    close: { match: quote, pop: 1 },
    pair: { match: new RegExp(`${escape}[^]`), lineBreaks: true },
    dangling: { match: new RegExp(escape) },
    chars: { match: new RegExp(`[^${quote}${escape}]+`), lineBreaks: true },
  };
}
