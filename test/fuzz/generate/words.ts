// Words in which the builder substitutes variables (V01–V10): some that come to a given text, and some that come to whatever they come to.
import type { Random } from "../random.ts";
import type { Stage } from "./stage.ts";
import type { Style } from "./style.ts";

export const NAMES = ["A", "B", "FOO", "foo_1", "LONG_NAME", "P", "Q"] as const;
const UNSET = ["NOPE", "U2"] as const;

/** A way of writing `text`, which holds letters, digits and `./_-:` only; the builder's expansion gives it back. */
export function spelled(random: Random, style: Style, stage: Stage | undefined, text: string): string {
  if (!random.chance(0.3) || text === "") return text;
  const known = [...(stage?.known ?? [])].find(([, value]) => value !== "" && text.includes(value));
  if (known && random.chance(0.6)) return text.replace(known[1], () => `\${${known[0]}}`);
  const unset = random.pick(UNSET);
  const cut = random.between(0, text.length - 1);
  return random.pick([
    `"${text}"`,
    `'${text}'`,
    `\${${unset}:-${text}}`,
    `\${${unset}-${text}}`,
    `$${unset}${/^\w/.test(text) ? '""' : ""}${text}`,
    `\${${unset}:+wrong}${text}`,
    `${text.slice(0, cut)}${style.escape}${text.slice(cut)}`,
    `${text.slice(0, cut)}""${text.slice(cut)}`,
  ]);
}

const LITERALS = [
  "1",
  "a.b.c",
  "x",
  "/usr/local/lib",
  "foo.tar.gz",
  "a/b/c",
  "-",
  "é",
  "lib",
  "0",
  "*",
  "a=b",
  "80",
  "#x",
  "%s",
  "~",
  "a:b",
];
const PATTERNS = [
  "*",
  "?",
  "a*",
  "*.",
  ".*",
  "*/",
  "/*",
  "l?b",
  "\\*",
  "x",
  "[ab]",
  "*b",
  "a?",
  "/",
  ".",
  "tar*",
  "",
  "$A",
  '"a"',
];
const REPLACED = ["X", "", "$B", "\\/", "a_b", "${FOO:-d}"];

/** Whatever: literals, variables with every modifier, quotes, escapes. Without blanks outside of quotes. */
export function anyWord(random: Random, style: Style, depth = 0): string {
  return random.list(1, 3, () => piece(random, style, depth)).join("");
}

function piece(random: Random, style: Style, depth: number): string {
  const name = random.chance(0.85) ? random.pick(NAMES) : random.pick(UNSET);
  const inner = (): string =>
    depth < 2 && random.chance(0.5)
      ? anyWord(random, style, depth + 1)
      : random.pick(["w", "", random.chance(0.1) ? "d e" : "de", "/"]);
  const escape = style.escape;
  return random.weighted<() => string>([
    [8, () => random.pick(LITERALS)],
    [4, () => `$${name}`],
    [4, () => `\${${name}}`],
    [4, () => `\${${name}${random.pick([":-", "-", ":+", "+"])}${inner()}}`],
    [0.03, () => `\${${name}${random.pick([":?", "?"])}${inner()}}`],
    [4, () => `\${${name}${random.pick(["#", "##", "%", "%%"])}${random.pick(PATTERNS)}}`],
    [
      4,
      () =>
        `\${${name}${random.pick(["/", "//"])}${random.pick(PATTERNS.filter((each) => each !== "" && !each.includes("/")))}/${random.pick(REPLACED)}}`,
    ],
    [
      2,
      () =>
        `"${random.pick(["p q", `$${name}`, `\${${name}}`, `a ${escape}" b`, `r ${escape}\n  s`, `${escape}$A`, "it's", "", `${escape}x`, `${escape}${escape}`])}"`,
    ],
    [2, () => `'${random.pick(["p q", `$${name}`, "\\", "", 'say "x"', "${A"])}'`],
    [2, () => `${escape}${random.pick(["$", "a", '"', "'", " ", escape, "n", "#"])}`],
    [1, () => random.pick(["$", "$$", "$1", "$@", "$#", "$*", "$?", "$-", "$!", "$0", "$12x", "$.", "$/"])],
  ])();
}
