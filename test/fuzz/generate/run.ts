// RUN: small commands that change files in every way, look at what a step can see, in every form and with every kind of mount.
import { posix } from "node:path";
import type { Random } from "../random.ts";
import { json, line } from "./style.ts";
import { anyPath, existing, freshPath, note, type Draft, type Stage } from "./stage.ts";
import { anyWord } from "./words.ts";

export function runInstruction(draft: Draft, stage: Stage): string {
  const { random, style } = draft;
  const flags = random.chance(0.2) ? [drawMount(draft, stage)] : [];
  if (random.chance(0.05)) flags.push(random.pick(["--network=none", "--network=default", "--network=none"]));
  const look = flags[0]?.startsWith("--mount") === true ? [lookAtMount(flags[0], freshPath(random, stage))] : [];
  const commands = [...look, ...random.list(look.length > 0 ? 0 : 1, 3, () => command(random, stage))];
  return random.weighted<() => string>([
    [8, () => line(random, style, "RUN", [...flags, shellText(draft, commands)])],
    [1.5, () => line(random, style, "RUN", [...flags, json(random, ["/bin/sh", "-c", commands.join("; ")])])],
    [
      0.7,
      () =>
        line(random, style, "RUN", [
          ...flags,
          json(random, ["mkdir", "-p", posix.join("/tmp", posix.basename(freshPath(random, stage)))]),
        ]),
    ],
    [1.5, () => heredoc(draft, flags, commands)],
    [0.7, () => otherHeredoc(draft, stage, flags, commands)],
    [
      0.7,
      () =>
        `${line(random, style, "RUN", [...flags, `cat <<ONE > ${existing(random, stage, "directory") ?? ""}/one || true`])}\nbody $A \${B}\n\ttab\nONE`,
    ],
  ])();
}

function shellText({ random, style }: Draft, commands: readonly string[]): string {
  const separator = (): string =>
    random.weighted([
      [6, "; "],
      [style.escape === "\\" ? 2 : 0, ` ; \\\n  `],
      [style.escape === "\\" ? 1 : 0, ` ; \\\n# a comment\n\n    `],
      [style.escape === "`" ? 2 : 0, " ; `\n"],
    ]);
  const text = commands.map((each, at) => (at === 0 ? each : separator() + each)).join("");
  return random.chance(0.05) ? `${text}  ` : text;
}

function heredoc({ random, style }: Draft, flags: readonly string[], commands: readonly string[]): string {
  const opening = random.pick(["<<EOF", "<<EOF", "<<-EOF", '<<"EOF"', "<<'EOF'"]);
  const shebang = random.chance(0.25) ? ["#!/bin/sh"] : [];
  const indent = opening.includes("-") && random.chance(0.7) ? "\t" : "";
  const body = [...shebang, ...commands].map((each) => indent + each);
  return `${line(random, style, "RUN", [...flags, opening])}\n${body.join("\n")}\n${random.chance(0.3) ? indent : ""}EOF`;
}

/** Heredocs that the shell reads: as the input of a program, two in one line, and one that the builder gives a shell of its own. */
function otherHeredoc(
  { random, style }: Draft,
  stage: Stage,
  flags: readonly string[],
  commands: readonly string[],
): string {
  const folder = existing(random, stage, "directory") ?? "";
  const [text = "", ...body] = random.pick([
    ["sh <<-EOF || true", "\techo $A > /tmp/input", "\tEOF"],
    ["<<EOF sh", ...commands, "EOF"],
    [`cat <<ONE > ${folder}/1 && cat <<"TWO" > ${folder}/2 || true`, "a $A", "ONE", "b $A", "TWO"],
    ["<<EOF cat > /tmp/fed || true", "fed $A", "EOF"],
    ["<<'EOF' ", "echo 'quoted $A' || true", "EOF"],
  ]);
  return [line(random, style, "RUN", [...flags, text]), ...body].join("\n");
}

