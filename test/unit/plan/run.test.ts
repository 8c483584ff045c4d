// RUN: commands, environment, network; its mounts are in mounts.test.ts.
import { describe, expect, test } from "vitest";
import { envOf, errorsOf, execs, names, planned, vertices } from "./rig.ts";

const run = async (line: string, before = "", options = {}) =>
  execs(await planned(`FROM busybox AS tools\nFROM busybox\n${before}\n${line}`, options)).at(-1)!;

describe("commands", () => {
  test("R01, R02, O10, T39: the shell of the image, or none", async () => {
    expect((await run("RUN a b")).args).toEqual(["/bin/sh", "-c", "a b"]);
    expect((await run('RUN ["a", "$b"]')).args).toEqual(["a", "$b"]);
    expect((await run("RUN a", 'SHELL ["/bin/bash", "-ec"]')).args).toEqual(["/bin/bash", "-ec", "a"]);
  });

  test("V28: nothing is expanded in the command", async () => {
    expect((await run("RUN echo $V ${V:-x} \\$V", "ENV V=1")).args[2]).toBe("echo $V ${V:-x} \\$V");
  });

  test("H05, H06: heredocs", async () => {
    expect(await run("RUN <<E\na $X\nE", "ENV X=1")).toMatchObject({ args: ["/bin/sh", "-c", "a $X\n"] });
    const script = await run("RUN <<E\n#!/usr/bin/awk\nE");
    expect(script).toMatchObject({
      args: ["/bin/sh", "-c", "/dev/pipes/E"],
      pipes: [{ name: "E", content: "#!/usr/bin/awk\n" }],
    });
    expect((await run("RUN cat <<-A 3<<B\n\tone\nA\ntwo\nB")).args[2]).toBe("cat <<-A 3<<B\n\tone\nA\ntwo\nB");
    expect((await run("RUN <<A <<B\none\nA\ntwo\nB")).args[2]).toBe("<<A <<B\none\nA\ntwo\nB");
  });

  test("R04: network of the RUN, else of the build", async () => {
    const networks = async (line: string) => (await run(line, "", { network: "host" })).network;
    expect(await networks("RUN x")).toBe("host");
    expect(await networks("RUN --network=default x")).toBe("host");
    expect(await networks("RUN --network=none x")).toBe("none");
    expect((await run("RUN --network=host x", "", { network: "none" })).network).toBe("host");
    expect(await errorsOf("FROM busybox\nRUN --network=none$X x").catch(String)).toContain(
      'invalid network mode "none$X"',
    );
  });

  test("R05: security", async () => {
    expect((await run("RUN --security=insecure x")).security).toBe("insecure");
    expect((await run("RUN --security=sandbox x")).security).toBe("sandbox");
    expect((await run("RUN x")).security).toBe("sandbox");
  });

  test("R06: devices by name, optional unless they are required", async () => {
    const devices = async (flags: string) => (await run(`RUN ${flags} x`)).devices;
    expect(await devices("")).toBeUndefined();
    expect(await devices("--device=v.com/c=d --device=v.com/c --device=v.com/c=*,required")).toEqual([
      { name: "v.com/c=d", isRequired: false },
      { name: "v.com/c", isRequired: false },
      { name: "v.com/c=*", isRequired: true },
    ]);
    expect(await devices("--device=name=v.com/c=d,required=false")).toEqual([{ name: "v.com/c=d", isRequired: false }]);
    const wrong = [
      "required",
      "name=",
      "v.com/c=d,required=maybe",
      "v.com/c=d,colour=red",
      "v.com/c=d,more",
      "nonsense",
    ];
    expect(await errorsOf(`FROM busybox\n${wrong.map((text) => `RUN --device=${text} x`).join("\n")}`)).toEqual([
      "[required] device has no name",
      "[name=] device has no name",
      "[v.com/c=d,required=maybe] invalid value for required: maybe",
      "[v.com/c=d,colour=red] unexpected key 'colour' in 'colour=red'",
      "[v.com/c=d,more] invalid field 'more' must be a key=value pair",
      '[nonsense] invalid device "nonsense"',
    ]);
  });

  test("R08: base env, ENV and ARG; working directory and user", async () => {
    const op = await run("RUN x", "ENV A=1\nARG B=2\nUSER u:g\nWORKDIR /w");
    expect(op).toMatchObject({ cwd: "/w", user: "u:g" });
    expect(Object.keys(envOf(op))).toEqual(["PATH", "A", "B"]);
  });

  test("options of the build are part of the step", async () => {
    const ulimits = [{ name: "nofile", soft: 1, hard: 2 }];
    const options = { shmSize: 7, ulimits, cgroupParent: "/cg", extraHosts: ["a"] };
    expect(await run("RUN x", "", options)).toMatchObject(options);
  });

  test("--no-cache, for all or for named stages, without case", async () => {
    const text = "FROM busybox AS One\nRUN a\nFROM busybox\nRUN b\nCOPY --from=one / /";
    const ignored = async (noCache: boolean | string[]) =>
      vertices(await planned(text, { noCache }))
        .filter(({ meta }) => meta.cache === "ignore")
        .map(({ meta }) => meta.instruction);
    expect(await ignored(true)).toEqual(["RUN b", "RUN a", "COPY --from=one / /"]);
    expect(await ignored(["ONE"])).toEqual(["RUN a"]);
    expect(await ignored(false)).toEqual([]);
  });
});

test("1.14, H07: names of RUN steps", async () => {
  const text = [
    "FROM busybox",
    "ENV A=1",
    "run \"$A\" $B '$A' # x",
    "RUN <<E",
    "first line",
    "second",
    "E",
    "RUN --mount=type=secret,id=t,env=TOKEN echo $TOKEN",
  ].join("\n");
  expect(names(await planned(text)).slice(1)).toEqual([
    "[stage-0 2/4] RUN \"1\" $B '$A' # x",
    "[stage-0 3/4] RUN <<E (first line...)",
    "[stage-0 4/4] RUN --mount=type=secret,id=t,env=TOKEN echo ****",
  ]);
});

test("1.14: several platforms are told apart, a cross build says its target", async () => {
  const text =
    "FROM --platform=$BUILDPLATFORM busybox AS b\nARG TARGETARCH\nRUN x\nFROM busybox\nRUN y\nCOPY --from=b / /";
  const plan = await planned(text, { isMultiPlatform: true, platform: { os: "linux", architecture: "arm64" } });
  expect(names(plan)).toEqual(
    expect.arrayContaining(["[linux/amd64->arm64 b 2/2] RUN x", "[linux/arm64 stage-1 2/3] RUN y"]),
  );
});

test("H05: a heredoc that becomes a file has a name that a file in one directory can have", async () => {
  const named = (name: string) => [
    `COPY <<${name} /x\nx\n${name}`,
    `ADD <<${name} /x\nx\n${name}`,
    `RUN <<${name}\n#!/bin/sh\n${name}`,
  ];
  for (const line of named("d/e"))
    expect(await errorsOf(`FROM busybox\n${line}`)).toEqual(["[<<d/e] open /d/e: no such file or directory"]);
  for (const line of [...named("."), ...named("/")])
    expect(await errorsOf(`FROM busybox\n${line}`)).toEqual([expect.stringMatching(/ open : is a directory$/)]);
  for (const line of [...named("d/"), ...named("../e"), "RUN cat <<d/e\nx\nd/e", "RUN <<d/e\nx\nd/e"])
    expect(await errorsOf(`FROM busybox\n${line}`)).toEqual([]);
  expect((await run("RUN <<d/\n#!/bin/sh\nd/")).pipes).toMatchObject([{ name: "d" }]);
});
