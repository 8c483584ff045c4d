// `tsbuild cache du|prune|rm|mounts`, and `du` and `prune` as short forms.
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { formatBytes } from "../../base/size-text.ts";
import { BuildError, parseDuration, suggest, type PruneOptions } from "../../index.ts";
import { readWords, textOf, textsOf, type CommandWords } from "../command-words.ts";
import { openEngine } from "../open-engine.ts";
import type { Terminal } from "../terminal.ts";
import { parseSize } from "../values.ts";

type Command = (words: readonly string[], terminal: Terminal) => Promise<number>;

const HELP = `Usage: tsbuild cache du     [--by kind|step|image|mount] [--filter F]… [--verbose] [--format table|json] [--treemap FILE.svg]
       tsbuild cache prune  [-a|--all] [-f|--force] [--filter F]… [--dry-run] [--verbose] [--max-used-space SIZE]
                            [--min-free-space SIZE] [--reserved-space SIZE] [--keep-duration DURATION]
       tsbuild cache rm     KEY|STEP|ID…
       tsbuild cache mounts [--format table|json] [rm ID…]

Filters, all of which have to be true: until=24h  id=ID  parents~=REGEX  description~=REGEX  inuse  mutable  immutable  shared  private
  type=regular|internal|frontend|source.local|source.git.checkout|exec.cachemount
prune removes layers and blobs that no image needs; with --all, a limit or a filter also cache mounts, sources, indexes and logs.
What live builds use stays.
`;

export const cache: Command = async ([name, ...words], terminal) => {
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    terminal.print(HELP);
    return name === undefined ? 2 : 0;
  }
  const commands: Readonly<Record<string, Command>> = { du, prune, rm, mounts };
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command) return command(words, terminal);
  const near = suggest(name, Object.keys(commands));
  throw new BuildError("usage", `unknown command: cache ${name}`, {
    help: near === undefined ? "tsbuild cache --help lists them" : `did you mean "cache ${near}"?`,
  });
};

const GROUPS = ["kind", "step", "image", "mount"] as const;

export const du: Command = async (words, terminal) => {
  const usage =
    "usage: tsbuild cache du [--by kind|step|image|mount] [--filter F] [--verbose] [--format table|json] [--treemap FILE]";
  const given = readWords(
    words,
    {
      by: { type: "string" },
      filter: { type: "string", multiple: true },
      verbose: { type: "boolean" },
      format: { type: "string" },
      json: { type: "boolean" },
      treemap: { type: "string" },
    },
    usage,
  );
  refuseWords(given, usage);
  const by = GROUPS.find((group) => group === (textOf(given, "by") ?? "kind"));
  if (!by) throw new BuildError("usage", `--by takes ${GROUPS.join(", ")}`, { help: usage });
  const format = formatOf(given);
  await using engine = await openEngine(terminal);
  const found = await engine.cacheUsage(textsOf(given, "filter"));
  const path = textOf(given, "treemap");
  if (path !== undefined) {
    const { renderTreemap } = await import("../treemap.ts");
    writeFileSync(resolve(terminal.cwd, path), renderTreemap(found));
  }
  const { entries, ...rest } = found;
  if (format === "json") terminal.print(`${JSON.stringify({ ...rest, items: entries }, undefined, 2)}\n`);
  else {
    const { usageText } = await import("../usage-text.ts");
    terminal.print(usageText(found, given.flags["verbose"] === true ? "everything" : by));
  }
  return 0;
};

export const prune: Command = async (words, terminal) => {
  const usage =
    "usage: tsbuild cache prune [--all] [--force] [--filter F] [--max-used-space SIZE] [--dry-run]; tsbuild cache --help";
  const given = readWords(
    words,
    {
      all: { type: "boolean", short: "a" },
      force: { type: "boolean", short: "f" },
      filter: { type: "string", multiple: true },
      "dry-run": { type: "boolean" },
      verbose: { type: "boolean" },
      "max-used-space": { type: "string" },
      "max-size": { type: "string" },
      "min-free-space": { type: "string" },
      "reserved-space": { type: "string" },
      "keep-duration": { type: "string" },
      "older-than": { type: "string" },
    },
    usage,
  );
  refuseWords(given, usage);
  const dryRun = given.flags["dry-run"] === true;
  const options = pruneOptions(given, usage);
  if (!dryRun && given.flags["force"] !== true && !(await isConfirmed(options.all === true, terminal))) {
    terminal.stderr.write("nothing was removed\n");
    return 0;
  }
  await using engine = await openEngine(terminal);
  const { removed, freed, total } = await engine.prune({
    ...options,
    dryRun,
    filters: textsOf(given, "filter"),
    signal: terminal.signal,
  });
  if (given.flags["verbose"] === true) {
    for (const { kind, id, description, size } of removed)
      terminal.print(`${formatBytes(size).padStart(8)}  ${kind.padEnd(8)} ${description || id}\n`);
  }
  terminal.print(`${dryRun ? "would free" : "freed"} ${formatBytes(freed)}; ${formatBytes(total)} left\n`);
  return 0;
};

