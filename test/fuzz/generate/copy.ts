// COPY, ADD and WORKDIR: sources from the context, stages, images and heredocs; every flag; destinations that are there, new, relative or behind links.
import { posix } from "node:path";
import type { Random } from "../random.ts";
import { ORIGIN, REMOTE_FILES, remoteDigest } from "../remote.ts";
import { json, line } from "./style.ts";
import { existing, freshPath, isWithin, note, type Draft, type Stage } from "./stage.ts";
import { anyWord, spelled } from "./words.ts";

interface Source {
  readonly words: readonly string[];
  readonly kind: "file" | "directory" | "many";
  readonly flags: readonly string[];
  readonly body?: string;
}

const OWNERS = [
  "5",
  "0",
  "5:6",
  "app",
  "app:staff",
  "root",
  "1000:app",
  "app:7",
  "nobody",
  "0:0",
  "33:staff",
  ":6",
  "3000000",
];
const NUMBERS = ["5", "0", "5:6", "0:0", "1000", "33:7", "3000000", "5:3000000"];
const MODES = [
  "0644",
  "755",
  "0700",
  "4755",
  "u+x",
  "go-rwx",
  "a=rX",
  "u=rwX,go=rX",
  "+x",
  "g+s",
  "1777",
  "0",
  "u=rw,g=u,o=",
];
const PATTERNS = ["*.txt", "**/*.md", "sub", "!src/sub", "src", "*", "a.txt", "deep/**", "*/x"];

export function copyInstruction(draft: Draft, stage: Stage): string {
  const { random, style } = draft;
  const isAdd = random.chance(0.25);
  const source = drawSource(draft, isAdd);
  const flags = [...source.flags, ...drawFlags(draft, stage, isAdd)].map((flag) => spellFlag(draft, stage, flag));
  const isLinked = flags.some((flag) => flag.startsWith("--link") && flag !== "--link=false");
  const dest = drawDestination(random, stage, source, isLinked);
  const name = isAdd ? "ADD" : "COPY";
  const shuffled = random.chance(0.5) ? flags.toReversed() : flags;
  noteCopied(stage, source, dest);
  if (source.body === undefined && (random.chance(0.15) || [...source.words, dest].some((word) => /\s/.test(word))))
    return line(random, style, name, [...shuffled, json(random, [...source.words, dest])]);
  const spell = (word: string): string => (/^[\w./:-]+$/.test(word) ? spelled(random, style, stage, word) : word);
  const text = line(random, style, name, [...shuffled, ...source.words.map(spell), spell(dest)]);
  return source.body === undefined ? text : `${text}\n${source.body}`;
}

function drawSource(draft: Draft, isAdd: boolean): Source {
  const { random, stages } = draft;
  const earlier = stages.slice(0, -1);
  return random.weighted<() => Source>([
    [6, () => fromContext(draft)],
    [
      1.5,
      () => ({
        words: random.list(1, 2, () =>
          random.pick([
            "*",
            "*.txt",
            "s*",
            "[ab].txt",
            "*.none",
            ".*",
            "[!a].txt",
            // BuildKit misses the directory of a wildcard that is not there.
            ...(hasFolder(draft, "src") ? ["src/*", "src/s?b", "src/*/*"] : []),
            ...(hasFolder(draft, "x.d") ? ["x.d/*"] : []),
          ]),
        ),
        kind: "many",
        flags: [],
      }),
    ],
    [2, () => ({ words: [random.pick([".", "./", "/", "../", "src/..", "./."])], kind: "directory", flags: [] })],
    [1.5, () => heredocSource(random)],
    [isAdd ? 3 : 0, () => remoteSource(random)],
    [isAdd || draft.contexts.files === undefined ? 0 : 6, () => fromNamed(draft)],
    [isAdd || earlier.length === 0 ? 0 : 8, () => fromStage(random, random.pick(earlier))],
    [
      isAdd ? 0 : 0.7,
      () => ({
        words: [random.pick(["/etc/passwd", "/usr/share/doc", "/share", "/home/app", "/opt", "/usr/share/doc/*"])],
        kind: "many",
        flags: [`--from=${draft.contexts.image ?? "busybox"}`],
      }),
    ],
    [
      isAdd && draft.context.some(({ kind }) => kind === "archive") ? 6 : 0,
      () => ({
        words: draft.context.filter(({ kind }) => kind === "archive").map(({ path }) => path),
        kind: "directory",
        flags: [],
      }),
    ],
  ])();
}

