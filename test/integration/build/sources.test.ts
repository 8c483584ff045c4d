// Everything that a build reads besides a directory: ADD of URLs and of git, contexts that are fetched or piped, named contexts, times taken from them.
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openRig, type CommandOptions, type CommandResult, type Rig } from "../../support/rig.ts";
import { makeCertificate, makeRepository, makeTar, openSite, type Repository, type Site } from "../../support/site.ts";

let rig: Rig;
let site: Site;
let repositories = "";
let count = 0;
beforeAll(async () => {
  rig = await openRig();
  repositories = join(rig.root, "git");
  mkdirSync(repositories);
  site = await openSite(repositories);
});
afterAll(async () => {
  await site[Symbol.asyncDispose]();
  expect(rig.leftovers()).toEqual([]);
  await rig[Symbol.asyncDispose]();
});
beforeEach(() => {
  site.pages.clear();
  site.gitAuthorization = undefined;
  site.takeRequests();
});

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Builds and exports; the folder that came out. */
async function files(args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const dest = join(rig.root, `out${count++}`);
  await rig.must(["-q", "-o", dest, ...args], options);
  return dest;
}

/** Owner and group of a path of the result, which a directory on this machine does not show. */
async function ownerOf(path: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const dest = join(rig.root, `out${count++}.tar`);
  await rig.must(["-q", "-o", `type=tar,dest=${dest}`, ...args], options);
  const listed = execFileSync("tar", ["--numeric-owner", "-tvf", dest], { encoding: "utf8" }).split("\n");
  return listed.find((line) => line.endsWith(` ${path}`))?.split(/\s+/)[1] ?? "";
}

