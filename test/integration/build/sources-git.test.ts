// ADD of git: refs, directories, submodules, commits as keys, credentials.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SourceRig } from "../../support/source-rig.ts";

const sources = new SourceRig();

describe("ADD of git", () => {
  test("AD06–AD09: a ref and a directory of it; without .git unless it is kept; modes and links", async () => {
    const repo = sources.repository("add");
    repo.commit({ "sub/run.sh": "#!/bin/sh", "sub/link": "-> /etc/passwd", top: "1" });
    repo.git("tag", "v1");
    repo.git("push", "-q", "origin", "v1");
    const second = repo.commit({ top: "2" });
    const url = `${sources.site.base}/add.git`;
    const out = await sources.files([
      sources.dockerfile(
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
      const repo = sources.repository(name);
      repo.commit({ ".gitmodules": `[submodule "${inside}"]\n\tpath = ${inside}\n\turl = ${url}\n` });
      repo.git("update-index", "--add", "--cacheinfo", `160000,${commit},${inside}`);
      repo.git("commit", "-q", "-m", inside);
      repo.git("push", "-q", "origin", "HEAD");
      return repo.git("rev-parse", "HEAD");
    };
    const deep = sources.repository("elsewhere/deep");
    deep.commit({ file: "0" });
    // Each URL starts from that of the repository that says it.
    const middle = nest("elsewhere/middle", "deep", "../deep.git", deep.commit({ file: "deep" }));
    nest("outer", "middle", "../elsewhere/middle.git", middle);
    const url = `${sources.site.base}/outer.git`;
    const kept = `--keep-git-dir http://me:hunter2@${sources.site.host}/outer.git /kept/`;
    const adds = [`${url} /with/`, `${url}?submodules=false /without/`, kept];
    const out = await sources.files([
      sources.dockerfile(`FROM scratch\n${adds.map((add) => `ADD ${add}\n`).join("")}`),
    ]);
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
    const repo = sources.repository("moves");
    repo.commit({ a: "1" });
    const context = sources.dockerfile(`FROM busybox\nADD ${sources.site.base}/moves.git /src\nRUN cat /src/a > /a\n`);
    await sources.rig.must([context]);
    sources.site.takeRequests();
    expect(new Set(Object.values(await sources.outcomes([context])))).toEqual(new Set(["cached"]));
    expect(
      sources.site.takeRequests().filter((request) => request.endsWith("git-upload-pack")).length,
    ).toBeLessThanOrEqual(2);
    repo.commit({ a: "2" });
    expect((await sources.outcomes([context]))["[3/3] RUN cat /src/a > /a"]).toBe("ran");
    // Another commit of the same files: the ADD's layer is the one that is there, so what follows is not done again.
    repo.commit({ a: "2" }, 1_700_000_000);
    expect(await sources.outcomes([context])).toMatchObject({ "[3/3] RUN cat /src/a > /a": "cached" });
  });

  test("Q03: a commit counts by its hash, directory, .git, submodules and times; not by its URL or the ref that led to it", async () => {
    const repo = sources.repository("keyed");
    repo.commit({ "d/a": "in d", "e/a": "in e" });
    repo.git("tag", "same");
    repo.git("push", "-q", "origin", "same");
    execFileSync("git", [
      "clone",
      "-q",
      "--bare",
      join(sources.repositories, "keyed.git"),
      join(sources.repositories, "moved.git"),
    ]);
    const add = (source: string): string =>
      sources.dockerfile(`FROM scratch\nADD ${sources.site.base}/${source} /x/\n`);
    await sources.rig.must([add("keyed.git#main")]);
    for (const same of ["keyed.git#same", "moved.git#main"]) {
      sources.site.takeRequests();
      expect([same, ...new Set(Object.values(await sources.outcomes([add(same)])))]).toEqual([same, "cached"]);
      // Asked what the ref means, and nothing was fetched.
      const asked = sources.site.takeRequests().filter((request) => request.startsWith("POST"));
      expect(asked.length).toBeLessThanOrEqual(1);
    }
    // As images the first of what must be told apart are kept, for a key that is wrong to find them.
    for (const first of ["keyed.git#main:d", "keyed.git?keep-git-dir=1#main"]) await sources.rig.must([add(first)]);
    expect(readFileSync(join(await sources.files([add("keyed.git#main:d")]), "x/a"), "utf8")).toBe("in d");
    expect(readFileSync(join(await sources.files([add("keyed.git#main:e")]), "x/a"), "utf8")).toBe("in e");
    const kept = async (source: string): Promise<string> =>
      execFileSync(
        "git",
        ["-C", join(await sources.files([add(source)]), "x"), "for-each-ref", "--format=%(refname)"],
        {
          encoding: "utf8",
          env: { PATH: process.env["PATH"], HOME: sources.rig.root },
        },
      ).trim();
    expect(await kept("keyed.git?keep-git-dir=1#main")).toBe("refs/heads/main");
    expect(await kept("keyed.git?keep-git-dir=1#same")).toBe("refs/tags/same");
    const time = async (source: string): Promise<number> =>
      statSync(join(await sources.files([add(source)]), "x/d/a")).mtimeMs;
    expect(await time("keyed.git#main")).toBeGreaterThan(1.7e12);
    expect(await time("keyed.git?mtime=commit#main")).toBe(1.6e12);
    const inner = sources.repository("inner").commit({ file: "of the submodule" });
    repo.commit({ ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ../inner.git\n' });
    repo.git("update-index", "--add", "--cacheinfo", `160000,${inner},lib`);
    repo.git("commit", "-q", "-m", "lib");
    repo.git("push", "-q", "origin", "HEAD");
    const library = async (source: string): Promise<string[]> =>
      readdirSync(join(await sources.files([add(source)]), "x/lib"));
    await sources.rig.must([add("keyed.git#main")]);
    expect(await library("keyed.git#main")).toEqual(["file"]);
    expect(await library("keyed.git?submodules=0#main")).toEqual([]);
  });

  test("AD09: what is wrong is told at its line", async () => {
    const repo = sources.repository("wrong");
    const commit = repo.commit({ a: "1" });
    const url = `${sources.site.base}/wrong.git`;
    const add = (text: string): string[] => [sources.dockerfile(`FROM scratch\nADD ${text} /x\n`)];
    await sources.fails(add(`${url}#nope`), 1, ["repository does not contain ref nope", "Dockerfile:2"]);
    await sources.fails(add(`${url}#main:nope`), 1, [
      "invalid subdir /nope",
      "no such file or directory",
      "Dockerfile:2",
    ]);
    await sources.fails(add(`--checksum=0000000 ${url}#main`), 1, [
      `expected checksum to match 0000000, got ${commit}`,
      "Dockerfile:2",
    ]);
    await sources.fails(add(`--checksum=0000000 ${url}#${commit}`), 1, [
      "expected checksum to match 0000000",
      "Dockerfile:2",
    ]);
    await sources.fails(add(`${url}?what=1`), 1, ['unexpected query "what"', "Dockerfile:2"]);
    await sources.fails(add("http://me:hunter2@127.0.0.1:1/x.git"), 3, [
      "xxxxx:xxxxx@127.0.0.1:1/x.git",
      "Dockerfile:2",
    ]);
  });

  test("AD10: secrets for git, also of one host only; not given away to other programs", async () => {
    sources.repository("private").commit({ a: "1" });
    sources.site.gitAuthorization = `basic ${Buffer.from("x-access-token:t0k3n").toString("base64")}`;
    const context = sources.dockerfile(`FROM scratch\nADD ${sources.site.base}/private.git /x\n`);
    await sources.fails([context], 1, ["--secret id=GIT_AUTH_TOKEN", "Dockerfile:2"]);
    const env = { T: "t0k3n" };
    await sources.rig.must(["--secret", "id=GIT_AUTH_TOKEN,env=T", context], { env });
    sources.site.gitAuthorization = "Basic abc";
    const other = sources.dockerfile(`FROM scratch\nADD ${sources.site.base}/private.git /y\n`);
    const general = ["--secret", "id=GIT_AUTH_HEADER,env=OTHER", "--secret", "id=GIT_AUTH_TOKEN,env=OTHER"];
    const result = await sources.rig.must(
      [...general, "--secret", `id=GIT_AUTH_HEADER.${sources.site.host},env=T`, other],
      {
        env: { T: "Basic abc", OTHER: "Basic no" },
      },
    );
    expect(result.stderr).not.toContain("abc");
  });

  test("AD10, X03: ssh has the agent of --ssh default, and none without it", async () => {
    sources.repository("ssh").commit({ a: "over ssh" });
    const bin = sources.rig.context({});
    const log = join(sources.rig.root, "ssh.log");
    // Stands in for ssh: the agent that it was given, and the command for the other side, run on this one.
    const script = `#!/bin/sh\necho "\${SSH_AUTH_SOCK-none} $*" >>${log}\nfor last; do :; done\neval "exec \${last#* } \\"\\$@\\"" 2>/dev/null || true\n`;
    writeFileSync(join(bin, "ssh"), script.replace(/eval.*\n/, `exec sh -c "$last"\n`), { mode: 0o755 });
    const env = { PATH: `${bin}:${process.env["PATH"]}`, SSH_AUTH_SOCK: join(sources.rig.root, "agent.sock") };
    const context = sources.dockerfile(`FROM scratch\nADD git@example.com:${sources.repositories}/ssh.git /x\n`);
    const out = await sources.files(["--ssh", "default", context], { env });
    expect(readFileSync(join(out, "x/a"), "utf8")).toBe("over ssh");
    expect(readFileSync(log, "utf8")).toMatch(
      /^\S+agent\.sock .*StrictHostKeyChecking=yes.*git@example\.com git-upload-pack/,
    );
    // X03: a context is fetched with the same agent.
    writeFileSync(log, "");
    const remote = `git@example.com:${sources.repositories}/ssh.git#main`;
    const input = "FROM scratch\nCOPY a /from-context\n";
    expect(readdirSync(await sources.files(["--ssh", "default", "-f", "-", remote], { env, input }))).toEqual([
      "from-context",
    ]);
    expect(readFileSync(log, "utf8")).toMatch(/^\S+agent\.sock /);
    writeFileSync(log, "");
    await sources.files(
      [sources.dockerfile(`FROM scratch\nADD git@example.com:${sources.repositories}/ssh.git#main /z\n`)],
      { env },
    );
    expect(readFileSync(log, "utf8")).toMatch(/^none /);
  });
});
