// What a second build does again, and what it says of it.
import { chmodSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const build = async (context: string, ...args: string[]) => {
  const { stderr } = await rig.must(["--progress", "rawjson", ...args, context]);
  return Object.fromEntries([...rig.outcomes(stderr)].filter(([name]) => /^\[(?!internal)/.test(name)));
};

test("Q32, Q35: an unchanged build runs nothing and gives the same image; restored content hits again", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY a /a\nRUN cat /a > /b\n", a: "one" });
  const file = join(rig.root, "meta.json");
  await build(context, "--metadata-file", file);
  const first = readFileSync(file, "utf8");
  expect(Object.values(await build(context, "--metadata-file", file))).toEqual(["cached", "cached", "cached"]);
  expect(readFileSync(file, "utf8")).toBe(first);
  writeFileSync(join(context, "a"), "two");
  expect((await build(context))["[3/3] RUN cat /a > /b"]).toBe("ran");
  writeFileSync(join(context, "a"), "one");
  expect(Object.values(await build(context))).toEqual(["cached", "cached", "cached"]);
});

test("Q32, T49: steps of two stages that are equal, or that have one key, run once", async () => {
  const stage = (name: string, mount = ""): string =>
    `FROM busybox AS ${name}\nCOPY f /f\nRUN ${mount}cat /f && usleep 100000 && cat /proc/sys/kernel/random/uuid > /t\n`;
  // Which cache it is, if not the default one, is no part of a key (Q06).
  const own = (id: string): string => `--mount=type=cache,target=/m,id=${id} `;
  const names = ["a", "b", "c", "d"];
  const copies = names.map((name) => `COPY --from=${name} /t /${name}\n`).join("");
  const context = rig.context({
    Dockerfile: `${stage("a")}${stage("b")}${stage("c", own("one"))}${stage("d", own("two"))}FROM scratch\n${copies}`,
    f: "q32",
  });
  const dest = join(rig.root, "q32");
  const outcome = await build(context, "--jobs", "4", "-o", dest);
  const [a, b, c, d] = names.map((name) => readFileSync(join(dest, name), "utf8"));
  expect([b, d]).toEqual([a, c]);
  expect(Object.entries(outcome).filter(([name, how]) => name.includes("RUN") && how === "ran")).toHaveLength(2);
});

test("a RUN whose text changed but whose files did not is the only step that runs (early cut-off)", async () => {
  const dockerfile = (comment: string) =>
    `FROM busybox\nRUN echo hi > /hi # ${comment}\nRUN cat /hi > /copy\nCOPY a /a\nRUN cat /a\n`;
  const context = rig.context({ Dockerfile: dockerfile("v1"), a: "x" });
  await build(context);
  writeFileSync(join(context, "Dockerfile"), dockerfile("v2"));
  const outcome = await build(context);
  expect(outcome["[2/5] RUN echo hi > /hi # v2"]).toBe("ran");
  expect(Object.values(outcome).filter((how) => how === "ran")).toHaveLength(1);
});

test("T6, Q26: mtime is no part of a key, mode is", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nCOPY a /a\n", a: "x" });
  await build(context);
  utimesSync(join(context, "a"), 1, 1);
  expect((await build(context))["[2/2] COPY a /a"]).toBe("cached");
  chmodSync(join(context, "a"), 0o600);
  expect((await build(context))["[2/2] COPY a /a"]).toBe("ran");
});

test("T1, A07: a build argument misses only from the first step that sees it", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN echo early\nARG V=1\nRUN echo $V\n" });
  await build(context);
  const outcome = await build(context, "--build-arg", "V=2");
  expect(outcome).toMatchObject({ "[2/3] RUN echo early": "cached", "[3/3] RUN echo 2": "ran" });
});

test("A20: proxy variables reach RUN and are in no key", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN echo proxy=$http_proxy > /p\n" });
  await build(context, "--build-arg", "http_proxy=http://user:pw@one");
  expect((await build(context, "--build-arg", "http_proxy=http://two"))["[2/2] RUN echo proxy=$http_proxy > /p"]).toBe(
    "cached",
  );
});

