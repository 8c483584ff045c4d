// Each explanation of layers and trees holds for what its cause makes, and not for the fault next to it.
import type { LayerFacts } from "../../compare/image-facts.ts";
import { EXPLAINED_FILES } from "../../fuzz/explained-files.ts";
import { describeCases, text, type Scene } from "./scenes.ts";

describeCases(EXPLAINED_FILES, (shows) => {
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

  const attributed = (xattr: string): Scene => ({
    parts: ["FROM busybox"],
    files: [{ kind: "file", path: "a", mode: "0644", text: "", xattr }],
  });
  const carried = { where: "tree /a", docker: 'file 0644 0:0 ""', tsbuild: 'file 0644 0:0 "" user.fuzz=6b' };
  shows(
    "T03",
    attributed("k"),
    carried,
    { ...carried, docker: 'file 0600 0:0 ""' },
    { ...carried, where: "build" },
    attributed("m"),
    {
      ...carried,
      tsbuild: 'file 0644 0:0 "" user.else=6b',
    },
  );
});
