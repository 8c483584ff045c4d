// yargs, for the words that build-flags.ts does not read by itself: uncommon forms, mistakes, --help.
import yargs from "yargs";
import { parseGoBool } from "../base/go-text.ts";
import { BuildError, suggest } from "../index.ts";
import { FLAGS, type Flag, type GivenFlags } from "./build-flags.ts";

/** Reads any words. Wrong ones are a BuildError of code "usage"; a text is the help that was asked for. */
export async function parseFlags(words: readonly string[]): Promise<GivenFlags | string> {
  const parser = yargs(withValues(words))
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
  return withoutEmpty(lastOfRepeated(await parser.help(false).parseAsync()));
}

/** What yargs takes otherwise than docker: "-" as the value of a flag that repeats, as in `-o -`, an empty choice, and what a switch may be set to. */
function withValues(words: readonly string[]): string[] {
  const taking = namesOf(({ requiresArg }) => requiresArg === true);
  const switches = namesOf(({ type }) => type === "boolean");
  const joined: string[] = [];
  for (const word of words) {
    const before = joined.at(-1) ?? "";
    const cut = word.indexOf("=");
    if (word === "-" && taking.has(before)) joined.push(`${joined.pop()!}=-`);
    else if (word === "" && before === "--progress") joined.pop();
    else if (word === "--progress=") continue;
    else if (cut > 0 && switches.has(word.slice(0, cut)) && !taking.has(before))
      joined.push(`${word.slice(0, cut)}=${switchValue(word.slice(0, cut), word.slice(cut + 1))}`);
    else joined.push(word);
  }
  return joined;
}

function namesOf(isMeant: (flag: Flag) => boolean): ReadonlySet<string> {
  const meant = Object.entries<Flag>(FLAGS).filter(([, flag]) => isMeant(flag));
  return new Set(meant.flatMap(([name, { alias }]) => [`--${name}`, ...(alias === undefined ? [] : [`-${alias}`])]));
}

function switchValue(name: string, text: string): boolean {
  const value = parseGoBool(text);
  if (value !== undefined) return value;
  throw new BuildError("usage", `invalid value ${JSON.stringify(text)} for ${name}`, { help: "true or false" });
}

/** Of these an empty value says nothing, as of docker's: the variable of a script is not set. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set([
  "add-host",
  "allow",
  "annotation",
  "build-context",
  "cache-from",
  "cache-to",
  "call",
  "cgroup-parent",
  "iidfile",
  "metadata-file",
  "network",
  "output",
  "progress",
  "report",
  "secret",
  "target",
]);

function withoutEmpty(given: GivenFlags): GivenFlags {
  const kept = Object.entries(given).flatMap(([name, value]): [string, unknown][] => {
    if (!MAY_BE_EMPTY.has(name)) return [[name, value]];
    if (Array.isArray(value)) return [[name, value.filter((one) => one !== "")]];
    if (value !== "") return [[name, value]];
    const standard = FLAGS[name as keyof typeof FLAGS].default;
    return standard === undefined ? [] : [[name, standard]];
  });
  return Object.fromEntries(kept) as GivenFlags;
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
