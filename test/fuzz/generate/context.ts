// Contexts: files of every kind, mode and name, and what .dockerignore leaves of them.
import type { ArchiveMember, ContextFile } from "../fuzz-case.ts";
import { isExcluded } from "../patterns.ts";
import type { Random } from "../random.ts";

const FOLDERS = ["", "", "", "src", "src", "src/sub", "src/sub/deep", "docs", ".hid", "e mpty", "x.d"];
const NAMES = ["a.txt", "b.txt", "c.md", "main.c", "run.sh", "README.md", "x", "y", ".env", "data.json"];
const ODD_NAMES = [
  "sp ace.txt",
  "é.txt",
  "[x].txt",
  "st*r",
  "-dash",
  "#hash",
  "q'uote",
  'dq"uote',
  "back\\slash",
  "$A",
  "ques?tion",
  "emoji-😀",
  "CAPS.TXT",
  `long-${"n".repeat(120)}`,
  ".wh..x",
  "tab\tx",
];

export function drawContext(random: Random): ContextFile[] {
  const files = new Map<string, ContextFile>();
  const add = (file: ContextFile): void => {
    const folders = file.path.split("/").map((_, at, names) => names.slice(0, at).join("/"));
    const isBelowFile = folders.some((folder) => (files.get(folder)?.kind ?? "directory") !== "directory");
    const isFolder = file.kind !== "directory" && [...files.keys()].some((path) => path.startsWith(`${file.path}/`));
    if (!files.has(file.path) && !isBelowFile && !isFolder) files.set(file.path, file);
  };
  add({ kind: "file", path: "a.txt", mode: fileMode(random), text: "a\n" });
  for (const path of random.some(["src", "src/sub", "docs", "e mpty"], 0.5))
    add({
      kind: "directory",
      path,
      mode: random.weighted([
        [5, "0755"],
        [1, "0700"],
        [1, "2775"],
        [1, "1777"],
      ]),
    });
  for (let left = random.between(3, 11); left > 0; left--) {
    const name = random.chance(0.15) ? random.pick(ODD_NAMES) : random.pick(NAMES);
    const folder = random.pick(FOLDERS);
    const linkable = [...files.values()].flatMap(({ kind, path }) => (kind === "directory" ? [] : path));
    add(drawEntry(random, folder === "" ? name : `${folder}/${name}`, linkable));
  }
  if (random.chance(0.25)) add(drawArchive(random));
  return [...files.values()];
}

function fileMode(random: Random): string {
  return random.weighted([
    [10, "0644"],
    [3, "0755"],
    [1, "0600"],
    [1, "0444"],
    [1, "4755"],
    [0.5, "2711"],
    [0.3, "0000"],
    [0.3, "1644"],
  ]);
}

function drawEntry(random: Random, path: string, others: readonly string[]): ContextFile {
  return random.weighted<() => ContextFile>([
    [
      16,
      () => ({
        kind: "file",
        path,
        mode: fileMode(random),
        text: drawText(random),
        ...(random.chance(0.04) ? { xattr: random.pick(["kept", "two words"]) } : {}),
      }),
    ],
    [
      3,
      () => ({
        kind: "symlink",
        path,
        target: random.pick(["a.txt", "src", "../a.txt", "/etc/passwd", "nowhere", ".", "..", "sub", "/a.txt", "y"]),
      }),
    ],
    [others.length > 0 ? 2 : 0, () => ({ kind: "hard link", path, target: random.pick(others) })],
    [0.2, () => ({ kind: "fifo", path })],
  ])();
}

function drawText(random: Random): string {
  return random.weighted<() => string>([
    [6, () => `${random.pick(["one", "two", "three"])} ${random.between(1, 9)}\n`],
    [1, () => ""],
    [1, () => "no end"],
    [1, () => "crlf\r\nline\r\n"],
    [0.3, () => "0123456789abcdef".repeat(5000)],
    [1, () => '#!/bin/sh\necho ran "$@"\n'],
  ])();
}

const CAPABILITY = "0100000200200000000000000000000000000000";

function drawArchive(random: Random): ContextFile {
  const owner = (): number => random.pick([0, 0, 5, 1000, 3_000_000]);
  const rest = (mode: string) => ({ mode, uid: owner(), gid: owner() });
  const members: ArchiveMember[] = [
    { name: "in/", type: "5", ...rest(random.pick(["0755", "0700", "1777"])) },
    { name: "in/file", type: "0", ...rest(fileMode(random)), data: "in an archive\n" },
    { name: "in/hard", type: "1", ...rest("0644"), target: "in/file" },
    { name: "in/link", type: "2", ...rest("0777"), target: random.pick(["file", "/etc/passwd", "../../up"]) },
    { name: "deep/er/without-parents", type: "0", ...rest("0640"), data: "x" },
    { name: "cap", type: "0", ...rest("0755"), data: "capable\n", capability: CAPABILITY },
    { name: "in/file", type: "0", ...rest("0600"), data: "again\n" },
  ];
  const some = random.some(members, 0.7);
  const kept = some.length === 0 ? members.slice(0, 2) : some;
  if (random.chance(0.05)) kept.push({ name: "../up", type: "0", ...rest("0644"), data: "up\n" });
  const hasTarget = kept.some((each) => each.name === "in/file" && each.type === "0");
  return {
    kind: "archive",
    path: random.pick(["ar.tar", "ar.tar.gz", "ar.bin"]),
    compression: random.pick(["none", "gzip", "gzip", "zstd"]),
    members: kept.filter(({ type }) => hasTarget || type !== "1" || random.chance(0.05)),
  };
}

const IGNORE_LINES = [
  "*.md",
  "**/*.md",
  "docs",
  "docs/",
  "/src/sub",
  "src/*/",
  "!src/sub",
  "*",
  "!a.txt",
  "!src",
  "# comment",
  "",
  "  x  ",
  "**/deep",
  "src/**",
  "!src/sub/deep/*",
  "[a-b].txt",
  "?.txt",
  "./y",
  "a.txt/..//b.txt",
  ".*",
  "!.env",
  "**",
  "!**/*.c",
  "Dockerfile",
  ".dockerignore",
  "e mpty",
  "x.d/**/y",
];

export function drawIgnore(random: Random): string[] {
  return random.chance(0.25) ? random.list(1, 4, () => random.pick(IGNORE_LINES)) : [];
}

/** What a COPY finds: not ignored, and no link that leads nowhere. */
export function visibleFiles(files: readonly ContextFile[], ignore: readonly string[]): ContextFile[] {
  const patterns = ignore
    .map((line) =>
      line
        .trim()
        .replace(/^(!?)[./]*\//, "$1")
        .replace(/\/$/, ""),
    )
    .filter((line) => /^[^#]/.test(line));
  const kept = files.filter(({ path }) => !isExcluded(patterns, path));
  const paths = new Set([
    "",
    ...kept.flatMap(({ path }) => path.split("/").map((_, at, names) => names.slice(0, at + 1).join("/"))),
  ]);
  return kept.filter((file) => file.kind !== "symlink" || paths.has(linkedPath(file.path, file.target)));
}

function linkedPath(path: string, target: string): string {
  const parts = target.startsWith("/") ? [] : path.split("/").slice(0, -1);
  for (const name of target.split("/")) {
    if (name === "..") parts.pop();
    else if (name !== "" && name !== ".") parts.push(name);
  }
  return parts.join("/");
}
