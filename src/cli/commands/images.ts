// Commands on images in the store: images, inspect, tag, rmi, push, pull.
import { BuildError, type Engine } from "../../index.ts";
import { isoOfMs } from "../../base/clock.ts";
import { openEngine } from "../open-engine.ts";
import { createRenderer } from "../progress/renderer.ts";
import { formatBytes } from "../../base/size-text.ts";
import type { Terminal } from "../terminal.ts";

export async function images(words: readonly string[], terminal: Terminal): Promise<number> {
  operands(
    "images [--json]",
    words.filter((word) => word !== "--json"),
    0,
    0,
  );
  await using engine = await openEngine(terminal);
  const list = engine.images();
  if (words.includes("--json")) {
    terminal.print(`${JSON.stringify(list, undefined, 2)}\n`);
    return 0;
  }
  const rows = list.map((image) => [
    image.name ?? "<none>",
    image.manifestDigest.slice(0, 19),
    image.imageId.slice(7, 19),
    image.createdMs === undefined ? "" : isoOfMs(image.createdMs).slice(0, 19).replace("T", " "),
    formatBytes(image.size),
  ]);
  terminal.print(table([["NAME", "DIGEST", "IMAGE ID", "CREATED", "SIZE"], ...rows]));
  return 0;
}

export async function inspect(words: readonly string[], terminal: Terminal): Promise<number> {
  const [name = ""] = operands("inspect IMAGE", words, 1, 1);
  await using engine = await openEngine(terminal);
  terminal.print(`${JSON.stringify(await engine.inspect(name), undefined, 2)}\n`);
  return 0;
}

export async function tag(words: readonly string[], terminal: Terminal): Promise<number> {
  const [source = "", name = ""] = operands("tag IMAGE NAME", words, 2, 2);
  await using engine = await openEngine(terminal);
  engine.tag(source, name);
  return 0;
}

export async function rmi(words: readonly string[], terminal: Terminal): Promise<number> {
  const names = operands("rmi IMAGE…", words, 1, Infinity);
  await using engine = await openEngine(terminal);
  for (const name of names) terminal.print(`untagged ${engine.remove(name)}\n`);
  return 0;
}

export async function push(words: readonly string[], terminal: Terminal): Promise<number> {
  const [name = ""] = operands("push IMAGE", words, 1, 1);
  return transfer(terminal, (engine) => engine.push(name, { signal: terminal.signal }));
}

export async function pull(words: readonly string[], terminal: Terminal): Promise<number> {
  const { rest, platform } = withoutPlatform(words);
  const [name = ""] = operands("pull [--platform OS/ARCH] IMAGE", rest, 1, 1);
  const { signal } = terminal;
  return transfer(terminal, (engine) => engine.pull(name, { ...(platform === undefined ? {} : { platform }), signal }));
}

/** Takes `--platform` and its value out of the words. */
function withoutPlatform(words: readonly string[]): { readonly rest: readonly string[]; readonly platform?: string } {
  const at = words.findIndex((word) => word === "--platform" || word.startsWith("--platform="));
  if (at < 0) return { rest: words };
  const cut = words[at]!.indexOf("=");
  const platform = cut < 0 ? words[at + 1] : words[at]!.slice(cut + 1);
  if (platform === undefined) throw new BuildError("usage", "flag needs an argument: --platform");
  return { rest: words.toSpliced(at, cut < 0 ? 2 : 1), platform };
}

async function transfer(terminal: Terminal, work: (engine: Engine) => Promise<string>): Promise<number> {
  const renderer = await createRenderer("auto", terminal.stderr, terminal.environment);
  try {
    await using engine = await openEngine(terminal, { onEvent: (event) => renderer.event(event) });
    const digest = await work(engine);
    terminal.print(`${digest}\n`);
    return 0;
  } finally {
    renderer.end();
  }
}

function operands(usage: string, words: readonly string[], least: number, most: number): readonly string[] {
  const unknown = words.find((word) => word.startsWith("-"));
  if (unknown !== undefined)
    throw new BuildError("usage", `unknown flag: ${unknown}`, { help: `usage: tsbuild ${usage}` });
  if (words.length < least || words.length > most) {
    throw new BuildError("usage", `wrong number of arguments (${words.length})`, { help: `usage: tsbuild ${usage}` });
  }
  return words;
}

/** Columns as wide as their widest cell, two blanks apart. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
