import { gzipSync } from "node:zlib";
import { Header } from "tar";
import { expect, test } from "vitest";
import { isArchive, parseContext } from "../../../src/source/context.ts";
import { httpSecrets } from "../../../src/source/http.ts";
import { gitAuthorization, gitSecrets } from "../../../src/source/git-command.ts";

test.each([
  [".", { kind: "directory", path: "." }],
  ["-", { kind: "stdin" }],
  ["src/-", { kind: "directory", path: "src/-" }],
  ["https://example.com/app.tar.gz", { kind: "http", url: "https://example.com/app.tar.gz" }],
  ["HTTP://example.com/x", { kind: "http", url: "HTTP://example.com/x" }],
  ["./github.com/a/b", { kind: "directory", path: "./github.com/a/b" }],
])("X01–X04: context %j", (text, expected) => {
  expect(parseContext(text)).toEqual(expected);
});

test("X03: git contexts, the legacy form too; a wrong one is refused without its credentials", () => {
  expect(parseContext("https://h/r.git#main:dir")).toMatchObject({ kind: "git", url: { ref: "main", subdir: "dir" } });
  expect(parseContext("github.com/a/b")).toMatchObject({ kind: "git", url: { remote: "https://github.com/a/b" } });
  expect(() => parseContext("https://me:pw@h/r.git?ref=")).toThrow(
    expect.objectContaining({
      code: "usage",
      message: 'query "ref" has no value in git URL "https://xxxxx:xxxxx@h/r.git?ref="',
    }),
  );
});

test("X02, X04: archives are told from Dockerfiles by their first bytes", () => {
  const header = Buffer.alloc(512);
  new Header({ path: "a", type: "File", size: 0, mode: 0o644, mtime: new Date(0) }).encode(header);
  expect(isArchive(header)).toBe(true);
  expect(isArchive(gzipSync("x"))).toBe(true);
  for (const magic of ["BZh91", "\xfd7zXZ\0", "(\xb5/\xfd"]) expect(isArchive(Buffer.from(magic, "latin1"))).toBe(true);
  // as older tars write the sum: blanks before it
  const sum = Buffer.from(
    /[0-7]+/
      .exec(header.toString("latin1", 148, 156))![0]
      .replace(/^0+/, "")
      .padStart(6) + "\0 ",
  );
  expect(isArchive(Buffer.concat([header.subarray(0, 148), sum, header.subarray(156)]))).toBe(true);
  for (const almost of ["BZ", "BZ\n", "\x1f", "\xfd7zXZ", "(\xb5/"])
    expect(isArchive(Buffer.from(almost, "latin1"))).toBe(false);
  header[0]! ^= 1;
  expect(isArchive(header)).toBe(false);
  expect(isArchive(Buffer.from("FROM scratch\n".repeat(60)))).toBe(false);
  expect(isArchive(Buffer.alloc(512))).toBe(false);
  expect(isArchive(new Uint8Array(0))).toBe(false);
});

test("AD05, AD10: names of secrets, the first one counts", () => {
  expect(httpSecrets("https://example.com:8443/a").map(({ id }) => id)).toEqual([
    "HTTP_AUTH_TOKEN_example.com",
    "HTTP_AUTH_HEADER_example.com",
  ]);
  expect(gitSecrets("https://example.com:8443/a.git").map(({ id }) => id)).toEqual([
    "GIT_AUTH_HEADER.example.com:8443",
    "GIT_AUTH_TOKEN.example.com:8443",
    "GIT_AUTH_HEADER",
    "GIT_AUTH_TOKEN",
  ]);
  expect(gitSecrets("git@github.com:a/b")).toEqual([]);
  expect(gitAuthorization({ id: "x", kind: "token" }, "t")).toBe(`basic ${btoa("x-access-token:t")}`);
});
