// COPY and ADD: paths, flags, heredocs, remote sources.
import { describe, expect, test } from "vitest";
import type { CopyAction } from "../../../src/graph/op.ts";
import { createdBy, errorsOf, files, names, ops, plan, planned, vertices, warningsOf } from "./rig.ts";

const copy = async (line: string, before = "") => {
  const op = files(await planned(`FROM busybox\n${before}\n${line}`)).at(-1)!;
  return { ...(op.action as CopyAction), isLinked: op.isLinked };
};
const patterns = async (line: string) =>
  (await copy(line)).sources.map((source) => (source.kind === "path" ? source.pattern : source.name));
const errors = async (line: string) => errorsOf(`FROM busybox\nARG E=\n${line}`);

describe("paths", () => {
  test("C02: sources stay below their root", async () => {
    expect(await patterns("COPY /a/ ../../b ./c/../d . * /dest/")).toEqual(["a", "b", "d", "", "*"]);
    expect(await patterns("COPY a/./b /dest/")).toEqual(["a/b"]);
  });

  test.each([
    ["a", "/w/a"],
    ["a/", "/w/a/"],
    [".", "/w/"],
    ["./", "/w/"],
    ["..", "/"],
    ["/x/../y", "/y"],
    ["/x/.", "/x/"],
    ["/", "/"],
    ["$EMPTY", "/w/"],
  ])("C03: destination %s is %s", async (dest, path) => {
    expect((await copy(`COPY x ${dest}`, "ENV EMPTY=\nWORKDIR /w")).dest).toBe(path);
  });

  test("C01, V22: JSON form, and variables in every word", async () => {
    const action = await copy('COPY --chown=$U:$U --chmod=$M ["$S x", "/$D/"]', "ARG U=7 M=0600 S=src D=dst");
    expect(action).toMatchObject({ dest: "/dst/", chown: "7:7", chmod: "0600", sources: [{ pattern: "src x" }] });
  });

  test("C13: --parents keeps the pivot", async () => {
    expect(await patterns("COPY --parents a/./b/c /x/./y ./z p/./q/./r /dest/")).toEqual([
      "a/./b/c",
      "x/./y",
      "z",
      "p/./q/r",
    ]);
  });

  test("C12, C14, V22: --link, and --exclude as it stands", async () => {
    const action = await copy("COPY --link --exclude=$X --exclude=*.md a /b", "ARG X=1");
    expect(action).toMatchObject({ isLinked: true, exclude: ["$X", "*.md"] });
    expect(names(await planned("FROM busybox\nCOPY --link a /b")).at(-1)).toBe("[2/2] LINK COPY --link a /b");
    expect(await copy("COPY --link --chmod=0600 a /b")).toMatchObject({ isLinked: false });
  });

  test("C15: from a stage nothing of the context is read", async () => {
    const result = await plan("FROM busybox AS a\nRUN x\nFROM scratch\nCOPY --from=a /x /");
    expect([result.localContexts, result.contextCopies]).toEqual([[], []]);
  });

  test("HI03: the history has --parents, --chown and --chmod, in this order, and no other flag", async () => {
    const flags = "--chmod=0600 --link --exclude=*.md --chown=$U --parents";
    const plan = await planned(`FROM busybox\nENV U=1:2\nCOPY ${flags} a b/ /d$U/\nADD --unpack=false --chown=5 c d`);
    expect(createdBy(plan).slice(1)).toEqual([
      "COPY --parents --chown=1:2 --chmod=0600 a b/ /d1:2/ # buildkit",
      "ADD --chown=5 c d # buildkit",
    ]);
  });

  test("C16: one instruction is one layer, in the history too", async () => {
    const plan = await planned("FROM busybox\nCOPY a b c /d/");
    expect(plan.history).toEqual([
      { createdBy: "COPY a b c /d/ # buildkit", comment: "buildkit.dockerfile.v0", vertex: plan.target },
    ]);
  });

  test("K19's hook: what is copied from the context, where", async () => {
    const { contextCopies } = await plan("FROM busybox\nCOPY ./a/ b /x/\nADD . /y");
    expect(contextCopies).toMatchObject([
      { instruction: "Copy", path: "a" },
      { instruction: "Copy", path: "b" },
      { instruction: "Add", path: "" },
    ]);
  });
});