/** A command that does the same wherever and whenever it runs, and does not fail. */
function command(random: Random, stage: Stage): string {
  const [path, fresh] = [anyPath(random, stage), freshPath(random, stage)];
  const make = (kind: "file" | "directory" | "link" | "gone", at: string, text: string): string => {
    note(stage, at, kind);
    return `${text} || true`;
  };
  const parents = posix.dirname(fresh);
  const within = parents === "/" ? "" : `mkdir -p ${parents}; `;
  return random.weighted<() => string>([
    [3, () => make("directory", fresh, `mkdir -p ${fresh}`)],
    [3, () => make("file", fresh, `${within}echo ${random.pick(["one", "two", '"$A"', "$B"])} > ${fresh}`)],
    [
      2,
      () =>
        make(
          "link",
          fresh,
          `${within}ln -s ${random.pick([path, "nowhere", ".", "../etc", posix.basename(path)])} ${fresh}`,
        ),
    ],
    [2, () => make("file", fresh, `${within}ln ${existing(random, stage, "file") ?? "/bin/sh"} ${fresh}`)],
    [2, () => `chmod ${random.pick(["0700", "755", "u+s", "1777", "a-w", "0000"])} ${path} || true`],
    [
      2,
      () =>
        `chown ${random.pick(["-R ", "", "-h "])}${random.pick(["app", "5:6", "root:staff", "3000000"])} ${path} || true`,
    ],
    [2, () => make("gone", path, `rm -rf ${path}`)],
    [1, () => `rm -rf ${path}/* || true`],
    [1, () => make("directory", path, `rm -rf ${path}; mkdir -p ${path}`)],
    [1, () => make("link", path, `rm -rf ${path} && ln -s ${random.pick(["/tmp", "nowhere", "../usr"])} ${path}`)],
    [1, () => make("file", path, `rm -rf ${path} && echo now a file > ${path}`)],
    [1, () => `mv ${path} ${fresh} || true`],
    [1, () => make("directory", fresh, `${within}cp -a ${copyable(random, stage)} ${fresh}`)],
    [1, () => `touch ${path} || true`],
    [1, () => `cat ${path} > /tmp/same 2>/dev/null && cat /tmp/same > ${path} || true`],
    [1, () => random.pick(["true", ":", "echo nothing"])],
    [
      1,
      () =>
        random.pick([
          "echo fz:x:77:78::/:/bin/sh >> /etc/passwd || true",
          "echo fz:x:79:app >> /etc/group || true",
          random.chance(0.2) ? make("gone", "/etc/passwd", "mv /etc/passwd /etc/old") : "chmod 600 /etc/passwd || true",
          "ln -sf old /etc/group || true",
        ]),
    ],
    [0.4, () => `mkfifo ${fresh} || true`],
    [0.3, () => `mknod ${fresh} c 1 3 || true`],
    [3, () => looks(random, stage, path)],
  ])();
}

/** A directory whose copy has an end: "/" has /proc in it. */
function copyable(random: Random, stage: Stage): string {
  const path = existing(random, stage, "directory") ?? "/etc";
  return path === "/" ? "/etc" : path;
}

/** Writes what the step sees to a file. */
function looks(random: Random, stage: Stage, path: string): string {
  const into = freshPath(random, stage);
  note(stage, into, "file");
  const made = `mkdir -p ${posix.dirname(into)}; `;
  const text = random.pick([
    "env | sort",
    "id",
    "pwd",
    "umask",
    'echo "$0 $- $#"',
    "hostname",
    "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
    'echo "$A:$B:${FOO}:${foo_1:-none}"',
    `stat -c '%n %F %a %u %g' ${path} ${path}/*`,
    `find ${path} -xdev | sort`,
    `ls -a ${posix.dirname(path)}`,
    "echo *",
    "sed s,a,b, /etc/passwd",
    `readlink -f ${path}`,
  ]);
  return `${random.chance(0.6) ? made : ""}{ ${text}; } > ${into} 2>/dev/null || true`;
}

