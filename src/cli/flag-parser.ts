// yargs, for the words that build-flags.ts does not read by itself: uncommon forms, mistakes, --help.
import yargs from "yargs";
import { BuildError, suggest } from "../index.ts";
import { FLAGS, type Flag, type GivenFlags } from "./build-flags.ts";

/** Reads any words. Wrong ones are a BuildError of code "usage"; a text is the help that was asked for. */
export async function parseFlags(words: readonly string[]): Promise<GivenFlags | string> {
  const parser = yargs(withDashes(words))
    .scriptName("tsbuild")
    .usage(
      "tsbuild [build] [flags] CONTEXT\n\nBuilds the image that a Dockerfile describes. CONTEXT is a directory, a git or http URL, or - for standard input.",
    )
    .options(FLAGS)
    .parserConfiguration({
      "camel-case-expansion": false,
      "boolean-negation": false,
      "parse-positional-numbers": false,
      "strip-aliased": true,
    })
    .version(false)
    .strictOptions()
    .exitProcess(false)
    .wrap(100)
    .fail((message, error) => {
      throw usageError(message, error);
    });
  if (words.some((word) => word === "--help" || word === "-h")) return parser.getHelp();
  return lastOfRepeated(await parser.help(false).parseAsync());
}

/** yargs takes no "-" for the value of a flag that repeats, as in `-o -`, unless it is in the same word. */
function withDashes(words: readonly string[]): string[] {
  const taking = Object.entries<Flag>(FLAGS).filter(([, flag]) => flag.requiresArg === true);
  const names = new Set(
    taking.flatMap(([name, { alias }]) => [`--${name}`, ...(alias === undefined ? [] : [`-${alias}`])]),
  );
  const joined: string[] = [];
  for (const word of words) {
    if (word === "-" && names.has(joined.at(-1) ?? "")) joined.push(`${joined.pop()!}=-`);
    else joined.push(word);
  }
  return joined;
}

/** Of an option that takes one value and was given twice, the last value counts. */
function lastOfRepeated(given: Readonly<Record<string, unknown>>): GivenFlags {
  const single = Object.entries(given).map(([key, value]) => {
    const isMany = key === "_" || (Object.hasOwn(FLAGS, key) && "array" in FLAGS[key as keyof typeof FLAGS]);
    return [key, Array.isArray(value) && !isMany ? (value.at(-1) as unknown) : value];
  });
  return Object.fromEntries(single) as GivenFlags;
}

/** yargs' text with the flag that was probably meant. */
function usageError(message: string | undefined, error: Error | undefined): BuildError {
  if (error instanceof BuildError) return error;
  const unknown = /^Unknown arguments?: (.+)$/.exec(message ?? "")?.[1]?.split(", ")[0];
  const choice = /Argument: ([\w-]+), Given: "(.*?)", Choices: (.*)$/s.exec(message ?? "");
  if (choice) {
    const [, name = "", given = "", choices = ""] = choice;
    const near = suggest(given, choices.match(/(?<=")[^",]+(?=")/g) ?? []);
    return new BuildError("usage", `invalid value "${given}" for --${name}`, {
      help: near === undefined ? `one of ${choices.trim().replaceAll('"', "")}` : `did you mean "${near}"?`,
    });
  }
  if (unknown === undefined)
    return new BuildError("usage", lowerFirst(message ?? error?.message ?? "unusable arguments"));
  const name = unknown.replace(/=.*$/, "");
  const near = suggest(name, Object.keys(FLAGS));
  const dashes = name.length === 1 ? "-" : "--";
  return new BuildError("usage", `unknown flag: ${dashes}${name}`, {
    help: near === undefined ? "tsbuild --help lists the flags" : `did you mean --${near}?`,
  });
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1).replace(/\n/g, " ");
}
