// Each explanation of the fuzzer holds for what its cause makes, and not for the fault next to it.
import { describe, expect, test } from "vitest";
import type { Difference } from "../../compare/differences.ts";
import type { ImageFacts, LayerFacts } from "../../compare/image-facts.ts";
import type { Outcome } from "../../fuzz/builders.ts";
import { EXPLANATIONS, explain, type Circumstances } from "../../fuzz/explained.ts";
import type { ContextFile } from "../../fuzz/fuzz-case.ts";

interface Scene {
  readonly parts: readonly string[];
  readonly files?: readonly ContextFile[];
  readonly ignore?: readonly string[];
  readonly args?: readonly string[];
  /** `created_by` of the instructions, for both; docker's where it has others. "" before the text = no layer. */
  readonly history?: readonly string[];
  readonly dockerHistory?: readonly string[];
  /** New layers of tsbuild, and of docker. */
  readonly layers?: readonly [tsbuild: readonly LayerFacts[], docker: readonly LayerFacts[]];
  readonly base?: LayerFacts;
  readonly before?: Outcome["steps"];
}

function outcome(given: Partial<Outcome>): Outcome {
  return { facts: undefined, digest: "", error: "", steps: new Map(), ...given };
}

function factsOf(history: readonly string[], layers: readonly LayerFacts[]): ImageFacts {
  const entries = history.map((text) => ({
    created_by: text,
    ...(/^(COPY|ADD|RUN|WORKDIR) /.test(text) ? {} : { empty_layer: true }),
  }));
  return { config: {}, history: [{ created_by: "the base" }, ...entries], layers: ["busybox", ...layers] };
}

function rowOf(scene: Scene, difference: Partial<Difference>): string | undefined {
  const {
    parts,
    files = [],
    ignore = [],
    args = [],
    history = [],
    dockerHistory = history,
    layers = [[], []],
    base = {},
    before,
  } = scene;
  const circumstances: Circumstances = {
    each: { parts, lineEnd: "\n", files, ignore, args },
    docker: outcome({ facts: factsOf(dockerHistory, layers[1]) }),
    tsbuild: outcome({ facts: factsOf(history, layers[0]) }),
    before: before && outcome({ steps: before }),
    base: [base],
  };
  return explain({ where: "build", docker: undefined, tsbuild: undefined, ...difference }, circumstances)?.split(
    ":",
  )[0];
}

const failed = (line: number, sentence: string): string =>
  `Dockerfile:${line}\n----\n   ${line} | >>> x\n----\nERROR: failed to build: failed to solve: ${sentence}`;
const missing = (path: string): string =>
  `failed to compute cache key: failed to calculate checksum of ref a::b: "${path}": not found`;
const text = (content: string): ContextFile => ({ kind: "file", path: content, mode: "0644", text: "" });

const shown = new Set<string>();

/** Holds for the first difference, and for none of the others; or for the one in the first scene and not in the others. */
function shows(
  row: string,
  scene: Scene,
  holds: Partial<Difference>,
  ...misses: readonly (Partial<Difference> | Scene)[]
): void {
  shown.add(row);
  test(row, () => {
    expect(rowOf(scene, holds)).toBe(row);
    for (const miss of misses)
      expect("parts" in miss ? rowOf(miss, holds) : rowOf(scene, miss), JSON.stringify(miss)).toBeUndefined();
  });
}

