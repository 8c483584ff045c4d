// A Dockerfile that a command names directly: a file, or "-" for standard input.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { BuildError, messageOf, parseDockerfile, type Dockerfile, type SourceFile } from "../index.ts";
import type { Terminal } from "./terminal.ts";

/** Text of `path`. Fails with "source" where it cannot be read or is no UTF-8. */
export async function readSource(path: string, terminal: Terminal): Promise<SourceFile> {
  const data = path === "-" ? await readAll(terminal.stdin) : await readData(resolve(terminal.cwd, path), path);
  try {
    return { path, text: new TextDecoder("utf-8", { fatal: true }).decode(data) };
  } catch (error) {
    throw new BuildError("source", `"${path}" is not valid UTF-8`, { cause: error, help: "save it as UTF-8 text" });
  }
}

/** The syntax tree of a text without errors; fails with all of its errors. */
export function parseSound(source: SourceFile): Dockerfile {
  const { dockerfile, diagnostics } = parseDockerfile(source);
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === "error");
  if (errors.length > 0) throw new BuildError("dockerfile", errors[0]!.message, { diagnostics: errors });
  return dockerfile;
}

async function readData(path: string, shown: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BuildError("source", `cannot read ${shown}: ${messageOf(error)}`);
  }
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
