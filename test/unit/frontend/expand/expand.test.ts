// Word expansion. Values and error texts of the tables were checked against BuildKit.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expandWord, expandWords, HEREDOC_BODY, type VariableScope } from "../../../../src/frontend/expand.ts";

const values: Readonly<Record<string, string>> = {
  FOO: "abcabc",
  EMPTY: "",
  FILE: "/usr/lib/x.tar.gz",
  X: "a/b",
  STARS: "a*b*c",
  ASK: "a?b",
  BRACE: "a}c",
  SLASHES: "a\\\\b",
  LINES: "one\ntwo",
  ZERO: "[${0}]$$c$1$no",
  LOOSE: "$.$0${0$",
  ÜML: "unicode",
  MARK: "a\ufeffb",
  "\u0661\u0662": "digits",
  x1: "letter first",
};
const scope: VariableScope = { get: (name) => values[name], names: () => Object.keys(values) };

function expand(text: string, escape = "\\"): string {
  const result = expandWord(text, scope, { escape });
  return result.error === undefined ? result.value : `error: ${result.error.replace(/^failed to process ".*": /s, "")}`;
}

describe("values", () => {
  test.each([
    ["V01", "$FOO-${FOO}x$NOPE.", "abcabc-abcabcx."],
    ["V01", "$ a$ $. $1x $FOO$", "$ a$ $. x abcabc$"],
    ["V01", "$ÜML", "unicode"],
    ["V01", "x$12y", "xy"],
    // Digits of any script are a name; what is a number in another way ends one; an accent of its own, too
    ["V01", "$\u0661\u0662.$\u0661\u0662x$\u0661\u0662\u00b2|${\u0661\u0662}", "digits.digitsxdigits\u00b2|digits"],
    ["V01", "$x1|$x1\u00b2|$x1\u2160|$x1e\u0301", "letter first|letter first\u00b2|letter first\u2160|\u0301"],
    ["V01", "$@|$*|$#|$?|$-|$$|$!|$0", "|||||||"],
    ["V02", "${NOPE:-w} ${EMPTY:-w} ${EMPTY-w} ${NOPE-w} ${FOO-w}", "w w  w abcabc"],
    ["V03", "${FOO:+w} ${EMPTY:+w} ${EMPTY+w} ${NOPE+w}", "w  w "],
    ["V04", "${FOO:?no} ${EMPTY?no}", "abcabc "],
    ["V05", "${FILE#*/} ${FILE##*/} ${FILE%.*} ${FILE%%.*}", "usr/lib/x.tar.gz x.tar.gz /usr/lib/x.tar /usr/lib/x"],
    ["V05", "${FOO#?b} ${FOO#x} ${FOO%%*} ${FOO#}", "cabc abcabc  abcabc"],
    ["V05", "${STARS#*\\*} ${STARS##*\\*} ${STARS%\\**} ${X#*\\/}", "b*c c a*b b"],
    ["V05", "${ASK#a\\?}|${FOO#a\\?}|${SLASHES#a\\\\}|${SLASHES%\\\\b}", "b|abcabc|\\b|a\\"],
    ["V05", "${FILE#[/]} ${LINES#*}|${LINES##*}|", "/usr/lib/x.tar.gz one\ntwo|\ntwo|"],
    ["V06", "${FOO/b/X} ${FOO//b/X} ${FOO/b*/} ${FOO//a?/-}", "aXcabc aXcaXc a -c-c"],
    ["V06", "${FILE//\\//-} ${X/\\//} ${FOO//*/E} ${FOO//x/y}", "-usr-lib-x.tar.gz ab E abcabc"],
    ["V06", "${FOO//?/x} ${FOO//bc/}", "xxxxxx aa"],
    [
      "V06",
      "${BRACE/\\}/-} ${FOO/b/\\}} ${STARS/\\*/-} ${FOO//\\*/-} ${SLASHES/\\\\/-}",
      "a-c a\\}cabc a-b*c abcabc a-\\b",
    ],
    ["V06", "${LINES/e*t/x}|${LINES//*/x}", "one\ntwo|x\nx"],
    // What replaces all is a template of Go's: $0 is the match, $$ a dollar, any other group is empty, what names no group stays.
    ["V06", "${FOO//b/$ZERO}|${FOO/b/$ZERO}", "a[b]$cca[b]$cc|a[${0}]$$c$1$nocabc"],
    ["V06", "${FOO//b/\\$0}|${FOO//b/$LOOSE}", "a\\bca\\bc|a$.b${0$ca$.b${0$c"],
    // in double quotes a backslash that escapes nothing is a literal one to a pattern, and stays in a replacement
    ["V06", '${SLASHES/"\\*"/-} ${STARS/"\\*"/-} ${STARS/"*b"/-} ${SLASHES#"a\\*"}', "a- a*b*c -*c \\b"],
    ["V06", `\${FOO/b/"\\*"} \${FOO/b/"\\$x\\\\"} \${FOO/b/'\\*'}`, "a\\\\*cabc a\\$x\\\\cabc a\\*cabc"],
    ["V07", "${NOPE:-${EMPTY:-$X}} ${FOO/${NOPE:-b}/[$EMPTY]}", "a/b a[]cabc"],
    ["V09", `'$FOO'"$FOO" "a\\b\\$\\"\\\\" a\\ b \\$FOO \\'`, `$FOOabcabc a\\b$"\\ a b $FOO '`],
    ["V09", `"it's" 'say "x"' a"b"'c'`, `it's say "x" abc`],
    ["V09", "end\\", "end"],
    // Scanners of BuildKit's drop a byte order mark that a text begins with, a pattern too, and no other
    ["V09", "\ufeff$FOO\ufeff", "abcabc\ufeff"],
    ["V09", "${MARK}|${MARK/\ufeff/-}|${MARK#*\ufeff}|${NOPE:-\ufeffx}", "a\ufeffb|-a\ufeffb|b|\ufeffx"],
  ])("%s %s", (_row, text, value) => {
    expect(expand(text)).toBe(value);
  });

  test("V09: the escape character is the Dockerfile's", () => {
    expect(expand('`$FOO "`$" `x C:\\d', "`")).toBe("$FOO $ x C:\\d");
  });

  test("names that are looked up are told, found and not found", () => {
    const result = expandWord("$FOO ${NOPE:-$EMPTY} $NOPE '$QUOTED'", scope, { escape: "\\" });
    expect(result).toMatchObject({ matched: ["FOO", "EMPTY"], unmatched: ["NOPE"] });
  });
});