describe("metadata", () => {
  const pointer = String.raw`"HEALTHCHECK &{[\"CMD\" \"a\"] \"5s\" \"0s\" \"0s\" \"0s\" '\\x03'}"`;
  const fields = (retries: number) =>
    `"HEALTHCHECK {Test:[CMD a] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:${retries}}"`;
  const health = { parts: ["FROM busybox", "ONBUILD CMD x", "HEALTHCHECK CMD a"], history: ["HEALTHCHECK"] };
  shows(
    "HI13",
    health,
    { where: "history[1].created_by", docker: pointer, tsbuild: fields(3) },
    { where: "history[1].created_by", docker: pointer, tsbuild: fields(4) },
  );

  const targeted = (target: string): Scene => ({ ...health, args: ["--target=x", `--target=${target}`] });
  const healthText = { where: "history[1].created_by", docker: pointer, tsbuild: fields(3) };
  shows("HI13", targeted(""), healthText, targeted("y"));

  const workdir = { parts: ["FROM busybox", "WORKDIR //w/"], history: ["WORKDIR /w"] };
  const written = { where: "history[1].created_by", docker: '"WORKDIR //w/"', tsbuild: '"WORKDIR /w"' };
  shows(
    "O07",
    workdir,
    written,
    { ...written, tsbuild: '"WORKDIR /v"' },
    { parts: ["FROM busybox", "CMD x"], history: ["CMD"] },
  );

  const parted = (workdir: string, step = "RUN x", layer: LayerFacts = {}): Scene => ({
    parts: ["FROM busybox", `WORKDIR ${workdir}`, step],
    history: ["WORKDIR /z", `${step} # buildkit`],
    dockerHistory: [`WORKDIR ${workdir}`, `${step} # buildkit`],
    layers: [
      [{}, {}],
      [layer, { "/w": "directory 0755 0:0", "/v": "directory 0755 0:0" }],
    ],
  });
  const onTheWay = { where: "layer 2 /w", docker: "directory 0755 0:0" };
  shows(
    "O07",
    parted("/w/k/../../z"),
    onTheWay,
    { ...onTheWay, where: "layer 2 /v" },
    { ...onTheWay, where: "layer 1 /w" },
    { ...onTheWay, docker: "directory 0700 0:0" },
    { ...onTheWay, tsbuild: "directory 0700 0:0" },
    { where: "layer 2 /w", tsbuild: "directory 0755 0:0" },
    parted("/z"),
    parted("/v/../z"),
    parted("/z/../w"),
    parted("/w/../z", "COPY a b"),
    parted("/w/../z", "RUN x", { "/w": "directory 0755 0:0" }),
  );

  const intoIt = (step: string, workdir = "/w/../z"): Scene => ({
    ...parted(workdir, step),
    layers: [
      [{}, {}],
      [{}, { "/w": "directory 0755 0:0", "/w/x": "file 0644" }],
    ],
  });
  shows(
    "O07",
    intoIt("RUN touch /w/x || true"),
    { where: "layer 2 /w/x", docker: "file 0644" },
    { where: "layer 2 /w/x", docker: "file 0644", tsbuild: "file 0600" },
    { where: "layer 2 /w/x", tsbuild: "file 0644" },
    intoIt("RUN touch /w/xy || true"),
    intoIt("RUN touch /w/x || true", "/w/z"),
    intoIt("COPY a /w/x"),
  );

  const heredoc = (first: string, opening = "<<-EOF"): Scene => ({
    parts: ["FROM busybox", `RUN ${opening}\n${first}\nEOF`],
    history: ["RUN /dev/pipes/EOF # buildkit"],
  });
  const run = {
    where: "history[1].created_by",
    docker: '"RUN /bin/sh -c #!/bin/sh # buildkit"',
    tsbuild: '"RUN /dev/pipes/EOF # buildkit"',
  };
  shows("H05", heredoc("\t#!/bin/sh"), run, heredoc("#!/bin/sh"), heredoc("\t#!/bin/sh", "<<EOF"));

  const level = (count: number) => `file 0644 0:0 "PWD=/\\nSHLVL=${count}\\n"`;
  const inShell = (first: string, second = "RUN ln /a/e /n", docker = level(1)): Scene => ({
    parts: ["FROM busybox", `RUN <<-EOF\n${first}\nEOF`, second],
    history: ["RUN /dev/pipes/EOF # buildkit", `${second} # buildkit`],
    layers: [
      [{ "/a/e": level(2) }, { "/a/e": level(2), "/n": "hard link 0644 0:0 -> a/e" }],
      [{ "/a/e": level(1) }, { "/n": docker }],
    ],
  });
  const levels = { where: "layer 1 /a/e", docker: level(1), tsbuild: level(2) };
  shows(
    "H05",
    inShell("\t#!/bin/sh"),
    levels,
    { ...levels, tsbuild: level(3) },
    { ...levels, docker: level(2), tsbuild: level(1) },
    { ...levels, tsbuild: level(2).replace("/", "/w") },
    inShell("#!/bin/sh"),
  );
  const afterAll = { ...levels, where: "tree /a/e" };
  shows("H05", inShell("\t#!/bin/sh"), afterAll, { ...afterAll, docker: level(3) }, inShell("#!/bin/sh"));
  const named = { where: "layer 2 /n", docker: level(1), tsbuild: "hard link 0644 0:0 -> a/e" };
  shows(
    "H05",
    inShell("\t#!/bin/sh"),
    named,
    inShell("\t#!/bin/sh", "RUN ln /a/e /n", level(3)),
    inShell("\t#!/bin/sh", "RUN cp /a/e /n"),
    inShell("#!/bin/sh"),
  );

  const ports = (word: string, docker: string, tsbuild: string): Scene => ({
    parts: ["FROM busybox", `EXPOSE 80 ${word}`],
    history: [tsbuild],
    dockerHistory: [docker],
  });
  const cut = ports("$A${NOPE:-82}", "EXPOSE [80/tcp 82/tcp]", "EXPOSE [80/tcp 182/tcp]");
  const exposed = {
    where: "history[1].created_by",
    docker: '"EXPOSE [80/tcp 82/tcp]"',
    tsbuild: '"EXPOSE [80/tcp 182/tcp]"',
  };
  shows(
    "V24",
    cut,
    exposed,
    { ...exposed, tsbuild: '"EXPOSE [81/tcp 182/tcp]"' },
    { ...exposed, tsbuild: '"EXPOSE [80/tcp 183/tcp]"' },
    { ...exposed, where: "history[0].created_by" },
    { ...cut, parts: ["FROM busybox", "EXPOSE 80 182"] },
  );
  const port = { where: "config.config.ExposedPorts.182/tcp", tsbuild: "{}" };
  shows(
    "V24",
    cut,
    port,
    { ...port, where: "config.config.ExposedPorts.81/tcp" },
    ports("182", "EXPOSE [80/tcp 82/tcp]", "EXPOSE [80/tcp 182/tcp]"),
  );
  const invalid = (line: number, of: string) => ({
    docker: "an image",
    tsbuild: `/x/Dockerfile:${line}:8: error: "${of}" is not a port number [InvalidPort]\n  buildkit: invalid containerPort: ${of}`,
  });
  const portless = (of: string) => ({
    docker: "an image",
    tsbuild: `/x/Dockerfile:2:8: error: invalid port: "${of}": no port specified [InvalidPort]`,
  });
  const both = (...ports: readonly string[]) => ({
    docker: "an image",
    tsbuild: ports.map((port) => portless(port).tsbuild).join("\n"),
  });
  shows(
    "V24",
    cut,
    both("/lib-82", "a/b82"),
    both("/lib-82", "/lib-83"),
    { ...both("/lib-82"), docker: "no" },
    { docker: "an image", tsbuild: `${portless("/lib-82").tsbuild}\n/x/Dockerfile:1:1: error: no` },
  );
  shows("V24", cut, invalid(2, "~82"), invalid(2, "~83"), invalid(1, "~82"));

  const children = (label: string): Scene => ({
    parts: ["FROM busybox AS a", "FROM a AS b", `LABEL ${label}`, "FROM a", "COPY --from=b / /"],
    history: ["COPY / / # buildkit"],
  });
  const label = { where: "config.config.Labels.l", docker: '"x"' };
  shows("F07", children("l=x"), label, { where: "config.config.Labels.l", tsbuild: '"x"' }, children("m=x"), {
    parts: ["FROM busybox AS a", "FROM busybox AS b", "LABEL l=x", "FROM a"],
  });

  const quoted = { where: "config.config.Labels.two words", docker: '"x"' };
  shows("F07", children('"two words"=x'), quoted, children('"two  words"=x'), children("two words"));

  const steps = (...list: [string, "ran" | "cached"][]): Outcome["steps"] => new Map(list);
  const scratch = (before: Outcome["steps"], image = "scratch"): Scene => ({
    parts: [`FROM ${image} AS s`, "COPY a /", "FROM busybox"],
    before,
  });
  const lost = { where: "cache [s 1/1] COPY a /", docker: "cached", tsbuild: "ran" };
  shows(
    "Q32",
    scratch(steps(["[s 1/1] COPY a /", "cached"])),
    lost,
    scratch(steps(["[s 1/1] COPY a /", "ran"])),
    scratch(steps(["[s 1/1] COPY a /", "cached"]), "busybox"),
    { ...lost, docker: "ran" },
  );
});

