// Which values an instruction sees: ARG, ENV, predefined arguments, SOURCE_DATE_EPOCH.
import { describe, expect, test } from "vitest";
import { createdBy, envOf, errorsOf, execs, imageWith, names, planned, vertices } from "./rig.ts";

const env = async (text: string, options = {}) => envOf(execs(await planned(text, options)).at(-1));

describe("ARG and ENV", () => {
  test("A01, T43: global ARGs are seen by FROM only, until the stage declares them", async () => {
    const text = "ARG G=global\nARG B=busybox\nFROM $B\nENV BEFORE=[$G]\nARG G\nENV AFTER=[$G]\nRUN x";
    expect(await env(text)).toMatchObject({ BEFORE: "[]", AFTER: "[global]", G: "global" });
  });

  test.each([
    ["ARG G=own", { G: "given" }, "given"],
    ["ARG G=own", {}, "own"],
    ["ARG G", {}, "global"],
    ["ARG G", { G: "given" }, "given"],
    ["ARG G=$X", { X: "unused" }, ""],
  ])("A02: %s with %j is %j", async (declaration, buildArgs, value) => {
    expect((await env(`ARG G=global\nFROM busybox\n${declaration}\nRUN x`, { buildArgs }))["G"]).toBe(value);
  });

  test("A02: without any value the variable stays unset but is listed in the history", async () => {
    const plan = await planned("FROM busybox\nARG NONE\nRUN x");
    expect(envOf(execs(plan)[0])).not.toHaveProperty("NONE");
    expect(createdBy(plan)).toEqual(["ARG NONE", "RUN |1 NONE= /bin/sh -c x # buildkit"]);
  });

  test("A03: stages built FROM a stage inherit its ARGs, others do not; several per line see each other", async () => {
    const text = "FROM busybox AS a\nARG P=1 Q=$P-2\nFROM a AS b\nRUN b\nFROM busybox AS c\nCOPY --from=b /x /\nRUN c";
    const [inB, inC] = execs(await planned(text)).map(envOf);
    expect(inB).toMatchObject({ P: "1", Q: "1-2" });
    expect(inC).not.toHaveProperty("P");
  });

  test("A04: the last writer wins, and an ARG never reaches the config", async () => {
    const plan = await planned("FROM busybox\nENV A=env\nARG A=arg\nRUN one\nARG B=arg\nENV B=env\nRUN two");
    const [one, two] = execs(plan).map(envOf);
    expect([one!["A"], two!["A"], two!["B"]]).toEqual(["arg", "arg", "env"]);
    expect(plan.config.Env).toContain("A=env");
  });

  test("A04: below another stage the config's ENV counts again", async () => {
    const text = "FROM busybox AS a\nENV A=env\nARG A=arg\nFROM a\nRUN x";
    expect((await env(text))["A"]).toBe("env");
  });

  test("A05: PATH has a default, written to the config", async () => {
    const bare = imageWith("docker.io/library/bare:latest", { Env: ["X=1"] });
    const plan = await planned("FROM bare\nRUN x", { images: [bare] });
    expect(plan.config.Env).toEqual(["X=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
  });

  test("A05: names that differ in case are different names", async () => {
    const { config } = await planned("FROM busybox\nENV Path=/p\nENV PATH=/q path=$Path");
    expect(config.Env).toEqual(["PATH=/q", "Path=/p", "path=/p"]);
  });

  test("A06: a build argument that nothing declares changes nothing", async () => {
    const plain = await planned("FROM busybox\nRUN x");
    expect((await planned("FROM busybox\nRUN x", { buildArgs: { X: "1" } })).target).toBe(plain.target);
  });

  test("A07, T1: a changed argument changes the RUNs after its declaration, not those before", async () => {
    const text = "FROM busybox\nRUN before\nARG V\nRUN after";
    const [one, two] = await Promise.all(["1", "2"].map((V) => planned(text, { buildArgs: { V } })));
    const ids = [one, two].map((plan) => vertices(plan!).map(({ id }) => id));
    expect(ids[0]!.slice(0, 2)).toEqual(ids[1]!.slice(0, 2));
    expect(ids[0]![2]).not.toBe(ids[1]![2]);
  });

  test("V10: one instruction sees one snapshot", async () => {
    const { config } = await planned("FROM busybox\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc");
    expect(config.Env).toEqual(expect.arrayContaining(["abc=bye", "def=hello", "ghi=bye"]));
  });
});

describe("predefined arguments", () => {
  test("A20, T44: proxies reach every RUN in both cases, but no key, history or image", async () => {
    const buildArgs = { Http_Proxy: "http://p", NO_PROXY: "x", FTP_PROXY: "" };
    const [plain, plan] = [await planned("FROM busybox\nRUN x"), await planned("FROM busybox\nRUN x", { buildArgs })];
    const expected = ["HTTP_PROXY=http://p", "http_proxy=http://p", "NO_PROXY=x", "no_proxy=x"];
    expect(vertices(plan).at(-1)!.meta.hiddenEnv).toEqual(expected);
    expect(plan.target).toBe(plain.target);
    expect(createdBy(plan)).toEqual(createdBy(plain));
    expect(plan.config).toEqual(plain.config);
  });

  test.each(["HTTP", "HTTPS", "FTP", "NO", "ALL"])("A20: %s_PROXY, in either case", async (scheme) => {
    const name = `${scheme}_PROXY`;
    for (const given of [name, name.toLowerCase()]) {
      const plan = await planned("FROM busybox\nRUN x", { buildArgs: { [given]: "p" } });
      expect(vertices(plan).at(-1)!.meta.hiddenEnv).toEqual([`${name}=p`, `${name.toLowerCase()}=p`]);
    }
  });

  test("A20: a declared proxy is an ordinary argument", async () => {
    const plan = await planned("FROM busybox\nARG HTTP_PROXY\nRUN x", { buildArgs: { HTTP_PROXY: "p" } });
    expect(envOf(execs(plan)[0])["HTTP_PROXY"]).toBe("p");
    expect(vertices(plan).at(-1)!.meta.hiddenEnv).toEqual(["http_proxy=p"]);
  });

  test("A21, T43: platform arguments come with the global scope and are overridable", async () => {
    const platform = { os: "linux", architecture: "arm", variant: "v7" };
    const text =
      "FROM scratch\nARG TARGETPLATFORM\nARG TARGETVARIANT BUILDARCH BUILDVARIANT\nLABEL a=$TARGETPLATFORM/$TARGETVARIANT/$BUILDARCH/[$BUILDVARIANT]";
    expect((await planned(text, { platform })).config.Labels).toEqual({ a: "linux/arm/v7/v7/amd64/[]" });
    const given = await planned(text, { platform, buildArgs: { BUILDARCH: "mine" } });
    expect(given.config.Labels).toEqual({ a: "linux/arm/v7/v7/mine/[]" });
  });

  test("T43: a default of an ARG that is called like one of them changes the variable, not the platform", async () => {
    const names = "TARGETPLATFORM=linux/arm64 TARGETARCH=arm64 BUILDPLATFORM=linux/arm64";
    const text = `ARG ${names}\nFROM busybox\nARG ${names}\nRUN x`;
    const plan = await planned(text);
    expect(execs(plan)[0]!.platform).toEqual({ os: "linux", architecture: "amd64" });
    expect(envOf(execs(plan)[0])).toMatchObject({ TARGETPLATFORM: "linux/arm64", TARGETARCH: "arm64" });
    expect(plan.platform).toEqual({ os: "linux", architecture: "amd64" });
  });

  test("A21: every one of them, in FROM and, declared, in a stage; undeclared they are unset", async () => {
    const kinds = ["PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT"];
    const all = ["TARGET", "BUILD"].flatMap((side) => kinds.map((kind) => `${side}${kind}`));
    const platform = { os: "linux", architecture: "arm", variant: "v7" };
    const buildPlatform = { os: "linux", architecture: "amd64", variant: "v2" };
    const label = `LABEL all="${all.map((name) => `$${name}`).join("|")}"`;
    const declared = await planned(`FROM scratch\nARG ${all.join(" ")}\n${label}`, { platform, buildPlatform });
    expect(declared.config.Labels).toEqual({ all: "linux/arm/v7|linux||arm|v7|linux/amd64/v2|linux||amd64|v2" });
    const versioned = {
      platform: { ...platform, osVersion: "5" },
      buildPlatform: { ...buildPlatform, osVersion: "6" },
    };
    const versions = "FROM scratch\nARG TARGETOSVERSION BUILDOSVERSION\nLABEL v=$TARGETOSVERSION-$BUILDOSVERSION";
    expect((await planned(versions, versioned)).config.Labels).toEqual({ v: "5-6" });
    const undeclared = await planned(`FROM scratch\n${label}`, { platform, buildPlatform });
    expect(undeclared.config.Labels).toEqual({ all: "|".repeat(9) });
    const inFrom = await planned(`FROM scratch AS v7\nFROM $TARGETVARIANT AS amd64\nFROM $BUILDARCH\nLABEL a=b`, {
      platform,
      buildPlatform,
    });
    expect(inFrom.config.Labels).toEqual({ a: "b" });
  });

  test.each([
    ["FROM busybox AS Last", undefined, "last"],
    ["FROM busybox", undefined, "default"],
    ["FROM busybox AS one\nARG TARGETSTAGE\nLABEL s=$TARGETSTAGE\nFROM busybox AS two", "one", "one"],
  ])("A22: TARGETSTAGE of %j with target %s", async (from, target, value) => {
    const text = `${from}\nARG TARGETSTAGE\nLABEL s=$TARGETSTAGE`;
    const plan = await planned(text, target === undefined ? {} : { target });
    expect(plan.config.Labels).toEqual({ s: value });
  });

  test("A27: the sandbox's host name", async () => {
    const plan = await planned("FROM busybox\nRUN x", { buildArgs: { BUILDKIT_SANDBOX_HOSTNAME: "box" } });
    expect(execs(plan)[0]).toMatchObject({ hostname: "box" });
  });

  test("A23: caches have the namespace in front of their ids", async () => {
    const text = "FROM busybox\nRUN --mount=type=cache,target=/c --mount=type=cache,id=x,target=/d y";
    const ids = async (ns: string) =>
      execs(await planned(text, { buildArgs: { BUILDKIT_CACHE_MOUNT_NS: ns } }))[0]!.mounts.map(
        (mount) => mount.kind === "cache" && mount.id,
      );
    expect(await ids("team")).toEqual(["team//c", "team/x"]);
    expect(await ids("")).toEqual(["/c", "x"]);
  });

  test("A30: the name of a build is in no step, key or image, unless it is declared", async () => {
    const buildArgs = { BUILDKIT_BUILD_NAME: "nightly" };
    const [plain, named] = [await planned("FROM busybox\nRUN x"), await planned("FROM busybox\nRUN x", { buildArgs })];
    expect([named.target, named.config, createdBy(named)]).toEqual([plain.target, plain.config, createdBy(plain)]);
    expect((await env("FROM busybox\nARG BUILDKIT_BUILD_NAME\nRUN x", { buildArgs }))["BUILDKIT_BUILD_NAME"]).toBe(
      "nightly",
    );
  });

  test("A32: arguments of the builder are no environment", async () => {
    expect(await env("FROM busybox\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x")).not.toHaveProperty(
      "BUILDKIT_SBOM_SCAN_STAGE",
    );
  });
});

describe("A31: SOURCE_DATE_EPOCH", () => {
  test("comes from a build argument or a global default, as a number", async () => {
    const given = await planned("FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN x", {
      buildArgs: { SOURCE_DATE_EPOCH: "12" },
    });
    expect(given.epoch).toBe(12);
    expect(envOf(execs(given)[0])["SOURCE_DATE_EPOCH"]).toBe("12");
    expect((await planned("ARG SOURCE_DATE_EPOCH=7\nFROM busybox")).epoch).toBe(7);
  });

  test("means nothing for a local context, and what the engine says for others", async () => {
    const buildArgs = { SOURCE_DATE_EPOCH: "context" };
    expect((await planned("FROM busybox", { buildArgs })).epoch).toBeUndefined();
    expect((await planned("FROM busybox", { buildArgs, epoch: 99 })).epoch).toBe(99);
    const ageless = { buildArgs: { SOURCE_DATE_EPOCH: "src" }, epoch: null };
    const plan = await planned("FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN x", ageless);
    expect([plan.epoch, envOf(execs(plan)[0])]).toEqual([
      undefined,
      expect.not.objectContaining({ SOURCE_DATE_EPOCH: "src" }),
    ]);
  });

  test("is refused otherwise", async () => {
    expect(await errorsOf("FROM busybox", { buildArgs: { SOURCE_DATE_EPOCH: "soon" } })).toEqual([
      "[SOURCE_DATE_EPOCH=soon] invalid SOURCE_DATE_EPOCH: soon",
    ]);
    expect(await errorsOf("ARG SOURCE_DATE_EPOCH=1.5\nFROM busybox")).toEqual(["[1.5] invalid SOURCE_DATE_EPOCH: 1.5"]);
  });
});

test("V23: a default sees what stands before it: global arguments, in a stage its variables; names are not expanded", async () => {
  const text = "ARG A=1\nARG B=x$A$LATER\nARG LATER=2\nFROM scratch\nARG B\nENV E=3\nARG C=$B-$E-$A\nLABEL v=$C";
  expect((await planned(text)).config.Labels).toEqual({ v: "x1-3-" });
  const name = await planned("FROM scratch\nENV Q=1\nARG $Q=2\nLABEL v=$Q");
  expect([name.config.Labels, createdBy(name)[1]]).toEqual([{ v: "1" }, "ARG $Q=2"]);
});

test("V23: an error in a default is at its value; the rest is planned on", async () => {
  const text = "FROM busybox\nARG A=${x\nENV B=${\nUSER ${:}\nVOLUME $none";
  expect(await errorsOf(text)).toEqual([
    `[\${x] failed to process "\${x": unsupported modifier (\ufffd) in substitution`,
    `[\${] failed to process "\${": syntax error: missing '}'`,
    `[\${:}] failed to process "\${:}": syntax error: bad substitution`,
    "[$none] VOLUME specified can not be an empty string",
  ]);
  expect(names(await planned("FROM busybox"))).toHaveLength(1);
});

describe("where variables are expanded", () => {
  test("V20: FROM sees global arguments only, in the image and in --platform", async () => {
    const text = "ARG TAG=busybox\nARG OS=linux\nFROM $TAG AS a\nARG OTHER=debian:12\nENV TAG=env\n";
    const sound = await planned(`${text}FROM --platform=\${OS}/amd64 $TAG\nRUN x`);
    expect(vertices(sound).map(({ op }) => (op.kind === "image" ? op.reference : op.kind))).toEqual([
      "docker.io/library/busybox:latest",
      "exec",
    ]);
    expect(await errorsOf(`${text}FROM $OTHER`)).toEqual(["[$OTHER] base name ($OTHER) should not be blank"]);
    expect(await errorsOf("FROM --platform=$NONE busybox")).toEqual([
      "[$NONE] empty platform value from expression $NONE",
    ]);
  });

  test("V25: USER, WORKDIR, every item of VOLUME, STOPSIGNAL", async () => {
    const text =
      'FROM scratch\nENV A=one\nUSER $A:${B:-two}\nWORKDIR /$A/b\nVOLUME /$A ["x"\nVOLUME ["/$A/j", "/k"]\nSTOPSIGNAL SIG${C:-TERM}';
    const { config } = await planned(text);
    expect(config).toMatchObject({ User: "one:two", WorkingDir: "/one/b", StopSignal: "SIGTERM" });
    expect(Object.keys(config.Volumes ?? {})).toEqual(expect.arrayContaining(["/one", "/one/j", "/k"]));
  });

  test("V29: ONBUILD is kept as written and expanded where it is triggered, by each of its instructions", async () => {
    const text =
      'FROM busybox AS a\nENV A=parent\nONBUILD ENV B=$A C="$A-$D"\nONBUILD RUN echo $B\nFROM a\nENV A=child';
    const plan = await planned(text);
    expect(plan.config.Env).toEqual(expect.arrayContaining(["A=child", "B=parent", "C=parent-"]));
    const kept = await planned(text, { target: "a" });
    expect(kept.config.OnBuild).toEqual(['ENV B=$A C="$A-$D"', "RUN echo $B"]);
    expect(names(plan).at(-1)).toContain("ONBUILD RUN echo parent");
  });
});
