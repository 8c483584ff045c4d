// Archives that few tools make, files from afar with odd names, .dockerignore in odd ways, and COPY with odd patterns, owners and modes.
import type { ArchiveMember, ContextFile, FuzzCase } from "../fuzz-case.ts";
import type { Random } from "../random.ts";
import { visibleFiles } from "./context.ts";
import { ORIGIN, ODD_REMOTE_PATHS } from "../remote.ts";

type IntoStage = (random: Random, each: FuzzCase, part: string) => FuzzCase;

const NAMES = [
  "f",
  "./f",
  "d/f",
  "d/e/f",
  "d/l/through",
  "/abs/f",
  "../out",
  "d/../up",
  "d//twice",
  "é",
  "sp ace",
  `${"long/".repeat(40)}f`,
  "n".repeat(150),
  ".",
  "./",
  "d",
  "l",
  "etc/passwd",
  "dead/f",
  "share/f",
  "usr/share/doc",
  ".wh.f",
  "d/.wh..wh..opq",
] as const;

/** An archive in the context, and an ADD of it. */
export function withArchive(random: Random, each: FuzzCase, intoStage: IntoStage): FuzzCase {
  const path = `odd-${random.between(1, 99)}.tar`;
  const members = random.list(1, 8, () => member(random));
  const compression = random.pick(["none", "none", "gzip", "zstd", "bzip2"] as const);
  const archive: ContextFile = { kind: "archive", path, compression, members };
  const flags = random.some(
    [
      "--chown=5:6",
      "--chmod=0711",
      random.pick(["--unpack=true", "--unpack=false", "--unpack"]),
      "--link",
      "--exclude=d",
    ],
    0.15,
  );
  const dest = random.pick([
    "/",
    "/ar",
    "/ar/",
    ".",
    "/dead",
    "/share",
    "/opt/owned/n",
    "/usr/share/doc",
    "/etc/passwd",
  ]);
  const add = `${random.chance(0.9) ? "ADD" : "COPY"} ${[...flags, path, dest].join(" ")}`;
  return intoStage(random, { ...each, files: [...each.files, archive] }, add);
}

function member(random: Random): ArchiveMember {
  const name = random.pick(NAMES);
  const owner = (): number => random.pick([0, 0, 5, 1000, 70_000, 2_097_152]);
  const mode = random.pick(["0644", "0755", "0000", "4755", "2711", "1777", "7777"]);
  const rest = { name, mode, uid: owner(), gid: owner() };
  const targets = ["f", "d/f", "../d", "/etc", "/etc/passwd", "nowhere", "l", "..", "d", "../../.."];
  return random.weighted<() => ArchiveMember>([
    [6, () => ({ ...rest, type: "0", data: random.pick(["", "x\n", "a member\n"]) })],
    [3, () => ({ ...rest, type: "5", name: random.chance(0.5) ? name : `${name}/` })],
    [3, () => ({ ...rest, type: "2", target: random.pick(targets) })],
    [1, () => ({ ...rest, name: random.pick(["d/l", "l", "d"]), type: "2", target: random.pick(targets) })],
    [2, () => ({ ...rest, type: "1", target: random.pick(["f", "d/f", "./f", "l", "nowhere"]) })],
    [0.7, () => ({ ...rest, type: "6" })],
    [0.5, () => ({ ...rest, type: random.pick(["3", "4"]) })],
  ])();
}

/** ADD of what the web server has under an odd name. */
export function withRemote(random: Random, each: FuzzCase, intoStage: IntoStage): FuzzCase {
  const urls = random.list(1, random.chance(0.2) ? 2 : 1, () => `${ORIGIN}${random.pick(ODD_REMOTE_PATHS)}`);
  const flags = random.some(
    ["--chmod=0750", "--chown=5:6", "--link", random.pick(["--unpack", "--unpack=false"])],
    0.15,
  );
  const dest = random.pick(["/far/", "/far/", "/far/named", ".", "/share/", "/usr/share/doc"]);
  return intoStage(random, each, `ADD ${[...flags, ...urls, urls.length > 1 ? "/far/" : dest].join(" ")}`);
}

const IGNORE_LINES = [
  "*.md\r",
  "\uFEFF*.txt",
  "  # no comment",
  "! a.txt",
  "!",
  "\\!a.txt",
  "\\#hash",
  "src/**/*.c",
  "**/sub/**",
  "s?c",
  "[s]rc",
  "[^s]*",
  "src\\/sub",
  "./",
  "/",
  "..",
  "../x",
  "**/.*",
  "*/*",
  "*/*/*",
  "!src/sub/../sub",
  "a.txt ",
  "a.*",
  "src/sub/",
  "!src/sub/**",
  "{a,b}.txt",
  "+(a).txt",
  "é*",
  "sp ace.txt",
  "**/",
  "***",
  "a**",
  "src/**.c",
  "[a",
  "a.txt\n!a.txt",
] as const;