test("T2: a stage that is copied from counts by its content", async () => {
  const context = rig.context({
    Dockerfile:
      "FROM busybox AS a\nCOPY in /in\nRUN wc -c < /in > /out\nFROM busybox\nCOPY --from=a /out /out\nRUN cat /out\n",
    in: "aaa",
  });
  await build(context);
  writeFileSync(join(context, "in"), "bbb");
  const same = await build(context);
  expect(same).toMatchObject({
    "[a 3/3] RUN wc -c < /in > /out": "ran",
    "[stage-1 2/3] COPY --from=a /out /out": "cached",
    "[stage-1 3/3] RUN cat /out": "cached",
  });
  writeFileSync(join(context, "in"), "bbbb");
  expect(await build(context)).toMatchObject({
    "[stage-1 2/3] COPY --from=a /out /out": "ran",
    "[stage-1 3/3] RUN cat /out": "ran",
  });
});

test("Q30, Q31: --no-cache and --no-cache-filter run steps again and store them; what lies on new results is not taken for cached", async () => {
  const context = rig.context({
    Dockerfile:
      "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid > /t\nFROM busybox AS two\nRUN echo two\nWORKDIR /w\nCOPY --from=one /t /t\nFROM two AS three\nRUN echo three\n",
  });
  const dest = join(rig.root, "q30");
  /** What the first step drew, after a build that ended so. */
  const drawn = async (steps: Readonly<Record<string, string>>, ...args: string[]): Promise<string> => {
    rmSync(dest, { recursive: true, force: true });
    expect(await build(context, "-o", dest, ...args)).toMatchObject(steps);
    return readFileSync(join(dest, "t"), "utf8");
  };
  const [one, two, copy, three] = [
    "[one 2/2] RUN cat /proc/sys/kernel/random/uuid > /t",
    "[two 2/4] RUN echo two",
    "[two 4/4] COPY --from=one /t /t",
    "[three 1/1] RUN echo three",
  ] as const;
  // Makes what it made before, and runs all the same.
  const same = "[two 3/4] WORKDIR /w";
  const cached = { [same]: "cached", [one]: "cached", [two]: "cached", [copy]: "cached", [three]: "cached" };
  const first = await drawn({});
  const second = await drawn(
    { [one]: "ran", [two]: "ran", [same]: "ran", [copy]: "ran", [three]: "ran" },
    "--no-cache",
  );
  expect(second).not.toBe(first);
  expect(await drawn(cached)).toBe(second);
  const third = await drawn({ ...cached, [one]: "ran", [copy]: "ran", [three]: "ran" }, "--no-cache-filter", "no,ONE");
  expect(third).not.toBe(second);
  expect(await drawn(cached)).toBe(third);
  const { stderr } = await rig.must(["--progress", "plain", "--no-cache-filter", "Tow", context]);
  expect(stderr).toContain('--no-cache-filter Tow: no stage is called so; did you mean "two"?');
});

test("Q33: a failing step is never cached, and the next build works", async () => {
  const context = rig.context({
    Dockerfile: "FROM busybox\nRUN --mount=type=secret,id=ok test -e /run/secrets/ok\n",
    ok: "",
  });
  for (const _ of [1, 2]) expect((await rig.tsbuild([context])).code).toBe(1);
  await rig.must(["--secret", `id=ok,src=${join(context, "ok")}`, context]);
});

test("pain 1: a miss is told in words: the file, the variable, the text", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nARG V=1\nCOPY src /src\nRUN echo $V\n", "src/a.ts": "a" });
  const told = async (...args: string[]) => (await rig.must(["--progress", "plain", ...args, context])).stderr;
  await told();
  expect(await told()).not.toContain("not cached:");
  writeFileSync(join(context, "src/a.ts"), "b");
  expect(await told()).toMatch(/not cached: .*src\/a\.ts.*content/);
  chmodSync(join(context, "src/a.ts"), 0o755);
  expect(await told()).toMatch(/not cached: .*src\/a\.ts.*mode 0644 -> 0755/);
  expect(await told("--build-arg", "V=2")).toContain('not cached: variable V changed: "1" -> "2"');
});

test("pain 13: a damaged database, record or layer is a miss, never a failure", async () => {
  const context = rig.context({ Dockerfile: "FROM busybox\nRUN echo damage > /d\nCOPY a /a\n", a: "x" });
  await build(context, "-t", "damage");
  writeFileSync(join(rig.store, "tsbuild.db"), "this is no database");
  await rig.must(["-t", "damage", context]);
  for (const folder of ["layers", "content/blobs/sha256"]) {
    rmSync(join(rig.store, folder), { recursive: true });
    await rig.must(["--build-context", `busybox=${context}`, "-f", "-", context], {
      input: "FROM scratch\nCOPY a /a\n",
    });
  }
});
