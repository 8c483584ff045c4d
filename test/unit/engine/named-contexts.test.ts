// Values of `--build-context`, read as text: nothing is opened.
import { expect, test } from "vitest";
import { namedContexts } from "../../../src/engine/named-contexts.ts";

const read = (value: string) => namedContexts(new Map([["n", value]]), "/cwd");
const DIGEST = `sha256:${"a".repeat(64)}`;

test.each([
  ["docker-image://debian:12", { kind: "image", reference: "debian:12" }],
  ["docker-image://scratch", { kind: "image", reference: "scratch" }],
  ["oci-layout:///abs", { kind: "oci-layout", path: "/abs" }],
  ["oci-layout://rel/dir:v1", { kind: "oci-layout", path: "/cwd/rel/dir", tag: "v1" }],
  [`oci-layout://dir@${DIGEST}`, { kind: "oci-layout", path: "/cwd/dir", digest: DIGEST }],
  [`oci-layout://dir:v1@${DIGEST}`, { kind: "oci-layout", path: "/cwd/dir", tag: "v1", digest: DIGEST }],
  [
    "https://h/r.git#main:sub",
    {
      kind: "source",
      op: {
        kind: "git",
        remote: "https://h/r.git",
        ref: "main",
        subdir: "sub",
        keepGitDir: false,
        submodules: true,
        mtime: "checkout",
      },
    },
  ],
  ["https://h/f.tgz", { kind: "source", op: { kind: "http", url: "https://h/f.tgz", filename: "context" } }],
])("X05: %s", (value, expected) => {
  const { contexts, locals } = read(value);
  expect(contexts.get("n")).toEqual(expected);
  expect(locals.size).toBe(0);
});

test("X05: anything else is a directory, relative to where the command runs", () => {
  for (const [value, root] of [
    ["lib", "/cwd/lib"],
    ["../x", "/x"],
    ["/abs", "/abs"],
    ["./target:x", "/cwd/target:x"],
  ] as const) {
    const { contexts, locals } = read(value);
    expect(contexts.get("n")).toEqual({ kind: "local" });
    expect(locals.get("n")).toMatchObject({ kind: "directory", root });
  }
});

test.each([
  ["oci-layout://", 'invalid context "oci-layout://"', "oci-layout://DIR"],
  ["oci-layout://dir@md5:1", 'invalid context "oci-layout://dir@md5:1"', "oci-layout://DIR"],
  ["target:base", '"n=target:base" is a target of a bake file, which tsbuild does not read', "build that target first"],
])("X05: %s is refused", (value, message, help) => {
  const failure = { code: "usage", message, help: expect.stringContaining(help) as unknown };
  expect(() => read(value)).toThrow(expect.objectContaining(failure));
});

test("X05: names are those of stages and images", () => {
  for (const name of ["a", "debian:12", "docker.io/library/debian", "base::linux/arm64", "x.y/z@" + DIGEST])
    expect([...namedContexts(new Map([[name, "lib"]]), "/cwd").contexts.keys()], name).toEqual([name]);
  for (const [name, help] of [
    ["Base", 'write "base"'],
    ["a b", "it is the name of a stage"],
    ["::linux/amd64", "it is the name of a stage"],
  ] as const) {
    const message = `invalid context name ${name}: invalid reference format`;
    expect(() => namedContexts(new Map([[name, "lib"]]), "/cwd"), name).toThrow(
      expect.objectContaining({ code: "usage", message, help: expect.stringContaining(help) as unknown }),
    );
  }
});
