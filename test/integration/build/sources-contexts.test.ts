// Contexts that are fetched or piped, named contexts, times taken from them, and what is kept of them.
import { chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { CommandOptions } from "../../support/rig.ts";
import { SourceRig } from "../../support/source-rig.ts";
import { makeTar } from "../../support/site.ts";

const sources = new SourceRig();

describe("contexts that are fetched", () => {
  test("X03, A24: a repository; its .dockerignore is a file like any other; -f names a file in it", async () => {
    const repo = sources.repository("context");
    const own = {
      ".dockerignore": "*\n",
      Dockerfile: "FROM scratch\nCOPY . /all/\n",
      "sub/Other": "FROM scratch\nCOPY a /a\n",
    };
    repo.commit({ ...own, a: "1", "sub/a": "sub" });
    const url = `${sources.site.base}/context.git`;
    expect(readdirSync(join(await sources.files([url]), "all")).sort()).toEqual([
      ".dockerignore",
      "Dockerfile",
      "a",
      "sub",
    ]);
    expect(readFileSync(join(await sources.files(["-f", "sub/Other", url]), "a"), "utf8")).toBe("1");
    expect(readFileSync(join(await sources.files(["-f", "Other", `${url}#main:sub`]), "a"), "utf8")).toBe("sub");
    const elsewhere = join(sources.dockerfile("FROM scratch\nCOPY sub/a /mine\n"), "Dockerfile");
    expect(readdirSync(await sources.files(["-f", elsewhere, url]))).toEqual(["mine"]);
    const input = "FROM scratch\nCOPY a /piped\n";
    expect(readdirSync(await sources.files(["-f", "-", url], { input }))).toEqual(["piped"]);
    await sources.fails(["-f", "Dockerfil", url], 1, [
      "failed to read dockerfile: open Dockerfil: no such file",
      'did you mean "Dockerfile"',
    ]);
    const kept = await sources.files(["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url]);
    expect(existsSync(join(kept, "all/.git/HEAD"))).toBe(true);
    expect(existsSync(join(await sources.files([`${url}?keep-git-dir=true`]), "all/.git/HEAD"))).toBe(true);
    const dropped = await sources.files(["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=false", url]);
    expect(existsSync(join(dropped, "all/.git"))).toBe(false);
  });

  test("X03: a commit that does not touch what a step reads runs nothing again", async () => {
    const repo = sources.repository("quiet");
    const text = "FROM busybox\nCOPY a /a\nRUN --mount=target=/c,source=b cat /c > /b\n";
    repo.commit({ Dockerfile: text, a: "1", b: "2", other: "3" });
    const url = `${sources.site.base}/quiet.git`;
    await sources.rig.must([url]);
    repo.commit({ Dockerfile: text, a: "1", b: "2", other: "4" });
    expect(new Set(Object.values(await sources.outcomes([url])))).toEqual(new Set(["cached"]));
    repo.commit({ Dockerfile: text, a: "1", b: "5", other: "4" });
    expect(Object.values(await sources.outcomes([url]))).toContain("ran");
  });

  test("X03: a Dockerfile that is a link stays in the repository", async () => {
    const repo = sources.repository("link");
    const secret = join(sources.rig.root, "host-file");
    writeFileSync(secret, "topsecret\n");
    repo.commit({ Dockerfile: `-> ${secret}`, other: "-> ../../../../../../etc/hostname" });
    const url = `${sources.site.base}/link.git`;
    const { stderr } = await sources.fails([url], 1, ["failed to read dockerfile: open Dockerfile: no such file"]);
    expect(stderr).not.toContain("topsecret");
    await sources.fails(["-f", "other", url], 1, ["failed to read dockerfile: open other: no such file"]);
    repo.commit({ Dockerfile: "-> real", real: "FROM scratch\nCOPY real /real\n" });
    expect(readdirSync(await sources.files([url]))).toEqual(["real"]);
  });

  const archive = (): string => {
    const folder = sources.rig.context({
      ".dockerignore": "*\n",
      Dockerfile: "FROM scratch\nCOPY . /all/\nCOPY own /one\n",
      own: "x",
      "d/e": "y",
    });
    chownSync(join(folder, "own"), 1234, 2345);
    return folder;
  };
  const check = async (context: string, options: CommandOptions): Promise<void> => {
    expect(readdirSync(join(await sources.files([context], options), "all")).sort()).toEqual([
      ".dockerignore",
      "Dockerfile",
      "d",
      "own",
    ]);
    expect(await sources.ownerOf("one", [context], options)).toBe("1234/2345");
  };

  test.each(["none", "gzip", "bzip2", "xz", "zstd"] as const)(
    "X02, X04: an archive (%s) by URL and on standard input, with its owners and without its .dockerignore",
    async (program) => {
      const body = makeTar(archive(), program);
      sources.site.pages.set("/ctx", { body });
      await check(`${sources.site.base}/ctx`, {});
      await check("-", { input: body });
    },
  );

  test("X02, X04: -f names a file of the archive, or one of this machine by its whole path", async () => {
    const body = makeTar(sources.rig.context({ "sub/D": "FROM scratch\nCOPY a /sub\n", a: "1" }), "gzip");
    sources.site.pages.set("/ctx", { body });
    for (const [context, options] of [
      ["-", { input: body }],
      [`${sources.site.base}/ctx`, {}],
    ] as const) {
      expect(readdirSync(await sources.files(["-f", "sub/D", context], options))).toEqual(["sub"]);
      const elsewhere = join(sources.dockerfile("FROM scratch\nCOPY a /mine\n"), "Dockerfile");
      expect(readdirSync(await sources.files(["-f", elsewhere, context], options))).toEqual(["mine"]);
      await sources.fails([context], 1, ["failed to read dockerfile: open Dockerfile: no such file"], options);
    }
  });

  test("X01, X06: in what is fetched or piped, too, it may be called dockerfile", async () => {
    const lower = { dockerfile: "FROM scratch\nCOPY a /lower\n", a: "1" };
    sources.repository("lower").commit(lower);
    expect(readdirSync(await sources.files([`${sources.site.base}/lower.git`]))).toEqual(["lower"]);
    const input = makeTar(sources.rig.context(lower), "none");
    expect(readdirSync(await sources.files(["-"], { input }))).toEqual(["lower"]);
  });

  test("X04: anything else is a Dockerfile, which is all that its context has", async () => {
    sources.site.pages.set("/text", { body: "FROM scratch\nCOPY . /all/\n" });
    expect(readdirSync(join(await sources.files([`${sources.site.base}/text`]), "all"))).toEqual(["context"]);
    await sources.fails(["-f", "x", `${sources.site.base}/text`], 2, ["ambiguous Dockerfile source"]);
    sources.site.pages.set("/bad", { body: "FROM scratch\nRUNN x\n" });
    await sources.fails([`${sources.site.base}/bad?token=s3cr3t`], 1, [
      "unknown instruction: RUNN",
      `${sources.site.base}/bad?token=xxxxx:2`,
    ]);
  });

  test("X02: a Dockerfile on standard input has an empty context, or the directory that is named", async () => {
    const input = "FROM scratch\nCOPY . /all/\n";
    expect(readdirSync(join(await sources.files(["-"], { input }), "all"))).toEqual([]);
    await sources.fails(["-f", "x", "-"], 2, ["ambiguous Dockerfile source: both stdin and flag"], { input });
    await sources.fails(["-f", "-", "-"], 2, ["can't use stdin for both build context and dockerfile"], { input });
    expect(
      readdirSync(join(await sources.files(["-f", "-", sources.rig.context({ a: "" })], { input }), "all")),
    ).toEqual(["a"]);
    sources.site.pages.set("/D", { body: input });
    expect(
      readdirSync(join(await sources.files(["-f", `${sources.site.base}/D`, sources.rig.context({ b: "" })]), "all")),
    ).toEqual(["b"]);
    await sources.fails(["-f", `${sources.site.base}/none`, sources.rig.context({})], 1, [
      "invalid response status 404",
    ]);
    sources.site.pages.set("/wrong", { body: "FROM scratch\nRUNN x\n" });
    const wrong = ["-f", `${sources.site.base}/wrong?token=s3cr3t`, sources.rig.context({})];
    await sources.fails(wrong, 1, ["unknown instruction: RUNN", `${sources.site.base}/wrong?token=xxxxx:2`]);
  });

  test("X02, X04: a damaged archive, and one that is none after all", async () => {
    const whole = makeTar(archive(), "gzip");
    await sources.fails(["-"], 1, ["error:"], { input: whole.subarray(0, whole.length - 20) });
    await sources.fails(["-"], 1, ["standard input is no archive"], {
      input: Buffer.from("BZh91AY&SY nothing like it"),
    });
    sources.site.pages.set("/x", {
      body: Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), Buffer.alloc(600)]),
    });
    await sources.fails([`${sources.site.base}/x`], 1, [`${sources.site.base}/x is no archive`]);
  });
});