function hasFolder({ context }: Draft, folder: string): boolean {
  return context.some(({ path }) => path.startsWith(`${folder}/`));
}

function fromContext({ random, context }: Draft): Source {
  const paths = random.list(1, random.chance(0.2) ? 3 : 1, () => random.pick(context));
  const kindOf = (kind: string): Source["kind"] => (kind === "directory" ? "directory" : "file");
  const folders = context.flatMap(({ path }) => (path.includes("/") ? [posix.dirname(path)] : []));
  if (folders.length > 0 && random.chance(0.3))
    return { words: [`${random.pick(folders)}${random.pick(["", "/"])}`], kind: "directory", flags: [] };
  const links = context.filter(({ kind }) => kind === "symlink");
  if (links.length > 0 && random.chance(0.06)) {
    const word = `${escapedPattern(random.pick(links).path)}/${random.pick(["a.txt", "sub", "y", "*", ".", "deep/", "../a.txt", ""])}`;
    return { words: [word], kind: "many", flags: [] };
  }
  const words = paths.map(
    ({ path }) => `${random.pick(["", "", "", "./", "/", "../"])}${random.chance(0.97) ? escapedPattern(path) : path}`,
  );
  return { words, kind: paths.length > 1 ? "many" : kindOf(paths[0]!.kind), flags: [] };
}

