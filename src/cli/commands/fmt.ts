// `tsbuild fmt [--write] FILE`: a Dockerfile in canonical form, printed or put in its place. A file with errors stays as it is.
import { resolve } from "node:path";
import { rewriteFile } from "../../base/fs-atomic.ts";
import { BuildError, formatDockerfile, messageOf } from "../../index.ts";
import { parseSound, readSource } from "../dockerfile-text.ts";
import type { Terminal } from "../terminal.ts";

const USAGE = "usage: tsbuild fmt [--write] FILE, or - for standard input";

export async function fmt(words: readonly string[], terminal: Terminal): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    terminal.print(
      `${USAGE}\n\nPrints the Dockerfile in canonical form; it means what it meant. --write puts it in the file's place.\n`,
    );
    return 0;
  }
  const paths = words.filter((word) => word !== "--write");
  const [path, ...rest] = paths;
  const unknown = paths.find((word) => word.startsWith("-") && word !== "-");
  if (unknown !== undefined) throw new BuildError("usage", `unknown flag: ${unknown}`, { help: USAGE });
  if (path === undefined || rest.length > 0) throw new BuildError("usage", "fmt takes one file", { help: USAGE });
  const isWritten = paths.length < words.length;
  if (isWritten && path === "-")
    throw new BuildError("usage", "--write needs a file, not standard input", { help: USAGE });
  const source = await readSource(path, terminal);
  parseSound(source);
  const text = formatDockerfile(source);
  if (!isWritten) terminal.print(text);
  else if (text !== source.text) write(resolve(terminal.cwd, path), text);
  return 0;
}

function write(path: string, text: string): void {
  try {
    rewriteFile(path, text);
  } catch (error) {
    throw new BuildError("export", `cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}
