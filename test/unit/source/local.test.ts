import { createHash } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mkfifo } from "../../../src/base/libc.ts";
import { comparePaths } from "../../../src/base/container-path.ts";
import { openLocalTree, type LocalTree, type LocalTreeOptions } from "../../../src/source/local.ts";
import { PatternMatcher } from "../../../src/tree/patterns.ts";

let temp = "";
let root = "";
const indexPath = (): string => join(temp, "index");
/** A clock that runs ahead, so that files just written are old enough to be remembered. */
const later = (): number => Date.now() + 60_000;

beforeEach(() => {
  temp = mkdtempSync(join(tmpdir(), "tsbuild-local-"));
  root = join(temp, "context");
  mkdirSync(root);
});
afterEach(() => rmSync(temp, { recursive: true, force: true }));

function write(files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

function open(options: Partial<LocalTreeOptions> = {}): Promise<LocalTree> {
  return openLocalTree({ root, ...options });
}

function ignoring(...lines: readonly string[]): PatternMatcher {
  return PatternMatcher.parse(lines.map((text, i) => ({ text, line: i + 1 })));
}

async function pathsOf(tree: LocalTree, path = ""): Promise<readonly string[]> {
  return [...(await tree.walk(path))].map((entry) => entry.path);
}

const sha = (text: string): string => createHash("sha256").update(text).digest("hex");

test("C09, Q26: owners become 0:0; modes, links, pipes stay; a socket is an empty file", async () => {
  write({ "bin/run": "#!\n", secret: "x" });
  chmodSync(join(root, "bin/run"), 0o4755);
  chmodSync(join(root, "secret"), 0o600);
  symlinkSync("../../etc/passwd", join(root, "link"));
  mkfifo(join(root, "pipe"), 0o644);
  const server = createServer().listen(join(root, "sock"));
  await new Promise((resolve) => server.once("listening", resolve));
  try {
    await using tree = await open();
    const entries = new Map([...(await tree.walk(""))].map((entry) => [entry.path, entry]));
    expect(entries.get("bin/run")).toMatchObject({ type: "file", mode: 0o4755, uid: 0, gid: 0, sha256: sha("#!\n") });
    expect(entries.get("secret")).toMatchObject({ mode: 0o600, size: 1 });
    expect(entries.get("link")).toMatchObject({ type: "symlink", mode: 0o777, linkname: "../../etc/passwd" });
    expect(entries.get("pipe")).toMatchObject({ type: "fifo" });
    const socket = entries.get("sock")!;
    expect(socket).toMatchObject({ type: "file", size: 0, sha256: sha("") });
    expect(await tree.locate(socket)).toEqual({ kind: "inline", data: new Uint8Array(0) });
    expect(await tree.locate(entries.get("secret")!)).toEqual({ kind: "host", path: join(tree.root, "secret") });
    expect(entries.get("secret")!.mtimeNs).toBe(statSync(join(root, "secret"), { bigint: true }).mtimeNs);
  } finally {
    server.close();
  }
});

test("the order is that of layers", async () => {
  write({ "a/z": "", "a-b": "", a0: "", "a/b/c": "", B: "", "a.b": "" });
  await using tree = await open();
  const paths = await pathsOf(tree);
  expect(paths).toEqual([...paths].sort(comparePaths));
  expect(paths).toEqual(["", "B", "a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "a0"]);
});

test("T35, I06: `*` and `!keep` leave only what is kept, and every file of the user is still there", async () => {
  write({ keep: "1", drop: "2", ".git/config": "3", "src/a.ts": "4" });
  await using tree = await open({ ignore: ignoring("*", "!keep") });
  expect(await pathsOf(tree)).toEqual(["", "keep"]);
  expect(await tree.readdir("")).toEqual(["keep"]);
  expect(await tree.lstat("drop")).toBeUndefined();
  expect(readdirSync(root).sort()).toEqual([".git", "drop", "keep", "src"]);
  expect(readFileSync(join(root, ".git/config"), "utf8")).toBe("3");
});

test("T36, pain 20: ignored directories are not read", async () => {
  write({ "app/index.js": "1", "node_modules/a/b/c.js": "2", "app/node_modules/d.js": "3" });
  await using tree = await open({ ignore: ignoring("**/node_modules") });
  expect(await pathsOf(tree)).toEqual(["", "app", "app/index.js"]);
  expect(tree.counts.directories).toBe(2);
});

test("pain 20: looking up one path reads no directory and hashes only that file", async () => {
  write({ "package.json": "{}", "src/deep/a.ts": "1", b: "2" });
  await using tree = await open();
  const [entry] = await tree.walk("package.json");
  expect(entry).toMatchObject({ path: "package.json", sha256: sha("{}") });
  expect((await tree.lstat("src/deep/a.ts"))?.size).toBe(1);
  expect(tree.counts).toMatchObject({ directories: 0, hashedFiles: 1 });
});

test("T36, I04: an excluded directory exists only as the parent of what is included again", async () => {
  write({ "build/out/keep.txt": "1", "build/out/drop.txt": "2", "build/tmp/x": "3", "vendor/y": "4" });
  mkdirSync(join(root, "build/empty"));
  await using tree = await open({ ignore: ignoring("build", "vendor", "!build/*/keep.txt") });
  expect(await pathsOf(tree)).toEqual(["", "build", "build/out", "build/out/keep.txt"]);
  expect(await tree.readdir("")).toEqual(["build"]);
  expect(await tree.readdir("build")).toEqual(["out"]);
  expect((await tree.lstat("build"))?.type).toBe("dir");
  expect(await tree.lstat("build/tmp")).toBeUndefined();
  expect(await tree.lstat("build/empty")).toBeUndefined();
  expect(await tree.lstat("vendor")).toBeUndefined();
  expect(await pathsOf(tree, "build/out")).toEqual(["build/out", "build/out/keep.txt"]);
});

test("T27, T29: links are not followed and nothing above the root is seen", async () => {
  writeFileSync(join(temp, "outside"), "secret");
  write({ "dir/a": "1" });
  symlinkSync("dir", join(root, "link"));
  symlinkSync("..", join(root, "up"));
  symlinkSync("nowhere", join(root, "dead"));
  await using tree = await open();
  expect(await tree.lstat("link/a")).toBeUndefined();
  expect(await tree.readdir("link")).toEqual([]);
  expect(await tree.lstat("up/outside")).toBeUndefined();
  expect(await tree.lstat("../outside")).toBeUndefined();
  expect(await pathsOf(tree, "link")).toEqual(["link"]);
  expect(await pathsOf(tree)).toEqual(["", "dead", "dir", "dir/a", "link", "up"]);
});

test("a context that is itself a link to a directory", async () => {
  write({ a: "1" });
  symlinkSync("context", join(temp, "alias"));
  await using tree = await openLocalTree({ root: join(temp, "alias") });
  expect(await pathsOf(tree)).toEqual(["", "a"]);
});

test("T15: hard links point to the first of their names that the walk returns", async () => {
  write({ "a/one": "same", plain: "x" });
  mkdirSync(join(root, "b"));
  linkSync(join(root, "a/one"), join(root, "b/two"));
  linkSync(join(root, "a/one"), join(root, "b/three"));
  await using tree = await open();
  const links = [...(await tree.walk(""))].map(({ path, hardlink }) => [path, hardlink]);
  expect(links.filter(([, link]) => link !== undefined)).toEqual([
    ["b/three", "a/one"],
    ["b/two", "a/one"],
  ]);
  // BuildKit fails where the other name is filtered out (buildkit#4879).
  const below = [...(await tree.walk("b"))];
  expect(below.map(({ path, hardlink }) => [path, hardlink])).toEqual([
    ["b", undefined],
    ["b/three", undefined],
    ["b/two", "b/three"],
  ]);
  expect(below.every(({ type, sha256 }) => type === "dir" || sha256 === sha("same"))).toBe(true);
});

test("`keep` leaves out entries or whole directories before they are read", async () => {
  write({ "a/x": "1", "a/y": "2", "b/z": "3", c: "4" });
  await using tree = await open();
  const entries = await tree.walk("", (path, isDirectory) => {
    if (path === "b") return "prune";
    return isDirectory || path === "a/y" ? "skip" : "keep";
  });
  expect(Array.from(entries, (entry) => entry.path)).toEqual(["a/x", "c"]);
  expect(tree.counts).toMatchObject({ directories: 2, hashedFiles: 2 });
});

test("what does not exist is an empty walk, and a file has no names", async () => {
  write({ a: "1" });
  await using tree = await open();
  expect(await tree.walk("nothing")).toEqual([]);
  expect(await tree.readdir("a")).toEqual([]);
  expect(await tree.lstat("a/b")).toBeUndefined();
});

test("concurrent walks hash every file once", async () => {
  write({ a: "1", "d/b": "2" });
  await using tree = await open();
  const [first, second] = await Promise.all([tree.walk(""), tree.walk("d")]);
  expect(second).toEqual([...first].filter((entry) => entry.path.startsWith("d")));
  expect(tree.counts.hashedFiles).toBe(2);
});

test("many files are hashed on threads, with the same digests", async () => {
  const files = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`d${i % 7}/f${i}`, `text ${i}`]));
  write({ ...files, big: "x".repeat(9 * 1024 * 1024) });
  await using tree = await open({ workers: { threads: 2 } });
  const entries = [...(await tree.walk(""))].filter((entry) => entry.type === "file");
  expect(entries).toHaveLength(601);
  for (const { path, sha256 } of entries)
    expect(sha256).toBe(sha(path === "big" ? "x".repeat(9 * 1024 * 1024) : files[path]!));
});

