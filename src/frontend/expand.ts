// Variables in words: `$v`, `${v}`, its modifiers, quotes and escapes (reference 1.4). Text in, text or the error's text out; looks nothing up itself,
// knows no instruction and never throws.
import { charactersOf, parsePattern, replaceMatches, trimPrefix, trimSuffix } from "./expand-pattern.ts";
import { goQuote } from "../base/go-text.ts";

/** Where values come from. A name without a value is unset; an empty value is set. */
export interface VariableScope {
  get(name: string): string | undefined;
  names(): Iterable<string>;
}

export interface ExpandOptions {
  /** The Dockerfile's escape character. */
  readonly escape: string;
  /**
   * - `remove` (default): quotes are processed and disappear
   * - `keep`: quotes are processed and stay, for names that people read
   * - `literal`: quotes mean nothing, for heredoc bodies
   */
  readonly quotes?: "remove" | "keep" | "literal";
  /** Unset variables stay as written instead of becoming empty. */
  readonly keepUnset?: boolean;
}

export interface Expansion {
  readonly value: string;
  /** Names that were looked up and found, each once. */
  readonly matched: readonly string[];
  /** Names that were looked up and are unset, each once. */
  readonly unmatched: readonly string[];
  readonly error?: undefined;
}

/** `error` is BuildKit's text: `failed to process "<text>": …`. */
export interface ExpandFailure {
  readonly error: string;
  readonly matched: readonly string[];
  readonly unmatched: readonly string[];
}

export type ExpandResult = Expansion | ExpandFailure;

export interface WordsExpansion extends Expansion {
  /** The value split at blanks that are not quoted; empty words are dropped. */
  readonly words: readonly string[];
}

/** Options for the unquoted body of a heredoc: no quotes, the escape is always a backslash (V27, H04). */
export const HEREDOC_BODY: ExpandOptions = { escape: "\\", quotes: "literal" };

/** Expands `text` into one value. */
export function expandWord(text: string, scope: VariableScope, options: ExpandOptions): ExpandResult {
  return expandWords(text, scope, options);
}

/** Expands `text` and splits the result into words, after expansion (V24). */
export function expandWords(
  text: string,
  scope: VariableScope,
  options: ExpandOptions,
): WordsExpansion | ExpandFailure {
  const expander = new Expander(text, scope, options);
  const lookedUp = () => ({ matched: [...expander.matched], unmatched: [...expander.unmatched] });
  try {
    const { value, words } = expander.run();
    return { value, words, ...lookedUp() };
  } catch (error) {
    if (!(error instanceof ExpandError)) throw error;
    return { error: `failed to process ${goQuote(text)}: ${error.message}`, ...lookedUp() };
  }
}

/** What Go shows for a character that is none. */
export const END_OF_TEXT = "\uFFFD";

/** Ends an expansion; caught in {@link expandWords}, never seen outside. */
class ExpandError extends Error {}

const MAX_DEPTH = 200;
const SPECIAL_PARAMETERS = "@*#?-$!0";

function isSpace(character: string): boolean {
  return (/\s/u.test(character) && character !== "\uFEFF") || character === "\u0085";
}

/** Words as they grow: unquoted blanks end one, quoted text never does. */
class WordList {
  readonly words: string[] = [];
  #word = "";

  addCharacter(character: string): void {
    if (!isSpace(character)) this.#word += character;
    else this.end();
  }

  addRaw(text: string): void {
    this.#word += text;
  }

  end(): void {
    if (this.#word !== "") this.words.push(this.#word);
    this.#word = "";
  }
}

/** One pass over one text: holds the position and what was looked up. */
class Expander {
  readonly matched = new Set<string>();
  readonly unmatched = new Set<string>();
  readonly #characters: readonly string[];
  readonly #scope: VariableScope;
  readonly #escape: string;
  readonly #quotes: "remove" | "keep" | "literal";
  readonly #keepUnset: boolean;
  #at = 0;
  #depth = 0;
  /** Whether escapes stay in the text, as patterns need them. */
  #rawEscapes = false;

