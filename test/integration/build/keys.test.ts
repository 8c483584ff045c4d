// What a step's key holds, seen from outside: which change of its inputs makes it run again, and which does not (reference 5.2).
import {
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
let count = 0;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

/** How the steps below FROM ended, in order: "ran cached". An image keeps its layers, so that it is the keys that find them again. */
async function steps(context: string, ...args: string[]): Promise<string> {
  const { stderr } = await rig.must(["--progress", "rawjson", "-o", "type=image", ...args, context]);
  const found = [...rig.outcomes(stderr)].filter(
    ([name]) => /^\[(?!internal|context)/.test(name) && !/\] FROM /.test(name),
  );
  return found.map(([, how]) => how).join(" ");
}

/** The files that a build makes. */
async function files(context: string, ...args: string[]): Promise<string> {
  const dest = join(rig.root, `out${String(count++)}`);
  await rig.must(["-q", "-o", dest, ...args, context]);
  return dest;
}

interface Inspected {
  readonly config: {
    readonly config: Readonly<Record<string, unknown>>;
    readonly history: readonly { readonly created_by: string; readonly empty_layer?: true }[];
    readonly rootfs: { readonly diff_ids: readonly string[] };
  };
}

async function inspect(name: string): Promise<Inspected["config"]> {
  return (JSON.parse((await rig.must(["inspect", name])).stdout) as Inspected).config;
}

const rewrite = (context: string, dockerfile: string): void => {
  writeFileSync(join(context, "Dockerfile"), dockerfile);
};

test("Q01, T5: a base counts by its layers, not by its name or config", async () => {
  const base = rig.context({ Dockerfile: "FROM busybox\nLABEL other=config\n" });
  await rig.must(["-q", "-t", "other:1", base]);
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN echo q01 > /x\n" });
  expect(await steps(context)).toBe("ran");
  rewrite(context, "FROM other:1\nRUN echo q01 > /x\n");
  expect(await steps(context)).toBe("cached");
});

test("Q02: a context counts by what is used of it, wherever it is and whoever owns it", async () => {
  const spec = { Dockerfile: "FROM busybox\nCOPY a /a\nRUN cat /a\n", a: "q02", unused: "1" };
  const [one, two] = [rig.context(spec), rig.context({ ...spec, unused: "2" })];
  chownSync(join(two, "a"), 1234, 1234);
  expect(await steps(one)).toBe("ran ran");
  expect(await steps(two)).toBe("cached cached");
  writeFileSync(join(two, "a"), "q02 changed");
  expect(await steps(two)).toBe("ran ran");
});

test("Q05, Q23: the directory of a source is no part, neither is the pattern that found one file", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nCOPY one/f.txt /x/\n",
    "one/f.txt": "q05",
    "two/f.txt": "q05",
  });
  expect(await steps(context)).toBe("ran");
  for (const source of ["two/f.txt", "one/*.txt", "./one/../one/f.txt"]) {
    rewrite(context, `FROM busybox\nCOPY ${source} /x/\n`);
    expect(await steps(context)).toBe("cached");
  }
  renameSync(join(context, "one"), join(context, "three"));
  rewrite(context, "FROM busybox\nCOPY three/f.txt /x/\n");
  expect(await steps(context)).toBe("cached");
  for (const copy of [
    "--chmod=0600 two/f.txt /x/",
    "--chown=5 two/f.txt /x/",
    "two/f.txt /y/",
    "--parents two/f.txt /x/",
  ]) {
    rewrite(context, `FROM busybox\nCOPY ${copy}\n`);
    expect([copy, await steps(context)]).toEqual([copy, "ran"]);
  }
});

