// How a Dockerfile is written: what stands between words, the case of names, which escape there is. None of it may change what the file means (L01–L05, P04).
import type { Random } from "../random.ts";

export interface Style {
  readonly escape: "\\" | "`";
  /** 0 = as a tidy person writes, 1 = as ugly as the language allows. */
  readonly ugliness: number;
}

export function drawStyle(random: Random): Style {
  return { escape: random.chance(0.12) ? "`" : "\\", ugliness: random.pick([0, 0, 0.1, 0.3]) };
}

/** Blanks, or a continued line, perhaps with comments and empty lines in it. */
export function gap(random: Random, { escape, ugliness }: Style): string {
  if (!random.chance(ugliness)) return " ";
  if (random.chance(0.5)) return random.pick(["  ", "\t", " \t ", "   "]);
  const inner = random.pick(["", "", "# a comment\n", "   # indented\n", "\n", "\n  \n", "# ends in an escape \\\n"]);
  return ` ${escape}${random.pick(["", "", "  ", "\t"])}\n${inner}${random.pick(["", "  ", "\t"])}`;
}

/** The words with gaps between them. */
export function joined(random: Random, style: Style, words: readonly string[]): string {
  return words.map((word, at) => (at === 0 ? word : gap(random, style) + word)).join("");
}

/** A name of the language in any case, at times after blanks. */
export function keyword(random: Random, style: Style, name: string): string {
  if (!random.chance(style.ugliness)) return name;
  return random.pick([name.toLowerCase(), name[0]! + name.slice(1).toLowerCase(), `  ${name}`, `\t${name}`]);
}

/** A whole instruction. */
export function line(random: Random, style: Style, name: string, words: readonly string[]): string {
  return joined(random, style, [keyword(random, style, name), ...words]);
}

export function json(random: Random, items: readonly string[]): string {
  const space = (): string => random.pick(["", "", "", " "]);
  return `[${space()}${items.map((item) => JSON.stringify(item)).join(`,${random.pick([" ", "", "  "])}`)}${space()}]`;
}
