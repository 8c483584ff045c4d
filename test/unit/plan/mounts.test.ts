// RUN --mount: types, options and their defaults, what is refused.
import { describe, expect, test } from "vitest";
import { envOf, errorsOf, execs, imageWith, planned, vertices } from "./rig.ts";

const run = async (line: string, before = "", options = {}) =>
  execs(await planned(`FROM busybox AS tools\nFROM busybox\n${before}\n${line}`, options)).at(-1)!;
const mountsOf = async (flags: string, before = "", options = {}) =>
  (await run(`RUN ${flags} x`, before, options)).mounts;
const mountErrors = async (flag: string) => errorsOf(`FROM busybox\nARG E=\nRUN --mount=${flag} x`);

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

  test("R07: of binds, caches and tmpfs with one target the last counts; secrets and ssh displace none at planning", async () => {
    const kindsOf = async (flags: string) => (await mountsOf(flags)).map(({ kind }) => kind);
    const [bind, tmpfs] = ["--mount=target=/a", "--mount=type=tmpfs,target=/a"];
    expect(await kindsOf(`${bind} ${tmpfs}`)).toEqual(["tmpfs"]);
    expect(await kindsOf(`${tmpfs} ${bind}`)).toEqual(["bind"]);
    const [secret, ssh] = ["--mount=type=secret,id=s,target=/a", "--mount=type=ssh,target=/a"];
    expect(await kindsOf(`${bind} ${secret} ${ssh} ${secret}`)).toEqual(["bind", "secret", "ssh", "secret"]);
    expect(await kindsOf(`${ssh} ${secret} ${bind}`)).toEqual(["ssh", "secret", "bind"]);
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
    ["1\\ k", 1024],
    ["2B", 2],
    ["1.m", 2 ** 20],
    [".5K", 512],
    ["1_0", 10],
    ["1e3k", 1000 * 1024],
    ["1Pb", 2 ** 50],
    ["1tib", 2 ** 40],
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

  test("M42: env may stand before the type, and says nothing of other mounts", async () => {
    expect(await mountsOf("--mount=env=E,id=s,type=secret")).toMatchObject([{ kind: "secret", id: "s", env: "E" }]);
    expect(await mountsOf("--mount=env=E,target=/m,type=tmpfs")).toEqual([{ kind: "tmpfs", target: "/m" }]);
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
    for (const [written, target] of [
      ["s/agent", "/w/s/agent"],
      ["/a/../$S/", "/s"],
    ] as const) {
      const relative = await run(`RUN --mount=type=ssh,target=${written} x`, "WORKDIR /w\nENV S=s");
      expect(relative.mounts).toMatchObject([{ target }]);
      expect(envOf(relative)["SSH_AUTH_SOCK"]).toBe(written.replace("$S", "s"));
    }
  });

  test("M12, M61: what is true and what is false is Go's choice; M24: the greatest numbers", async () => {
    for (const [text, writable] of [
      ["1 t T TRUE true True", true],
      ["0 f F FALSE false False", false],
    ] as const)
      for (const value of text.split(" "))
        expect(await mountsOf(`--mount=target=/a,rw=${value}`)).toMatchObject([{ writable }]);
    const greatest = "type=cache,target=/c,mode=37777777777,uid=4294967295,gid=007";
    expect(await mountsOf(`--mount=${greatest}`)).toMatchObject([{ mode: 2 ** 32 - 1, uid: 2 ** 32 - 1, gid: 7 }]);
  });

  test("M61: a field in double quotes may hold commas; a value may hold =", async () => {
    const flag = `--mount='type=cache,"target=/x,y","id=a=c"'`;
    expect(await mountsOf(flag)).toMatchObject([{ target: "/x,y", id: "a=c" }]);
  });

  test("V26: values are expanded", async () => {
    const flags = "--mount=type=cache,id=$I-${N:-n},target=$T,mode=$M";
    expect(await mountsOf(flags, "ARG I=i T=/t M=0711")).toMatchObject([{ id: "i-n", target: "/t", mode: 0o711 }]);
  });

  test("M01, V26: the type may be a variable, and then is one of the types or refused", async () => {
    const args = "ARG T=CACHE S=ssh N=tmpfs";
    expect(await mountsOf("--mount=type=$T,target=/c,sharing=locked,mode=0700", args)).toMatchObject([
      { kind: "cache", sharing: "locked", mode: 0o700 },
    ]);
    expect(await mountsOf("--mount=type=$S,required --mount=type=${N},size=1k,target=/t", args)).toMatchObject([
      { kind: "ssh", required: true, target: "/run/buildkit/ssh_agent.0" },
      { kind: "tmpfs", size: 1024 },
    ]);
    const refused = async (flag: string) => await errorsOf(`FROM busybox\n${args} W=x\nRUN --mount=${flag} x`);
    expect(await refused("type=$W,target=/c")).toEqual(['[type=$W] unsupported mount type "x"']);
    expect(await refused("type=$N,target=/c,required")).toEqual([
      "[required] unexpected key 'required' for mount type 'tmpfs'",
    ]);
    expect(await refused("size=1k,type=$N,target=/c")).toEqual([
      "[size=1k] unexpected key 'size' for mount type 'bind'",
    ]);
    expect(await refused("type=$N,target=/c,mode=0700")).toEqual([
      '[mode=0700] mode not allowed for "tmpfs" type mounts',
    ]);
  });

  test.each([
    ["type=CACHE,target=/c,id=c,sharing=Private", { kind: "cache", sharing: "private" }],
    ["TYPE=cache,TARGET=/c,ID=c", { kind: "cache", id: "c", target: "/c" }],
    ["type=secret,id=,source=s", { kind: "secret", id: "s" }],
    ["type=secret,id=s,source=", { kind: "secret", id: "s" }],
    ["type=secret,id=s,from=,target=", { kind: "secret", id: "s", target: "/run/secrets/s" }],
    ["type=ssh,source=,id=", { kind: "ssh", id: "default" }],
    ["type=secret,id=s,source=$E", { kind: "secret", id: "s" }],
    ["type=secret,id=$E,source=$E,target=/a/s", { kind: "secret", id: "s", target: "/a/s" }],
    ["type=ssh,source=$E", { kind: "ssh", id: "default" }],
    ["type=cache,target=/c,id=$E,source=$E", { kind: "cache", id: "/c", source: "" }],
    ["target=/c,from=,source=", { kind: "bind", source: "" }],
  ])("M01, M40, M52: %s: capitals are as good, and what is empty or turns out so is not given", async (flag, mount) => {
    expect(await mountsOf(`--mount=${flag}`, "ARG E=")).toMatchObject([mount]);
  });

  test("V26: a `$` that nothing follows is no variable, also in `from`", async () => {
    expect(await errorsOf("FROM busybox\nRUN --mount=from=a$,target=/x x")).toEqual([
      expect.stringContaining('failed to parse stage name "a$": invalid reference format'),
    ]);
    expect(await mountsOf("--mount=type=cache,target=/x,id=a$")).toMatchObject([{ id: "a$" }]);
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
    ["type=secret,target=$E", "[--mount=type=secret,target=$E] invalid secret mount. one of source, target required"],
    ["type=secret,id=a$E,source=b", "[--mount=type=secret,id=a$E,source=b] both source and id can't be set"],
    ["type=ssh,source=a$E", "[--mount=type=ssh,source=a$E] ssh does not support source"],
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
    ["type=secret,id=a,source=b", "both source and id can't be set"],
    ["type=secret,id=,target=", "invalid secret mount. one of source, target required"],
    ["type=secret,id=a,from=busybox", "secret mount should not have a from"],
    ["type=secret,id=a$E,from=busybox,target=$E", "secret mount should not have a from"],
    ["type=secret,id=a,sharing=shared", "secret mount should not define sharing"],
    ["type=ssh,source=a", "ssh does not support source"],
    ["type=ssh,sharing=shared", "invalid cache sharing set for ssh mount"],
    ["type=tmpfs,target=/x,sharing=locked", "invalid cache sharing set for tmpfs mount"],
    ["target=/x,sharing=private", "invalid cache sharing set for bind mount"],
    ["type=cache,target=/x,sharing=", 'unsupported sharing value ""'],
    ["type=cache,target=/x,mode=", "invalid value  for mode"],
    ["target=/x,gid=", "invalid value  for gid"],
    ["type=tmpfs,target=/x,size=", "invalid value for size: "],
    ["target=/x,ro=", "invalid value for ro: "],
    ["type=,target=/x", 'unsupported mount type ""'],
    ["size=1m,target=/x,type=tmpfs", "unexpected key 'size' for mount type 'bind'"],
    ["type=tmpfs,target=/x$E,mode=0700", 'mode not allowed for "tmpfs" type mounts'],
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
    ...["-1", "1i", "1ib", "1.2.3m", "1ki", "1kk", "_1", "."].map(
      (size) => [`type=tmpfs,target=/x,size=${size}`, `invalid value for size: ${size}`] as [string, string],
    ),
    ["type=tmpfs,target=/x,size=1\\ \\ k", "invalid value for size: 1  k"],
    [`'"fo""o=1"'`, `unexpected key 'fo"o' in 'fo"o=1'`],
    ["type=cache,target=/x,mode=40000000000", "invalid value 40000000000 for mode"],
    ["type=cache,target=/x,mode=+755", "invalid value +755 for mode"],
    ["type=cache,target=/x,mode=0o755", "invalid value 0o755 for mode"],
    ["type=cache,target=/x,uid=+1", "invalid value +1 for uid"],
    ["type=cache,target=/x,uid=4294967296", "invalid value 4294967296 for uid"],
    ["type=cache,target=/x,ro=yes", "invalid value for ro: yes"],
    ["type=cache,,target=/x", "invalid field '' must be a key=value pair"],
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
    ["type=secret,id=a,from=$X", "'from' doesn't support variable expansion, define alias stage instead"],
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