describe("named contexts", () => {
  test("X05: git, a URL and a directory; FROM one of them; nothing is asked of those that nobody uses", async () => {
    sources.repository("named").commit({ "d/f": "git" });
    sources.site.pages.set("/file.tgz", { body: "not opened" });
    const folder = sources.rig.context({ g: "dir", ".dockerignore": "hidden\n", hidden: "" });
    const context = sources.dockerfile("FROM g AS base\nCOPY --from=h . /h\nCOPY --from=d . /d\n");
    const named = [
      "--build-context",
      `g=${sources.site.base}/named.git#main:d`,
      "--build-context",
      `h=${sources.site.base}/file.tgz`,
    ];
    const unused = ["bad=http://127.0.0.1:1/x", "worse=http://127.0.0.1:1/x.git", "gone=/nonexistent"];
    const args = [...named, "--build-context", `d=${folder}`, ...unused.flatMap((text) => ["--build-context", text])];
    const out = await sources.files([...args, context]);
    expect(readFileSync(join(out, "f"), "utf8")).toBe("git");
    expect(readFileSync(join(out, "h/context"), "utf8")).toBe("not opened");
    expect(readdirSync(join(out, "d")).sort()).toEqual([".dockerignore", "g"]);
  });

  test("X05: a broken one that is used is told at the line that uses it", async () => {
    const context = sources.dockerfile("FROM scratch\nCOPY --from=n . /n\n");
    const using = (value: string): string[] => ["--build-context", `n=${value}`, context];
    await sources.fails(using("http://127.0.0.1:1/x"), 3, ["connection refused", "Dockerfile:2"]);
    await sources.fails(using("http://127.0.0.1:1/x.git"), 3, ["failed to fetch remote", "Dockerfile:2"]);
    await sources.fails(using("/nonexistent"), 1, ['path "/nonexistent" not found', "Dockerfile:2"]);
    await sources.fails(using("-"), 2, ["only the main one can be on standard input"]);
    await sources.fails(using("target:base"), 2, ["is a target of a bake file", "help: build that target first"]);
    await sources.fails(using("https://h/r.git?ref="), 2, ['query "ref" has no value']);
    const broken = sources.rig.context({ ".dockerignore": "[\n" });
    await sources.fails(using(broken), 1, [".dockerignore"]);
  });

  test("X05: of a directory only what a step uses counts", async () => {
    const folder = sources.rig.context({ used: "1", other: "1" });
    const args = ["--build-context", `d=${folder}`, sources.dockerfile("FROM scratch\nCOPY --from=d used /used\n")];
    await sources.rig.must(args);
    writeFileSync(join(folder, "other"), "2");
    expect(Object.values(await sources.outcomes(args))).toEqual(["cached"]);
    writeFileSync(join(folder, "used"), "2");
    expect(Object.values(await sources.outcomes(args))).toEqual(["ran"]);
  });

  test("X05: a commit that changes other files of a mounted context runs nothing again", async () => {
    const repo = sources.repository("mounted");
    repo.commit({ a: "1", b: "1" });
    const context = sources.dockerfile("FROM busybox\nRUN --mount=from=m,target=/m,source=a cat /m > /a\n");
    const args = ["--build-context", `m=${sources.site.base}/mounted.git`, context];
    await sources.rig.must(args);
    repo.commit({ a: "1", b: "2" });
    expect(new Set(Object.values(await sources.outcomes(args)))).toEqual(new Set(["cached"]));
  });
});