test("an unchanged file is not read again in the next build; T6, T12, Q26: any other change is seen", async () => {
  write({ same: "1", "d/size": "1", "d/mode": "1", "d/time": "1" });
  const walk = async (): Promise<readonly [number, string]> => {
    await using tree = await open({ indexPath: indexPath(), nowMs: later });
    const entries = [...(await tree.walk(""))];
    return [tree.counts.hashedFiles, entries.map((entry) => `${entry.path}:${entry.mode}:${entry.sha256}`).join()];
  };
  const [hashed, before] = await walk();
  expect(hashed).toBe(4);
  expect(await walk()).toEqual([0, before]);
  // Same size and same mtime: only ctime tells.
  const { mtime } = statSync(join(root, "d/time"));
  writeFileSync(join(root, "d/time"), "2");
  utimesSync(join(root, "d/time"), mtime, mtime);
  writeFileSync(join(root, "d/size"), "12");
  chmodSync(join(root, "d/mode"), 0o755);
  const [again, after] = await walk();
  expect(again).toBe(3);
  expect(after).toContain(`d/time:420:${sha("2")}`);
  expect(after).toContain(`d/mode:493:${sha("1")}`);
  expect(await walk()).toEqual([0, after]);
});

test("racily clean: what was hashed right after it was written is hashed again", async () => {
  write({ young: "1" });
  for (let i = 0; i < 2; i++) {
    await using tree = await open({ indexPath: indexPath(), nowMs: () => Date.now() });
    await tree.walk("");
    expect(tree.counts.hashedFiles).toBe(1);
  }
});

