// Lists of patterns that leave paths out: .dockerignore and --exclude (moby/patternmatcher). Reference I02–I06, C14, T35, T36.
// A path is out when the last pattern that matches it, or a directory above it, is not negated. Not for reading files of patterns.
import { cleanPath, parentPath } from "../base/container-path.ts";
import { badPattern, compileGlob } from "./glob.ts";

export interface PatternLine {
  readonly text: string;
  /** One-based, for messages. */
  readonly line: number;
}

/** A pattern in force. */
export interface Pattern {
  /** Cleaned, without "!". */
  readonly text: string;
  readonly line: number;
  readonly isNegated: boolean;
}

export interface PatternError {
  readonly line: number;
  readonly message: string;
}

interface CompiledPattern extends Pattern {
  readonly matches: (path: string) => boolean;
  /** Slashes in every path that can match; undefined where that varies. */
  readonly depth: number | undefined;
  /** Whether something strictly below a directory can match, by the directory's segments. */
  readonly reachesBelow: (segments: readonly string[]) => boolean;
}

/** What was found for a directory, for everything below it. */
interface Verdict {
  /** Index of the pattern that decided; -1: none matched. */
  readonly decision: number;
  /** Per pattern: it matched the directory or one above. */
  readonly matched: readonly boolean[];
}

/** Directories remembered at once. */
const memoLimit = 100_000;

/**
 * Compiled patterns with the answers for directories already asked about. Paths are relative and clean; "" is never out.
 *
 * As in Docker's walk, patterns are tried in order, and one that could change nothing (the path is already out, or a negation while it
 * is in) is not tried at all, so that it is not remembered for what lies below either. Only lists that repeat themselves show it:
 * `a`, `!a/b`, `a` keeps `a/b`.
 */
export class PatternMatcher {
  readonly #patterns: readonly CompiledPattern[];
  readonly #root: Verdict;
  readonly #verdicts = new Map<string, Verdict>();
  #lastDir = "";
  #lastVerdict: Verdict;
  /** Lines that are no pattern; they are left out of the matching. */
  readonly errors: readonly PatternError[];

  private constructor(patterns: readonly CompiledPattern[], errors: readonly PatternError[]) {
    this.#patterns = patterns;
    this.errors = errors;
    this.#root = { decision: -1, matched: patterns.map(() => false) };
    this.#lastVerdict = this.#root;
  }

  /** Compiles lines in order. Blank ones are skipped; bad ones are in {@link errors}. */
  static parse(lines: readonly PatternLine[]): PatternMatcher {
    const patterns: CompiledPattern[] = [];
    const errors: PatternError[] = [];
    for (const line of lines) {
      const pattern = compile(line);
      if (pattern === undefined) continue;
      if ("message" in pattern) errors.push(pattern);
      else patterns.push(pattern);
    }
    return new PatternMatcher(patterns, errors);
  }