  constructor(text: string, scope: VariableScope, options: ExpandOptions) {
    this.#characters = charactersOf(text);
    this.#scope = scope;
    this.#escape = options.escape;
    this.#quotes = options.quotes ?? "remove";
    this.#keepUnset = options.keepUnset ?? false;
  }

  run(): { readonly value: string; readonly words: readonly string[] } {
    const words = new WordList();
    const value = this.#until(undefined, false, words);
    words.end();
    return { value, words: words.words };
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #next(): string | undefined {
    return this.#characters[this.#at++];
  }

  /** Text up to `stop` (consumed), or to the end where `stop` is undefined. */
  #until(stop: string | undefined, rawEscapes: boolean, words: WordList | undefined): string {
    const outerEscapes = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    // Nesting is the user's: bounded here, so that it ends in an error and not in a full stack.
    if (++this.#depth > MAX_DEPTH) throw new ExpandError("syntax error: substitutions are nested too deeply");
    let value = "";
    for (;;) {
      const character = this.#peek();
      if (character === undefined || character === stop) break;
      value += this.#piece(character, words);
    }
    if (stop !== undefined && this.#next() === undefined) {
      throw new ExpandError(`unexpected end of statement while looking for matching ${stop}`);
    }
    this.#depth--;
    this.#rawEscapes = outerEscapes;
    return value;
  }

  /** The next variable, quoted part, escaped or plain character. */
  #piece(character: string, words: WordList | undefined): string {
    if (character === "$") {
      const value = this.#dollar();
      for (const one of value) words?.addCharacter(one);
      return value;
    }
    if (this.#quotes !== "literal" && (character === "'" || character === '"')) {
      const value = character === "'" ? this.#singleQuoted() : this.#doubleQuoted();
      words?.addRaw(value);
      return value;
    }
    this.#at++;
    if (character !== this.#escape) {
      words?.addCharacter(character);
      return character;
    }
    const value = (this.#rawEscapes ? character : "") + (this.#next() ?? "");
    words?.addRaw(value);
    return value;
  }

  #singleQuoted(): string {
    const start = this.#at;
    const end = this.#characters.indexOf("'", start + 1);
    if (end < 0) {
      this.#at = this.#characters.length;
      throw new ExpandError("unexpected end of statement while looking for matching single-quote");
    }
    this.#at = end + 1;
    const quoted = this.#characters.slice(start + 1, end).join("");
    return this.#quotes === "keep" ? `'${quoted}'` : quoted;
  }

  #doubleQuoted(): string {
    this.#at++;
    let value = "";
    for (;;) {
      const character = this.#peek();
      if (character === undefined) {
        throw new ExpandError("unexpected end of statement while looking for matching double-quote");
      }
      if (character === "$") {
        value += this.#dollar();
        continue;
      }
      this.#at++;
      if (character === '"') return this.#quotes === "keep" ? `"${value}"` : value;
      const following = this.#peek();
      const isEscape = character === this.#escape;
      if (isEscape && this.#rawEscapes) value += character;
      // The escape character works before a quote, a dollar and itself only; before anything else it stays, in a pattern as a literal one.
      if (isEscape && (following === '"' || following === "$" || following === this.#escape)) {
        this.#at++;
        value += following;
      } else value += character;
    }
  }

  #dollar(): string {
    this.#at++;
    if (this.#peek() === "{") return this.#braced();
    const name = this.#name();
    if (name === "") return "$";
    return this.#lookUp(name) ?? (this.#keepUnset ? `$${name}` : "");
  }

  #braced(): string {
    this.#at++;
    const first = this.#peek();
    if (first === undefined) throw new ExpandError("syntax error: missing '}'");
    if (first === "{" || first === "}" || first === ":") throw new ExpandError("syntax error: bad substitution");
    const name = this.#name();
    const modifier = this.#next();
    switch (modifier) {
      case undefined:
        // BuildKit takes the end for a modifier, and shows it so.
        throw new ExpandError(`unsupported modifier (${END_OF_TEXT}) in substitution`);
      case "}":
        return this.#lookUp(name) ?? (this.#keepUnset ? `\${${name}}` : "");
      case "/":
        return this.#replaced(name);
      case ":":
        return this.#modified(name, this.#next() ?? "", true);
      case "+":
      case "-":
      case "?":
      case "#":
      case "%":
        return this.#modified(name, modifier, false);
      default:
        throw new ExpandError(`unsupported modifier (${modifier}) in substitution`);
    }
  }