test("Q05: an owner by name counts by what the name means", async () => {
  const passwd = (uid: number): string => `root:x:0:0::/:/bin/sh\nme:x:${String(uid)}:7::/:/bin/sh\n`;
  const text = "FROM busybox\nCOPY passwd /etc/passwd\nCOPY --chown=me a /a\n";
  const context = rig.context({ Dockerfile: text, passwd: passwd(5), a: "named owner" });
  expect(await steps(context)).toBe("ran ran");
  writeFileSync(join(context, "passwd"), passwd(6));
  expect(await steps(context)).toBe("ran ran");
  writeFileSync(join(context, "passwd"), `${passwd(6)}someone:x:9:9::/:/bin/sh\n`);
  expect(await steps(context)).toBe("ran cached");
});

test("Q21, Q22, T3: every source counts, links by their text in a directory and by what they lead to as a source", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nCOPY link dir other /x/\n",
    link: { link: "target" },
    target: "one",
    "dir/dead": { link: "nowhere" },
    "dir/file": "one",
    other: "one",
  });
  expect(await steps(context)).toBe("ran");
  const changes: (() => void)[] = [
    () => writeFileSync(join(context, "other"), "two"),
    () => writeFileSync(join(context, "target"), "two"),
    () => writeFileSync(join(context, "dir/file"), "two"),
    () => {
      unlinkSync(join(context, "dir/dead"));
      symlinkSync("elsewhere", join(context, "dir/dead"));
    },
    () => mkdirSync(join(context, "dir/empty")),
    () => renameSync(join(context, "dir/file"), join(context, "dir/moved")),
  ];
  for (const change of changes) {
    change();
    expect([change.toString(), await steps(context)]).toEqual([change.toString(), "ran"]);
    expect(await steps(context)).toBe("cached");
  }
});

test("Q22, C08: a link that a wildcard finds counts by what it leads to, outside of the wildcard's directory, too", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nCOPY src/l* /x/\nRUN ls /x\n",
    "src/link": { link: "../target" },
    "src/other": { link: "../else" },
    target: "one",
    else: "one",
  });
  expect(await steps(context)).toBe("ran ran");
  writeFileSync(join(context, "else"), "two");
  expect(await steps(context)).toBe("cached cached");
  writeFileSync(join(context, "target"), "two");
  expect(await steps(context)).toBe("ran ran");
});

