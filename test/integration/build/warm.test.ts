// `tsbuild warm` (what nobody has, 14): afterwards a build has only left to do what depends on its context.
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRig, type Rig } from "../../support/rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const DOCKERFILE = `FROM busybox AS tools
RUN echo tools > /tool
FROM busybox AS deps
RUN --mount=type=cache,target=/root/.cache echo deps > /root/.cache/f; echo deps > /deps
COPY --from=tools /tool /tool
RUN cat /tool /deps > /both
COPY lock /lock
RUN cat /lock > /installed
FROM deps
COPY src /src
RUN cat /src /both > /out
`;

const project = (text = DOCKERFILE): string => rig.context({ Dockerfile: text, lock: "lock", src: "src" });

/** RUN steps that a command runs, by what they echo or read. */
function ran(stderr: string): readonly string[] {
  const runs = [...rig.outcomes(stderr)].filter(([name, outcome]) => name.includes("RUN") && outcome === "ran");
  return runs.map(([name]) => /> (\/\w+)$/.exec(name)?.[1] ?? name).toSorted();
}

test("a warmed build runs only what reads the context; warming again does nothing", async () => {
  const context = project();
  const first = await rig.must(["warm", "--progress", "rawjson", context]);
  expect(ran(first.stderr)).toEqual(["/both", "/deps", "/tool"]);
  expect(first.stdout).toMatch(
    /^warmed .*Dockerfile: ran 4 steps(?: and unpacked 1 base image)?, [\d.]+s of work; a build finds \d results that took [\d.]+s, and has 4 steps left to do\n$/,
  );
  expect(ran((await rig.must(["warm", "--progress", "rawjson", context])).stderr)).toEqual([]);
  expect((await rig.must(["cache", "mounts"])).stdout).toContain("/root/.cache");
  const build = await rig.must(["--progress", "rawjson", "-t", "app", context]);
  expect(ran(build.stderr)).toEqual(["/installed", "/out"]);
  expect((await rig.must(["run", "app", "cat", "/out"])).stdout).toBe("srctools\ndeps\n");
  expect((await rig.must(["images"])).stdout).not.toContain("none");
  expect(rig.leftovers()).toEqual([]);
});

test("--until an instruction or a line, --stages, and several Dockerfiles in one call, of which one fails", async () => {
  const salted = (salt: string): string =>
    DOCKERFILE.replaceAll("echo", `echo ${salt}`).replaceAll("cat ", `cat /etc/passwd `);
  const warmed = async (...words: readonly string[]) => {
    const { code, stderr } = await rig.tsbuild(["warm", "--progress", "rawjson", ...words]);
    return { code, ran: ran(stderr) };
  };
  expect(await warmed("--until", "COPY", project(salted("1")))).toEqual({ code: 0, ran: ["/deps", "/tool"] });
  expect(await warmed("--until=11", project(salted("2")))).toEqual({
    code: 0,
    ran: ["/both", "/deps", "/installed", "/tool"],
  });
  expect(await warmed("--stages", "tools", project(salted("3")))).toEqual({ code: 0, ran: ["/tool"] });
  const file = join(project(salted("4")), "Dockerfile");
  const broken = project("FROM busybox\nRUN exit 3\n");
  expect(await warmed(broken, file, project(salted("5")))).toMatchObject({
    code: 1,
    ran: expect.arrayContaining(["/both", "/deps", "/tool"]) as string[],
  });
  for (const words of [
    [],
    ["--until", "later", "."],
    ["--stages", "tolos", project()],
    ["--watch-base", "--interval", "soon", "."],
  ])
    expect(await rig.tsbuild(["warm", ...words]), words.join(" ")).toMatchObject({ code: 2 });
});

test("warming beside builds: both succeed, and each step runs once", async () => {
  const context = project(DOCKERFILE.replaceAll("echo", "usleep 100000; echo both"));
  const all = await Promise.all([
    rig.must(["warm", "--progress", "rawjson", context]),
    rig.must(["--progress", "rawjson", context]),
    rig.must(["warm", "--progress", "rawjson", context]),
  ]);
  const runs = all.flatMap(({ stderr }) => ran(stderr)).toSorted();
  expect(runs).toEqual([...new Set(runs)]);
});

test("--watch-base warms again when a tag has moved, until it is interrupted", { timeout: 60_000 }, async () => {
  const layout = join(rig.root, "layout");
  const base = async (text: string): Promise<void> => {
    const made = join(rig.root, text);
    const context = rig.context({ Dockerfile: `FROM busybox\nRUN echo ${text} > /base\n` });
    await rig.must(["-o", `type=oci,tar=false,dest=${made}`, context]);
    if (existsSync(layout)) renameSync(layout, `${made}-before`);
    renameSync(made, layout);
  };
  await base("one");
  const context = rig.context({ Dockerfile: "FROM moving\nRUN cat /base > /seen\n" });
  const rounds = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let round = 0;
  let stop: (signal: NodeJS.Signals) => void = () => {};
  const flags = ["--watch-base", "--interval", "1s", "--build-context", `moving=oci-layout://${layout}`];
  const watching = rig.tsbuild(["warm", ...flags, context], {
    onStart: (kill) => {
      stop = kill;
    },
    onStdout: () => rounds[round++]?.resolve(),
  });
  await rounds[0]!.promise;
  await base("two");
  await rounds[1]!.promise;
  stop("SIGINT");
  const { code, stdout } = await watching;
  expect(code).toBe(130);
  expect(stdout).toMatch(/^warmed .*: ran 1 step\b.*\nwarmed .*: ran 1 step\b.*\n$/);
});
