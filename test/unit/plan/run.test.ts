// RUN: commands, environment, network, mounts.
import { describe, expect, test } from "vitest";
import { envOf, errorsOf, execs, imageWith, names, planned, vertices } from "./rig.ts";

const run = async (line: string, before = "", options = {}) =>
  execs(await planned(`FROM busybox AS tools\nFROM busybox\n${before}\n${line}`, options)).at(-1)!;
const mountsOf = async (flags: string, before = "", options = {}) =>
  (await run(`RUN ${flags} x`, before, options)).mounts;
const mountErrors = async (flag: string) => errorsOf(`FROM busybox\nARG E=\nRUN --mount=${flag} x`);

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

describe("mounts", () => {
  test("M10–M12: bind is the default, read-only, from the build context", async () => {
    const plan = await planned(
      "FROM busybox AS t\nRUN t\nFROM busybox\nRUN --mount=target=/a --mount=from=t,src=../b/,dst=/c,rw=true x",
    );
    const vertex = vertices(plan).at(-1)!;
    expect(execs(plan).at(-1)!.mounts).toEqual([
      { kind: "bind", target: "/a", input: 1, source: "", writable: false },
      { kind: "bind", target: "/c", input: 2, source: "b", writable: true },
    ]);
    expect(vertex.inputs.slice(1).map((id) => plan.graph.vertices.get(id!)!.meta.name)).toEqual([
      "[internal] load build context",
      "[t 2/2] RUN t",
    ]);
  });

  test.each([
    ["", false],
    [",rw", true],
    [",readwrite", true],
    [",rw=true", true],
    [",readwrite=false", false],
    [",ro", false],
    [",readonly", false],
    [",ro=false", true],
    [",readonly=false", true],
  ])("M02, M11, M12: a bind with%s is writable: %s", async (option, writable) => {
    for (const target of ["target", "dst", "destination"]) {
      for (const source of ["source", "src"]) {
        const flag = `--mount=${target}=/a,${source}=/s${option}`;
        expect(await mountsOf(flag)).toEqual([{ kind: "bind", target: "/a", input: 1, source: "s", writable }]);
      }
    }
  });

  test("M02: relative targets are below WORKDIR", async () => {
    expect(await mountsOf("--mount=target=a/../b", "WORKDIR /w")).toMatchObject([{ target: "/w/b" }]);
    expect(await mountErrors("target=/")).toEqual(['[--mount=target=/] invalid mount target "/"']);
  });

  test("M20–M24: cache", async () => {
    expect(await mountsOf("--mount=type=cache,target=/a//b/")).toEqual([
      { kind: "cache", target: "/a/b", id: "/a/b", sharing: "shared", source: "", readonly: false },
    ]);
    for (const sharing of ["shared", "private", "locked"])
      expect(await mountsOf(`--mount=type=cache,target=/c,sharing=${sharing}`)).toMatchObject([{ sharing }]);
    for (const option of ["ro", "readonly", "ro=true", "rw=false"])
      expect(await mountsOf(`--mount=type=cache,target=/c,${option}`)).toMatchObject([{ readonly: true }]);
    const full = "--mount=type=cache,id=i,target=/c,sharing=LOCKED,from=tools,source=/s,ro,mode=0700,uid=1,gid=2";
    const ns = { buildArgs: { BUILDKIT_CACHE_MOUNT_NS: "ns" } };
    expect(await mountsOf(full, "", ns)).toEqual([
      {
        kind: "cache",
        target: "/c",
        id: "ns/i",
        sharing: "locked",
        input: 1,
        source: "s",
        readonly: true,
        mode: 0o700,
        uid: 1,
        gid: 2,
      },
    ]);
  });

  test("M21, pain 30: what package managers lock is locked by default, wherever below, and nothing else is", async () => {
    const apt = ["/var/cache/apt", "/var/lib/apt", "/var/lib/apt/lists"];
    const rpm = ["/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum", "/var/cache/zypp", "/var/lib/dnf"];
    for (const target of [...apt, ...rpm])
      expect(await mountsOf(`--mount=type=cache,target=${target}`)).toMatchObject([
        { sharing: "locked", isLockedByDefault: true },
      ]);
    for (const target of ["/var/cache", "/var/cache/apt-more", "/root/.npm"])
      expect(await mountsOf(`--mount=type=cache,target=${target}`)).toMatchObject([{ sharing: "shared" }]);
  });

  test.each([
    ["64m", 64 * 2 ** 20],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["100", 100],
    ["0", undefined],
  ])("M30: tmpfs of size %s", async (size, bytes) => {
    const expected = { kind: "tmpfs", target: "/t", ...(bytes === undefined ? {} : { size: bytes }) };
    expect(await mountsOf(`--mount=type=tmpfs,target=/t,size=${size}`)).toEqual([expected]);
  });

  test("M30: a tmpfs may be read-only, has nothing to take a source from, and nothing of its `from` but that it exists", async () => {
    const tmpfs = { kind: "tmpfs", target: "/t" };
    expect(await mountsOf("--mount=type=tmpfs,target=/t,ro")).toEqual([{ ...tmpfs, readonly: true }]);
    expect(await mountsOf("--mount=type=tmpfs,target=/t,rw,source=/")).toEqual([tmpfs]);
    expect(await mountErrors("type=tmpfs,target=/t,source=/sub")).toEqual([
      "[--mount=type=tmpfs,target=/t,source=/sub] open /sub: no such file or directory",
    ]);
    const asked: string[] = [];
    const onResolve = (reference: string): void => void asked.push(reference);
    const plan = await planned("FROM busybox\nRUN --mount=type=tmpfs,target=/t,from=alpine x", {
      images: [imageWith("docker.io/library/alpine:latest", {})],
      onResolve,
    });
    expect(asked).toContain("docker.io/library/alpine:latest");
    expect(vertices(plan)).toHaveLength(2);
  });

  test("M40–M44: secrets", async () => {
    const plain = { kind: "secret", required: false, mode: 0o400, uid: 0, gid: 0 };
    expect(await mountsOf("--mount=type=secret,id=a/b")).toEqual([{ ...plain, id: "a/b", target: "/run/secrets/b" }]);
    expect(await mountsOf("--mount=type=secret,target=/x/name")).toEqual([{ ...plain, id: "name", target: "/x/name" }]);
    expect(await mountsOf("--mount=type=secret,src=s,env=E")).toEqual([{ ...plain, id: "s", env: "E" }]);
    const full = "--mount=type=secret,id=s,env=E,target=rel,required,mode=0440,uid=5,gid=6";
    expect(await mountsOf(full, "WORKDIR /w")).toEqual([
      { kind: "secret", id: "s", env: "E", target: "/w/rel", required: true, mode: 0o440, uid: 5, gid: 6 },
    ]);
  });

  test("M50–M52: ssh, and where its agent listens", async () => {
    const op = await run("RUN --mount=type=ssh --mount=type=ssh,id=k,required,target=/s,mode=0666 x");
    expect(op.mounts).toEqual([
      { kind: "ssh", id: "default", target: "/run/buildkit/ssh_agent.0", required: false, mode: 0o600, uid: 0, gid: 0 },
      { kind: "ssh", id: "k", target: "/s", required: true, mode: 0o666, uid: 0, gid: 0 },
    ]);
    expect(envOf(op)["SSH_AUTH_SOCK"]).toBe("/run/buildkit/ssh_agent.0");
    const two = await run("RUN --mount=type=ssh,target=/s --mount=type=ssh,id=b --mount=type=ssh,id=c x");
    expect([two.mounts.map(({ target }) => target), envOf(two)["SSH_AUTH_SOCK"]]).toEqual([
      ["/s", "/run/buildkit/ssh_agent.1", "/run/buildkit/ssh_agent.2"],
      "/s",
    ]);
    expect(envOf(await run("RUN --mount=type=ssh x", "ENV SSH_AUTH_SOCK=mine"))["SSH_AUTH_SOCK"]).toBe("mine");
  });

  test("V26: values are expanded", async () => {
    const flags = "--mount=type=cache,id=$I-${N:-n},target=$T,mode=$M";
    expect(await mountsOf(flags, "ARG I=i T=/t M=0711")).toMatchObject([{ id: "i-n", target: "/t", mode: 0o711 }]);
  });

  test("R07: of several with one target the last counts", async () => {
    expect(
      await mountsOf("--mount=type=cache,target=/a --mount=type=tmpfs,target=/b --mount=type=tmpfs,target=/a/"),
    ).toMatchObject([
      { kind: "tmpfs", target: "/b" },
      { kind: "tmpfs", target: "/a" },
    ]);
  });

  test("R07, M42: secrets that are variables only are told apart by these", async () => {
    const flags = ["id=a,env=A", "id=b,env=B", "id=c,env=A"].map((text) => `--mount=type=secret,${text}`).join(" ");
    expect(await mountsOf(flags)).toMatchObject([
      { id: "b", env: "B" },
      { id: "c", env: "A" },
    ]);
  });

  test("M10: mounts of one stage are one input", async () => {
    const flags = "--mount=from=t,target=/a --mount=from=t,target=/b --mount=target=/c";
    const plan = await planned(`FROM busybox AS t\nRUN t\nFROM busybox\nRUN ${flags} x`);
    expect(vertices(plan).at(-1)!.inputs).toHaveLength(3);
    expect(execs(plan).at(-1)!.mounts).toMatchObject([{ input: 1 }, { input: 1 }, { input: 2 }]);
  });

  test.each([
    ["type=secret,id=$E", "[--mount=type=secret,id=$E] invalid secret mount. one of source, target required"],
    ["type=cache,target=/x,mode=9$E", "[mode=9$E] invalid value 9 for mode"],
    ["type=cache,target=/x,uid=a$E", "[uid=a$E] invalid value a for uid"],
    ["type=cache,target=/x,sharing=all$E", '[sharing=all$E] unsupported sharing value "all"'],
    ["type=cache,target=/x,ro=maybe$E", "[ro=maybe$E] invalid value for ro: maybe"],
    ["type=tmpfs,target=/x,size=1x$E", "[size=1x$E] invalid value for size: 1x"],
    ["type=bind,target=/$E", '[--mount=type=bind,target=/$E] invalid mount target "/"'],
  ])("M61: %s", async (flag, message) => {
    expect(await mountErrors(flag)).toEqual([message]);
  });

  test.each([
    ["readonl", "invalid field 'readonl' must be a key=value pair"],
    ["foo", "invalid field 'foo' must be a key=value pair"],
    ["foo=1", "unexpected key 'foo' in 'foo=1'"],
    ["type=foo", 'unsupported mount type "foo"'],
    ["type", "invalid field 'type' must be a key=value pair"],
    ["required", "unexpected key 'required' for mount type 'bind'"],
    ["type=cache,target=/x,sharing=no", 'unsupported sharing value "no"'],
    ["type=secret,id=a$E,source=b", "both source and id can't be set"],
    ["type=tmpfs,target=/x,mode=0700", 'mode not allowed for "tmpfs" type mounts'],
    ["type=tmpfs,target=/x,uid=1", 'uid not allowed for "tmpfs" type mounts'],
    ["type=tmpfs,target=/x,gid=1", 'gid not allowed for "tmpfs" type mounts'],
    ["target=/x,gid=1", 'gid not allowed for "bind" type mounts'],
    ["type=cache,target=/x,size=1g", "unexpected key 'size' for mount type 'cache'"],
    ["type=cache,target=/x,required", "unexpected key 'required' for mount type 'cache'"],
    ["type=cache,target=/x,mode=197", "invalid value 197 for mode"],
    ["type=cache,target=/x,mode=78", "invalid value 78 for mode"],
    ["type=cache,target=/x,uid=1x1", "invalid value 1x1 for uid"],
    ["type=cache,target=/x,gid=1x", "invalid value 1x for gid"],
    ["type=cache,target=/x,gid=4294967296", "invalid value 4294967296 for gid"],
    ["type=cache,target=/x,ro=truex", "invalid value for ro: truex"],
    ["type=cache,target=/x,ro=xtrue", "invalid value for ro: xtrue"],
    ["type=tmpfs,target=/x,size=x1", "invalid value for size: x1"],
    ["type=tmpfs,target=/x,size=1x", "invalid value for size: 1x"],
  ])(
    "M01, M03, M40, M60, M61: %s, known without variables, but told only of a stage that is built",
    async (flag, message) => {
      expect(await mountErrors(flag)).toEqual([expect.stringMatching(/^\[[^\]]+\] /)]);
      expect((await mountErrors(flag)).join()).toContain(`] ${message}`);
      expect(await errorsOf(`FROM busybox AS unused\nRUN --mount=${flag} x\nFROM busybox`)).toEqual([]);
    },
  );

  test.each([
    ["from=$X,target=/x", "'from' doesn't support variable expansion, define alias stage instead"],
    ["", "failed to parse csv mounts: EOF"],
    ['type=bind,x=a\\"b', 'failed to parse csv mounts: parse error on line 1, column 14: bare " in non-quoted-field'],
    ...(
      [
        ['\\"', 2],
        ['\\"abc', 2],
        ['x=1,\\"abc,d', 6],
        ['\\"a\\"\\"', 5],
        ['\\"a\\"\\"b', 5],
        ['x=1,\\"a\\"b', 7],
      ] as const
    ).map(([flag, column]) => [
      flag,
      `failed to parse csv mounts: parse error on line 1, column ${column}: extraneous or missing " in quoted-field`,
    ]),
  ])("M61, V26: --mount=%s is refused in any stage", async (flag, message) => {
    await expect(errorsOf(`FROM busybox AS unused\nRUN --mount=${flag} x\nFROM busybox`)).rejects.toThrow(
      `dockerfile parse error on line 2: ${message}`,
    );
  });

  test("M61, O12: a trigger that a mount is wrong in fails where it runs", async () => {
    expect(await errorsOf("FROM busybox\nONBUILD RUN --mount=foo x")).toEqual([]);
    expect(await errorsOf("FROM busybox AS b\nONBUILD RUN --mount=foo x\nFROM b")).toEqual([
      "[foo] invalid field 'foo' must be a key=value pair",
    ]);
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