describe("A31: SOURCE_DATE_EPOCH", () => {
  const created = async (args: readonly string[], options: CommandOptions = {}): Promise<number> => {
    await sources.rig.must(["-q", "-t", "dated", ...args], options);
    const { stdout } = await sources.rig.must(["inspect", "dated"]);
    return Date.parse(/"created": "([^"]+)"/.exec(stdout)![1]!) / 1000;
  };
  const dated = (value: string): string[] => ["--build-arg", `SOURCE_DATE_EPOCH=${value}`];

  test("context: of a commit, of the server, of the newest file in an archive; not of a directory", async () => {
    sources.repository("dated").commit({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" }, 1_234_567_890);
    expect(await created([...dated("context"), `${sources.site.base}/dated.git`])).toBe(1_234_567_890);
    const folder = sources.rig.context({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" });
    const body = makeTar(folder, "gzip", ["--mtime=@1111111111"]);
    sources.site.pages.set("/a", { body });
    sources.site.pages.set("/b", { body, headers: { "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" } });
    expect(await created([...dated("context"), `${sources.site.base}/a`])).toBe(1_111_111_111);
    expect(await created([...dated("context"), `${sources.site.base}/b`])).toBe(1_445_412_480);
    expect(await created([...dated("context"), "-"], { input: body })).toBe(1_111_111_111);
    expect(await created([...dated("context"), folder])).toBeGreaterThan(1_700_000_000);
    expect(await created([folder], { env: { SOURCE_DATE_EPOCH: "77" } })).toBe(77);
  });

  test("a named context, and a stage that is one remote ADD; also as a default in the Dockerfile", async () => {
    sources.repository("stage").commit({ a: "1" }, 1_222_222_222);
    const url = `${sources.site.base}/stage.git`;
    const context = sources.dockerfile(
      `ARG SOURCE_DATE_EPOCH=src\nARG URL=${url}\nFROM scratch AS src\nARG URL\nADD \${URL}#main /\nFROM scratch\nCOPY --from=src . /\n`,
    );
    expect(await created([context])).toBe(1_222_222_222);
    sources.site.pages.set("/n", { body: "x", headers: { "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" } });
    const plain = sources.dockerfile("FROM scratch\nCOPY Dockerfile /\n");
    expect(await created([...dated("n"), "--build-context", `n=${sources.site.base}/n`, plain])).toBe(1_445_412_480);
    expect(await created([...dated("n"), "--build-context", `n=${plain}`, plain])).toBeGreaterThan(1_700_000_000);
  });

  test("what cannot give a time is refused", async () => {
    const stages = (body: string): string => sources.dockerfile(`FROM ${body}\nFROM scratch\nCOPY Dockerfile /\n`);
    await sources.fails([...dated("nope"), stages("scratch AS s")], 1, ["invalid SOURCE_DATE_EPOCH: nope"]);
    await sources.fails([...dated("s"), stages("busybox AS s")], 1, [
      "SOURCE_DATE_EPOCH stage must use FROM scratch",
      "Dockerfile:1",
    ]);
    await sources.fails([...dated("s"), stages("scratch AS s")], 1, ["must contain exactly one remote ADD"]);
    await sources.fails([...dated("s"), stages("scratch AS s\nWORKDIR /x")], 1, ["unsupported workdir instruction"]);
    await sources.fails([...dated("s"), stages("scratch AS s\nADD x /")], 1, ["must be a single HTTP(S) or Git ADD"]);
  });
});

test("GC04: what sources keep is counted and pruned; the next build fetches again", async () => {
  sources.site.pages.set("/kept", { body: "kept" });
  sources.repository("kept").commit({ a: "1" });
  const context = sources.dockerfile(
    `FROM scratch\nADD ${sources.site.base}/kept /f\nADD ${sources.site.base}/kept.git /g/\n`,
  );
  await sources.rig.must([context]);
  const kinds = async (): Promise<string[]> => {
    const { items } = JSON.parse((await sources.rig.must(["du", "--json"])).stdout) as { items: { kind: string }[] };
    return items.map(({ kind }) => kind);
  };
  expect((await kinds()).filter((kind) => kind === "source").length).toBeGreaterThanOrEqual(3);
  await sources.rig.must(["prune", "--all"]);
  expect(await kinds()).not.toContain("source");
  expect(readFileSync(join(await sources.files([context]), "g/a"), "utf8")).toBe("1");
});
