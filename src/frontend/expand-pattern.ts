// Glob patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: only `*` and `?` are special, neither matches a line feed (reference V05, V06).
// Matching is a simulation in O(text × pattern), so no pattern can make it hang. Variables and quotes are the expander's business.

const BYTE_ORDER_MARK = "\uFEFF";

/** What a replacement of all matches takes for a group of the match: `$$`, `$name`, `${name}`. */
const GROUP = /\$(?:\$|([\p{L}\p{Nd}_]+)|\{([\p{L}\p{Nd}_]+)\})/gu;

/** A character to match, or a wildcard. */
type Token =
  { readonly kind: "literal"; readonly character: string } | { readonly kind: "any" } | { readonly kind: "star" };

/** A pattern, or why it is none. */
export type PatternResult = { readonly tokens: readonly Token[] } | { readonly error: string };

/** Reads a pattern: `\*`, `\?`, `\\` are literal; `\/` and `\}` stand for the delimiter alone; any other escape is an error. */
export function parsePattern(text: string): PatternResult {
  const characters = charactersOf(text);
  const tokens: Token[] = [];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    if (character === "*") tokens.push({ kind: "star" });
    else if (character === "?") tokens.push({ kind: "any" });
    else if (character !== "\\") tokens.push({ kind: "literal", character });
    else {
      const escaped = characters[++i];
      if (escaped === undefined || !"*?\\}/".includes(escaped)) {
        return { error: `invalid escape '\\${escaped ?? ""}'` };
      }
      tokens.push({ kind: "literal", character: escaped });
    }
  }
  return { tokens };
}

/** What BuildKit's scanner reads of a text: all but a byte order mark at its start. */
export function charactersOf(text: string): string[] {
  return Array.from(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
}

/** `text` without its shortest (or longest) prefix that matches; unchanged where none does. */
export function trimPrefix(text: string, pattern: readonly Token[], isLongest: boolean): string {
  const characters = Array.from(text);
  const end = matchEnd(characters, 0, pattern, isLongest);
  return end === undefined ? text : characters.slice(end).join("");
}

/** `text` without its shortest (or longest) suffix that matches; unchanged where none does. */
export function trimSuffix(text: string, pattern: readonly Token[], isLongest: boolean): string {
  const reversed = Array.from(text).toReversed();
  const end = matchEnd(reversed, 0, pattern.toReversed(), isLongest);
  return end === undefined ? text : reversed.slice(end).toReversed().join("");
}

/** `text` with the first (or every) leftmost-longest match replaced. */
export function replaceMatches(text: string, pattern: readonly Token[], replacement: string, isAll: boolean): string {
  const characters = Array.from(text);
  const out: string[] = [];
  let at = 0;
  let lastEnd = -1;
  while (at <= characters.length) {
    const start = findStart(characters, at, pattern);
    if (start === undefined) break;
    const end = matchEnd(characters, start, pattern, true)!;
    out.push(...characters.slice(at, start));
    // An empty match right behind a match is none: "aa" with "a*" is replaced once.
    const isAdjacentEmpty = end === start && start === lastEnd;
    if (!isAdjacentEmpty) out.push(isAll ? filled(replacement, characters.slice(start, end).join("")) : replacement);
    lastEnd = end;
    at = end;
    if (end === start) {
      if (start < characters.length) out.push(characters[start]!);
      at = start + 1;
    }
    if (!isAll) break;
  }
  out.push(...characters.slice(at));
  return out.join("");
}

/** BuildKit hands the replacement of `${v//p/r}`, and of no other, to Go's templates: `$0` is the match, `$$` a dollar, any other group is empty. */
function filled(template: string, match: string): string {
  return template.replace(GROUP, (text, bare?: string, braced?: string) => {
    if (text === "$$") return "$";
    return (bare ?? braced) === "0" ? match : "";
  });
}

/** End of the shortest or longest match that begins at `start`. */
function matchEnd(
  text: readonly string[],
  start: number,
  pattern: readonly Token[],
  isLongest: boolean,
): number | undefined {
  let states = new Set<number>();
  addState(states, 0, pattern);
  let found: number | undefined;
  for (let at = start; ; at++) {
    if (states.has(pattern.length)) {
      found = at;
      if (!isLongest) return found;
    }
    const character = text[at];
    if (character === undefined || states.size === 0) return found;
    states = step(states, character, pattern);
  }
}

function step(states: ReadonlySet<number>, character: string, pattern: readonly Token[]): Set<number> {
  const next = new Set<number>();
  for (const state of states) {
    const token = pattern[state];
    if (token === undefined) continue;
    if (token.kind === "literal" ? token.character !== character : character === "\n") continue;
    addState(next, token.kind === "star" ? state : state + 1, pattern);
  }
  return next;
}

/** A star may match nothing, so whoever stands before it stands behind it too. */
function addState(states: Set<number>, state: number, pattern: readonly Token[]): void {
  for (let at = state; !states.has(at); at++) {
    states.add(at);
    if (pattern[at]?.kind !== "star") return;
  }
}

/** Leftmost position at or after `from` where a match begins: one pass in which every state knows its earliest start. */
function findStart(text: readonly string[], from: number, pattern: readonly Token[]): number | undefined {
  let starts = new Map<number, number>();
  let best: number | undefined;
  for (let at = from; ; at++) {
    if (best === undefined) addStart(starts, 0, at, pattern);
    const accepted = starts.get(pattern.length);
    if (accepted !== undefined && (best === undefined || accepted < best)) best = accepted;
    const character = text[at];
    if (character === undefined) return best;
    const next = new Map<number, number>();
    for (const [state, start] of starts) {
      const token = pattern[state];
      if (token === undefined || (best !== undefined && start >= best)) continue;
      if (token.kind === "literal" ? token.character !== character : character === "\n") continue;
      addStart(next, token.kind === "star" ? state : state + 1, start, pattern);
    }
    if (best !== undefined && next.size === 0) return best;
    starts = next;
  }
}

function addStart(starts: Map<number, number>, state: number, start: number, pattern: readonly Token[]): void {
  for (let at = state; ; at++) {
    const known = starts.get(at);
    if (known !== undefined && known <= start) return;
    starts.set(at, start);
    if (pattern[at]?.kind !== "star") return;
  }
}