describe("heredocs", () => {
  test("H04, V27: unquoted bodies are expanded, quoted ones are not; paths come first", async () => {
    const lines = 'COPY <<one file <<"two" /d/\n$A "\\$A"\none\n$A\ntwo';
    expect((await copy(lines, "ENV A=1")).sources).toEqual([
      { kind: "path", input: 1, pattern: "file", isWildcardAllowed: true },
      { kind: "inline", name: "one", content: '1 "$A"\n' },
      { kind: "inline", name: "two", content: "$A\n" },
    ]);
    expect(createdBy(await planned(`FROM busybox\n${lines}`))).toEqual(["COPY file <<one <<two /d/ # buildkit"]);
  });

  test("H03, H04: one quoted letter of the word quotes the body; tabs go with <<- only", async () => {
    const sources = async (word: string, end = "EOF") =>
      (await copy(`COPY ${word} /d\n\t$A\n${end}`, "ENV A=1")).sources;
    for (const word of ["<<'E'OF", '<<E"OF"'])
      expect(await sources(word)).toEqual([{ kind: "inline", name: "EOF", content: "\t$A\n" }]);
    // An escape is no quote.
    expect(await sources("<<\\EOF")).toEqual([{ kind: "inline", name: "EOF", content: "\t1\n" }]);
    expect(await sources("<<-'E'OF", "\tEOF")).toEqual([{ kind: "inline", name: "EOF", content: "$A\n" }]);
    expect(await sources("<<-EOF", "\t\tEOF")).toEqual([{ kind: "inline", name: "EOF", content: "1\n" }]);
  });

  test("an undefined variable in a body is a warning at the body", async () => {
    expect(await warningsOf("FROM busybox\nCOPY <<E /e\n$nope\nE")).toEqual([
      "UndefinedVar [$nope\n] Usage of undefined variable '$nope'",
    ]);
  });
});

describe("C11: --chmod", () => {
  test.each(["0", "755", "07777", "u+x", "a=rwX,go-w", "g=u+s,o=", "+t"])("%s is a mode", async (mode) => {
    expect(await errors(`COPY --chmod=${mode} a /`)).toEqual([]);
  });

  test.each(["10000", "999", "0o755", "-1", "u+q", "x"])("%s is none", async (mode) => {
    expect(await errors(`COPY --chmod=${mode} a /`)).toEqual([
      `[${mode}] invalid chmod parameter: '${mode}'. it should be octal string and between 0 and 07777`,
    ]);
  });
});