/** Steps of a build and how they ended. */
async function outcomes(args: readonly string[], options: CommandOptions = {}): Promise<Record<string, string>> {
  const { stderr } = await rig.must(["--progress", "rawjson", ...args], options);
  return Object.fromEntries([...rig.outcomes(stderr)].filter(([name]) => /^\[(?!internal|context)/.test(name)));
}

/** A build that fails: on one screen, with this exit code, saying all of this. */
async function fails(
  args: readonly string[],
  code: number,
  says: readonly (string | RegExp)[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const result = await rig.tsbuild(["-q", ...args], options);
  const screen = result.stderr;
  for (const text of says) expect(screen).toMatch(text instanceof RegExp ? text : literally(text));
  expect(screen.split("\n").length).toBeLessThan(25);
  expect(screen).not.toMatch(/^\s+at /m);
  expect(result.code).toBe(code);
  return result;
}

const literally = (text: string): RegExp => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
const dockerfile = (text: string, more: Readonly<Record<string, string>> = {}): string =>
  rig.context({ Dockerfile: text, ...more });
const repository = (name: string): Repository => makeRepository(repositories, name);

describe("ADD of a URL", () => {
  const page = { body: "hello\n", headers: { etag: '"1"', "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" } };

  test("AD03: name, mode 0600, time of the server; an unchanged one costs one HEAD and no step", async () => {
    site.pages.set("/dir/a%20file", page);
    const context = dockerfile(
      `FROM scratch\nADD ${site.base}/dir/a%20file?x=1#y /dl/\nADD ${site.base}/dir/a%20file /as\n`,
    );
    const out = await files([context]);
    for (const path of ["dl/a file", "as"]) {
      const stat = statSync(join(out, path));
      expect([stat.mode & 0o7777, stat.uid, stat.gid, stat.mtimeMs]).toEqual([0o600, 0, 0, 1445412480000]);
      expect(readFileSync(join(out, path), "utf8")).toBe("hello\n");
    }
    site.takeRequests();
    expect(new Set(Object.values(await outcomes([context])))).toEqual(new Set(["cached"]));
    expect(site.takeRequests()).toEqual(["HEAD /dir/a%20file", "HEAD /dir/a%20file"]);
    site.pages.set("/dir/a%20file", { ...page, body: "other\n", headers: { etag: '"2"' } });
    expect(Object.values(await outcomes([context]))).toEqual(["ran", "ran"]);
    expect(statSync(join(await files([context]), "as")).mtimeMs).toBe(0);
  });

  test("AD03: a URL without a name, and one that is fetched by two steps once", async () => {
    site.pages.set("/", { body: "index" });
    const out = await files([dockerfile(`FROM scratch\nADD ${site.base}/ /a/\nADD ${site.base}/ /b/\n`)]);
    expect(readFileSync(join(out, "b/__unnamed__"), "utf8")).toBe("index");
    expect(site.takeRequests()).toEqual(["GET /"]);
  });

  test("AD04: with a checksum a second build asks nobody, even where the download was lost", async () => {
    site.pages.set("/f", page);
    const context = dockerfile(`FROM scratch\nADD --checksum=sha256:${sha256("hello\n")} ${site.base}/f /f\n`);
    await rig.must([context]);
    expect(site.takeRequests()).toEqual(["GET /f"]);
    site.pages.clear();
    rmSync(join(rig.store, "sources"), { recursive: true });
    await rig.must([context]);
    expect(site.takeRequests()).toEqual([]);
  });

  test("Q04, T8: a file by its content, name, mode and owner; not by its URL", async () => {
    const steps = async (path: string, name = "f"): Promise<string> => {
      const context = dockerfile(`FROM busybox\nADD ${site.base}/${path}/${name} /x/\n`);
      return Object.entries(await outcomes([context])).find(([step]) => step.includes("] ADD "))?.[1] ?? "";
    };
    const headers = { "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" };
    site.pages.set("/one/f", { body: "q04", headers });
    site.pages.set("/two/f", { body: "q04", headers });
    site.pages.set("/two/g", { body: "q04", headers });
    site.pages.set("/three/f", { body: "q04 changed", headers });
    expect([await steps("one"), await steps("one"), await steps("two")]).toEqual(["ran", "cached", "cached"]);
    expect([await steps("two", "g"), await steps("three")]).toEqual(["ran", "ran"]);
    /** What `ADD <flags> …/one/f /x` makes of the same bytes: mode, owner, time. */
    const added = async (...flags: string[]): Promise<string> => {
      const context = dockerfile(`FROM scratch\nADD ${[...flags, `${site.base}/one/f`].join(" ")} /x\n`);
      // As an image the layer is kept, for a key that is wrong to find it.
      await rig.must([context]);
      const { mode, mtimeMs } = statSync(join(await files([context]), "x"));
      return `${(mode & 0o7777).toString(8)} ${await ownerOf("x", [context])} ${mtimeMs / 1000}`;
    };
    expect(await added()).toBe("600 0/0 1445412480");
    expect(await added("--chmod=0640")).toBe("640 0/0 1445412480");
    expect(await added("--chown=5:6")).toBe("600 5/6 1445412480");
    // As with BuildKit: a new time alone makes another source, whose content the ADD has seen.
    site.pages.set("/one/f", { body: "q04", headers: { "last-modified": "Thu, 22 Oct 2015 07:28:00 GMT" } });
    expect(await added()).toBe("600 0/0 1445412480");
  });

  test("AD04: another content is refused at its line, and nothing of it is kept", async () => {
    site.pages.set("/f", page);
    const wrong = `sha256:${"0".repeat(64)}`;
    await fails([dockerfile(`FROM scratch\nADD --checksum=${wrong} ${site.base}/f /f\n`)], 1, [
      `digest mismatch for ${site.base}/f: sha256:${sha256("hello\n")} (expected: ${wrong})`,
      "Dockerfile:2",
      "   2 | >>> ADD",
      "if you trust the file: --checksum=sha256:",
    ]);
  });

  test("AD05: secrets for a host, and what is said without them", async () => {
    site.pages.set("/p", { body: "private", authorization: "Bearer s3cr3t" });
    site.pages.set("/h", { body: "private", authorization: "Basic abc" });
    const context = dockerfile(`FROM scratch\nADD ${site.base}/p /p\n`);
    await fails([context], 1, ["invalid response status 401", "--secret id=HTTP_AUTH_TOKEN_127.0.0.1"]);
    const token = join(rig.root, "token");
    writeFileSync(token, "s3cr3t\n");
    await files(["--secret", `id=HTTP_AUTH_TOKEN_127.0.0.1,src=${token}`, context]);
    const header = ["--secret", "id=HTTP_AUTH_HEADER_127.0.0.1,env=H"];
    await files([...header, dockerfile(`FROM scratch\nADD ${site.base}/h /h\n`)], { env: { H: "Basic abc" } });
    const refused = await fails([...header, context], 2, ["cannot be sent as a header"], { env: { H: "a\nb s3cr3t" } });
    expect(refused.stderr).not.toContain("s3cr3t");
  });

  test("AD03: --unpack opens what was downloaded, and only then", async () => {
    const folder = rig.context({ "deep/er/f": "x", top: "y" });
    chownSync(join(folder, "top"), 12, 34);
    for (const program of ["none", "gzip", "bzip2", "xz", "zstd"] as const)
      site.pages.set(`/${program}`, { body: makeTar(folder, program) });
    const adds = [...site.pages.keys()].map((path) => `ADD --unpack ${site.base}${path} ${path}/\n`).join("");
    const context = dockerfile(`FROM scratch\n${adds}ADD ${site.base}/gzip /kept\n`);
    const out = await files([context]);
    for (const path of site.pages.keys()) {
      expect(readFileSync(join(out, path, "deep/er/f"), "utf8")).toBe("x");
      expect(await ownerOf(`${path.slice(1)}/top`, [context])).toBe("12/34");
    }
    expect(statSync(join(out, "kept")).isFile()).toBe(true);
  });

  test("AD02: directories that an archive only implies are made 0755 where nothing is, and are left as they are elsewhere", async () => {
    const folder = rig.context({ "old/in/f": "", "new/in/f": "" });
    const body = makeTar(folder, "none", [
      "--no-recursion",
      "--owner=7",
      "--group=8",
      "old/in/f",
      "new/in/f",
      "--exclude=.",
    ]);
    site.pages.set("/a", { body });
    const text = `FROM busybox\nRUN mkdir -m 0710 /d /d/old && chown 5:6 /d/old\nADD --unpack ${site.base}/a /d/\nRUN stat -c '%n %a %u:%g' /d/old /d/old/in /d/new /d/new/in /d/new/in/f > /says\n`;
    const out = await files([dockerfile(text)]);
    expect(readFileSync(join(out, "says"), "utf8").split("\n").slice(0, 4)).toEqual([
      "/d/old 710 5:6",
      "/d/old/in 755 0:0",
      "/d/new 755 0:0",
      "/d/new/in 755 0:0",
    ]);
  });

  test("a network that fails is exit status 3, at its line, without credentials", async () => {
    const context = dockerfile("FROM scratch\nADD http://me:hunter2@127.0.0.1:1/x /x\n");
    const { stderr } = await fails([context], 3, [
      "cannot fetch http://xxxxx:xxxxx@127.0.0.1:1/x",
      "connection refused",
      "Dockerfile:2",
      "help:",
    ]);
    expect(stderr).not.toContain("hunter2");
    await fails([dockerfile(`FROM scratch\nADD ${site.base}/gone /x\n`)], 1, [
      "invalid response status 404",
      "Dockerfile:2",
    ]);
  });

  test("--ca-cert is trusted for URLs and for git", async () => {
    const certificate = makeCertificate(rig.context({}));
    await using secure = await openSite(repositories, certificate);
    secure.pages.set("/f", { body: "tls" });
    repository("tls").commit({ g: "git" });
    const context = dockerfile(`FROM scratch\nADD ${secure.base}/f /f\nADD ${secure.base}/tls.git /g/\n`);
    await fails([dockerfile(`FROM scratch\nADD ${secure.base}/f /f\n`)], 3, ["self-signed", "--ca-cert FILE"]);
    await fails([dockerfile(`FROM scratch\nADD ${secure.base}/tls.git /f\n`)], 3, ["certificate", "--ca-cert FILE"]);
    const out = await files(["--ca-cert", certificate.path, context]);
    expect([readFileSync(join(out, "f"), "utf8"), readFileSync(join(out, "g/g"), "utf8")]).toEqual(["tls", "git"]);
  });
});

describe("ADD of git", () => {
  test("AD06–AD09: a ref and a directory of it; without .git unless it is kept; modes and links", async () => {
    const repo = repository("add");
    repo.commit({ "sub/run.sh": "#!/bin/sh", "sub/link": "-> /etc/passwd", top: "1" });
    repo.git("tag", "v1");
    repo.git("push", "-q", "origin", "v1");
    const second = repo.commit({ top: "2" });
    const url = `${site.base}/add.git`;
    const out = await files([
      dockerfile(
        `FROM scratch\nADD ${url}#v1:sub /sub\nADD ${url} /tip/\nADD --keep-git-dir=true ${url}#main /kept\nADD --checksum=${second.slice(0, 9)} ${url}?branch=main /sum\n`,
      ),
    ]);
    expect(readdirSync(join(out, "sub")).sort()).toEqual(["link", "run.sh"]);
    expect(statSync(join(out, "sub/run.sh")).mode & 0o777).toBe(0o755);
    expect(readdirSync(join(out, "tip"))).toEqual(["top"]);
    expect(readFileSync(join(out, "kept/.git/HEAD"), "utf8").trim()).toBe(second);
    expect(readFileSync(join(out, "sum/top"), "utf8")).toBe("2");
  });

  test("AD09: submodules and theirs are there, each by one commit; none where the query says so", async () => {
    /** The last of its commits has the submodule `inside`, which is at `url`, at `commit`. */
    const nest = (name: string, inside: string, url: string, commit: string): string => {
      const repo = repository(name);
      repo.commit({ ".gitmodules": `[submodule "${inside}"]\n\tpath = ${inside}\n\turl = ${url}\n` });
      repo.git("update-index", "--add", "--cacheinfo", `160000,${commit},${inside}`);
      repo.git("commit", "-q", "-m", inside);
      repo.git("push", "-q", "origin", "HEAD");
      return repo.git("rev-parse", "HEAD");
    };
    const deep = repository("elsewhere/deep");
    deep.commit({ file: "0" });
    // Each URL starts from that of the repository that says it.
    const middle = nest("elsewhere/middle", "deep", "../deep.git", deep.commit({ file: "deep" }));
    nest("outer", "middle", "../elsewhere/middle.git", middle);
    const url = `${site.base}/outer.git`;
    const kept = `--keep-git-dir http://me:hunter2@${site.host}/outer.git /kept/`;
    const adds = [`${url} /with/`, `${url}?submodules=false /without/`, kept];
    const out = await files([dockerfile(`FROM scratch\n${adds.map((add) => `ADD ${add}\n`).join("")}`)]);
    expect(readFileSync(join(out, "with/middle/deep/file"), "utf8")).toBe("deep");
    const paths = readdirSync(join(out, "with"), { recursive: true, encoding: "utf8" });
    expect(paths.filter((path) => path.endsWith(".git"))).toEqual([]);
    expect(readdirSync(join(out, "without/middle"))).toEqual([]);
    for (const module of ["", "/modules/middle", "/modules/middle/modules/deep"])
      expect(existsSync(join(out, `kept/.git${module}/shallow`)), module).toBe(true);
    const inKept = readdirSync(join(out, "kept"), { recursive: true, withFileTypes: true });
    for (const file of inKept.filter((entry) => entry.isFile())) {
      const path = join(file.parentPath, file.name);
      expect(readFileSync(path).includes("hunter2"), path).toBe(false);
    }
  });

  test("Q03: an unchanged ref costs one question; a moved one is fetched", async () => {
    const repo = repository("moves");
    repo.commit({ a: "1" });
    const context = dockerfile(`FROM busybox\nADD ${site.base}/moves.git /src\nRUN cat /src/a > /a\n`);
    await rig.must([context]);
    site.takeRequests();
    expect(new Set(Object.values(await outcomes([context])))).toEqual(new Set(["cached"]));
    expect(site.takeRequests().filter((request) => request.endsWith("git-upload-pack")).length).toBeLessThanOrEqual(2);
    repo.commit({ a: "2" });
    expect((await outcomes([context]))["[3/3] RUN cat /src/a > /a"]).toBe("ran");
    // Another commit of the same files: the ADD's layer is the one that is there, so what follows is not done again.
    repo.commit({ a: "2" }, 1_700_000_000);
    expect(await outcomes([context])).toMatchObject({ "[3/3] RUN cat /src/a > /a": "cached" });
  });

  test("Q03: a commit counts by its hash, directory, .git, submodules and times; not by its URL or the ref that led to it", async () => {
    const repo = repository("keyed");
    repo.commit({ "d/a": "in d", "e/a": "in e" });
    repo.git("tag", "same");
    repo.git("push", "-q", "origin", "same");
    execFileSync("git", ["clone", "-q", "--bare", join(repositories, "keyed.git"), join(repositories, "moved.git")]);
    const add = (source: string): string => dockerfile(`FROM scratch\nADD ${site.base}/${source} /x/\n`);
    await rig.must([add("keyed.git#main")]);
    for (const same of ["keyed.git#same", "moved.git#main"]) {
      site.takeRequests();
      expect([same, ...new Set(Object.values(await outcomes([add(same)])))]).toEqual([same, "cached"]);
      // Asked what the ref means, and nothing was fetched.
      const asked = site.takeRequests().filter((request) => request.startsWith("POST"));
      expect(asked.length).toBeLessThanOrEqual(1);
    }
    // As images the first of what must be told apart are kept, for a key that is wrong to find them.
    for (const first of ["keyed.git#main:d", "keyed.git?keep-git-dir=1#main"]) await rig.must([add(first)]);
    expect(readFileSync(join(await files([add("keyed.git#main:d")]), "x/a"), "utf8")).toBe("in d");
    expect(readFileSync(join(await files([add("keyed.git#main:e")]), "x/a"), "utf8")).toBe("in e");
    const kept = async (source: string): Promise<string> =>
      execFileSync("git", ["-C", join(await files([add(source)]), "x"), "for-each-ref", "--format=%(refname)"], {
        encoding: "utf8",
        env: { PATH: process.env["PATH"], HOME: rig.root },
      }).trim();
    expect(await kept("keyed.git?keep-git-dir=1#main")).toBe("refs/heads/main");
    expect(await kept("keyed.git?keep-git-dir=1#same")).toBe("refs/tags/same");
    const time = async (source: string): Promise<number> => statSync(join(await files([add(source)]), "x/d/a")).mtimeMs;
    expect(await time("keyed.git#main")).toBeGreaterThan(1.7e12);
    expect(await time("keyed.git?mtime=commit#main")).toBe(1.6e12);
    const inner = repository("inner").commit({ file: "of the submodule" });
    repo.commit({ ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ../inner.git\n' });
    repo.git("update-index", "--add", "--cacheinfo", `160000,${inner},lib`);
    repo.git("commit", "-q", "-m", "lib");
    repo.git("push", "-q", "origin", "HEAD");
    const library = async (source: string): Promise<string[]> => readdirSync(join(await files([add(source)]), "x/lib"));
    await rig.must([add("keyed.git#main")]);
    expect(await library("keyed.git#main")).toEqual(["file"]);
    expect(await library("keyed.git?submodules=0#main")).toEqual([]);
  });

  test("AD09: what is wrong is told at its line", async () => {
    const repo = repository("wrong");
    const commit = repo.commit({ a: "1" });
    const url = `${site.base}/wrong.git`;
    const add = (text: string): string[] => [dockerfile(`FROM scratch\nADD ${text} /x\n`)];
    await fails(add(`${url}#nope`), 1, ["repository does not contain ref nope", "Dockerfile:2"]);
    await fails(add(`${url}#main:nope`), 1, ["subdir nope", "no such file or directory", "Dockerfile:2"]);
    await fails(add(`--checksum=0000000 ${url}#main`), 1, [
      `expected checksum to match 0000000, got ${commit}`,
      "Dockerfile:2",
    ]);
    await fails(add(`--checksum=0000000 ${url}#${commit}`), 1, ["expected checksum to match 0000000", "Dockerfile:2"]);
    await fails(add(`${url}?what=1`), 1, ['unexpected query "what"', "Dockerfile:2"]);
    await fails(add("http://me:hunter2@127.0.0.1:1/x.git"), 3, ["xxxxx:xxxxx@127.0.0.1:1/x.git", "Dockerfile:2"]);
  });

  test("AD10: secrets for git, also of one host only; not given away to other programs", async () => {
    repository("private").commit({ a: "1" });
    site.gitAuthorization = `basic ${Buffer.from("x-access-token:t0k3n").toString("base64")}`;
    const context = dockerfile(`FROM scratch\nADD ${site.base}/private.git /x\n`);
    await fails([context], 1, ["--secret id=GIT_AUTH_TOKEN", "Dockerfile:2"]);
    const env = { T: "t0k3n" };
    await rig.must(["--secret", "id=GIT_AUTH_TOKEN,env=T", context], { env });
    site.gitAuthorization = "Basic abc";
    const other = dockerfile(`FROM scratch\nADD ${site.base}/private.git /y\n`);
    const general = ["--secret", "id=GIT_AUTH_HEADER,env=OTHER", "--secret", "id=GIT_AUTH_TOKEN,env=OTHER"];
    const result = await rig.must([...general, "--secret", `id=GIT_AUTH_HEADER.${site.host},env=T`, other], {
      env: { T: "Basic abc", OTHER: "Basic no" },
    });
    expect(result.stderr).not.toContain("abc");
  });

  test("AD10, X03: ssh has the agent of --ssh default, and none without it", async () => {
    repository("ssh").commit({ a: "over ssh" });
    const bin = rig.context({});
    const log = join(rig.root, "ssh.log");
    // Stands in for ssh: the agent that it was given, and the command for the other side, run on this one.
    const script = `#!/bin/sh\necho "\${SSH_AUTH_SOCK-none} $*" >>${log}\nfor last; do :; done\neval "exec \${last#* } \\"\\$@\\"" 2>/dev/null || true\n`;
    writeFileSync(join(bin, "ssh"), script.replace(/eval.*\n/, `exec sh -c "$last"\n`), { mode: 0o755 });
    const env = { PATH: `${bin}:${process.env["PATH"]}`, SSH_AUTH_SOCK: join(rig.root, "agent.sock") };
    const context = dockerfile(`FROM scratch\nADD git@example.com:${repositories}/ssh.git /x\n`);
    const out = await files(["--ssh", "default", context], { env });
    expect(readFileSync(join(out, "x/a"), "utf8")).toBe("over ssh");
    expect(readFileSync(log, "utf8")).toMatch(
      /^\S+agent\.sock .*StrictHostKeyChecking=yes.*git@example\.com git-upload-pack/,
    );
    // X03: a context is fetched with the same agent.
    writeFileSync(log, "");
    const remote = `git@example.com:${repositories}/ssh.git#main`;
    const input = "FROM scratch\nCOPY a /from-context\n";
    expect(readdirSync(await files(["--ssh", "default", "-f", "-", remote], { env, input }))).toEqual(["from-context"]);
    expect(readFileSync(log, "utf8")).toMatch(/^\S+agent\.sock /);
    writeFileSync(log, "");
    await files([dockerfile(`FROM scratch\nADD git@example.com:${repositories}/ssh.git#main /z\n`)], { env });
    expect(readFileSync(log, "utf8")).toMatch(/^none /);
  });
});

describe("contexts that are fetched", () => {
  test("X03, A24: a repository; its .dockerignore is a file like any other; -f names a file in it", async () => {
    const repo = repository("context");
    const own = {
      ".dockerignore": "*\n",
      Dockerfile: "FROM scratch\nCOPY . /all/\n",
      "sub/Other": "FROM scratch\nCOPY a /a\n",
    };
    repo.commit({ ...own, a: "1", "sub/a": "sub" });
    const url = `${site.base}/context.git`;
    expect(readdirSync(join(await files([url]), "all")).sort()).toEqual([".dockerignore", "Dockerfile", "a", "sub"]);
    expect(readFileSync(join(await files(["-f", "sub/Other", url]), "a"), "utf8")).toBe("1");
    expect(readFileSync(join(await files(["-f", "Other", `${url}#main:sub`]), "a"), "utf8")).toBe("sub");
    const elsewhere = join(dockerfile("FROM scratch\nCOPY sub/a /mine\n"), "Dockerfile");
    expect(readdirSync(await files(["-f", elsewhere, url]))).toEqual(["mine"]);
    const input = "FROM scratch\nCOPY a /piped\n";
    expect(readdirSync(await files(["-f", "-", url], { input }))).toEqual(["piped"]);
    await fails(["-f", "Dockerfil", url], 1, [
      "failed to read dockerfile: open Dockerfil: no such file",
      'did you mean "Dockerfile"',
    ]);
    const kept = await files(["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url]);
    expect(existsSync(join(kept, "all/.git/HEAD"))).toBe(true);
    expect(existsSync(join(await files([`${url}?keep-git-dir=true`]), "all/.git/HEAD"))).toBe(true);
    const dropped = await files(["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=false", url]);
    expect(existsSync(join(dropped, "all/.git"))).toBe(false);
  });

  test("X03: a commit that does not touch what a step reads runs nothing again", async () => {
    const repo = repository("quiet");
    const text = "FROM busybox\nCOPY a /a\nRUN --mount=target=/c,source=b cat /c > /b\n";
    repo.commit({ Dockerfile: text, a: "1", b: "2", other: "3" });
    const url = `${site.base}/quiet.git`;
    await rig.must([url]);
    repo.commit({ Dockerfile: text, a: "1", b: "2", other: "4" });
    expect(new Set(Object.values(await outcomes([url])))).toEqual(new Set(["cached"]));
    repo.commit({ Dockerfile: text, a: "1", b: "5", other: "4" });
    expect(Object.values(await outcomes([url]))).toContain("ran");
  });

  test("X03: a Dockerfile that is a link stays in the repository", async () => {
    const repo = repository("link");
    const secret = join(rig.root, "host-file");
    writeFileSync(secret, "topsecret\n");
    repo.commit({ Dockerfile: `-> ${secret}`, other: "-> ../../../../../../etc/hostname" });
    const url = `${site.base}/link.git`;
    const { stderr } = await fails([url], 1, ["failed to read dockerfile: open Dockerfile: no such file"]);
    expect(stderr).not.toContain("topsecret");
    await fails(["-f", "other", url], 1, ["failed to read dockerfile: open other: no such file"]);
    repo.commit({ Dockerfile: "-> real", real: "FROM scratch\nCOPY real /real\n" });
    expect(readdirSync(await files([url]))).toEqual(["real"]);
  });

  const archive = (): string => {
    const folder = rig.context({
      ".dockerignore": "*\n",
      Dockerfile: "FROM scratch\nCOPY . /all/\nCOPY own /one\n",
      own: "x",
      "d/e": "y",
    });
    chownSync(join(folder, "own"), 1234, 2345);
    return folder;
  };
  const check = async (context: string, options: CommandOptions): Promise<void> => {
    expect(readdirSync(join(await files([context], options), "all")).sort()).toEqual([
      ".dockerignore",
      "Dockerfile",
      "d",
      "own",
    ]);
    expect(await ownerOf("one", [context], options)).toBe("1234/2345");
  };

  test.each(["none", "gzip", "bzip2", "xz", "zstd"] as const)(
    "X02, X04: an archive (%s) by URL and on standard input, with its owners and without its .dockerignore",
    async (program) => {
      const body = makeTar(archive(), program);
      site.pages.set("/ctx", { body });
      await check(`${site.base}/ctx`, {});
      await check("-", { input: body });
    },
  );

  test("X02, X04: -f names a file of the archive, or one of this machine by its whole path", async () => {
    const body = makeTar(rig.context({ "sub/D": "FROM scratch\nCOPY a /sub\n", a: "1" }), "gzip");
    site.pages.set("/ctx", { body });
    for (const [context, options] of [
      ["-", { input: body }],
      [`${site.base}/ctx`, {}],
    ] as const) {
      expect(readdirSync(await files(["-f", "sub/D", context], options))).toEqual(["sub"]);
      const elsewhere = join(dockerfile("FROM scratch\nCOPY a /mine\n"), "Dockerfile");
      expect(readdirSync(await files(["-f", elsewhere, context], options))).toEqual(["mine"]);
      await fails([context], 1, ["failed to read dockerfile: open Dockerfile: no such file"], options);
    }
  });

  test("X01, X06: in what is fetched or piped, too, it may be called dockerfile", async () => {
    const lower = { dockerfile: "FROM scratch\nCOPY a /lower\n", a: "1" };
    repository("lower").commit(lower);
    expect(readdirSync(await files([`${site.base}/lower.git`]))).toEqual(["lower"]);
    const input = makeTar(rig.context(lower), "none");
    expect(readdirSync(await files(["-"], { input }))).toEqual(["lower"]);
  });

  test("X04: anything else is a Dockerfile, which is all that its context has", async () => {
    site.pages.set("/text", { body: "FROM scratch\nCOPY . /all/\n" });
    expect(readdirSync(join(await files([`${site.base}/text`]), "all"))).toEqual(["context"]);
    await fails(["-f", "x", `${site.base}/text`], 2, ["ambiguous Dockerfile source"]);
    site.pages.set("/bad", { body: "FROM scratch\nRUNN x\n" });
    await fails([`${site.base}/bad?token=s3cr3t`], 1, ["unknown instruction: RUNN", `${site.base}/bad?token=xxxxx:2`]);
  });

  test("X02: a Dockerfile on standard input has an empty context, or the directory that is named", async () => {
    const input = "FROM scratch\nCOPY . /all/\n";
    expect(readdirSync(join(await files(["-"], { input }), "all"))).toEqual([]);
    await fails(["-f", "x", "-"], 2, ["ambiguous Dockerfile source: both stdin and flag"], { input });
    await fails(["-f", "-", "-"], 2, ["can't use stdin for both build context and dockerfile"], { input });
    expect(readdirSync(join(await files(["-f", "-", rig.context({ a: "" })], { input }), "all"))).toEqual(["a"]);
    site.pages.set("/D", { body: input });
    expect(readdirSync(join(await files(["-f", `${site.base}/D`, rig.context({ b: "" })]), "all"))).toEqual(["b"]);
    await fails(["-f", `${site.base}/none`, rig.context({})], 1, ["invalid response status 404"]);
    site.pages.set("/wrong", { body: "FROM scratch\nRUNN x\n" });
    const wrong = ["-f", `${site.base}/wrong?token=s3cr3t`, rig.context({})];
    await fails(wrong, 1, ["unknown instruction: RUNN", `${site.base}/wrong?token=xxxxx:2`]);
  });

  test("X02, X04: a damaged archive, and one that is none after all", async () => {
    const whole = makeTar(archive(), "gzip");
    await fails(["-"], 1, ["error:"], { input: whole.subarray(0, whole.length - 20) });
    await fails(["-"], 1, ["standard input is no archive"], { input: Buffer.from("BZh91AY&SY nothing like it") });
    site.pages.set("/x", { body: Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), Buffer.alloc(600)]) });
    await fails([`${site.base}/x`], 1, [`${site.base}/x is no archive`]);
  });
});

describe("named contexts", () => {
  test("X05: git, a URL and a directory; FROM one of them; nothing is asked of those that nobody uses", async () => {
    repository("named").commit({ "d/f": "git" });
    site.pages.set("/file.tgz", { body: "not opened" });
    const folder = rig.context({ g: "dir", ".dockerignore": "hidden\n", hidden: "" });
    const context = dockerfile("FROM g AS base\nCOPY --from=h . /h\nCOPY --from=d . /d\n");
    const named = ["--build-context", `g=${site.base}/named.git#main:d`, "--build-context", `h=${site.base}/file.tgz`];
    const unused = ["bad=http://127.0.0.1:1/x", "worse=http://127.0.0.1:1/x.git", "gone=/nonexistent"];
    const args = [...named, "--build-context", `d=${folder}`, ...unused.flatMap((text) => ["--build-context", text])];
    const out = await files([...args, context]);
    expect(readFileSync(join(out, "f"), "utf8")).toBe("git");
    expect(readFileSync(join(out, "h/context"), "utf8")).toBe("not opened");
    expect(readdirSync(join(out, "d")).sort()).toEqual([".dockerignore", "g"]);
  });

  test("X05: a broken one that is used is told at the line that uses it", async () => {
    const context = dockerfile("FROM scratch\nCOPY --from=n . /n\n");
    const using = (value: string): string[] => ["--build-context", `n=${value}`, context];
    await fails(using("http://127.0.0.1:1/x"), 3, ["connection refused", "Dockerfile:2"]);
    await fails(using("http://127.0.0.1:1/x.git"), 3, ["failed to fetch remote", "Dockerfile:2"]);
    await fails(using("/nonexistent"), 1, ['path "/nonexistent" not found', "Dockerfile:2"]);
    await fails(using("-"), 2, ["only the main one can be on standard input"]);
    await fails(using("target:base"), 2, ["is a target of a bake file", "help: build that target first"]);
    await fails(using("https://h/r.git?ref="), 2, ['query "ref" has no value']);
    const broken = rig.context({ ".dockerignore": "[\n" });
    await fails(using(broken), 1, [".dockerignore"]);
  });

  test("X05: of a directory only what a step uses counts", async () => {
    const folder = rig.context({ used: "1", other: "1" });
    const args = ["--build-context", `d=${folder}`, dockerfile("FROM scratch\nCOPY --from=d used /used\n")];
    await rig.must(args);
    writeFileSync(join(folder, "other"), "2");
    expect(Object.values(await outcomes(args))).toEqual(["cached"]);
    writeFileSync(join(folder, "used"), "2");
    expect(Object.values(await outcomes(args))).toEqual(["ran"]);
  });

  test("X05: a commit that changes other files of a mounted context runs nothing again", async () => {
    const repo = repository("mounted");
    repo.commit({ a: "1", b: "1" });
    const context = dockerfile("FROM busybox\nRUN --mount=from=m,target=/m,source=a cat /m > /a\n");
    const args = ["--build-context", `m=${site.base}/mounted.git`, context];
    await rig.must(args);
    repo.commit({ a: "1", b: "2" });
    expect(new Set(Object.values(await outcomes(args)))).toEqual(new Set(["cached"]));
  });
});

describe("A31: SOURCE_DATE_EPOCH", () => {
  const created = async (args: readonly string[], options: CommandOptions = {}): Promise<number> => {
    await rig.must(["-q", "-t", "dated", ...args], options);
    const { stdout } = await rig.must(["inspect", "dated"]);
    return Date.parse(/"created": "([^"]+)"/.exec(stdout)![1]!) / 1000;
  };
  const dated = (value: string): string[] => ["--build-arg", `SOURCE_DATE_EPOCH=${value}`];

  test("context: of a commit, of the server, of the newest file in an archive; not of a directory", async () => {
    repository("dated").commit({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" }, 1_234_567_890);
    expect(await created([...dated("context"), `${site.base}/dated.git`])).toBe(1_234_567_890);
    const folder = rig.context({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" });
    const body = makeTar(folder, "gzip", ["--mtime=@1111111111"]);
    site.pages.set("/a", { body });
    site.pages.set("/b", { body, headers: { "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" } });
    expect(await created([...dated("context"), `${site.base}/a`])).toBe(1_111_111_111);
    expect(await created([...dated("context"), `${site.base}/b`])).toBe(1_445_412_480);
    expect(await created([...dated("context"), "-"], { input: body })).toBe(1_111_111_111);
    expect(await created([...dated("context"), folder])).toBeGreaterThan(1_700_000_000);
    expect(await created([folder], { env: { SOURCE_DATE_EPOCH: "77" } })).toBe(77);
  });

  test("a named context, and a stage that is one remote ADD; also as a default in the Dockerfile", async () => {
    repository("stage").commit({ a: "1" }, 1_222_222_222);
    const url = `${site.base}/stage.git`;
    const context = dockerfile(
      `ARG SOURCE_DATE_EPOCH=src\nARG URL=${url}\nFROM scratch AS src\nARG URL\nADD \${URL}#main /\nFROM scratch\nCOPY --from=src . /\n`,
    );
    expect(await created([context])).toBe(1_222_222_222);
    site.pages.set("/n", { body: "x", headers: { "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" } });
    const plain = dockerfile("FROM scratch\nCOPY Dockerfile /\n");
    expect(await created([...dated("n"), "--build-context", `n=${site.base}/n`, plain])).toBe(1_445_412_480);
    expect(await created([...dated("n"), "--build-context", `n=${plain}`, plain])).toBeGreaterThan(1_700_000_000);
  });

  test("what cannot give a time is refused", async () => {
    const stages = (body: string): string => dockerfile(`FROM ${body}\nFROM scratch\nCOPY Dockerfile /\n`);
    await fails([...dated("nope"), stages("scratch AS s")], 1, ["invalid SOURCE_DATE_EPOCH: nope"]);
    await fails([...dated("s"), stages("busybox AS s")], 1, [
      "SOURCE_DATE_EPOCH stage must use FROM scratch",
      "Dockerfile:1",
    ]);
    await fails([...dated("s"), stages("scratch AS s")], 1, ["must contain exactly one remote ADD"]);
    await fails([...dated("s"), stages("scratch AS s\nWORKDIR /x")], 1, ["unsupported workdir instruction"]);
    await fails([...dated("s"), stages("scratch AS s\nADD x /")], 1, ["must be a single HTTP(S) or Git ADD"]);
  });
});

test("M30: a tmpfs can be read-only, has no source, and takes nothing from where it is from", async () => {
  const run = (mount: string, command: string): string =>
    dockerfile(
      `FROM busybox AS st\nRUN echo no > /ran\nFROM busybox\nRUN --mount=type=tmpfs,target=/t${mount} ${command}\n`,
    );
  await rig.must([run(",ro", "! touch /t/x && grep ' /t tmpfs ro' /proc/mounts")]);
  await rig.must([run(",ro=false", "touch /t/x")]);
  const steps = await outcomes([run(",from=st", '[ -z "$(ls /t)" ]')]);
  expect(Object.keys(steps).filter((name) => name.includes("echo no"))).toEqual([]);
  await fails([run(",from=127.0.0.1:1/no/such", "true")], 3, ["127.0.0.1:1"]);
  await fails([run(",source=/sub", "true")], 1, [
    "open /sub: no such file or directory",
    "leave source out",
    "Dockerfile:4",
  ]);
});

test("GC04: what sources keep is counted and pruned; the next build fetches again", async () => {
  site.pages.set("/kept", { body: "kept" });
  repository("kept").commit({ a: "1" });
  const context = dockerfile(`FROM scratch\nADD ${site.base}/kept /f\nADD ${site.base}/kept.git /g/\n`);
  await rig.must([context]);
  const kinds = async (): Promise<string[]> => {
    const { items } = JSON.parse((await rig.must(["du", "--json"])).stdout) as { items: { kind: string }[] };
    return items.map(({ kind }) => kind);
  };
  expect((await kinds()).filter((kind) => kind === "source").length).toBeGreaterThanOrEqual(3);
  await rig.must(["prune", "--all"]);
  expect(await kinds()).not.toContain("source");
  expect(readFileSync(join(await files([context]), "g/a"), "utf8")).toBe("1");
});