describe("files", () => {
  const file = 'file 0644 0:0 "x"';
  const copied = (
    created: string,
    of: readonly [tsbuild: LayerFacts, docker: LayerFacts],
    base: LayerFacts = {},
  ): Scene => ({
    parts: ["FROM busybox", created.replace(" # buildkit", "")],
    history: [created],
    layers: [[of[0]], [of[1]]],
    base,
  });
  const link = "hard link 0644 0:0 -> d/a";
  const linked = (command: string, base: LayerFacts): Scene => ({
    parts: ["FROM busybox", command],
    history: [`${command} # buildkit`],
    layers: [[{ "/d/a": file, "/n": link }], [{ "/n": file }]],
    base,
  });
  shows(
    "T04",
    linked("RUN ln /d/a /n", { "/d/a": file }),
    { where: "layer 1 /n", docker: file, tsbuild: link },
    { where: "layer 1 /n", docker: 'file 0644 0:0 "y"', tsbuild: 'file 0644 0:0 "x"' },
    linked("RUN cp /d/a /n", { "/d/a": file }),
    linked("RUN ln /d/a /n", {}),
    linked("COPY a n /", { "/d/a": file }),
  );
  const others = { "/d": "directory 0755 0:0", "/d/a": file };
  const old = (command: string, base: LayerFacts, more: LayerFacts = {}): Scene => ({
    ...linked(command, base),
    layers: [[{ ...others, "/n": link, ...more }], [{ "/n": file }]],
  });
  for (const [path, text] of Object.entries(others))
    shows(
      "T04",
      old("RUN ln /d/a /n", others),
      { where: `layer 1 ${path}`, tsbuild: text },
      old("RUN cp /d/a /n", others),
      old("RUN ln /d/a /n", { ...others, [path]: text.replace("0:0", "1:0") }),
      { where: `layer 1 ${path}`, docker: text },
    );
  shows(
    "T04",
    old("RUN ln /d/a /n", others),
    { where: "layer 1 /d", tsbuild: "directory 0755 0:0" },
    old("RUN ln /d/a /n", { ...others, "/d/b": file }, { "/d/b": file }),
  );
  shows(
    "T04",
    linked("RUN ln /d/a /m || true; mv /m /n", { "/d/a": file }),
    { where: "layer 1 /n", docker: file, tsbuild: link },
    linked("RUN ln /d/a /m || true; mv /k /n", { "/d/a": file }),
    linked("RUN mv /m /n; ln /d/a /m", { "/d/a": file }),
  );

  const made = (flag: string, base: LayerFacts = {}): Scene =>
    copied(`COPY ${flag}a /p/n/ # buildkit`, [{ "/p": "directory 0777 0:0", "/q": "directory 0777 0:0" }, {}], base);
  const masked = { where: "layer 1 /p", docker: "directory 0755 0:0", tsbuild: "directory 0777 0:0" };
  shows(
    "T25",
    made("--chmod=777 "),
    masked,
    { ...masked, where: "layer 1 /q" },
    { ...masked, docker: "directory 0700 0:0" },
    { ...masked, docker: "directory 0755 5:0" },
    made("--chmod=755 "),
    made(""),
    made("--chmod=777 ", { "/p": "directory 0777 0:0" }),
  );
  const [wide, narrow] = ["directory 0777 0:0", "directory 0755 0:0"];
  const namedAgain = (flag: string, docker = narrow): Scene => ({
    parts: ["FROM busybox", `COPY ${flag}a /p/n/`, "RUN touch /p/x"],
    history: [`COPY ${flag}a /p/n/ # buildkit`, "RUN touch /p/x # buildkit"],
    layers: [
      [{ "/p": wide }, { "/p": wide, "/q": wide }],
      [{ "/p": docker }, { "/p": narrow, "/q": narrow }],
    ],
  });
  shows(
    "T25",
    namedAgain("--chmod=777 "),
    { ...masked, where: "layer 2 /p" },
    { ...masked, where: "layer 2 /q" },
    namedAgain(""),
    namedAgain("--chmod=777 ", wide),
  );

  const excluded = (flag: string, source = "src/*", parts = ["a.md", "b.txt"]): Scene => ({
    parts: ["FROM busybox", `COPY ${flag}${source} /w/`],
    history: [`COPY ${source} /w/ # buildkit`],
    layers: [[{}], [{ "/w/a.md": file }]],
    files: parts.map((name) => text(`src/${name}`)),
  });
  const kept = { where: "layer 1 /w/a.md", docker: file };
  shows(
    "C14",
    excluded("--exclude=*.md "),
    kept,
    { where: "layer 1 /w/b.txt", docker: file },
    { where: "layer 1 /v/a.md", docker: file },
    { where: "layer 1 /w/a.md", tsbuild: file },
    excluded("--exclude=*.txt "),
    excluded(""),
    excluded("--exclude=*.md ", "src"),
    excluded("--exclude=*.md --exclude=!a.md "),
    excluded("--exclude=*.md ", "src/b*"),
  );
  // What only looks like a heredoc takes no lines away; what is one takes those that make the history.
  const followed = (copy: string): Scene => ({
    ...excluded("--exclude=*.md "),
    parts: ["FROM busybox", "COPY --exclude=*.md src/* /w/", copy, "LABEL a=b", "LABEL c=d"],
    history: ["COPY src/* /w/ # buildkit", "COPY x y # buildkit", "LABEL a=b", "LABEL c=d"],
  });
  shows("C14", followed('COPY --chown=5 ["x", "/d/<<r/"]'), kept, followed("COPY --chown=5 x <<r"));
  shows("C14", followed("COPY x y<<r"), kept, followed("COPY x 1<<r"));
  // In Go's patterns ! is a character like others.
  shows(
    "C14",
    excluded("--exclude=*.md ", "src/[!a].md", ["!.md", "a.md"]),
    kept,
    excluded("--exclude=*.md ", "src/[^a].md"),
  );
});

