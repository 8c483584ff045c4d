// .dockerignore and --exclude: which paths are left out, by which line, and which directories need not be read.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchGlob } from "../../../src/tree/glob.ts";
import { PatternMatcher } from "../../../src/tree/patterns.ts";

function matcher(...patterns: readonly string[]): PatternMatcher {
  return PatternMatcher.parse(patterns.map((text, i) => ({ text, line: i + 1 })));
}

describe("PatternMatcher", () => {
  test.each<readonly [patterns: readonly string[], out: readonly string[], kept: readonly string[]]>([
    [["**"], ["a", "a/b"], [""]],
    [["**/"], ["file", "dir/file"], []],
    [["dir/**"], ["dir/file", "dir/dir2/file"], ["dir", "directory"]],
    [["**/dir2/*"], ["dir/dir2/file", "dir2/file", "dir/dir2/dir2/file"], ["dir2", "dir/file"]],
    [["**/dir2/**"], ["dir/dir2/dir2/file", "dir2/a/b"], ["dir2", "dir2x/file"]],
    [["**file"], ["file", "dir/file", "dir/dirfile"], ["files"]],
    [["**/file"], ["file", "dir/file"], ["dirfile"]],
    [["**/file*"], ["dir/file.txt", "file"], ["dir/xfile"]],
    [["**/*.txt"], ["a.txt", "x/y/.txt"], ["a.txtx"]],
    [["**/**/*.txt"], ["a.txt", "x/y/b.txt"], []],
    [["a/**/b"], ["a/b", "a/x/b", "a/x/y/b"], ["ab", "xa/b"]],
    [["a/*.txt"], ["a/b.txt"], ["a/b/c.txt", "b.txt"]],
    [["a[b-d]e"], ["ace"], ["aae"]],
    [["a[^b-d]e"], ["aze", "a/e"], ["abe"]],
    [["a\\*b"], ["a*b"], ["axb"]],
    [["a**"], ["a", "ab", "a/b"], ["ba"]],
    [["?x/**"], ["ax/b", "ax/b/c"], ["ax", "x/b"]],
    [["[a\\-c]x"], ["ax", "-x", "cx"], ["bx"]],
    [["[\\]]x"], ["]x"], ["\\x"]],
    [["[!a]x"], ["ax", "!x"], ["bx"]],
    // `**` is Go's `.*`, where it is not all that a pattern begins or ends with
    [["?/**", "*/x*z"], ["a/b", "a/x\nz", "a/\u2028"], ["a/b\nc"]],
    [
      ["**/*.t", "**/d/e*"],
      ["a\nb.t", "a/b.t", "d/e\n", "c/d/e"],
      ["a\nb/c.t", "a\nb/d/e"],
    ],
    [["**/x", "y/**"], ["a\nb/x", "y/a\nb"], []],
    [["a\\[b\\]"], ["a[b]"], ["ab"]],
    [["[*?]x"], ["*x", "?x"], ["ax"]],
    [["abc.def+(1)|{2}$^"], ["abc.def+(1)|{2}$^"], ["abcZdef+(1)|{2}$^"]],
    [["a.*b"], ["a.xb"], ["axxb"]],
    [["*/foo"], ["x/foo", "x/foo/y"], ["foo", "x/y/foo"]],
    [["foo/"], ["foo", "foo/bar"], ["foobar"]],
    [["./foo/../bar"], ["bar"], ["foo"]],
    [["日?"], ["日本", "日🚀"], ["日"]],
    [["**/.git"], [".git", ".git/HEAD", "a/.git/objects/x"], [".gitignore", "a/.github"]],
    [
      ["*", "!x"],
      ["y", "y/x"],
      ["x", "x/z"],
    ],
    [
      ["*", "!a/b"],
      ["a", "a/c", "b"],
      ["a/b", "a/b/c"],
    ],
    [["docs", "!docs/README.md", "docs/README.md"], ["docs/README.md"], []],
    [
      ["*.md", "!README*.md", "README-secret.md"],
      ["a.md", "README-secret.md"],
      ["README.md", "README-x.md", "d/a.md"],
    ],
    [["*.md", "README-secret.md", "!README*.md"], ["a.md"], ["README-secret.md"]],
    [
      ["**/*.go", "!**/main.go"],
      ["a.go", "cmd/x.go"],
      ["main.go", "cmd/main.go"],
    ],
    [["node_modules", "!**/*.md"], ["node_modules", "node_modules/a.js"], ["node_modules/x/README.md"]],
    [["!a", "a"], ["a"], []],
    [
      ["a", "!a/b", "a"],
      ["a", "a/c"],
      ["a/b", "a/b/c"],
    ], // so it is in Docker
    [
      ["a", "!a/b", "a/b/c"],
      ["a", "a/b/c"],
      ["a/b", "a/b/d"],
    ],
    [
      ["dir/**/x", "!dir/keep/x"],
      ["dir/x", "dir/a/x/y"],
      ["dir/keep/x", "dir/keep"],
    ],
  ])("%j (I02–I04, I06, C14, T35, T36)", (patterns, out, kept) => {
    const found = matcher(...patterns);
    expect(found.errors).toEqual([]);
    expect(out.filter((path) => !found.excludes(path))).toEqual([]);
    expect(kept.filter((path) => found.excludes(path))).toEqual([]);
  });

  test("the deciding line is told", () => {
    const found = matcher("a", "", "a/b/c", "!a/d");
    expect(found.excludedBy("a/b/c/x")).toMatchObject({ text: "a", line: 1, isNegated: false });
    expect(matcher("a", "!a/b", "a/b/c").excludedBy("a/b/c/x")?.line).toBe(3);
    expect(found.excludedBy("a/d")).toBeUndefined();
    expect(found.excludedBy("z")).toBeUndefined();
    expect(found.patterns).toMatchObject([{ line: 1 }, { line: 3 }, { text: "a/d", line: 4, isNegated: true }]);
  });

  test("bad patterns are errors and match nothing (I02)", () => {
    const found = matcher("a[", "!", "ok", "b\\");
    expect(found.errors).toEqual([
      { line: 1, message: "syntax error in pattern" },
      { line: 2, message: 'illegal exclusion pattern: "!"' },
      { line: 4, message: "syntax error in pattern" },
    ]);
    expect(found.excludes("ok")).toBe(true);
  });

  test.each<readonly [patterns: readonly string[], pruned: readonly string[], read: readonly string[]]>([
    [["node_modules"], ["node_modules", "node_modules/x"], ["src"]],
    [["*", "!src"], ["docs", "docs/src"], ["src"]],
    [
      ["*", "!src/lib/*.ts"],
      ["docs", "src/bin"],
      ["src", "src/lib"],
    ],
    [["**/node_modules", "!**/*.md"], [], ["node_modules", "a/node_modules"]],
    [["!src/a", "src"], ["src"], []],
    [["a", "!a*/b"], ["a/x"], ["a"]],
    [["a", "!**/b", "a/c"], [], ["a", "a/c"]], // Docker keeps a/c/b
  ])("%j: directories that need not be read (T36)", (patterns, pruned, read) => {
    const found = matcher(...patterns);
    expect(pruned.filter((dir) => !found.canPrune(dir))).toEqual([]);
    expect(read.filter((dir) => found.canPrune(dir))).toEqual([]);
  });

  const segment = fc.constantFrom("a", "b", "c", "*", "**", "a*", "?");
  const patternTexts = fc
    .tuple(fc.boolean(), fc.array(segment, { minLength: 1, maxLength: 4 }))
    .map(([isNegated, parts]) => (isNegated ? "!" : "") + parts.join("/"));
  const paths = fc
    .array(fc.constantFrom("a", "b", "c", "ab"), { minLength: 1, maxLength: 5 })
    .map((parts) => parts.join("/"));

  test("pruning never loses a path that is kept, and the order of questions changes no answer", () => {
    fc.assert(
      fc.property(fc.array(patternTexts, { maxLength: 5 }), fc.array(paths, { maxLength: 12 }), (patterns, list) => {
        const found = matcher(...patterns);
        for (const path of list) {
          const fresh = matcher(...patterns).excludes(path);
          expect(found.excludes(path)).toBe(fresh);
          if (fresh) continue;
          const parts = path.split("/");
          for (let i = 1; i < parts.length; i++) expect(found.canPrune(parts.slice(0, i).join("/"))).toBe(false);
        }
      }),
      { numRuns: 800 },
    );
  });

  test("patterns are tried in order along the path, and only where they change something", () => {
    const reference = (patterns: readonly string[], path: string): boolean => {
      const parts = path.split("/");
      const matched = patterns.map(() => false);
      let isOut = false;
      for (let depth = 1; depth <= parts.length; depth++) {
        const at = parts.slice(0, depth).join("/");
        isOut = false;
        for (const [i, pattern] of patterns.entries()) {
          const isNegated = pattern.startsWith("!");
          matched[i] ||= isNegated === isOut && matchGlob(pattern.replace(/^!/, ""), at) === true;
          if (matched[i]) isOut = !isNegated;
        }
      }
      return isOut;
    };
    const simple = patternTexts.filter((pattern) => !pattern.includes("**"));
    fc.assert(
      fc.property(fc.array(simple, { maxLength: 6 }), fc.array(paths, { maxLength: 6 }), (patterns, list) => {
        const found = matcher(...patterns);
        for (const path of list) expect(found.excludes(path)).toBe(reference(patterns, path));
      }),
      { numRuns: 800 },
    );
  });

  test("100,000 paths are decided quickly", () => {
    const found = matcher(
      "**/node_modules",
      "*.log",
      "dist",
      "**/*.tmp",
      "!keep.tmp",
      "docs/**/*.md",
      ".git",
      "**/.cache",
      "a?c",
      "[xyz]*",
    );
    const list = Array.from({ length: 100_000 }, (_, i) => `packages/p${i % 200}/src/d${i % 31}/file${i}.ts`);
    const times = [1, 2, 3].map(() => {
      // Of this thread's processor: others may be at work on the machine.
      const before = process.threadCpuUsage();
      expect(list.filter((path) => found.excludes(path))).toEqual([]);
      const { user, system } = process.threadCpuUsage(before);
      return (user + system) / 1000;
    });
    expect(Math.min(...times)).toBeLessThan(300);
  });
});