  /** `${name:-word}` and its kind, from behind the modifier. */
  #modified(name: string, modifier: string, isEmptyUnset: boolean): string {
    const shown = `${isEmptyUnset ? ":" : ""}${modifier}`;
    const unsupported = `unsupported modifier (${shown}) in substitution`;
    const isTrim = modifier === "#" || modifier === "%";
    if (isEmptyUnset && isTrim) throw new ExpandError(unsupported);
    const word = this.#operand("}", isTrim, "syntax error: missing '}'");
    const value = this.#lookUp(name);
    if (value === undefined && this.#keepUnset) return `\${${name}${shown}${word}}`;
    if (isEmptyUnset && !"-+?".includes(modifier)) throw new ExpandError(unsupported);
    const isUnset = value === undefined || (isEmptyUnset && value === "");
    switch (modifier) {
      case "-":
        return isUnset ? word : value;
      case "+":
        return isUnset ? "" : word;
      case "?": {
        if (!isUnset) return value;
        const reason = value === undefined ? "is not allowed to be unset" : "is not allowed to be empty";
        throw new ExpandError(`${name}: ${word === "" ? reason : word}`);
      }
      default: {
        const isLongest = word.startsWith(modifier);
        const pattern = this.#pattern(isLongest ? word.slice(1) : word);
        return (modifier === "#" ? trimPrefix : trimSuffix)(value ?? "", pattern, isLongest);
      }
    }
  }

  /** `${name/pattern/replacement}`, from behind the first slash. */
  #replaced(name: string): string {
    const isAll = this.#peek() === "/";
    if (isAll) this.#at++;
    const patternText = this.#operand("/", true, "syntax error: missing '/' in ${}");
    const replacement = this.#operand("}", true, "syntax error: missing '}'");
    const value = this.#lookUp(name);
    if (value === undefined && this.#keepUnset) return `\${${name}/${isAll ? "/" : ""}${patternText}/${replacement}}`;
    return replaceMatches(value ?? "", this.#pattern(patternText), replacement, isAll);
  }

  /** Text up to a delimiter of `${…}`. At the end of the whole text `missing` is the clearer error. */
  #operand(stop: string, rawEscapes: boolean, missing: string): string {
    try {
      return this.#until(stop, rawEscapes, undefined);
    } catch (error) {
      if (error instanceof ExpandError && this.#peek() === undefined) throw new ExpandError(missing);
      throw error;
    }
  }

  #pattern(text: string): Extract<ReturnType<typeof parsePattern>, { tokens: unknown }>["tokens"] {
    const pattern = parsePattern(text);
    if ("error" in pattern) throw new ExpandError(`invalid pattern (${text}) in substitution: ${pattern.error}`);
    return pattern.tokens;
  }

  /** Letters, digits and `_`; or digits alone; or one special parameter; "" where none of these begins here. */
  #name(): string {
    const first = this.#peek();
    if (first === undefined) return "";
    if (/\p{Nd}/u.test(first)) return this.#while(/\p{Nd}/u);
    if (SPECIAL_PARAMETERS.includes(first)) {
      this.#at++;
      return first;
    }
    return this.#while(/[\p{L}\p{Nd}_]/u);
  }

  #while(pattern: RegExp): string {
    const start = this.#at;
    for (let next = this.#peek(); next !== undefined && pattern.test(next); next = this.#peek()) this.#at++;
    return this.#characters.slice(start, this.#at).join("");
  }

  #lookUp(name: string): string | undefined {
    const value = this.#scope.get(name);
    (value === undefined ? this.unmatched : this.matched).add(name);
    return value;
  }
}
