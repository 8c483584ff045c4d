// The command line: finds the command, runs it, and turns whatever it throws into one screen and an exit code. Commands load only when called.
import { exitCodeOf, Interrupted } from "./exit-code.ts";
import { openTerminal, type Terminal } from "./terminal.ts";
import { VERSION } from "./version.ts";

/** Runs with the words after its name; resolves to the exit code. */
type Command = (words: readonly string[], terminal: Terminal) => Promise<number>;

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  build: async () => (await import("./commands/build.ts")).build,
  plan: async () => (await import("./commands/plan.ts")).plan,
  why: async () => (await import("./commands/why.ts")).why,
  warm: async () => (await import("./commands/warm.ts")).warm,
  check: async () => (await import("./commands/check.ts")).check,
  fmt: async () => (await import("./commands/fmt.ts")).fmt,
  parse: async () => (await import("./commands/parse.ts")).parse,
  run: async () => (await import("./commands/run.ts")).run,
  images: async () => (await import("./commands/images.ts")).images,
  inspect: async () => (await import("./commands/images.ts")).inspect,
  tag: async () => (await import("./commands/images.ts")).tag,
  rmi: async () => (await import("./commands/images.ts")).rmi,
  push: async () => (await import("./commands/images.ts")).push,
  pull: async () => (await import("./commands/images.ts")).pull,
  cache: async () => (await import("./commands/cache.ts")).cache,
  du: async () => (await import("./commands/cache.ts")).du,
  prune: async () => (await import("./commands/cache.ts")).prune,
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
};

/** They need neither the store nor privileges, or see to those themselves. */
const TEXT_COMMANDS: ReadonlySet<string> = new Set(["doctor", "fmt", "parse"]);

/** They explain themselves in one line: the usage that they answer a wrong flag with. */
const BRIEF_COMMANDS: ReadonlySet<string> = new Set([
  "doctor",
  "du",
  "images",
  "inspect",
  "parse",
  "prune",
  "pull",
  "push",
  "rmi",
  "run",
  "tag",
  "why",
]);

const HELP = `Usage: tsbuild [build] [flags] CONTEXT
       tsbuild COMMAND …

Builds Dockerfiles into OCI images, without a daemon.

Commands:
  build [flags] CONTEXT        build an image (the command may be left out; build --help lists the flags)
  plan [flags] CONTEXT         what a build would do and why, what it would pull, how long it may take
  why [STEP] [--build REF]     why steps of the last build, or of another one, had to run
  warm [flags] CONTEXT|FILE…   fill the cache with what builds will need: bases, and the steps before the context is read
  run IMAGE [ARGS]             run an image's command in the sandbox
  images                       list the images in the store
  inspect IMAGE                print an image's manifest and config
  tag IMAGE NAME               give an image another name
  rmi IMAGE…                   remove names of images; prune frees what no name keeps
  push IMAGE                   push an image to its registry
  pull [--platform P] IMAGE    fetch an image into the store
  check [--fix] [flags] CONTEXT|FILE
                               check a Dockerfile, build nothing; --fix corrects what is certain
  fmt [--write] FILE           print a Dockerfile in canonical form, or rewrite it
  parse FILE                   print a Dockerfile's syntax tree as JSON
  cache du|prune|rm|mounts     what the store holds, and removing some of it (cache --help); du and prune for short
  doctor                       what works on this machine, and what to do about the rest

Environment: TSBUILD_ROOT (the store), TSBUILD_REGISTRY_MIRRORS (host=url,…), TSBUILD_OCI_RUNTIME, TSBUILD_CACHE_MAX_SIZE, TSBUILD_CDI_DIRS, DOCKER_CONFIG, BUILDKIT_PROGRESS, NO_COLOR
Exit codes: 0 done, 1 build failed, 2 usage, 3 registry or network, 70 bug in tsbuild, 130/143 interrupted
`;

/** Runs the command that `words` name and sets the process's exit code. */
export async function main(words: readonly string[]): Promise<void> {
  const terminal = openTerminal();
  try {
    process.exitCode = await dispatch(words, terminal);
  } catch (error) {
    // What an interrupted build fails with is the interruption, however it surfaced.
    const cause: unknown = terminal.signal.aborted ? terminal.signal.reason : error;
    process.exitCode = exitCodeOf(cause);
    const { color, columns } = terminal.stderr;
    if (cause instanceof Interrupted) terminal.stderr.write(`${cause.message}\n`);
    else {
      const { errorText } = await import("./error-text.ts");
      terminal.stderr.write(errorText(cause, { color, width: columns() }, VERSION));
    }
  }
  terminal.releaseStdin();
}

async function dispatch(words: readonly string[], terminal: Terminal): Promise<number> {
  const [first, ...rest] = words;
  if (first === undefined || first === "help" || ((first === "--help" || first === "-h") && rest.length === 0)) {
    terminal.print(HELP);
    return first === undefined ? 2 : 0;
  }
  if (first === "version" || first === "--version") {
    terminal.print(`tsbuild ${VERSION}\n`);
    return 0;
  }
  const load = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  if (load && BRIEF_COMMANDS.has(first) && (rest[0] === "--help" || rest[0] === "-h"))
    return explain(await load(), terminal);
  if (!TEXT_COMMANDS.has(first) && process.geteuid?.() !== 0)
    await (await import("./rootless.ts")).enterUserNamespace(words);
  const command = await (load ?? COMMANDS["build"]!)();
  return command(load ? rest : words, terminal);
}

async function explain(command: Command, terminal: Terminal): Promise<number> {
  try {
    return await command(["--help"], terminal);
  } catch (error) {
    const { BuildError } = await import("../index.ts");
    if (!(error instanceof BuildError) || error.code !== "usage" || error.help === undefined) throw error;
    terminal.print(`${error.help}\n`);
    return 0;
  }
}