describe("ADD", () => {
  test("AD01, AD03: what is unpacked", async () => {
    const unpack = async (line: string) => (await copy(line)).unpack;
    expect(await unpack("COPY a /b")).toBe("never");
    expect(await unpack("ADD a /b")).toBe("auto");
    expect(await unpack("ADD --unpack=false a /b")).toBe("never");
    expect(await unpack("ADD http://x/a.tar /b")).toBe("never");
    expect(await unpack("ADD --unpack http://x/a.tar /b")).toBe("always");
    expect(await unpack("ADD a http://x/a.tar /b/")).toBe("auto");
  });

  test.each([
    ["http://x/a/b.txt?q#f", "b.txt"],
    ["http://x/a%20b/", "a b"],
    ["http://x", "__unnamed__"],
    ["https://x/", "__unnamed__"],
    ["https://x/%zz", "%zz"],
  ])("AD03: %s is called %s", async (url, filename) => {
    const plan = await planned(`FROM busybox\nADD ${url} /d/`);
    expect(ops(plan, "http")).toEqual([{ kind: "http", url, filename }]);
    expect((files(plan)[0]!.action as CopyAction).sources).toEqual([
      { kind: "path", input: 1, pattern: filename, isWildcardAllowed: false },
    ]);
  });

  test("AD04, C15: checksums", async () => {
    const sum = `sha256:${"0".repeat(64)}`;
    expect(ops(await planned(`FROM busybox\nADD --checksum=${sum} http://x/a /`), "http")[0]!.checksum).toBe(sum);
    expect(await errors("ADD --checksum=sha256:12$E http://x/a /")).toEqual([
      "[sha256:12$E] invalid checksum digest length",
    ]);
    expect(await errors("ADD --checksum=md5:12 http://x/a /")).toEqual(["[md5:12] unsupported digest algorithm"]);
    expect(await errors("ADD --checksum=x http://x/a /")).toEqual(["[x] invalid checksum digest format"]);
    expect(await errors("ADD --checksum=x http://x/a http://x/b /")).toEqual([
      "[x] checksum can't be specified for multiple sources",
    ]);
    // BuildKit counts what is no heredoc.
    expect(await errors("ADD --checksum=x <<E /a\nE")).toEqual([
      "[x] checksum can't be specified for multiple sources",
    ]);
    expect(await errors("ADD --checksum=x a /")).toEqual(["[x] checksum requires HTTP(S) or Git sources"]);
    expect(await errors("ADD --checksum=xyz https://h/r.git /")).toEqual([
      "[https://h/r.git] invalid checksum xyz for Git URL, expected hex commit hash",
    ]);
  });

  test("AD04, AD08: --checksum and the query's agree, or it is an error", async () => {
    const add = (flag: string) => errors(`ADD --checksum=${flag} https://h/r.git?ref=v1&checksum=abcd /`);
    expect(await add("abcd")).toEqual([]);
    expect(await add("abce")).toEqual(['[https://h/r.git?ref=v1&checksum=abcd] checksum mismatch "abce" != "abcd"']);
  });

  test("C15: COPY takes no remote sources", async () => {
    expect(await errors("COPY http://x/a /")).toEqual(["[http://x/a] source can't be a URL for COPY"]);
    expect(await errors("COPY git@h:r.git /")).toEqual(["[git@h:r.git] source can't be a git ref for COPY"]);
  });

  const git = { kind: "git", keepGitDir: false, submodules: true, mtime: "checkout" };
  test.each([
    ["https://h/r.git", { remote: "https://h/r.git" }],
    ["http://h/r.git#main", { remote: "http://h/r.git", ref: "main" }],
    ["ssh://git@h/r#v1:sub/../dir/", { remote: "ssh://git@h/r", ref: "v1", subdir: "dir" }],
    ["git://h/r#:dir", { remote: "git://h/r", subdir: "dir" }],
    ["git@h:me/r.git#v1", { remote: "git@h:me/r.git", ref: "v1" }],
    ["https://h/r.git?tag=v1&subdir=s", { remote: "https://h/r.git", ref: "refs/tags/v1", subdir: "s" }],
    ["https://h/r.git?branch=b&submodules=0", { remote: "https://h/r.git", ref: "refs/heads/b", submodules: false }],
    ["https://h/r.git?commit=abc&keep-git-dir", { remote: "https://h/r.git", checksum: "abc", keepGitDir: true }],
    [
      "https://h/r.git?ref=v1&checksum=ab&mtime=commit",
      { remote: "https://h/r.git", ref: "v1", checksum: "ab", mtime: "commit" },
    ],
    ["https://h/r.git?ref=v1&checksum=ab&fetch-by-commit=1", { remote: "https://h/r.git", ref: "ab", checksum: "ab" }],
  ])("AD06–AD08: %s", async (url, op) => {
    expect(ops(await planned(`FROM busybox\nADD ${url} /d`), "git")).toEqual([{ ...git, ...op }]);
  });

  test.each([
    ["?what=1", 'unexpected query "what"'],
    ["?ref=", 'query "ref" has no value'],
    ["?ref=a&ref=b", 'query "ref" has multiple values'],
    ["?ref=a#b", 'ref conflicts: "b" vs "a"'],
    ["?tag=a&branch=b", "branch conflicts with tag"],
    ["?subdir=a#:b", 'subdir conflicts: "b" vs "a"'],
    ["?mtime=now", 'invalid mtime value: "now"'],
    ["?submodules=maybe", 'invalid submodules value: "maybe"'],
  ])("AD08: %s is refused", async (query, message) => {
    expect(await errors(`ADD https://h/r.git${query} /d`)).toEqual([`[https://h/r.git${query}] ${message}`]);
  });

  test("AD06: local forms", async () => {
    expect(await patterns("ADD ./git@h:r ../x.git github.com/x/y /d/")).toEqual(["git@h:r", "x.git", "github.com/x/y"]);
  });

  test("AD09: --keep-git-dir and the query agree, or it is an error", async () => {
    expect(ops(await planned("FROM busybox\nADD --keep-git-dir https://h/r.git /"), "git")[0]!.keepGitDir).toBe(true);
    expect(await errors("ADD --keep-git-dir https://h/r.git?keep-git-dir=false /")).toEqual([
      "[https://h/r.git?keep-git-dir=false] inconsistent keep-git-dir configuration",
    ]);
    expect(await errors("ADD --keep-git-dir=false https://h/r.git?keep-git-dir=true /")).toEqual([
      "[https://h/r.git?keep-git-dir=true] inconsistent keep-git-dir configuration",
    ]);
    expect(await errors("ADD --keep-git-dir https://h/r.git?keep-git-dir=true /")).toEqual([]);
    expect(await errors("ADD https://h/r.git?checksum=foobar /")).toEqual([
      "[https://h/r.git?checksum=foobar] invalid checksum foobar for Git URL, expected hex commit hash",
    ]);
  });

  test("credentials of a URL are in no name and no history", async () => {
    const plan = await planned("FROM busybox\nADD https://me:hunter2@h/r.git http://tok@h/a /d/");
    const shown = JSON.stringify([createdBy(plan), vertices(plan).map(({ meta }) => meta.name)]);
    expect(shown).not.toMatch(/hunter2|tok@/);
    expect(createdBy(plan)).toEqual(["ADD https://xxxxx:xxxxx@h/r.git http://xxxxx@h/a /d/ # buildkit"]);
  });
});