describe("attributes", () => {
  const attributed = (xattr: string): Scene => ({
    parts: ["FROM busybox"],
    files: [{ kind: "file", path: "a", mode: "0644", text: "", xattr }],
  });
  const kept = { where: "tree /a", docker: 'file 0644 0:0 ""', tsbuild: 'file 0644 0:0 "" user.fuzz=6b' };
  shows(
    "T03",
    attributed("k"),
    kept,
    { ...kept, docker: 'file 0600 0:0 ""' },
    { ...kept, where: "build" },
    attributed("m"),
    {
      ...kept,
      tsbuild: 'file 0644 0:0 "" user.else=6b',
    },
  );
});

describe("errors", () => {
  const control: Scene = { parts: ["FROM busybox", 'COPY ["a\\tb", "/w"]'], files: [text("a\tb")] };
  const header = 'Internal: header key "followpaths" contains value with non-printable ASCII characters';
  const unsent = (sentence: string) => ({ docker: `ERROR: failed to build: ${sentence}`, tsbuild: "an image" });
  shows(
    "C01",
    control,
    unsent(header),
    unsent("Internal: header"),
    { ...control, files: [] },
    {
      ...control,
      parts: ["FROM busybox", "COPY a /w"],
    },
  );

  const refused = (name: string) => ({
    docker: "an image",
    tsbuild: `error: "/w/${name}": names that begin with ".wh." mark deletions`,
  });
  shows("T05", { parts: [], files: [text("d/.wh..x")] }, refused(".wh..x"), refused(".wh.y"), {
    ...refused(".wh..x"),
    docker: "no",
  });

  const member = { name: "d/.wh..x", type: "0", mode: "0644", uid: 0, gid: 0 };
  const inArchive = (name: string): Scene => ({
    parts: [],
    files: [{ kind: "archive", path: "a.tar", compression: "none", members: [{ ...member, name }] }],
  });
  shows("T05", inArchive("d/.wh..x"), refused(".wh..x"), inArchive("d/.wh..y"));

  const dangling: readonly ContextFile[] = [{ kind: "symlink", path: "src/l", target: "nowhere" }];
  const excluding = (flag: string): Scene => ({
    parts: ["FROM busybox", `COPY ${flag} src /w`, "RUN x"],
    files: dangling,
  });
  const notFound = (line: number, path: string) => ({ docker: failed(line, missing(path)), tsbuild: "an image" });
  shows(
    "T32",
    excluding("--exclude=x"),
    notFound(2, "/src/nowhere"),
    notFound(3, "/src/nowhere"),
    notFound(2, "/src/l"),
    excluding(""),
  );
  const atTop = (copy: string, target = "nowhere"): Scene => ({
    parts: ["FROM busybox", copy, "RUN x"],
    files: [{ kind: "symlink", path: "l", target }, { kind: "symlink", path: "src/l", target }, text("a")],
  });
  shows(
    "T32",
    atTop("COPY --exclude=x . /w"),
    notFound(2, "/l"),
    notFound(2, "/src/l"),
    notFound(2, "/a"),
    notFound(3, "/l"),
    atTop("COPY --exclude=x . /w", "a"),
    atTop("COPY --exclude=x l /w"),
    atTop("COPY --exclude=x --from=s . /w"),
    atTop("COPY . /w"),
  );

  const inBase = (copy: string, base: LayerFacts = { "/dead": "link 0777 0:0 -> /nowhere" }): Scene => ({
    parts: ["FROM busybox", copy, "RUN x"],
    base,
  });
  shows(
    "T32",
    inBase('COPY --exclude=x --from=s [ "//../", "/dead"]'),
    notFound(2, "/dead"),
    notFound(2, "/nowhere"),
    notFound(3, "/dead"),
    inBase('COPY --from=s ["/", "/dead"]'),
    inBase('COPY --exclude=x ["/", "/dead"]'),
    inBase("COPY --exclude=x --from=s /dead /w"),
    inBase("COPY --exclude=x --from=s / /w", { "/dead": "link 0777 0:0 -> /n", "/n": "directory 0755 0:0" }),
    inBase("COPY --exclude=x --from=s / /w", { "/dead": 'file 0644 0:0 ""' }),
  );

  const inWildcard = (flags: string, source = "src/*/*"): Scene => ({
    parts: ["FROM busybox", `COPY --exclude=${flags} ${source} /w/`, "RUN x"],
    files: [{ kind: "symlink", path: "src/d/l", target: "nowhere" }, text("src/d/a")],
  });
  shows(
    "T32",
    inWildcard("d"),
    notFound(2, "/src/d/l"),
    notFound(2, "/src/d/a"),
    notFound(3, "/src/d/l"),
    inWildcard("e"),
    inWildcard("d", "src/*"),
    inWildcard("d --from=s"),
  );

  const wild: Scene = {
    parts: ["FROM busybox", "COPY x.d/* y.d/z /w/", "RUN x"],
    files: [text("x.d/a"), text("y.d/a")],
  };
  const lstat = (line: number, path: string) => ({
    docker: failed(line, `lstat ${path}: no such file or directory`),
    tsbuild: "an image",
  });
  shows("C07", wild, lstat(2, "/x.d"), lstat(2, "/y.d"), lstat(3, "/x.d"), { ...wild, files: [] });
  const behindLink = (target: string): Scene => ({
    parts: ["FROM busybox", "COPY d/l/* /w/"],
    files: [{ kind: "symlink", path: "d/l", target }, text("a")],
  });
  shows("C07", behindLink("../a"), lstat(2, "/a"), lstat(2, "/b"), behindLink("../b"), behindLink("a"));

  const user = (name: string, line = 3) => ({
    docker: failed(line, `process "x" did not complete successfully: unable to find user ${name}: invalid argument`),
    tsbuild: "an image",
  });
  shows("T38", { parts: ["FROM busybox", "USER 7", "RUN x"] }, user("7"), user("app"), user("8"), user("7", 2));

  const groupless = (base: LayerFacts): Scene => ({ parts: ["FROM busybox", "USER app", "RUN x"], base });
  const groups = (docker: string, line = 3) => ({
    docker: failed(line, `process "x" did not complete successfully: unable to find ${docker}`),
    tsbuild: "an image",
  });
  const noGroups = groups("groups for spec app: invalid argument");
  const group: LayerFacts = { "/etc/group": 'file 0644 0:0 ""' };
  shows("T38", groupless({}), noGroups, groupless(group), groups("groups for spec app: no", 3), {
    ...noGroups,
    tsbuild: "error: no",
  });
  shows(
    "T38",
    groupless({ ...group, "/etc/group": "link 0777 0:0 -> old" }),
    noGroups,
    groupless({ "/etc/group": "link 0777 0:0 -> old", "/etc/old": 'file 0644 0:0 ""' }),
    groups("groups for spec app: invalid argument", 2),
  );

  const inWorkdir = (workdir: string, layer: LayerFacts, more: Partial<Scene> = {}): Scene => ({
    parts: ["FROM busybox", "RUN touch /w", `WORKDIR ${workdir}`, "RUN x"],
    history: ["RUN touch /w # buildkit"],
    layers: [[layer], []],
    ...more,
  });
  const notStarted = (line: number, code = 1) => ({
    docker: failed(line, `process "/bin/sh -c x" did not complete successfully: exit code: ${code}`),
    tsbuild: "an image",
  });
  const file: LayerFacts = { "/w": 'file 0644 0:0 ""' };
  shows(
    "S11",
    inWorkdir("/w/../z", file),
    notStarted(4),
    notStarted(2),
    notStarted(4, 2),
    { ...notStarted(4), tsbuild: "error: no" },
    inWorkdir("/w/z", file),
    inWorkdir("w/../z", file),
    inWorkdir("/v/../z", file),
    inWorkdir("/w/../z", { "/w": "directory 0755 0:0" }),
    inWorkdir("/w/../z", file, { parts: ["FROM busybox", "WORKDIR /w/../z", "FROM busybox", "RUN x"] }),
  );

  const both = (line: number, docker: string, own: number, path: string) => ({
    where: "error",
    docker: failed(line, docker),
    tsbuild: `/c/Dockerfile:${own}:1: error: there is none\n  buildkit: ${missing(path)}`,
  });
  const copies: Scene = { parts: ["FROM busybox", "COPY d/e/f src/l /w/", "COPY x /w"], files: dangling };
  const gone = (path: string) => `lstat ${path}: no such file or directory`;
  shows(
    "C08",
    copies,
    both(2, gone("/d/e"), 2, "/d/e/f"),
    both(2, gone("/x/e"), 2, "/d/e/f"),
    both(2, gone("/d/e"), 3, "/d/e/f"),
    both(1, gone("/d/e"), 2, "/d/e/f"),
  );
  shows("C08", copies, both(2, gone("/src/nowhere"), 2, "/src/l"), both(2, gone("/src/other"), 2, "/src/l"));

  const behindFile = (path: string): string =>
    `failed to compute cache key: failed to calculate checksum of ref a::b: lstat /v/buildkit-mount12//${path}: not a directory`;
  shows("C08", copies, both(2, behindFile("d/e"), 2, "/d/e/f"), both(2, behindFile("x/e"), 2, "/d/e/f"));
  const throughLink: Scene = {
    parts: ["FROM busybox", "COPY m/a.txt /w/"],
    files: [{ kind: "symlink", path: "m", target: "src" }, text("src/b")],
  };
  shows("C08", throughLink, both(2, gone("/src/a.txt"), 2, "/m/a.txt"), both(2, gone("/src/b.txt"), 2, "/m/a.txt"));

  const several = (rest: Partial<Scene> = {}, source = "./y"): Scene => ({
    parts: ["FROM busybox", `COPY x ${source} /w/`],
    files: [text("x"), text("y")],
    ignore: ["**"],
    ...rest,
  });
  shows(
    "C08",
    several(),
    both(2, missing("/y"), 2, "/x"),
    both(2, missing("/z"), 2, "/x"),
    both(2, missing("/y"), 1, "/x"),
    several({ ignore: [] }),
    several({ ignore: ["**", "!y"] }),
    several({}, "z"),
  );
  const onTheWay = (to: string): Scene => ({
    parts: ["FROM busybox", "COPY --from=s /var/run/x/y /w/"],
    base: { "/var/run": `link 0777 0:0 -> ${to}` },
  });
  shows(
    "C08",
    onTheWay("../run"),
    both(2, gone("/run/x"), 2, "/var/run/x/y"),
    both(2, gone("/run/z"), 2, "/var/run/x/y"),
    onTheWay("../else"),
  );

  const chmod = (flag: string): Scene => ({ parts: ["FROM busybox", `COPY --chmod=${flag} a /w`, "COPY a /w"] });
  const syntax = (line: number, own: number) => ({
    where: "error",
    docker: failed(line, "invalid syntax"),
    tsbuild: `/c/Dockerfile:${own}:1: error: invalid chmod parameter: 'u'. it should be octal string`,
  });
  shows("C11", chmod("u"), syntax(2, 2), syntax(3, 3), syntax(2, 3), chmod("755"));

  const mangled = (name: string, own = "é", line = 2) => ({
    where: "error",
    docker: failed(2, `failed to process "${name}\${": no`),
    tsbuild: `/c/Dockerfile:${line}:1: error: no\n  buildkit: failed to process "${own}\${": no`,
  });
  const unusual: Scene = { parts: ["FROM busybox", "RUN --mount=target=é${ x", "RUN x"] };
  const twiceEncoded = Buffer.from("é").toString("latin1");
  shows(
    "L09",
    unusual,
    mangled(twiceEncoded),
    mangled(twiceEncoded, "è"),
    mangled(twiceEncoded, "é", 3),
    mangled("è"),
    { ...unusual, parts: ["FROM busybox", "COPY é${ x"] },
  );

  const twice = (line: number, own: number, name = "escape") => ({
    where: "error",
    docker: failed(line, "only one escape parser directive can be used"),
    tsbuild: `/c/Dockerfile:${own}:1: error: only one ${name} parser directive can be used [InvalidDirective]`,
  });
  shows("P03", { parts: ["# escape=`", "# escape=`"] }, twice(1, 2), twice(2, 2), twice(1, 3), twice(1, 2, "check"), {
    ...twice(1, 2),
    where: "build",
  });

  const platform = (line: number, own: number, name: string) => ({
    where: "error",
    docker: failed(
      line,
      `failed to parse platform ${name}: "${name}": cannot parse platform specifier: invalid argument`,
    ),
    tsbuild: `/c/Dockerfile:${own}:1: error: failed to parse platform a/b/c/d [InvalidPlatform]`,
  });
  shows(
    "F06",
    { parts: ["FROM --platform=a/b/c/d busybox", "FROM x"] },
    platform(1, 1, "a/b/c/d"),
    platform(1, 1, "a/b/c/e"),
    platform(1, 2, "a/b/c/d"),
    platform(2, 1, "a/b/c/d"),
  );

  const parents = (line: number) => ({
    docker: failed(line, `dockerfile parse error on line ${line}: unknown flag: --parents`),
    tsbuild: "an image",
  });
  shows("C13", { parts: ["FROM busybox", "COPY --parents a /w", "COPY a /w"] }, parents(2), parents(3), {
    docker: failed(2, "unknown flag: --x"),
    tsbuild: "an image",
  });
});

test("every explanation has its case here", () => {
  expect(EXPLANATIONS.map(({ row }) => row).toSorted()).toEqual([...shown].toSorted());
});