/** A name as a pattern that matches it alone, and that no expansion changes. */
function escapedPattern(path: string): string {
  return path.replace(/[[\]*?\\'"$]/g, "?");
}

function fromStage(random: Random, from: Stage): Source {
  const reference =
    from.name === undefined || random.chance(0.3)
      ? String(from.index)
      : random.pick([from.name, from.name, from.name.toUpperCase()]);
  const kind = random.weighted([
    [4, "file"],
    [4, "directory"],
    [1, "link"],
  ] as const);
  const found = existing(random, from, kind) ?? "/";
  const path = found === "/dead" && random.chance(0.9) ? "/share" : found;
  const word = random.pick([
    path,
    path,
    path,
    path.slice(1) || "/",
    `${posix.dirname(path)}/*`,
    `${path}/`,
    `${path}/.`,
    `${path}/../${posix.basename(path)}`,
    ...(kind === "link" ? [`${path}/*`, `${path}/doc/one`] : []),
  ]);
  return { words: [word], kind: kind === "link" ? "many" : kind, flags: [`--from=${reference}`] };
}

/** A context given by a flag has the same files as the first one. */
function fromNamed(draft: Draft): Source {
  const source = fromContext(draft);
  return { ...source, flags: [`--from=${draft.contexts.files}`] };
}

function remoteSource(random: Random): Source {
  const path = random.pick(Object.keys(REMOTE_FILES));
  const flags = random.chance(0.3) ? [`--checksum=${remoteDigest(path)}`] : [];
  if (path.endsWith(".tar")) flags.push(...random.some(["--unpack", "--unpack=false"], 0.4).slice(0, 1));
  return { words: [`${ORIGIN}${path}`], kind: flags.includes("--unpack") ? "directory" : "file", flags };
}

function heredocSource(random: Random): Source {
  const [end, opening] = random.pick([
    ["EOF", "<<EOF"],
    ["EOF", "<<-EOF"],
    ["E.txt", '<<"E.txt"'],
    ["EOF", "<<'EOF'"],
    ["f", "<<f"],
    ["EOF", '<<-"EOF"'],
  ] as const);
  const lines = random.list(0, 4, () =>
    random.pick([
      "text",
      "\ttabbed",
      "$A and ${B:-b}",
      'it\'s "quoted"',
      "back\\slash \\$A",
      "# no comment",
      "",
      "  spaces  ",
      "a \\",
      "${FOO%.*}",
      "<<EOF2",
    ]),
  );
  const second = random.chance(0.2) ? ["two\nTWO"] : [];
  return {
    words: [opening, ...(second.length > 0 ? ["<<TWO"] : [])],
    kind: second.length > 0 ? "many" : "file",
    flags: [],
    body: [...lines, random.chance(0.2) && opening.startsWith("<<-") ? `\t${end}` : end, ...second].join("\n"),
  };
}

function drawFlags({ random }: Draft, stage: Stage, isAdd: boolean): string[] {
  const flags: string[] = [];
  // Names are looked up in files that a stage from scratch does not have, and that a step may have moved.
  const isKnown = !stage.isScratch && (stage.paths.has("/etc/passwd") || random.chance(0.03));
  const unknown = random.chance(0.02) ? ["unknown", "33:unknown", "fz:app"] : [];
  if (random.chance(0.25)) flags.push(`--chown=${random.pick(isKnown ? [...OWNERS, ...unknown] : NUMBERS)}`);
  if (random.chance(0.2)) flags.push(`--chmod=${random.pick(MODES)}`);
  const isNamed = flags.some((flag) => /--chown=.*[a-z]/.test(flag));
  if (random.chance(isNamed ? 0.02 : 0.2)) flags.push(random.pick(["--link", "--link", "--link=true", "--link=false"]));
  if (random.chance(0.12)) flags.push(...random.list(1, 2, () => `--exclude=${random.pick(PATTERNS)}`));
  if (!isAdd && random.chance(0.004)) flags.push("--parents");
  if (isAdd && random.chance(0.05)) flags.push(random.pick(["--keep-git-dir", "--keep-git-dir=false"]));
  return flags;
}

function spellFlag({ random, style }: Draft, stage: Stage, flag: string): string {
  const [name = "", value] = /^([^=]*)=(.*)$/s.exec(flag)?.slice(1) ?? [];
  if (value === undefined || !["--chown", "--chmod"].includes(name)) return flag;
  const isOdd = /[^\w:]/.test(value);
  return isOdd || random.chance(0.8)
    ? flag
    : `${name}=${spelled(random, style, stage, value).replaceAll(/["'\\`]/g, "")}`;
}

function drawDestination(random: Random, stage: Stage, source: Source, isLinked: boolean): string {
  const fresh = freshPath(random, stage);
  if (source.kind === "many" || source.words.length > 1) {
    const folder = random.pick([existing(random, stage, "directory") ?? fresh, fresh]);
    return `${folder}/`.replace("//", "/");
  }
  return random.weighted<() => string>([
    [5, () => fresh],
    [3, () => `${fresh}/`],
    [3, () => existing(random, stage, "directory") ?? fresh],
    [1, () => `${existing(random, stage, "directory") ?? fresh}/`.replace("//", "/")],
    [source.kind === "file" ? 2 : 0.1, () => existing(random, stage, "file") ?? fresh],
    [isLinked ? 0.3 : 1.5, () => existing(random, stage, "link") ?? fresh],
    [2, () => random.pick([".", "./", "rel", "rel/", "../up", "./deep/er/", "..", "/"])],
    [0.5, () => random.pick(["//double//slash", "/dot/./dot", "/up/../down/"])],
  ])();
}

function noteCopied(stage: Stage, { kind, words }: Source, dest: string): void {
  const path = posix.resolve(stage.workdir, dest);
  const known = stage.paths.get(path);
  if (kind === "directory" || kind === "many" || dest.endsWith("/")) {
    if (known === undefined) note(stage, path, "directory");
    const name = posix.basename(words[0] ?? "");
    if (kind === "file" && /^[\w.]+$/.test(name)) note(stage, posix.join(path, name), "file");
  } else if (known === undefined) note(stage, path, "file");
  for (let folder = posix.dirname(path); folder !== "/"; folder = posix.dirname(folder))
    if (!stage.paths.has(folder)) stage.paths.set(folder, "directory");
}

export function workdirInstruction({ random, style }: Draft, stage: Stage): string {
  const path = random.weighted<() => string>([
    [4, () => random.pick(["/w", "/w/x", "/srv/data", "/a/b/c", "/opt/owned/n", "/opt/owned/deep"])],
    [2, () => random.pick(["rel", "rel/er", ".", "..", "../up", "./x/"])],
    [1, () => existing(random, stage, "directory") ?? "/"],
    [0.7, () => existing(random, stage, "link") ?? "/"],
    [0.02, () => existing(random, stage, "file") ?? "/"],
    [0.5, () => random.pick(["/", "//w//y/", "/w/../z", "/with space", "/w/"])],
  ])();
  const isOdd = random.chance(0.05);
  const target = posix.resolve(stage.workdir, path);
  if (!isOdd) {
    stage.workdir = target;
    if (!stage.paths.has(target)) note(stage, target, "directory");
    for (const [known, kind] of stage.paths) if (kind === "file" && isWithin(target, known)) stage.paths.delete(known);
  }
  return line(random, style, "WORKDIR", [
    isOdd ? `/odd/${anyWord(random, style)}` : spelled(random, style, stage, path),
  ]);
}
