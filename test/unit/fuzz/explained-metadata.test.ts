// Each explanation of config, history, checks and scripts holds for what its cause makes, and not for the fault next to it.
import type { LayerFacts } from "../../compare/image-facts.ts";
import type { Outcome } from "../../fuzz/builders.ts";
import { EXPLAINED_METADATA } from "../../fuzz/explained-metadata.ts";
import { EXPLAINED_SCRIPTS } from "../../fuzz/explained-scripts.ts";
import { describeCases, type Scene } from "./scenes.ts";

describeCases([...EXPLAINED_METADATA, ...EXPLAINED_SCRIPTS], (shows) => {
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
