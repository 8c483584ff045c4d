// `tsbuild parse FILE`: the syntax tree as JSON; every error of the file at once.
import { BuildError, formatAst } from "../../index.ts";
import { parseSound, readSource } from "../dockerfile-text.ts";
import type { Terminal } from "../terminal.ts";

export async function parse(words: readonly string[], terminal: Terminal): Promise<number> {
  const [path, ...rest] = words;
  const help = "usage: tsbuild parse FILE, or - for standard input";
  if (path === undefined || rest.length > 0) throw new BuildError("usage", "parse takes one file", { help });
  if (path.startsWith("-") && path !== "-") throw new BuildError("usage", `unknown flag: ${path}`, { help });
  terminal.print(`${formatAst(parseSound(await readSource(path, terminal)))}\n`);
  return 0;
}
