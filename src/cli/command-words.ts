// Flags of the small commands, read by Node's own parser: a wrong one is a usage error with the command's usage in it.
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { BuildError, suggest } from "../index.ts";

export interface CommandWords {
  readonly flags: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
  readonly words: readonly string[];
}

/** Reads `words`. Fails with "usage". */
export function readWords(words: readonly string[], options: ParseArgsOptionsConfig, usage: string): CommandWords {
  try {
    const { values, positionals } = parseArgs({ args: [...words], options, allowPositionals: true, strict: true });
    return { flags: values, words: positionals };
  } catch (error) {
    const unknown = /Unknown option '(--?[^']+)'/.exec((error as Error).message)?.[1];
    if (unknown === undefined) {
      const text = (error as Error).message.split(/\.\s|\n/)[0] ?? "";
      throw new BuildError("usage", text.slice(0, 1).toLowerCase() + text.slice(1).replace(/\.$/, ""), { help: usage });
    }
    const near = suggest(unknown.replace(/^-+/, ""), Object.keys(options));
    throw new BuildError("usage", `unknown flag: ${unknown}`, {
      help: near === undefined ? usage : `did you mean --${near}?`,
    });
  }
}

/** The value of a flag that takes one. */
export function textOf({ flags }: CommandWords, name: string): string | undefined {
  const value = flags[name];
  return typeof value === "string" ? value : undefined;
}

/** The values of a flag that repeats. */
export function textsOf({ flags }: CommandWords, name: string): readonly string[] {
  const value = flags[name];
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : [];
}