test("a damaged index is an empty one", async () => {
  write({ a: "1", b: "2" });
  const walk = async (): Promise<number> => {
    await using tree = await open({ indexPath: indexPath(), nowMs: later });
    const entries = [...(await tree.walk(""))];
    expect(entries.slice(1).map((entry) => entry.sha256)).toEqual([sha("1"), sha("2")]);
    return tree.counts.hashedFiles;
  };
  await walk();
  const good = readFileSync(indexPath());
  expect(await walk()).toBe(0);
  for (let at = 0; at < good.length; at += 7) {
    const bad = Buffer.from(good);
    bad[at]! ^= 0x10;
    writeFileSync(indexPath(), bad);
    expect(await walk(), `byte ${at}`).toBe(2);
  }
  for (const length of [0, 10, 39, 40, good.length - 1]) {
    writeFileSync(indexPath(), good.subarray(0, length));
    expect(await walk(), `length ${length}`).toBe(2);
  }
});

test("an index that cannot be written costs nothing but time", async () => {
  write({ a: "1" });
  writeFileSync(join(temp, "file"), "");
  await using tree = await open({ indexPath: join(temp, "file", "index"), nowMs: later });
  expect(await pathsOf(tree)).toEqual(["", "a"]);
});

test("T19: a file that changes before it is hashed is read as it is then; one that vanishes was never there", async () => {
  write({ changed: "1", gone: "1" });
  await using tree = await open({ indexPath: indexPath(), nowMs: later });
  await tree.lstat("changed");
  await tree.lstat("gone");
  writeFileSync(join(root, "changed"), "22");
  rmSync(join(root, "gone"));
  const entries = [...(await tree.walk(""))];
  expect(entries.map(({ path, size, sha256 }) => [path, size, sha256]).slice(1)).toEqual([["changed", 2, sha("22")]]);
});