test("Q24, T32: of a pattern only what matches counts, of a directory not what is excluded", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nCOPY src/*.c none* /c/\nCOPY --exclude=*.log src /all/\n",
    "src/a.c": "a",
    "src/b.log": "b",
  });
  expect(await steps(context)).toBe("ran ran");
  writeFileSync(join(context, "src/b.log"), "changed");
  expect(await steps(context)).toBe("cached cached");
  writeFileSync(join(context, "src/c.h"), "new");
  expect(await steps(context)).toBe("cached ran");
  writeFileSync(join(context, "src/d.c"), "new");
  expect(await steps(context)).toBe("ran ran");
  for (const pattern of ["src/?.q", "src/[yz].q"]) {
    rewrite(context, `FROM busybox\nCOPY ${pattern} /q/\n`);
    writeFileSync(join(context, "src/z.q"), pattern);
    expect([pattern, await steps(context)]).toEqual([pattern, "ran"]);
    writeFileSync(join(context, "src/z.q"), `${pattern} changed`);
    expect([pattern, await steps(context)]).toEqual([pattern, "ran"]);
    writeFileSync(join(context, "src/yz.q"), pattern);
    expect([pattern, await steps(context)]).toEqual([pattern, "cached"]);
  }
});

test("Q25, C13: --parents needs what it names, and what a pattern names it does not", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY --parents a/missing /x/\n", "a/b": "b" });
  const { code, stderr } = await rig.tsbuild(["-q", context]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/"\/?a\/missing": not found/) as string]);
  rewrite(context, "FROM busybox\nCOPY --parents a/missing* /x/\n");
  expect(await steps(context)).toBe("ran");
});

test("Q07, Q08, Q36: another base runs RUN again; linked copies, copies and WORKDIR do not care", async () => {
  const text = (base: string) => `FROM ${base}\nWORKDIR /w/d\nCOPY a /a\nCOPY --link a /b/\nRUN cat /a\n`;
  const context = rig.context({ Dockerfile: text("busybox"), a: "q36" });
  expect(await steps(context)).toBe("ran ran ran ran");
  const base = rig.context({ Dockerfile: "FROM busybox\nRUN echo newer > /newer\n" });
  await rig.must(["-q", "-t", "newer:1", base]);
  rewrite(context, text("newer:1"));
  expect(await steps(context)).toBe("cached cached cached ran");
  const moved = rig.context({ Dockerfile: "FROM busybox\nRUN mkdir -m 0700 /b && mkdir -m 0711 /w\n" });
  await rig.must(["-q", "-t", "moved:1", moved]);
  rewrite(context, text("moved:1"));
  const found = await files(context);
  // A linked copy does not see the directory, the others have to.
  expect([statSync(join(found, "b")).mode & 0o777, statSync(join(found, "w")).mode & 0o777]).toEqual([0o755, 0o711]);
});

test("Q08: WORKDIR counts by path and owner", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nWORKDIR /one\n" });
  expect(await steps(context)).toBe("ran");
  rewrite(context, "FROM busybox\nLABEL x=y\nWORKDIR /one/\n");
  expect(await steps(context)).toBe("cached");
  rewrite(context, "FROM busybox\nUSER 5:6\nWORKDIR /one\n");
  expect(await steps(context)).toBe("ran");
  rewrite(context, "FROM busybox\nWORKDIR /two\n");
  expect(await steps(context)).toBe("ran");
});

test("Q37, E25, N08: cold builds in two stores are one image where the time is given, and without it one from the cache", async () => {
  const text = "FROM scratch\nCOPY a /a\nWORKDIR /w\nCOPY --chmod=0700 a /w/b\nENV X=1\n";
  const digest = async (store: string, context: string, ...args: string[]): Promise<string> => {
    const file = join(rig.root, `meta${String(count++)}.json`);
    await rig.must(["-q", "--metadata-file", file, ...args, context], { env: { TSBUILD_ROOT: join(rig.root, store) } });
    return (JSON.parse(readFileSync(file, "utf8")) as { "containerimage.digest": string })["containerimage.digest"];
  };
  const [one, two] = [rig.context({ Dockerfile: text, a: "q37" }), rig.context({ Dockerfile: text, a: "q37" })];
  utimesSync(join(two, "a"), 1_700_000_000, 1_700_000_000);
  const dated = ["--build-arg", "SOURCE_DATE_EPOCH=1600000000", "-o", "type=image,rewrite-timestamp=true"];
  expect(await digest("cold1", one, ...dated)).toBe(await digest("cold2", two, ...dated));
  expect(await digest("cold3", one)).toBe(await digest("cold3", two));
  const ran = rig.context({ Dockerfile: "FROM busybox\nRUN mkdir /r && echo x > /r/f\n" });
  const anew = (...args: string[]): Promise<string> => digest("s", ran, "--no-cache", ...args);
  expect(await anew(...dated)).toBe(await anew(...dated));
  const [before, last] = [await anew(), await anew()];
  expect(last).not.toBe(before);
  expect(await digest("s", ran)).toBe(last);
});

test("Q37, O07, E25: a store that has built for an older epoch makes the image of an empty one, steps cached or run again", async () => {
  const text = (run: string) => `FROM busybox AS one
WORKDIR /w/x
COPY a /w/x/a
RUN chmod 700 /w && ${run}
FROM busybox
WORKDIR /v
RUN chmod 711 /v
COPY --from=one /w /y/
COPY --from=one --parents /w/x /z/
`;
  const context = rig.context({ Dockerfile: text("true"), a: "epochs" });
  utimesSync(join(context, "a"), 1_000_000_000, 1_000_000_000);
  const base = join(rig.root, "epochs-base");
  await rig.must(["-q", "-o", `type=oci,tar=false,dest=${base}`, rig.context({ Dockerfile: "FROM busybox\n" })]);
  const image = async (store: string, epoch: number, ...args: string[]) => {
    const env = { TSBUILD_ROOT: join(rig.root, store) };
    const dated = ["--build-arg", `SOURCE_DATE_EPOCH=${String(epoch)}`, "-t", "epochs:1", ...args];
    dated.push("--build-context", `busybox=oci-layout://${base}`);
    await rig.must([...dated, "-o", "type=image,rewrite-timestamp=true", context], { env });
    return (await rig.must(["inspect", "epochs:1"], { env })).stdout;
  };
  const cache = (word: string) => [
    `--cache-${word}`,
    `type=local,${word === "to" ? "dest" : "src"}=${rig.root}/epochs-cache`,
  ];
  await image("epochs-warm", 1_400_000_000, ...cache("to"));
  expect(await image("epochs-warm", 1_600_000_000)).toBe(await image("epochs-cold1", 1_600_000_000));
  rewrite(context, text("chmod 710 /w"));
  const wanted = await image("epochs-cold2", 1_700_000_000);
  expect(await image("epochs-warm", 1_700_000_000)).toBe(wanted);
  expect(await image("epochs-elsewhere", 1_700_000_000, ...cache("from"))).toBe(wanted);
});

test("Q33, T8: another secret is no reason to run again, a new id is; --no-cache runs and stores", async () => {
  const run = (id: string) => `FROM busybox\nRUN --mount=type=secret,id=${id} cat /run/secrets/${id} | wc -c > /size\n`;
  const context = rig.context({ Dockerfile: run("key"), first: "1", second: "22" });
  const secret = (file: string, id = "key") => ["--secret", `id=${id},src=${join(context, file)}`];
  expect(await steps(context, ...secret("first"))).toBe("ran");
  expect(await steps(context, ...secret("second"))).toBe("cached");
  expect(await steps(context, "--no-cache", ...secret("second"))).toBe("ran");
  expect(readFileSync(join(await files(context, ...secret("first")), "size"), "utf8").trim()).toBe("2");
  rewrite(context, run("other"));
  expect(await steps(context, ...secret("first", "other"))).toBe("ran");
});

test("T9, T39: a change of the config makes another image of the same layers, and scratch matches no other base", async () => {
  const context = rig.context({ Dockerfile: "FROM scratch\nCOPY a /a\nHEALTHCHECK CMD one\n", a: "t9" });
  await rig.must(["-q", "-t", "t9:1", context]);
  rewrite(context, 'FROM scratch\nCOPY a /a\nHEALTHCHECK CMD two\nONBUILD RUN x\nSHELL ["/bin/x"]\n');
  await rig.must(["-q", "-t", "t9:2", context]);
  const [one, two] = [await inspect("t9:1"), await inspect("t9:2")];
  expect(two.rootfs).toEqual(one.rootfs);
  expect(two.config["Healthcheck"]).toEqual({ Test: ["CMD-SHELL", "two"] });
  expect(two.config["OnBuild"]).toEqual(["RUN x"]);
  expect(two.config["Shell"]).toEqual(["/bin/x"]);
  expect((await rig.must(["inspect", "t9:2"])).stdout).toContain('"application/vnd.oci.image.manifest.v1+json"');
  rewrite(context, "FROM busybox\nCOPY a /a\n");
  await rig.must(["-q", "-t", "t9:3", context]);
  rewrite(context, "FROM scratch\nCOPY a /a\n");
  await rig.must(["-q", "-t", "t9:4", context]);
  expect((await inspect("t9:4")).rootfs).toEqual(one.rootfs);
  expect((await inspect("t9:4")).config["Healthcheck"]).toBeUndefined();
});

test("T10: the ignore file leaves nothing out of COPY --from", async () => {
  const context = rig.context({
    Dockerfile: "FROM scratch AS a\nCOPY kept /node_modules/x\nFROM scratch\nCOPY --from=a / /\n",
    ".dockerignore": "node_modules\n**/x\n",
    kept: "t10",
  });
  expect(readFileSync(join(await files(context), "node_modules/x"), "utf8")).toBe("t10");
});

