// `tsbuild parse FILE`: the syntax tree as JSON; every error of the file at once.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { BuildError, formatAst, messageOf, parseDockerfile } from "../../index.ts";
import type { Terminal } from "../terminal.ts";

export async function parse(words: readonly string[], terminal: Terminal): Promise<number> {
  const [path, ...rest] = words;
  if (path === undefined || rest.length > 0) {
    throw new BuildError("usage", "parse takes one file", {
      help: "usage: tsbuild parse FILE, or - for standard input",
    });
  }
  const text = path === "-" ? await readAll(terminal.stdin) : await readText(resolve(terminal.cwd, path), path);
  const { dockerfile, diagnostics } = parseDockerfile({ path, text });
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === "error");
  if (errors.length > 0) throw new BuildError("dockerfile", errors[0]!.message, { diagnostics: errors });
  terminal.print(`${formatAst(dockerfile)}\n`);
  return 0;
}

async function readText(path: string, shown: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new BuildError("source", `cannot read ${shown}: ${messageOf(error)}`);
  }
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