  get patterns(): readonly Pattern[] {
    return this.#patterns;
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  get hasNegations(): boolean {
    return this.#patterns.some(({ isNegated }) => isNegated);
  }

  /** Whether the path is left out. */
  excludes(path: string): boolean {
    return this.excludedBy(path) !== undefined;
  }

  /** The pattern that leaves the path out; undefined where it is kept. */
  excludedBy(path: string): Pattern | undefined {
    if (path === "") return undefined;
    const known = this.#verdicts.get(path);
    const decision = known ? known.decision : this.#decide(path, this.#verdict(parentPath(path)));
    const pattern = this.#patterns[decision];
    return pattern === undefined || pattern.isNegated ? undefined : pattern;
  }

  /** Whether the directory is left out and nothing below it can come back in. */
  canPrune(dir: string): boolean {
    const { decision, matched } = this.#verdict(dir);
    if (decision < 0 || this.#patterns[decision]!.isNegated) return false;
    const segments = dir.split("/");
    const lastOut = this.#patterns.findLastIndex(({ isNegated }, i) => !isNegated && matched[i] === true);
    // a negation before that pattern is overruled below as well
    return !this.#patterns.slice(lastOut + 1).some((pattern) => pattern.isNegated && pattern.reachesBelow(segments));
  }

  /** Index of the pattern that decides about a path, given what decided about the directory it is in; notes what matched. */
  #decide(path: string, parent: Verdict, matched?: boolean[]): number {
    const depth = slashes(path);
    let isOut = false;
    let decision = -1;
    for (let i = 0; i < this.#patterns.length; i++) {
      const pattern = this.#patterns[i]!;
      if (!parent.matched[i]) {
        if (pattern.isNegated !== isOut || (pattern.depth ?? depth) !== depth || !pattern.matches(path)) continue;
      }
      if (matched) matched[i] = true;
      isOut = !pattern.isNegated;
      decision = i;
    }
    return decision;
  }

  /** The verdict on a directory. Iterative, so that a path of any depth is fine. */
  #verdict(dir: string): Verdict {
    if (dir === "") return this.#root;
    if (dir === this.#lastDir) return this.#lastVerdict;
    const pending: string[] = [];
    let at = dir;
    while (at !== "" && !this.#verdicts.has(at)) {
      pending.push(at);
      at = parentPath(at);
    }
    let verdict = at === "" ? this.#root : this.#verdicts.get(at)!;
    if (this.#verdicts.size + pending.length > memoLimit) this.#verdicts.clear();
    for (const path of pending.toReversed()) {
      const matched = this.#patterns.map(() => false);
      const decision = this.#decide(path, verdict, matched);
      // most directories match nothing more than the one they are in
      const isSame = decision === verdict.decision && matched.every((one, i) => one === verdict.matched[i]);
      if (!isSame) verdict = { decision, matched };
      this.#verdicts.set(path, verdict);
    }
    this.#lastDir = dir;
    this.#lastVerdict = verdict;
    return verdict;
  }
}

function compile({ text, line }: PatternLine): CompiledPattern | PatternError | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  const cleaned = cleanPath(trimmed);
  const isNegated = cleaned.startsWith("!");
  const pattern = isNegated ? cleaned.slice(1) : cleaned;
  if (pattern === "") return { line, message: 'illegal exclusion pattern: "!"' };
  if (compileGlob(pattern) === undefined) return { line, message: badPattern };
  const depth = /\*\*|[[\\]/.test(pattern) ? undefined : slashes(pattern);
  return { text: pattern, line, isNegated, matches: matcherOf(pattern), depth, reachesBelow: reachOf(pattern) };
}

function slashes(path: string): number {
  let count = 0;
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) count++;
  return count;
}

function matcherOf(pattern: string): (path: string) => boolean {
  if (!/[*?[\]\\]/.test(pattern)) return (path) => path === pattern;
  const literal = /^\*\*\/?([^*?[\]\\]*)$/.exec(pattern);
  if (literal !== null) {
    // "**/x" matches "x" itself and "a/x"; "**x" any path that ends with x
    const suffix = pattern.slice(2);
    const bare = suffix.startsWith("/") ? suffix.slice(1) : undefined;
    return (path) => path.endsWith(suffix) || path === bare;
  }
  const ending = /^\*\*\/\*([^*?[\]\\/]+)$/.exec(pattern)?.[1];
  if (ending !== undefined) return (path) => path.endsWith(ending) && !parentPath(path).includes("\n");
  const prefix = /^([^*?[\]\\]*)\*\*$/.exec(pattern);
  if (prefix !== null) return (path) => path.startsWith(prefix[1]!);
  const expression = new RegExp(`^${translate(pattern)}$`, "u");
  return (path) => expression.test(path);
}

/** The pattern as a regular expression; the pattern is known to be a valid glob. As in Docker's, `**` does not match a line feed, and `*` does. */
function translate(pattern: string): string {
  let expression = "";
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    if (char === "*" && pattern[at + 1] === "*") {
      at += pattern[at + 2] === "/" ? 2 : 1;
      expression += at + 1 >= pattern.length ? "[^\\n]*" : "(?:[^\\n]*/)?";
    } else if (char === "*") expression += "[^/]*";
    else if (char === "?") expression += "[^/]";
    else if (char === "\\") expression += quote(pattern[++at]!);
    else if (char === "[") {
      const end = classEnd(pattern, at);
      expression += translateClass(pattern.slice(at + 1, end));
      at = end;
    } else expression += quote(char);
  }
  return expression;
}

/** Index of the "]" that closes the class opened at `open`. */
function classEnd(pattern: string, open: number): number {
  let at = open + 1;
  while (at < pattern.length && pattern[at] !== "]") at += pattern[at] === "\\" ? 2 : 1;
  return at;
}

function translateClass(content: string): string {
  const isNegated = content.startsWith("^");
  const body = (isNegated ? content.slice(1) : content).replace(/\\?([^])/gu, (pair, char: string) =>
    pair === "-" ? "-" : quote(char),
  );
  return `[${isNegated ? "^" : ""}${body}]`;
}

function quote(char: string): string {
  return /[\\^$.*+?()[\]{}|/-]/.test(char) ? `\\${char === "-" ? "x2d" : char}` : char;
}

/** Whether a path strictly below a directory can match: conservative for patterns with `**`. */
function reachOf(pattern: string): (segments: readonly string[]) => boolean {
  const parts = pattern.split("/").map((part) => (part.includes("**") ? undefined : compileGlob(part)));
  const sources = pattern.split("/");
  // a class or an escape may hold a "/", then segments tell nothing
  if (/[[\\]/.test(pattern)) return () => true;
  return (segments) => {
    for (let i = 0; i < segments.length; i++) {
      if (sources[i]?.includes("**") === true) return true;
      const part = parts[i];
      if (part === undefined || !part(segments[i]!)) return false;
    }
    return sources.length > segments.length;
  };
}