test("T24, C16, T07: steps that make nothing are layers, cold and from the cache", async () => {
  const text = "FROM busybox\nRUN true\nCOPY none* /\nWORKDIR /bin\nENV A=b\nWORKDIR /\nRUN echo t24\n";
  const context = rig.context({ Dockerfile: text });
  await rig.must(["-q", "-t", "t24:cold", context]);
  await rig.must(["-q", "-t", "t24:cached", context]);
  await rig.must(["-q", "-t", "t24:again", "--no-cache", context]);
  const cold = await inspect("t24:cold");
  for (const name of ["t24:cached", "t24:again"]) {
    const other = await inspect(name);
    expect(other.rootfs).toEqual(cold.rootfs);
    expect(other.history.map(({ created_by, empty_layer }) => [created_by, empty_layer])).toEqual(
      cold.history.map(({ created_by, empty_layer }) => [created_by, empty_layer]),
    );
  }
  const own = cold.history.slice(-6);
  expect(own.map(({ empty_layer }) => empty_layer === true)).toEqual([false, false, false, true, true, false]);
  expect(cold.history.filter(({ empty_layer }) => empty_layer !== true)).toHaveLength(cold.rootfs.diff_ids.length);
  // Nothing changed: the tar without entries.
  expect(cold.rootfs.diff_ids.slice(-4)).toEqual(
    Array.from({ length: 4 }, () => "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"),
  );
});

