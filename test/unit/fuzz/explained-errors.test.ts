// Each explanation of builds that only one of the two, or none, can do holds for what its cause makes, and not for the fault next to it.
import type { LayerFacts } from "../../compare/image-facts.ts";
import type { ContextFile } from "../../fuzz/fuzz-case.ts";
import { EXPLAINED_ERRORS } from "../../fuzz/explained-errors.ts";
import { describeCases, text, type Scene } from "./scenes.ts";

const failed = (line: number, sentence: string): string =>
  `Dockerfile:${line}\n----\n   ${line} | >>> x\n----\nERROR: failed to build: failed to solve: ${sentence}`;
const missing = (path: string): string =>
  `failed to compute cache key: failed to calculate checksum of ref a::b: "${path}": not found`;

describeCases(EXPLAINED_ERRORS, (shows) => {
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
