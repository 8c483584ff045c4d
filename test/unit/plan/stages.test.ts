// FROM, stages, targets, --from and what of them is resolved and planned.
import { describe, expect, test } from "vitest";
import { BuildError } from "../../../src/diagnostics/build-error.ts";
import { spanText, writtenPlace } from "../../../src/diagnostics/source.ts";
import type { NamedContext } from "../../../src/plan/options.ts";
import { createdBy, errorsOf, execs, files, imageWith, names, ops, plan, planned } from "./rig.ts";

const arm64 = { os: "linux", architecture: "arm64" };

describe("FROM", () => {
  test("F02, T45: names are compared without case, by --from and --target; FROM wants lower case, as BuildKit does", async () => {
    expect(await errorsOf("FROM busybox AS Build\nFROM BUILD")).toEqual([
      '[BUILD] failed to parse stage name "BUILD": invalid reference format: repository name (library/BUILD) must be lowercase',
    ]);
    const text = "FROM busybox AS Build\nRUN one\nFROM build\nCOPY --from=bUILD /x /\nRUN two";
    expect(execs(await planned(text))).toHaveLength(2);
    expect(execs(await planned(text, { target: "BUILD" }))).toHaveLength(1);
  });

  test("F03, X05: a stage is called what a context can be called", async () => {
    const message = "invalid context name x_3.y--: invalid reference format";
    expect(await errorsOf("FROM busybox AS X_3.y--\nFROM busybox")).toEqual([`[X_3.y--] ${message}`]);
    expect(await errorsOf("FROM busybox AS x_3.y--z\nFROM busybox AS Scratch")).toEqual([]);
  });

  test("F10, M10: only COPY knows stages by number", async () => {
    const run = await plan("FROM busybox\nFROM busybox\nRUN --mount=from=0,target=/m true").catch(
      (error: unknown) => error,
    );
    expect(run).toMatchObject({ code: "image" });
    expect(await errorsOf("FROM busybox\nFROM busybox\nCOPY --from=0 /a /b")).toEqual([]);
  });

  test("F03, F10: to --from and mounts a name is the last stage of the file that has it", async () => {
    const circle = ["[b] circular dependency detected on stage: b"];
    expect(
      await errorsOf(
        "FROM busybox AS a\nFROM busybox AS b\nCOPY --from=a /x /y\nFROM busybox AS a\nCOPY --from=b /y /z",
      ),
    ).toEqual(circle);
    expect(await errorsOf("FROM busybox AS b\nFROM busybox AS b\nRUN --mount=from=b,target=/m true")).toHaveLength(1);
  });

  test("F03: the latest earlier stage of a name counts", async () => {
    const text = "FROM busybox AS a\nRUN one\nFROM busybox AS a\nRUN two\nFROM a\nRUN three";
    expect(execs(await planned(text)).map(({ args }) => args[2])).toEqual(["two", "three"]);
  });

  test("F04: scratch has no layers, PATH and / ; an image without layers is like it", async () => {
    const plan = await planned("FROM scratch\nLABEL a=b");
    expect(plan).toMatchObject({ target: undefined, base: undefined, baseHistory: [] });
    expect(plan.config).toMatchObject({ WorkingDir: "/", Env: [expect.stringMatching(/^PATH=/)] });
    const hollow = imageWith("docker.io/library/hollow:latest", { User: "me" }, [{ empty_layer: true }]);
    const onHollow = await planned("FROM hollow\nLABEL a=b", { images: [hollow] });
    expect(onHollow).toMatchObject({ target: undefined, base: undefined, baseHistory: [{ empty_layer: true }] });
    expect(onHollow.config.User).toBe("me");
  });

  test("F05: references are normalised before they are resolved", async () => {
    const asked: string[] = [];
    await planned("FROM busybox", { onResolve: (reference) => void asked.push(reference) });
    expect(asked).toEqual(["docker.io/library/busybox:latest"]);
    const pinned = `docker.io/library/busybox:1@sha256:${"a".repeat(64)}`;
    await planned(`FROM busybox:1@sha256:${"a".repeat(64)}`, {
      images: [imageWith(pinned, {})],
      onResolve: (reference) => void asked.push(reference),
    });
    expect(asked.at(-1)).toBe(pinned);
    expect(await errorsOf("ARG X\nFROM $X")).toEqual(["[$X] base name ($X) should not be blank"]);
    expect(await errorsOf("FROM a::b")).toEqual(['[a::b] failed to parse stage name "a::b": invalid reference format']);
  });

  test("F05: a missing image is the world's failure, at its word, with a guess", async () => {
    const failure = plan("FROM busybox AS build\nFROM biuld").catch((error: unknown) => error);
    const error = (await failure) as BuildError;
    expect(error).toBeInstanceOf(BuildError);
    expect(error).toMatchObject({ code: "image", help: 'did you mean the stage "build"?' });
    expect(spanText(error.span!)).toBe("biuld");
    const common = (await plan("FROM alpin").catch((one: unknown) => one)) as BuildError;
    expect(common.help).toBe('did you mean "alpine"?');
    const from = (await plan("FROM busybox\nCOPY --from=nowhere /a /b").catch((one: unknown) => one)) as BuildError;
    expect(spanText(from.span!)).toBe("nowhere");
  });

  test("an error in the text goes before a missing image", async () => {
    expect(await errorsOf("FROM missing AS a\nFROM busybox\nCOPY --from=9 /a /\nCOPY --from=a / /")).toEqual([
      "[9] invalid stage index 9",
    ]);
  });

  test.each([
    ["linux/amd64", "linux/amd64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["arm64", "linux/arm64"],
    ["linux/arm", "linux/arm/v7"],
    ["linux", "linux/amd64"],
    ["LINUX/x86_64", "linux/amd64"],
    ["aarch64", "linux/arm64"],
  ])("F06: --platform=%s means %s", async (flag, platform) => {
    const plan = await planned(`FROM --platform=${flag} busybox\nRUN x`);
    const [os, architecture, variant] = platform.split("/");
    expect(execs(plan)[0]!.platform).toEqual({ os, architecture, ...(variant === undefined ? {} : { variant }) });
  });

  test("F06: bad platforms", async () => {
    expect(await errorsOf("ARG P\nFROM --platform=$P busybox")).toEqual([
      "[$P] empty platform value from expression $P",
    ]);
    expect(await errorsOf('FROM --platform= busybox AS a\nFROM --platform="" a')).toEqual([]);
    expect(await errorsOf("FROM --platform=a/b/c/d busybox")).toEqual(["[a/b/c/d] failed to parse platform a/b/c/d"]);
    expect(await errorsOf("FROM --platform=${P busybox")).toEqual([
      expect.stringContaining("failed to process arguments for platform: "),
    ]);
  });

  test("the image is called what its base is, unless the user named a platform", async () => {
    const base = imageWith("docker.io/library/other:latest", {});
    const image = { ...base, config: { ...base.config, architecture: "arm64" } };
    const [implicit, explicit] = await Promise.all(
      [false, true].map((isPlatformExplicit) => planned("FROM other", { images: [image], isPlatformExplicit })),
    );
    expect([implicit!.platform, explicit!.platform]).toEqual([arm64, { os: "linux", architecture: "amd64" }]);
  });

  test("F07: everything but triggers is inherited", async () => {
    const config = {
      User: "u",
      WorkingDir: "/w",
      Cmd: ["c"],
      Entrypoint: ["e"],
      Labels: { l: "1" },
      Volumes: { "/v": {} },
      ExposedPorts: { "1/tcp": {} },
      Shell: ["/s"],
      StopSignal: "TERM",
      Healthcheck: { Test: ["NONE"] },
    };
    const base = imageWith("docker.io/library/full:latest", { ...config, OnBuild: ["LABEL t=1"] });
    const { config: own } = await planned("FROM full AS a\nFROM a\nRUN x", { images: [base] });
    expect(own).toMatchObject({ ...config, Labels: { l: "1", t: "1" } });
    expect(own).not.toHaveProperty("OnBuild");
  });
});

describe("F08, T45: only what the target needs", () => {
  const text =
    "FROM missing AS unused\nRUN no\nFROM busybox AS a\nRUN a\nFROM busybox AS b\nRUN b\nFROM scratch\nCOPY --from=a / /\nRUN --mount=from=b,target=/b c";

  test("is resolved and planned", async () => {
    const plan = await planned(text);
    expect(execs(plan).map(({ args }) => args[2])).toEqual(["a", "b", "c"]);
  });

  test("is what the summary says", async () => {
    const images = [
      imageWith("docker.io/library/missing:latest", {}),
      imageWith("docker.io/library/busybox:latest", {}),
    ];
    const every = await plan(text, { images, isEveryStagePlanned: true });
    expect(execs(every.plan!).map(({ args }) => args[2])).toContain("no");
    const { stages } = await plan(text);
    expect(every.stages).toEqual(stages);
    expect(stages.map(({ isNeeded, isTarget }) => [isNeeded, isTarget])).toEqual([
      [false, false],
      [true, false],
      [true, false],
      [true, true],
    ]);
  });

  test("independent base images are resolved at the same time, each once", async () => {
    const one = imageWith("docker.io/library/one:latest", {});
    const waiting: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    await planned("FROM one AS a\nFROM busybox AS b\nFROM one\nCOPY --from=a / /\nCOPY --from=b / /", {
      images: [one],
      onResolve: (reference) => {
        waiting.push(reference);
        if (waiting.length === 2) resolve();
        return promise;
      },
    });
    expect(waiting).toEqual(["docker.io/library/one:latest", "docker.io/library/busybox:latest"]);
  });

  test("unless every stage is asked for", async () => {
    const { diagnostics } = await plan("FROM busybox AS a\nRUN echo\nUSER ${\nFROM busybox", {
      isEveryStagePlanned: true,
    });
    expect(diagnostics).toHaveLength(1);
  });
});

describe("targets and --from", () => {
  test("F09: an unknown target", async () => {
    const result = await plan("FROM busybox AS build\nFROM busybox AS test", { target: "biuld" });
    expect(result.plan).toBeUndefined();
    expect(result.diagnostics).toMatchObject([
      { message: 'target stage "biuld" could not be found', help: 'did you mean "build"?' },
    ]);
    expect(await errorsOf("FROM busybox", { target: "0" })).toEqual(['[0] target stage "0" could not be found']);
  });

  test("F10, T45: numbers, and stages that come too late", async () => {
    expect(names(await planned("FROM busybox\nFROM scratch\nCOPY --from=0 /a /"))).toContain(
      "[stage-1 1/1] COPY --from=0 /a /",
    );
    expect(await errorsOf("FROM busybox\nCOPY --from=2 /a /")).toEqual(["[2] invalid stage index 2"]);
    expect(await errorsOf("FROM busybox AS a\nCOPY --from=b /a /\nFROM a AS b", { target: "a" })).toEqual([
      expect.stringContaining("circular dependency detected on stage: "),
    ]);
    expect(await errorsOf("FROM busybox AS a\nCOPY --from=b /a /\nFROM busybox AS b", { target: "a" })).toEqual([
      '[b] cannot copy from stage "b", it needs to be defined before current stage "a"',
    ]);
    const mount = "FROM busybox AS a\nRUN --mount=from=b,target=/b x\nFROM busybox AS b";
    expect(await errorsOf(mount, { target: "a" })).toEqual([
      '[from=b] cannot mount from stage "b" to "a", stage needs to be defined before current command',
    ]);
  });

  test("F10: a stage that needs itself", async () => {
    const text =
      "FROM busybox AS a\nCOPY --from=b /x /\nFROM busybox AS b\nCOPY --from=a /x /\nFROM busybox AS c\nCOPY --from=c / /";
    expect(await errorsOf(text)).toEqual([
      "[a] circular dependency detected on stage: a",
      "[c] circular dependency detected on stage: c",
    ]);
  });

  test("V22, V26: --from and a mount's from know no variables", async () => {
    expect(await errorsOf("FROM busybox\nCOPY --from=$X a /")).toEqual([
      "[$X] variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
    ]);
  });

  test("F11: an image is pulled for the target platform, and named once", async () => {
    const plan = await planned("FROM --platform=linux/arm64 busybox\nCOPY --from=busybox /a /", {
      platform: { os: "linux", architecture: "s390x" },
    });
    expect(ops(plan, "image").map(({ platform }) => platform.architecture)).toEqual(["arm64", "s390x"]);
  });
});

describe("named contexts", () => {
  const contexts = (entries: Readonly<Record<string, NamedContext>>) => ({
    contexts: new Map(Object.entries(entries)),
  });

  test("F03: one replaces a stage as a whole", async () => {
    const text = "FROM missing AS deps\nRUN no\nFROM busybox\nCOPY --from=deps /x /";
    const plan = await planned(text, contexts({ deps: { kind: "image", reference: "busybox" } }));
    expect(names(plan)).toEqual([expect.stringMatching(/^\[context deps\]/), "[stage-1 2/2] COPY --from=deps /x /"]);
  });

  test("F03, X05: one replaces an image, by its familiar name, with the platform first", async () => {
    const given = contexts({
      "docker.io/library/other:latest": { kind: "local" },
      "other::linux/amd64": { kind: "image", reference: "busybox" },
    });
    const plan = await planned("FROM other\nRUN x", given);
    expect(names(plan)[0]).toMatch(/^\[context other::linux\/amd64\] docker\.io\/library\/busybox:latest@/);
  });

  test('X05: ":latest" may be left out on either side', async () => {
    expect(ops(await planned("FROM other", contexts({ "other:latest": { kind: "local" } })), "local")).toHaveLength(1);
    expect(ops(await planned("FROM other:latest", contexts({ other: { kind: "local" } })), "local")).toHaveLength(1);
  });

  test("F11: --from prefers a stage to a context", async () => {
    const given = contexts({ a: { kind: "local" }, b: { kind: "local" } });
    const plan = await planned("FROM busybox AS x\nFROM busybox\nCOPY --from=x / /\nCOPY --from=b / /", given);
    expect(ops(plan, "local")).toEqual([{ kind: "local", name: "b" }]);
  });

  test("X05: scratch cannot be replaced, an unused one is not looked at", async () => {
    const given = contexts({ scratch: { kind: "local" }, unused: { kind: "image", reference: "::" } });
    expect((await planned("FROM scratch\nLABEL a=b", given)).target).toBeUndefined();
  });

  test("X05: what one refers to is not looked up among them again", async () => {
    const given = contexts({ a: { kind: "image", reference: "busybox" }, busybox: { kind: "local" } });
    const plan = await planned("FROM a\nRUN x", given);
    expect(names(plan)[0]).toMatch(/^\[context a\] docker\.io\/library\/busybox:latest@/);
    expect(ops(plan, "local")).toEqual([]);
  });

  test("X05: files as a base become a layer of their own", async () => {
    const plan = await planned("FROM files\nRUN x", contexts({ files: { kind: "local" } }));
    expect(files(plan)[0]).toEqual({
      kind: "file",
      action: {
        kind: "copy",
        sources: [{ kind: "path", input: 1, pattern: "", isWildcardAllowed: false }],
        dest: "/",
        parents: false,
        exclude: [],
        unpack: "never",
      },
      isLinked: false,
    });
    expect(plan.history.map(({ comment, vertex }) => [comment, vertex !== undefined])).toEqual([
      ["buildkit.exporter.image.v0", true],
      ["buildkit.dockerfile.v0", true],
    ]);
  });

  test("X05: OCI layouts, git and scratch", async () => {
    const git = {
      kind: "git",
      remote: "https://h/r.git",
      keepGitDir: false,
      submodules: true,
      mtime: "checkout",
    } as const;
    const given = contexts({
      lay: { kind: "oci-layout", path: "/layout", tag: "v1" },
      code: { kind: "source", op: git },
      nothing: { kind: "image", reference: "scratch" },
    });
    const layout = { ...imageWith("docker.io/library/lay:latest", {}), layout: "/layout" };
    const plan = await planned("FROM lay\nCOPY --from=code /a /b\nCOPY --from=nothing / /", {
      ...given,
      images: [layout],
    });
    expect(ops(plan, "image")).toMatchObject([{ layout: "/layout" }]);
    expect(ops(plan, "git")).toEqual([git]);
  });
});

describe("O12: ONBUILD", () => {
  test("a trigger is kept as it is written, with the blanks at its end; only running it needs arguments", async () => {
    const plan = await planned("FROM busybox\nONBUILD RUN  a  \nONBUILD ENV\nONBUILD RUN <<E \nb\nE\n");
    expect(plan.config.OnBuild).toEqual(["RUN  a  ", "ENV", "RUN <<E \nb\nE"]);
    expect((await planned("FROM busybox\r\nONBUILD RUN a \r\n")).config.OnBuild).toEqual(["RUN a "]);
    expect(await errorsOf("FROM busybox AS a\nONBUILD ENV\nFROM a")).toHaveLength(1);
  });

  const base = (...OnBuild: string[]) => ({ images: [imageWith("docker.io/library/base:latest", { OnBuild })] });

  test("triggers run first, may need other stages, and are gone", async () => {
    const text = "FROM busybox AS assets\nRUN asset\nFROM base\nRUN last";
    const plan = await planned(text, base("COPY --from=assets /a /", "RUN --mount=from=assets,target=/m trigger"));
    expect(execs(plan).map(({ args }) => args[2])).toEqual(["asset", "trigger", "last"]);
    expect(names(plan)).toContain("[stage-1 2/4] ONBUILD COPY --from=assets /a /");
    expect(plan.config).not.toHaveProperty("OnBuild");
  });

  test("a grandchild does not run them again", async () => {
    const plan = await planned("FROM base AS a\nFROM a\nRUN x", base("LABEL n=1"));
    expect(createdBy(plan)).toEqual(["LABEL n=1", "RUN /bin/sh -c x # buildkit"]);
  });

  test("triggers of a stage run in the stage below it, and stay in its own config", async () => {
    const text = "FROM busybox AS a\nONBUILD ENV T=1\nFROM a AS b\nFROM b";
    expect((await planned(text, { target: "a" })).config.OnBuild).toEqual(["ENV T=1"]);
    expect(createdBy(await planned(text))).toEqual(["ENV T=1"]);
  });

  test("what stands in for a stage brings no triggers; those of the stage's text run", async () => {
    const text = "FROM busybox AS a\nONBUILD ENV T=1\nFROM a AS b\nLABEL l=1\nFROM b";
    const given = { images: [imageWith("docker.io/library/other:latest", { OnBuild: ["ENV OTHER=1"] })] };
    const replacing = (name: string) => ({
      ...given,
      contexts: new Map([[name, { kind: "image", reference: "other" } as const]]),
    });
    expect(createdBy(await planned(text, replacing("a")))).toEqual(["ENV T=1", "LABEL l=1"]);
    expect(createdBy(await planned(text, replacing("b")))).toEqual([]);
    const whole = await planned("FROM other AS b", replacing("b"));
    expect([createdBy(whole), whole.config.OnBuild]).toEqual([[], undefined]);
  });

  test("a trigger may need an image that is then resolved", async () => {
    const asked: string[] = [];
    await planned("FROM base", {
      ...base("COPY --from=busybox /a /"),
      onResolve: (reference) => void asked.push(reference),
    });
    expect(asked).toEqual(["docker.io/library/base:latest", "docker.io/library/busybox:latest"]);
  });

  test("errors are in the trigger's own text, which knows the FROM that runs it", async () => {
    const { diagnostics } = await plan("FROM base", base("USER ${"));
    const { source } = diagnostics[0]!.span;
    expect(source).toMatchObject({ path: "ONBUILD of docker.io/library/base:latest", text: "USER ${" });
    expect(source.trigger && spanText(source.trigger.runBy)).toBe("FROM base");
    expect(source.trigger?.written).toBeUndefined();
  });

  test.for([
    ["ONBUILD USER ${", "${"],
    ['ONBUILD  user "${"', '"${"'],
    ["ONBUILD COPY <<E /w\n$A ${E\nE", "$A ${E\n"],
    ["ONBUILD USER \\\n  ${", "ONBUILD USER \\\n  ${"],
    ["ONBUILD USER \\\n# no\n${", "ONBUILD USER \\\n# no\n${"],
  ] as const)("of a stage's trigger they are where it is written: %j", async ([trigger, place]) => {
    const { diagnostics } = await plan(`FROM busybox AS a\n${trigger}\nFROM a AS b\nFROM a`);
    const { span } = diagnostics[0]!;
    expect(spanText(writtenPlace(span))).toBe(place);
    expect(span.source.trigger && spanText(span.source.trigger.runBy)).toBe("FROM a");
  });
});

test("equal steps of two stages are one vertex", async () => {
  const text =
    "FROM busybox AS a\nRUN same\nFROM busybox AS b\nRUN same\nFROM scratch\nCOPY --from=a /x /\nCOPY --from=b /y /";
  expect(execs(await planned(text))).toHaveLength(1);
});
