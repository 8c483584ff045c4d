// `tsbuild run [flags] IMAGE [ARGS]`: an image's command in the sandbox of a build step. No terminal is given to it.
import { BuildError } from "../../index.ts";
import { openEngine } from "../open-engine.ts";
import type { Terminal } from "../terminal.ts";
import { parseAssignments } from "../values.ts";

const USAGE =
  "usage: tsbuild run [-e NAME=VALUE] [-w DIR] [-u USER] [--entrypoint CMD] [--network default|none|host] IMAGE [ARGS]";

interface RunWords {
  image?: string;
  args: readonly string[];
  readonly env: string[];
  workdir?: string;
  user?: string;
  entrypoint?: string;
  network: "default" | "none" | "host";
}

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const given = readWords(words);
  if (given.image === undefined) throw new BuildError("usage", "run needs an image", { help: USAGE });
  const { image, args, workdir, user, entrypoint, network } = given;
  const env = [...parseAssignments(given.env, terminal.environment)].map(([name, value]) => `${name}=${value}`);
  await using engine = await openEngine(terminal, {
    onEvent: (event) => {
      if (event.kind === "notice") terminal.stderr.write(`note: ${event.message}\n`);
    },
  });
  const { exitCode } = await engine.run({
    image,
    args,
    env,
    network,
    ...(workdir === undefined ? {} : { workdir }),
    ...(user === undefined ? {} : { user }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    onOutput: (stream, chunk) => {
      if (stream === "stdout") terminal.writeStdout(chunk).catch(() => {});
      else terminal.stderr.write(Buffer.from(chunk).toString());
    },
    signal: terminal.signal,
  });
  return exitCode;
}

/** Flags end at the image: what follows belongs to its command. */
function readWords(words: readonly string[]): RunWords {
  const given: RunWords = { args: [], env: [], network: "default" };
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (!word.startsWith("-")) {
      given.image = word;
      given.args = words.slice(at + 1);
      return given;
    }
    const cut = word.startsWith("--") ? word.indexOf("=") : -1;
    const name = cut < 0 ? word : word.slice(0, cut);
    const value = cut < 0 ? words[++at] : word.slice(cut + 1);
    if (value === undefined) throw new BuildError("usage", `flag needs an argument: ${name}`, { help: USAGE });
    if (name === "-e" || name === "--env") given.env.push(value);
    else if (name === "-w" || name === "--workdir") given.workdir = value;
    else if (name === "-u" || name === "--user") given.user = value;
    else if (name === "--entrypoint") given.entrypoint = value;
    else if (name === "--network" && (value === "default" || value === "none" || value === "host"))
      given.network = value;
    else if (name === "--network")
      throw new BuildError("usage", `invalid network mode ${JSON.stringify(value)}`, { help: USAGE });
    else throw new BuildError("usage", `unknown flag: ${name}`, { help: USAGE });
  }
  return given;
}
