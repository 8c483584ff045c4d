import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkoutGit, type CheckoutGitOptions } from "../../../src/source/git-checkout.ts";
import { resolveGit, type ResolvedGit } from "../../../src/source/git.ts";

let temp = "";
let repository = "";
let remote = "";
const commits: string[] = [];
let tagObject = "";
const access = { environment: { PATH: process.env["PATH"] } };

function git(cwd: string, ...args: readonly string[]): string {
  const who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"];
  const env = { ...process.env, GIT_COMMITTER_DATE: "1600000000 +0000", GIT_AUTHOR_DATE: "1600000000 +0000" };
  return execFileSync("git", [...who, ...args], { cwd, env, encoding: "utf8", stdio: "pipe" }).trim();
}

function commit(cwd: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(cwd, path, ".."), { recursive: true });
    writeFileSync(join(cwd, path), text);
  }
  git(cwd, "add", "-A");
  git(cwd, "commit", "-q", "-m", "c");
  return git(cwd, "rev-parse", "HEAD");
}

beforeAll(() => {
  temp = mkdtempSync(join(tmpdir(), "tsbuild-git-"));
  repository = join(temp, "repo");
  mkdirSync(repository);
  remote = `file://${repository}`;
  git(repository, "init", "-q", "-b", "main");
  writeFileSync(join(repository, "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("/etc", join(repository, "out"));
  commits.push(commit(repository, { Dockerfile: "FROM scratch\n", "sub/dir/a": "1" }));
  git(repository, "tag", "light");
  git(repository, "tag", "-a", "-m", "t", "v1");
  tagObject = git(repository, "rev-parse", "v1");
  git(repository, "tag", "both");
  commits.push(commit(repository, { "sub/dir/a": "2" }));
  git(repository, "branch", "both");
  git(repository, "branch", "feature/x");
});
afterAll(() => rmSync(temp, { recursive: true, force: true }));

let caches = 0;
function checkout(options: Partial<CheckoutGitOptions> = {}): ReturnType<typeof checkoutGit> {
  const cacheDir = options.cacheDir ?? join(temp, `cache${caches++}`);
  return checkoutGit({ remote, keepGitDir: false, submodules: true, mtime: "checkout", access, ...options, cacheDir });
}

const resolve = (ref?: string, checksum?: string): Promise<ResolvedGit> =>
  resolveGit({
    remote,
    access,
    ...(ref === undefined ? {} : { ref }),
    ...(checksum === undefined ? {} : { checksum }),
  });

test("AD07: default branch, branches, tags, full and partial refs, commits; a branch wins over a tag", async () => {
  const [first, second] = commits as [string, string];
  expect(await resolve()).toEqual({ commit: second, refName: "refs/heads/main" });
  expect(await resolve("feature/x")).toEqual({ commit: second, refName: "refs/heads/feature/x" });
  expect(await resolve("light")).toEqual({ commit: first, refName: "refs/tags/light" });
  expect(await resolve("v1")).toEqual({ commit: first, refName: "refs/tags/v1", tag: tagObject });
  expect(await resolve("both")).toEqual({ commit: second, refName: "refs/heads/both" });
  expect(await resolve("refs/tags/both")).toEqual({ commit: first, refName: "refs/tags/both" });
  expect(await resolve("tags/both")).toEqual({ commit: first, refName: "refs/tags/both" });
  expect(await resolve(first)).toEqual({ commit: first });
});

test("AD07, AD09: what is not there, and checksums", async () => {
  const [first, second] = commits as [string, string];
  await expect(resolve("nope")).rejects.toMatchObject({ message: 'repository does not contain ref nope, output: ""' });
  await expect(resolve(first.slice(0, 8))).rejects.toMatchObject({
    help: expect.stringContaining("full hash") as unknown,
  });
  expect(await resolve("v1", first.slice(0, 7).toUpperCase())).toMatchObject({ commit: first });
  expect(await resolve("v1", tagObject.slice(0, 1))).toMatchObject({ tag: tagObject });
  await expect(resolve("main", first)).rejects.toMatchObject({
    code: "content",
    message: `expected checksum to match ${first}, got ${second}`,
  });
  await expect(resolve("v1", "0000")).rejects.toMatchObject({
    message: `expected checksum to match 0000, got ${tagObject} or ${first}`,
  });
  const bad = "invalid checksum foobar for Git URL, expected hex commit hash";
  await expect(resolve("main", "foobar")).rejects.toMatchObject({ message: bad });
});

test("AD09: files of the commit, 0644/0755, no .git, whatever our umask is", async () => {
  const before = process.umask(0o077);
  try {
    const { directory, commit } = await checkout({ ref: "v1" });
    expect(commit).toBe(commits[0]);
    expect(readdirSync(directory).sort()).toEqual(["Dockerfile", "out", "run.sh", "sub"]);
    expect(readFileSync(join(directory, "sub/dir/a"), "utf8")).toBe("1");
    const modes = ["", "sub/dir", "sub/dir/a", "run.sh"].map((path) => statSync(join(directory, path)).mode & 0o7777);
    expect(modes).toEqual([0o755, 0o755, 0o644, 0o755]);
  } finally {
    process.umask(before);
  }
});

test("AD07: a subdirectory becomes the root; links are not followed on the way", async () => {
  const { directory } = await checkout({ subdir: "sub/dir" });
  expect(readdirSync(directory)).toEqual(["a"]);
  await expect(checkout({ subdir: "out" })).rejects.toMatchObject({
    message: 'invalid subdir /out: git subpath "/out" contains non-directory "out"',
  });
  await expect(checkout({ subdir: "sub/no" })).rejects.toMatchObject({
    message: 'invalid subdir /sub/no: failed to lstat "no": statat no: no such file or directory',
  });
});

test("AD08: mtime=commit gives everything the time of the commit", async () => {
  const { directory } = await checkout({ mtime: "commit" });
  for (const path of ["", "sub", "sub/dir/a", "run.sh"])
    expect(statSync(join(directory, path)).mtimeMs).toBe(1_600_000_000_000);
});

test("AD09: a commit by its hash, also a tag's, also one that no branch ends with; checked when it is there", async () => {
  const [first] = commits as [string, string];
  expect((await checkout({ ref: first })).commit).toBe(first);
  expect((await checkout({ ref: tagObject })).commit).toBe(first);
  expect((await checkout({ ref: tagObject, checksum: first })).commit).toBe(first);
  await expect(checkout({ ref: first, checksum: "0000" })).rejects.toMatchObject({
    message: `expected checksum to match 0000, got ${first}`,
  });
  await expect(checkout({ ref: "1".repeat(40) })).rejects.toMatchObject({ code: "source" });
});

test("AD09: --keep-git-dir keeps a shallow repository with the ref and no credentials", async () => {
  const { directory } = await checkout({ ref: "v1", keepGitDir: true });
  expect(git(directory, "status", "--porcelain")).toBe("");
  expect(git(directory, "describe", "--tags", "--exact-match")).toBe("v1");
  expect(git(directory, "log", "--oneline").split("\n")).toHaveLength(1);
  expect(git(directory, "remote", "get-url", "origin")).toBe(remote);
  const branch = await checkout({ ref: "main", keepGitDir: true });
  expect(git(branch.directory, "rev-parse", "refs/heads/main")).toBe(commits[1]);
});

test("AD09: of the history only the commit is fetched, by its ref and by its hash", async () => {
  for (const ref of ["main", commits[1]!]) {
    const cacheDir = join(temp, `cache-of-${ref}`);
    await checkout({ ref, cacheDir });
    const kept = join(cacheDir, "repositories");
    const [bare] = readdirSync(kept).filter((name) => name.endsWith(".git"));
    expect(git(join(kept, bare!), "rev-list", "--count", "--all")).toBe("1");
  }
});

test("Q03: the same commit is checked out once, and a moved branch fetches what is new", async () => {
  const clone = join(temp, "moving");
  git(temp, "clone", "-q", remote, clone);
  const options = { remote: `file://${clone}`, ref: "main", cacheDir: join(temp, "cache-moving") };
  const first = await checkout(options);
  const [again, other] = await Promise.all([checkout(options), checkout(options)]);
  expect([again.directory, other.directory]).toEqual([first.directory, first.directory]);
  const moved = commit(clone, { new: "1" });
  const second = await checkout(options);
  expect(second.commit).toBe(moved);
  expect(readdirSync(second.directory)).toContain("new");
  expect(readdirSync(first.directory)).not.toContain("new");
  expect(readdirSync(join(options.cacheDir, "checkouts")).every((name) => !name.includes("tmp"))).toBe(true);
});

test("an empty commit, and SHA-256 repositories", async () => {
  const empty = join(temp, "empty");
  mkdirSync(empty);
  git(empty, "init", "-q", "-b", "main", "--object-format=sha256");
  git(empty, "commit", "-q", "--allow-empty", "-m", "c");
  const { directory, commit } = await checkout({ remote: `file://${empty}` });
  expect(commit).toHaveLength(64);
  expect(readdirSync(directory)).toEqual([]);
});

test("hooks, filters and the user's configuration do not run", async () => {
  const evil = join(temp, "evil");
  git(temp, "clone", "-q", remote, evil);
  const mark = join(temp, "ran");
  const home = join(temp, "home");
  mkdirSync(join(home, "hooks"), { recursive: true });
  writeFileSync(join(home, "hooks/post-checkout"), `#!/bin/sh\ntouch ${mark}\n`, { mode: 0o755 });
  writeFileSync(join(home, ".gitconfig"), `[core]\nhooksPath = ${home}/hooks\n[filter "x"]\nsmudge = touch ${mark}\n`);
  commit(evil, { ".gitattributes": "* filter=x\n" });
  const environment = { ...access.environment, HOME: home, XDG_CONFIG_HOME: home, GIT_DIR: "/nonexistent" };
  const options = { remote: `file://${evil}`, access: { environment } };
  await checkout(options);
  await checkout({ ...options, keepGitDir: true });
  expect(() => statSync(mark)).toThrow(/ENOENT/);
});

test("submodules: fetched unless disabled, their .git goes too; those that reach into the host's files are refused", async () => {
  const parent = join(temp, "parent");
  git(temp, "clone", "-q", remote, parent);
  git(parent, "submodule", "--quiet", "add", remote, "lib");
  commit(parent, {});
  const without = await checkout({ remote: `file://${parent}`, submodules: false });
  expect(readdirSync(join(without.directory, "lib"))).toEqual([]);
  await expect(checkout({ remote: `file://${parent}` })).rejects.toMatchObject({
    code: "source",
    message: expect.stringContaining("failed to update submodules") as unknown,
  });
});

test("AD09: submodules over a server that can do no shallow fetch; nothing called .git is left", async () => {
  const served = join(temp, "served");
  mkdirSync(served);
  const publish = (name: string): void => {
    git(temp, "clone", "-q", "--bare", join(temp, name), join(served, `${name}.git`));
    git(join(served, `${name}.git`), "update-server-info");
  };
  // The dumb protocol: files, nothing else.
  const server = createServer((request, response) => {
    const path = join(served, new URL(request.url ?? "/", "http://h").pathname);
    if (existsSync(path) && statSync(path).isFile()) response.end(readFileSync(path));
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  try {
    const { port } = server.address() as AddressInfo;
    for (const name of ["inner", "outer"]) {
      mkdirSync(join(temp, name));
      git(join(temp, name), "init", "-q", "-b", "main");
    }
    const inner = commit(join(temp, "inner"), { file: "in" });
    publish("inner");
    commit(join(temp, "outer"), { ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ../inner.git\n' });
    git(join(temp, "outer"), "update-index", "--add", "--cacheinfo", `160000,${inner},lib`);
    git(join(temp, "outer"), "commit", "-q", "-m", "lib");
    publish("outer");
    const remote = `http://127.0.0.1:${port}/outer.git`;
    const { directory } = await checkout({ remote });
    expect(new Set(readdirSync(directory, { recursive: true, encoding: "utf8" }))).toEqual(
      new Set([".gitmodules", "lib", "lib/file"]),
    );
    const kept = await checkout({ remote, keepGitDir: true });
    expect(git(join(kept.directory, "lib"), "rev-parse", "HEAD")).toBe(inner);
    await expect(checkout({ remote, isFetchedByCommit: true })).rejects.toMatchObject({ code: "source" });
  } finally {
    server.close();
  }
});

test("AD10: the token goes to its host in a header, and into no message, argument or file", async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(401, { "www-authenticate": "Basic" }).end();
  }).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as AddressInfo;
  try {
    const authorization = "basic c2VjcmV0";
    const failure = await checkout({
      remote: `http://user:hunter2@127.0.0.1:${port}/r.git`,
      access: { ...access, authorization },
    }).catch((error: unknown) => error);
    expect(seen).toContain(authorization);
    expect(failure).toMatchObject({ code: "source", help: expect.stringContaining("GIT_AUTH_TOKEN") as unknown });
    expect(`${String(failure)}${JSON.stringify(failure)}`).not.toMatch(/hunter2|c2VjcmV0/);
  } finally {
    server.close();
  }
});

test("a missing git names the package", async () => {
  const nowhere = { environment: { PATH: temp } };
  await expect(resolveGit({ remote, access: nowhere })).rejects.toMatchObject({
    code: "source",
    help: expect.stringContaining("package git") as unknown,
  });
});

test("remotes that would be options or commands are refused", async () => {
  for (const bad of ["--upload-pack=touch x", "ext::sh -c true"])
    await expect(resolveGit({ remote: bad, access })).rejects.toMatchObject({ code: "usage" });
});