test("T19: a file that becomes something else while it is read stops the build and is named", async () => {
  write({ "d/f": "1" });
  await using tree = await open();
  await tree.lstat("d/f");
  rmSync(join(root, "d/f"));
  symlinkSync("/etc/passwd", join(root, "d/f"));
  await expect(tree.walk("")).rejects.toMatchObject({
    code: "source",
    message: 'file "d/f" changed while it was read',
  });
});

test("a name that is no UTF-8 is refused by name, unless it is ignored", async () => {
  mkdirSync(join(root, "d"));
  writeFileSync(Buffer.concat([Buffer.from(join(root, "d/")), Buffer.from([0x66, 0xff])]), "");
  await using tree = await open();
  await expect(tree.walk("")).rejects.toMatchObject({
    code: "source",
    message: 'file name "d/f\uFFFD" is not valid UTF-8',
  });
  await using other = await open({ ignore: ignoring("d") });
  expect(await pathsOf(other)).toEqual([""]);
});

test("an aborted walk rejects with the reason", async () => {
  write({ a: "1" });
  const reason = new Error("stop");
  await using tree = await open({ signal: AbortSignal.abort(reason) });
  await expect(tree.walk("")).rejects.toBe(reason);
});

test.each([
  ["missing", 'unable to prepare context: path "%s" not found'],
  ["file", 'unable to prepare context: "%s" is not a directory'],
  ["file/below", 'unable to prepare context: path "%s" not found'],
])("a context that is %s is refused with help", async (name, message) => {
  writeFileSync(join(temp, "file"), "");
  const path = join(temp, name);
  const failure = await openLocalTree({ root: path }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "source", message: message.replace("%s", path) });
  expect(failure).toHaveProperty("help", expect.any(String));
});

test("issue 4: what is known of many paths is the same in columns, and still looked at once", async () => {
  write({ "a/b/c": "1", "a/d": "2", "a-b": "3", "e/f/g": "4", "e/h": "", "x/drop": "5", "x/keep": "6", package: "7" });
  linkSync(join(root, "a/d"), join(root, "e/second"));
  symlinkSync("../a", join(root, "e/link"));
  chmodSync(join(root, "a-b"), 0o751);
  const ignore = ignoring("x", "!x/keep");
  await using plain = await open({ ignore, indexPath: indexPath(), nowMs: later });
  const expected = [...(await plain.walk(""))];
  await plain[Symbol.asyncDispose]();
  for (const packedFrom of [1, 3, 7, expected.length]) {
    await using tree = await open({ ignore, packedFrom });
    expect((await tree.lstat("e/f/g"))?.size).toBe(1);
    expect([...(await tree.walk("package"))]).toEqual(expected.filter(({ path }) => path === "package"));
    const walked = await tree.walk("");
    expect([...walked]).toEqual(expected);
    expect(Array.from(walked, (_, i) => walked.at(i))).toEqual(expected);
    expect(walked.at(expected.length)).toBeUndefined();
    const { entries, directories, hashedFiles } = tree.counts;
    expect(await tree.readdir("e")).toEqual(["f", "h", "link", "second"]);
    expect([...(await tree.walk("a"))]).toEqual(expected.filter(({ path }) => path === "a" || path.startsWith("a/")));
    expect(tree.counts).toMatchObject({ entries, directories, hashedFiles });
    // From the index, too.
    await using known = await open({ ignore, packedFrom, indexPath: indexPath(), nowMs: later });
    expect([...(await known.walk(""))]).toEqual(expected);
    expect(known.counts.hashedFiles).toBe(0);
  }
});
