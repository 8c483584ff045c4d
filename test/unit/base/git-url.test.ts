import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseGitUrl, type GitUrl, type GitUrlError } from "../../../src/base/git-url.ts";

const parse = (text: string, isContext = false): GitUrl | GitUrlError | undefined => parseGitUrl(text, { isContext });
const plain = { submodules: true, mtime: "checkout", isFetchedByCommit: false } as const;

test.each([
  "https://example.com/",
  "https://example.com/foo",
  "https://example.com/foo.git/",
  "https://example.com/foo.git.bar",
  "http://github.com/docker/docker.git:#branch",
  "custom.xyz/moby/buildkit.git",
  "./.git",
  "../x.git",
  ".git",
  "github.com/moby/buildkit",
  "file:///srv/x.git",
  "ext::sh -c x.git",
  "https://exa mple.com/foo.git",
  "https://example.com/%zz.git",
  "-",
  "",
])("AD06: %j is no git URL for ADD", (text) => {
  expect(parse(text)).toBeUndefined();
});

test.each<[string, Partial<GitUrl> & { readonly remote: string }]>([
  ["https://example.com/foo.git", { remote: "https://example.com/foo.git" }],
  ["https://example.com/foo.git#deadbeef", { remote: "https://example.com/foo.git", ref: "deadbeef" }],
  ["https://example.com/foo.git#release/1.2", { remote: "https://example.com/foo.git", ref: "release/1.2" }],
  ["git://example.com/foo", { remote: "git://example.com/foo" }],
  ["http://example.com/foo.git", { remote: "http://example.com/foo.git" }],
  ["ssh://git@example.com:2222/foo", { remote: "ssh://git@example.com:2222/foo" }],
  ["https://foo:bar@github.com/moby/buildkit.git", { remote: "https://foo:bar@github.com/moby/buildkit.git" }],
  ["git@github.com:moby/buildkit", { remote: "git@github.com:moby/buildkit" }],
  ["git@github.com:a/b.git#v1:sub/dir", { remote: "git@github.com:a/b.git", ref: "v1", subdir: "sub/dir" }],
  ["git@github.com:a/b.git?subdir=/s#v1", { remote: "git@github.com:a/b.git", ref: "v1", subdir: "s" }],
  [
    "https://github.com/foo/bar.git#baz/qux:quux/quuz",
    { remote: "https://github.com/foo/bar.git", ref: "baz/qux", subdir: "quux/quuz" },
  ],
  [
    "https://github.com/docker/docker.git#:myfolder",
    { remote: "https://github.com/docker/docker.git", subdir: "myfolder" },
  ],
  ["https://h/r.git#main:../../etc", { remote: "https://h/r.git", ref: "main", subdir: "etc" }],
  ["https://h/r.git?ref=v1.0.0&subdir=/subdir", { remote: "https://h/r.git", ref: "v1.0.0", subdir: "subdir" }],
  ["https://h/r.git?tag=v1", { remote: "https://h/r.git", ref: "refs/tags/v1" }],
  ["https://h/r.git?tag=refs/tags/v1#refs/tags/v1", { remote: "https://h/r.git", ref: "refs/tags/v1" }],
  ["https://h/r.git?branch=v1", { remote: "https://h/r.git", ref: "refs/heads/v1" }],
  ["https://h/r.git?checksum=abc", { remote: "https://h/r.git", checksum: "abc" }],
  [
    `https://h/r.git?checksum=${"a".repeat(40)}`,
    { remote: "https://h/r.git", checksum: "a".repeat(40), ref: "a".repeat(40) },
  ],
  [
    `https://h/r.git?commit=${"b".repeat(64)}`,
    { remote: "https://h/r.git", checksum: "b".repeat(64), ref: "b".repeat(64) },
  ],
  ["https://h/r.git?commit=abc#v1", { remote: "https://h/r.git", checksum: "abc", ref: "v1" }],
  ["https://h/r.git?keep-git-dir", { remote: "https://h/r.git", keepGitDir: true }],
  ["https://h/r.git?keep-git-dir=0&submodules=F", { remote: "https://h/r.git", keepGitDir: false, submodules: false }],
  [
    "https://h/r.git?mtime=commit&fetch-by-commit=true&commit=abc#v1",
    { remote: "https://h/r.git", mtime: "commit", isFetchedByCommit: true, checksum: "abc", ref: "abc" },
  ],
])("AD06–AD08: %j", (text, expected) => {
  expect(parse(text)).toEqual({ ...plain, ...expected });
});

test("X03: github.com/user/repo is a repository for contexts only", () => {
  expect(parse("github.com/moby/buildkit?tag=v1.0.0", true)).toEqual({
    ...plain,
    remote: "https://github.com/moby/buildkit",
    ref: "refs/tags/v1.0.0",
  });
});

test.each([
  ["?ref=v1.0.0#v1.2.3", 'ref conflicts: "v1.2.3" vs "v1.0.0"'],
  ["?ref=v1&tag=v2", 'ref conflicts: "v1" vs "refs/tags/v2"'],
  ["?subdir=a#:b", 'subdir conflicts: "b" vs "a"'],
  ["?tag=v1&branch=v1", "branch conflicts with tag"],
  ["?invalid=123", 'unexpected query "invalid"'],
  ["?ref=", 'query "ref" has no value'],
  ["?ref=a&ref=b", 'query "ref" has multiple values'],
  ["?mtime=now", 'invalid mtime value: "now"'],
  ["?keep-git-dir=maybe", 'invalid keep-git-dir value: "maybe"'],
  ["?fetch-by-commit", "fetch-by-commit requires a checksum"],
])("AD08: %j is refused in BuildKit's words", (suffix, message) => {
  const refused = parse(`https://user:pass@example.com/r.git${suffix}`);
  expect(refused).toMatchObject({ error: message });
  expect(JSON.stringify(refused)).not.toContain("pass");
});

const name = fc.stringMatching(/^[A-Za-z0-9._-]{1,12}$/).filter((text) => text !== "." && text !== "..");

test("AD07, AD08: what is put together is taken apart again, in either form", () => {
  const remotes = fc.oneof(
    fc.tuple(name, name).map(([a, b]) => `https://example.com/${a}/${b}.git`),
    fc.tuple(name, name).map(([a, b]) => `git@example.com:${a}/${b}`),
    name.map((a) => `ssh://git@example.com/${a}`),
  );
  const refs = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const dirs = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  fc.assert(
    fc.property(remotes, refs, dirs, (remote, ref, subdir) => {
      const expected = { ...plain, remote, ref, subdir };
      expect(parse(`${remote}#${ref}:${subdir}`)).toEqual(expected);
      expect(parse(`${remote}?ref=${encodeURIComponent(ref)}&subdir=${encodeURIComponent(subdir)}`)).toEqual(expected);
    }),
  );
});

test("any text is a URL, no URL, or refused", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string().map((text) => `https://h/r.git${text}`),
    fc.string().map((text) => `git@h:r${text}`),
  );
  fc.assert(
    fc.property(texts, fc.boolean(), (text, isContext) => {
      const url = parse(text, isContext);
      if (url && "subdir" in url) expect(url.subdir).not.toMatch(/^\/|^\.\.?(\/|$)|\/$/);
    }),
  );
});