export function withIgnore(random: Random, each: FuzzCase): FuzzCase {
  const lines = random.list(1, 4, () => random.pick(IGNORE_LINES));
  const name = random.chance(0.4) ? { ignoreName: "Dockerfile.dockerignore" } : {};
  const ignore = [...each.ignore, ...lines];
  const isUsable = visibleFiles(each.files, ignore).length > 0 || random.chance(0.1);
  return isUsable ? { ...each, ignore, ...name } : each;
}

const PATTERNS = [
  "*",
  "**",
  "**/*",
  "?.txt",
  "[ab].txt",
  "[^a].txt",
  "[a-c]*",
  "s*/*",
  "*/*/*",
  "\\*",
  "src/[s]ub",
  "*.t?t",
  "a.tx[t]",
  "*.txt *.md",
  "./*",
  "/*",
  "../*",
  "*/",
  "*/.",
  "src/*/../*",
  ".*",
  "[!a]*",
  "a.txt a.txt",
  ". *.md",
  "src/. docs/.",
] as const;
const EXCLUDES = [
  "*.txt",
  "**/*.md",
  "sub",
  "/sub",
  "sub/",
  "!*.md",
  "**",
  "*",
  "src/**",
  "?",
  "[a-c]*",
  "./a.txt",
  "a.txt/",
  "**/sub/**",
  "é*",
  "*.tar",
] as const;
const MODES = [
  "u=rwx,go=",
  "a+rX",
  "-x",
  "u-w",
  "go=u",
  "g=o",
  "+t",
  "u+s,g+s",
  "=r",
  "a=,u+rw",
  "o=g-w",
  "ug=rwXst",
  "7777",
  "00644",
  "+X",
  "u+rwx-w",
  "0755,u+s",
  "g-s",
  "a-rwx",
] as const;
const OWNERS = [
  "app",
  ":",
  "5:",
  ":staff",
  "app:staff",
  "root:app",
  "nosuch",
  "5:nosuch",
  "0x5",
  "app:app:app",
  "$A",
  "${NOPE:-5}:6",
  "www-data",
] as const;
const HEREDOCS = [
  ["<<EOF", "$A ${B:-c}\nEOF"],
  ["<<'EOF'", "$A\nEOF"],
  ["<<-EOF", "\ttab $A\n\tEOF"],
  ["<<a.sh <<b.txt", "#!/bin/sh\na.sh\nb\nb.txt"],
  ["<<.hid", "hidden\n.hid"],
  ["<<EOF a.txt", "with a file\nEOF"],
  ['<<"E F"', "x\nE F"],
  ["<<EOF <<EOF", "one\nEOF\ntwo\nEOF"],
  ["<<EOF", "EOF"],
  ["<<EOF", "a\\\\b \\$A \\` ${A:-\"q\"} 'r'\nEOF"],
  ["<<EOF", "no\\\nend \\\nEOF"],
] as const;

/** COPY or ADD with what the other generator does not draw. */
export function copyOf(random: Random, each: FuzzCase): string {
  const flags: string[] = [];
  if (random.chance(0.4)) flags.push(...random.list(1, 3, () => `--exclude=${random.pick(EXCLUDES)}`));
  if (random.chance(0.3)) flags.push(`--chmod=${random.pick(MODES)}`);
  if (random.chance(0.3)) flags.push(`--chown=${random.pick(OWNERS)}`);
  if (random.chance(0.25)) flags.push(random.pick(["--link", "--link=true", "--link=TRUE", "--link=false"]));
  const dest = random.pick([
    "/odd",
    "/odd/",
    "/odd/",
    ".",
    "./",
    "/share/",
    "/opt/owned/",
    "/usr/share/doc/",
    "/dead/",
    "$A/x/",
    "/",
  ]);
  const name = random.chance(0.8) ? "COPY" : "ADD";
  if (random.chance(0.25)) {
    const [opening, body] = random.pick(HEREDOCS);
    return `${name} ${[...flags, opening, dest].join(" ")}\n${body}`;
  }
  if (name === "COPY" && random.chance(0.3)) {
    const stages = each.parts.flatMap((part) => /^\s*FROM\s.*\bAS\s+(\S+)\s*$/is.exec(part)?.[1] ?? []);
    flags.push(`--from=${random.pick(["busybox", "0", ...stages])}`);
    const sources = [
      "/usr/share/doc/*",
      "/usr/share/*/one",
      "/share/",
      "/share/*",
      "/etc/pass*",
      "/usr/share/doc/[ot]*",
      "/opt/owned",
      "/var/run",
      "/dead*",
      "/home/*",
      "usr/share/doc/../doc/two",
      "/opt/*/*",
    ];
    return `${name} ${[...flags, random.pick(sources), dest].join(" ")}`;
  }
  return `${name} ${[...flags, random.pick(PATTERNS), dest].join(" ")}`;
}