describe("errors", () => {
  test.each([
    ["V04", "${NOPE?}", "NOPE: is not allowed to be unset"],
    ["V04", "${EMPTY:?}", "EMPTY: is not allowed to be empty"],
    ["V04", "${NOPE:?}", "NOPE: is not allowed to be unset"],
    ["V04", "${NOPE:?give $FOO}", "NOPE: give abcabc"],
    ["V04", "${NOPE:-${EMPTY:?none}}", "EMPTY: none"],
    ["V08", "${FOO", "unsupported modifier (\ufffd) in substitution"],
    ["V08", "${", "syntax error: missing '}'"],
    ["V08", "${FOO:-x", "syntax error: missing '}'"],
    ["V08", "${FOO//}", "syntax error: missing '/' in ${}"],
    ["V08", "${}", "syntax error: bad substitution"],
    ["V08", "${{x}", "syntax error: bad substitution"],
    ["V08", "${:x}", "syntax error: bad substitution"],
    ["V08", "${FOO!}", "unsupported modifier (!) in substitution"],
    ["V08", "${FOO:0:1}", "unsupported modifier (:0) in substitution"],
    ["V08", "${FOO:#x}", "unsupported modifier (:#) in substitution"],
    ["V08", "${FOO:=x}", "unsupported modifier (:=) in substitution"],
    ["V08", "${FOO:%x", "unsupported modifier (:%) in substitution"],
    // Any other modifier counts only once the end is found; a colon takes the brace for one.
    ["V08", "${FOO:=x", "syntax error: missing '}'"],
    ["V08", "${FOO:}", "syntax error: missing '}'"],
    ["V08", "${FOO:}x}", "unsupported modifier (:}) in substitution"],
    ["V08", "${FOO:-'x}", "syntax error: missing '}'"],
    ["V08", "${FOO/'x", "syntax error: missing '/' in ${}"],
    ["V08", "${-x}", "unsupported modifier (x) in substitution"],
    ["V08", "${.x}", "unsupported modifier (.) in substitution"],
    ["V08", "${FOO#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"],
    ["V08", "${FOO#'\\'}", "invalid pattern (\\) in substitution: invalid escape '\\'"],
    ["V08", "'x", "unexpected end of statement while looking for matching single-quote"],
    ["V08", '"x', "unexpected end of statement while looking for matching double-quote"],
  ])("%s %s", (_row, text, error) => {
    expect(expand(text)).toBe(`error: ${error}`);
  });

  test("V08: the text is quoted as Go quotes it", () => {
    const result = expandWord('"x', scope, { escape: "\\" });
    expect(result.error).toMatch(/^failed to process "\\"x": /);
  });

  test("V07: as deep as anybody nests, and one behind the other without end", () => {
    expect(expand(`${"${A:-".repeat(100)}x${"}".repeat(100)}`)).toBe("x");
    expect(expand("${A:-x}".repeat(1000))).toBe("x".repeat(1000));
  });

  test("nesting without end is an error, not a full stack", () => {
    expect(expand("${A:-".repeat(50_000))).toContain("error: syntax error");
  });

  test("a hostile pattern ends", () => {
    const text = `\${FOO//${"*a".repeat(2000)}b/x}`;
    const long: VariableScope = { get: () => "a".repeat(2000), names: () => [] };
    expect(expandWord(text, long, { escape: "\\" })).toMatchObject({ value: "a".repeat(2000) });
  });
});

describe("other ways to read", () => {
  const words = (text: string) => {
    const result = expandWords(text, scope, { escape: "\\" });
    return result.error ?? result.words;
  };

  test("V24: words are split after expansion, never inside quotes", () => {
    const ports: VariableScope = { get: () => "80 81/tcp", names: () => [] };
    expect(expandWords('$P "$P" 9', ports, { escape: "\\" })).toMatchObject({
      words: ["80", "81/tcp", "80 81/tcp", "9"],
    });
    expect(words(" a\\ b  $EMPTY c ")).toEqual(["a b", "c"]);
    // Go's blanks: the next line is one, the byte order mark is none
    expect(words("a\u0085b\u2028c\ufeffd")).toEqual(["a", "b", "c\ufeffd"]);
  });

  test("V27, H04: heredoc bodies know no quotes and escape with a backslash", () => {
    const body = `a\\b "q" 'w' \\\\ \\$X $X \${X:-"d"} \${Y:-"d"} it's\nline\\\nnext`;
    expect(expandWord(body, scope, HEREDOC_BODY)).toMatchObject({
      value: `ab "q" 'w' \\ $X a/b a/b "d" it's\nline\nnext`,
    });
  });

  test("names for people keep quotes and unset variables", () => {
    const result = expandWord(`RUN "$X" '$X' $NOPE \${NOPE} \${NOPE:-w} \${NOPE/a/b} \${NOPE//a/b}`, scope, {
      escape: "\\",
      quotes: "keep",
      keepUnset: true,
    });
    expect(result).toMatchObject({ value: `RUN "a/b" '$X' $NOPE \${NOPE} \${NOPE:-w} \${NOPE/a/b} \${NOPE//a/b}` });
  });
});

describe("properties", () => {
  const anything = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom(...Array.from("${}:-+?#%/'\"\\*ab \n")) }),
  );
  const options = fc.record({
    escape: fc.constantFrom("\\", "`"),
    quotes: fc.constantFrom("remove" as const, "keep" as const, "literal" as const),
    keepUnset: fc.boolean(),
  });

  test("never throws, and an error quotes the text", () => {
    fc.assert(
      fc.property(anything, options, (text, how) => {
        const result = expandWord(text, scope, how);
        if (result.error !== undefined) expect(result.error).toMatch(/^failed to process "/);
      }),
      { numRuns: 3000 },
    );
  });

  test("text without dollar, quotes and escapes stays as it is", () => {
    const plain = fc.string({ unit: "grapheme" }).filter((text) => !/[$'"\\]/.test(text));
    fc.assert(fc.property(plain, (text) => expand(text) === text));
  });

  test("single quotes protect everything but themselves", () => {
    const inner = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("'"));
    fc.assert(fc.property(inner, (text) => expand(`'${text}'`) === text));
  });

  test("patterns agree with regular expressions (V05, V06)", () => {
    const part = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 6 });
    const value = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 10 });
    const regex = (pattern: string, star: string) => pattern.replaceAll("?", ".").replaceAll("*", star);
    fc.assert(
      fc.property(part, value, (pattern, text) => {
        const own: VariableScope = { get: () => text, names: () => [] };
        const run = (word: string) => expandWord(word, own, { escape: "\\" });
        const reversed = Array.from(text).toReversed().join("");
        const back = Array.from(pattern).toReversed().join("");
        const cut = (subject: string, one: string, star: string) =>
          subject.replace(new RegExp(`^${regex(one, star)}`), "");
        const turn = (subject: string) => Array.from(subject).toReversed().join("");
        expect(run(`\${v##${pattern}}`)).toMatchObject({ value: cut(text, pattern, ".*") });
        expect(run(`\${v%%${pattern}}`)).toMatchObject({ value: turn(cut(reversed, back, ".*")) });
        if (pattern !== "")
          expect(run(`\${v/${pattern}/_}`)).toMatchObject({
            value: text.replace(new RegExp(regex(pattern, ".*")), "_"),
          });
      }),
      { numRuns: 2000 },
    );
  });
});