function drawMount({ random, style, stages, context, contexts }: Draft, stage: Stage): string {
  const target = random.pick(["/m", "/m", "rel/m", "/a/mnt", existing(random, stage, "directory") ?? "/m"]);
  const earlier = stages.slice(0, -1);
  const options = random.weighted<() => string[]>([
    [
      4,
      () => [
        "type=bind",
        `target=${target}`,
        ...random.some(
          [
            `source=${random.pick([".", random.pick(context).path.replaceAll(",", "")])}`,
            random.pick(["rw", "ro", "readonly=false", "rw=true"]),
            ...(contexts.files === undefined ? [] : [`from=${contexts.files}`]),
          ],
          0.5,
        ),
      ],
    ],
    [
      earlier.length > 0 ? 4 : 1,
      () => [
        `from=${earlier.length > 0 ? (random.pick(earlier).name ?? "busybox") : (contexts.image ?? "busybox")}`,
        `dst=${target}`,
        ...random.some([`src=${random.pick(["/", "/etc", "/tmp", "/usr/share/doc"])}`, "rw"], 0.5),
      ],
    ],
    [
      4,
      () => [
        "type=cache",
        `target=${target}`,
        ...random.some(
          [
            `id=fuzz-${random.between(1, 1e9)}`,
            `sharing=${random.pick(["shared", "locked", "private"])}`,
            "mode=0711",
            "uid=5",
            "gid=6",
            "ro=false",
          ],
          0.4,
        ),
        // Without "from" there is nothing that a source could be in.
        ...(random.chance(0.2)
          ? [
              `from=${earlier.length > 0 ? (random.pick(earlier).name ?? "busybox") : "busybox"}`,
              ...random.some(["source=/usr/share/doc"], 0.6),
            ]
          : []),
      ],
    ],
    [2, () => ["type=tmpfs", `target=${target}`, ...random.some(["size=64k"], 0.3)]],
    [
      2,
      () => [
        "type=secret",
        "id=fuzz",
        ...random.some(
          [`target=${random.pick(["/s/ecret", "/run/secrets/other", "sec"])}`, "env=SECRET", "mode=0440", "uid=5"],
          0.3,
        ),
      ],
    ],
    [0.7, () => ["type=secret", "id=missing", ...random.some(["env=MISSING", "required=false"], 0.4)]],
    [1.5, () => ["type=ssh", ...random.some(["required", "mode=0666", "uid=5", "target=/s/agent", "id=default"], 0.3)]],
    [
      0.1,
      () => [
        "type=bind",
        `target=${target}`,
        random.pick(["source=/no/such", "from=later", "size=5", "unknown=1", "type=odd"]),
      ],
    ],
  ])();
  const text = options.join(",");
  return `--mount=${
    random.chance(0.1)
      ? text.replace(
          "target=",
          `target=${anyWord(random, style)
            .replaceAll(/[,\s"'\\`]/g, "")
            .replaceAll("/", "")}`,
        )
      : text
  }`;
}

/** What is under the mount; a cache is emptied first, because it outlives the build. */
function lookAtMount(flag: string, into: string): string {
  if (flag.includes("type=ssh"))
    return `mkdir -p ${posix.dirname(into)}; stat -c '%n %F %a %u %g' $SSH_AUTH_SOCK > ${into} 2>/dev/null || true`;
  const target = /(?:target|dst)=([^,]*)/.exec(flag)?.[1] ?? "/run/secrets";
  const folder = `mkdir -p ${posix.dirname(into)}`;
  // The base has /var/run as a link to /run. What cat writes to where it reads has no end.
  const isInside = into.replace(/^\/var\/run\//, "/run/").startsWith(`${target}/`);
  const content = isInside ? "" : ` cat ${target} ${target}/*;`;
  const look = `{ stat -c '%n %F %a %u %g' ${target} ${target}/*;${content} echo "$SECRET$MISSING"; }`;
  const write =
    flag.includes("type=cache") || flag.includes("rw") || flag.includes("tmpfs")
      ? `rm -rf ${target}/*; echo written > ${target}/new; `
      : "";
  return `${folder}; ${write}${look} > ${into} 2>/dev/null || true`;
}