function pruneOptions(given: CommandWords, usage: string): PruneOptions {
  const size = (...names: readonly string[]): number | undefined => {
    const name = names.find((each) => textOf(given, each) !== undefined);
    return name === undefined ? undefined : parseSize(`--${name}`, textOf(given, name)!);
  };
  const maxSize = size("max-used-space", "max-size");
  const minFreeSpace = size("min-free-space");
  const reservedSpace = size("reserved-space");
  const olderThanMs = ageOf(given, usage);
  return {
    all: given.flags["all"] === true,
    ...(maxSize === undefined ? {} : { maxSize }),
    ...(minFreeSpace === undefined ? {} : { minFreeSpace }),
    ...(reservedSpace === undefined ? {} : { reservedSpace }),
    ...(olderThanMs === undefined ? {} : { olderThanMs }),
  };
}

/** `--keep-duration 48h`, or hours after `--older-than`. */
function ageOf(given: CommandWords, usage: string): number | undefined {
  const duration = textOf(given, "keep-duration");
  if (duration !== undefined) {
    const ms = parseDuration(duration);
    if (ms !== undefined) return ms;
    throw new BuildError("usage", `invalid duration ${JSON.stringify(duration)} for --keep-duration`, {
      help: "write it like 48h, or as seconds",
    });
  }
  const hours = textOf(given, "older-than");
  if (hours === undefined) return undefined;
  if (/^\d+(\.\d+)?$/.test(hours)) return Number(hours) * 3_600_000;
  throw new BuildError("usage", "--older-than takes a number of hours", { help: usage });
}

/** Asks on a terminal; a script is not asked. */
async function isConfirmed(isAll: boolean, terminal: Terminal): Promise<boolean> {
  if (!terminal.stderr.isTerminal) return true;
  const what = isAll
    ? "everything that no image needs and that can be made again, cache mounts too"
    : "cached layers that no image needs";
  terminal.stderr.write(`This removes ${what}. Continue? [y/N] `);
  for await (const chunk of terminal.stdin) return /^y(es)?$/i.test(Buffer.from(chunk).toString().trim());
  return false;
}

export const rm: Command = async (words, terminal) => {
  const usage = "usage: tsbuild cache rm KEY|STEP|ID…";
  const given = readWords(words, {}, usage);
  if (given.words.length === 0) throw new BuildError("usage", "nothing to remove was named", { help: usage });
  await using engine = await openEngine(terminal);
  return tellRemoved(await engine.removeCached(given.words), terminal);
};

function tellRemoved(
  result: Awaited<ReturnType<Awaited<ReturnType<typeof openEngine>>["removeCached"]>>,
  terminal: Terminal,
): number {
  for (const { kind, id, description } of result.kept)
    terminal.stderr.write(
      `kept ${kind} ${description || id}: ${kind === "mount" ? "a step is using it" : "a build or an image needs it; its records are gone, so the step runs again"}\n`,
    );
  terminal.print(`removed ${result.removed.length}, freed ${formatBytes(result.freed)}\n`);
  return result.kept.some(({ kind }) => kind === "mount") ? 1 : 0;
}

export const mounts: Command = async (words, terminal) => {
  const usage = "usage: tsbuild cache mounts [--format table|json], tsbuild cache mounts rm ID…";
  const given = readWords(words, { format: { type: "string" }, json: { type: "boolean" } }, usage);
  const [name, ...ids] = given.words;
  await using engine = await openEngine(terminal);
  const { entries } = await engine.cacheUsage(["type=exec.cachemount"]);
  if (name === "rm" && ids.length > 0) {
    const unknown = ids.find((id) => !entries.some((entry) => entry.id === id || entry.description === id));
    if (unknown !== undefined)
      throw new BuildError("usage", `there is no cache mount ${JSON.stringify(unknown)}`, {
        help:
          suggest(
            unknown,
            entries.map(({ description }) => description),
          ) ?? "tsbuild cache mounts lists them",
      });
    return tellRemoved(await engine.removeCached(ids), terminal);
  }
  refuseWords(given, usage);
  if (formatOf(given) === "json") terminal.print(`${JSON.stringify(entries, undefined, 2)}\n`);
  else {
    const { mountsText } = await import("../usage-text.ts");
    terminal.print(mountsText(entries));
  }
  return 0;
};

function formatOf(given: CommandWords): "table" | "json" {
  const format = given.flags["json"] === true ? "json" : (textOf(given, "format") ?? "table");
  if (format === "table" || format === "json") return format;
  throw new BuildError("usage", `unknown format ${JSON.stringify(format)}`, { help: "one of table, json" });
}

function refuseWords({ words }: CommandWords, usage: string): void {
  if (words.length > 0) throw new BuildError("usage", `unknown argument: ${words[0]}`, { help: usage });
}