test("T34, Q20: COPY --from keeps times, which count for nothing; its sources are relative to the stage's root", async () => {
  const text = (time: string) =>
    `FROM busybox AS a\nWORKDIR /w\nRUN echo x > f && echo root > /f && touch -d @${time} f /w/../f\nFROM scratch\nCOPY --from=a w/f f /x/\nCOPY --from=a ./w/. /y/\n`;
  const context = rig.context({ Dockerfile: text("1000000000") });
  const found = await files(context);
  expect(readFileSync(join(found, "x/f"), "utf8")).toBe("root\n");
  expect(readFileSync(join(found, "y/f"), "utf8")).toBe("x\n");
  expect(statSync(join(found, "y/f")).mtimeMs).toBe(1e12);
  rewrite(context, text("1100000000"));
  const { stderr } = await rig.must(["--progress", "rawjson", "-o", "type=cacheonly", context]);
  expect([...rig.outcomes(stderr)].filter(([name, how]) => name.includes("COPY") && how === "ran")).toEqual([]);
});

test("T38, O06: users by number need no line in passwd", async () => {
  const run = "RUN id -u && id -g && mkdir -p /tmp/x && id -u > /tmp/x/id";
  const users = ["1234", "1234:5678", "0:7", "nobody"];
  const stages = users.map(
    (user, index) => `FROM busybox AS s${String(index)}\nUSER ${user}\n${run}\nRUN id -g >> /tmp/x/id`,
  );
  const copies = users.map((_, index) => `COPY --from=s${String(index)} /tmp/x/id /${String(index)}`);
  const context = rig.context({ Dockerfile: `${stages.join("\n")}\nFROM scratch\n${copies.join("\n")}\n` });
  const found = await files(context);
  const ids = users.map((_, index) =>
    readFileSync(join(found, String(index)), "utf8")
      .trim()
      .split("\n")
      .join(":"),
  );
  expect(ids).toEqual(["1234:0", "1234:5678", "0:7", "65534:65534"]);
  rmSync(found, { recursive: true });
});
