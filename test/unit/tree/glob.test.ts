// Go's filepath.Match: the cases of Go's own documentation and what re-implementations got wrong.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchGlob } from "../../../src/tree/glob.ts";

const cases: readonly (readonly [pattern: string, name: string, matches: boolean | undefined])[] = [
  ["abc", "abc", true],
  ["*", "abc", true],
  ["*c", "abc", true],
  ["a*", "a", true],
  ["a*", "ab/c", false],
  ["a*/b", "abc/b", true],
  ["a*/b", "a/c/b", false],
  ["a*b*c*d*e*/f", "axbxcxdxe/f", true],
  ["a*b*c*d*e*/f", "axbxcxdxexxx/f", true],
  ["a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false],
  ["a*b?c*x", "abxbbxdbxebxczzx", true],
  ["a*b?c*x", "abxbbxdbxebxczzy", false],
  ["ab[c]", "abc", true],
  ["ab[b-d]", "abc", true],
  ["ab[e-g]", "abc", false],
  ["ab[^e-g]", "abc", true],
  ["a[!b]", "a!", true],
  ["a[!b]", "ac", false],
  ["a\\*b", "a*b", true],
  ["a\\*b", "ab", false],
  ["a?b", "a☺b", true],
  ["a[^a]b", "a☺b", true],
  ["a???b", "a☺b", false],
  ["[a-ζ]*", "α", true],
  ["*[a-ζ]", "A", false],
  ["a?b", "a/b", false],
  ["a*b", "a/b", false],
  ["a[^b]c", "a/c", true],
  ["[\\]a]", "]", true],
  ["[\\-]", "-", true],
  ["[x\\-]", "x", true],
  ["[x\\-]", "-", true],
  ["[x\\-]", "z", false],
  ["[\\-x]", "-", true],
  ["[^.]*", ".git", false],
  ["[^.]*", "src", true],
  ["*x", "xxx", true],
  ["a[z-a]", "ab", false],
  ["?", "🚀", true],
  ["", "", true],
  ["", "a", false],
  ["[]a]", "]", undefined],
  ["[-]", "-", undefined],
  ["[x-]", "x", undefined],
  ["[-x]", "x", undefined],
  ["[a-b-c]", "a", undefined],
  ["[", "a", undefined],
  ["[^", "a", undefined],
  ["[^bc", "a", undefined],
  ["a[", "a", undefined],
  ["a[", "ab", undefined],
  ["a[", "x", undefined],
  ["a/b[", "x", undefined],
  ["\\", "a", undefined],
];

describe("matchGlob (C07, T31)", () => {
  test.each(cases)("%j on %j is %s", (pattern, name, matches) => {
    expect(matchGlob(pattern, name)).toBe(matches);
  });

  test("agrees with a search through all ways to match", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "/", "*", "?"), maxLength: 8 });
    fc.assert(
      fc.property(text, fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 10 }), (pattern, name) => {
        const expression = Array.from(pattern)
          .map((char) => (char === "*" ? "[^/]*" : char === "?" ? "[^/]" : char))
          .join("");
        expect(matchGlob(pattern, name)).toBe(new RegExp(`^${expression}$`).test(name));
      }),
      { numRuns: 3000 },
    );
  });

  test("many stars do not make it slow", () => {
    const start = performance.now();
    expect(matchGlob("*a".repeat(500) + "b", "a".repeat(2000))).toBe(false);
    expect(performance.now() - start).toBeLessThan(200);
  });
});
